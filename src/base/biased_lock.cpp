// SPDX-License-Identifier: BSL-1.0
// The rare ways of `biased_lock`: those of the other thread, and what the owner does where it meets
// one. Either the owner uses a fence, or the other has a barrier in all threads.

#include <sluice/detail/base/biased_lock.hpp>

#include "barrier_in_all_threads.hpp"
#include "spin.hpp"

#include <chrono>
#include <thread>

namespace sluice::detail {

std::atomic<biased_lock::barriers> biased_lock::barriers_{
    register_barriers_in_all_threads() ? barriers::asymmetric : barriers::fences};

// The note comes after `busy_` and before the fence: who sees it sees what this owner did without a
// fence, and whatever it does from now on is done with one.
void biased_lock::fence_as_owner() noexcept {
  if (barriers_.load(std::memory_order_relaxed) == barriers::failed)
    fenced_.store(true, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void biased_lock::lock_as_owner_slowly() noexcept {
  do {
    busy_.store(false, std::memory_order_release);
    revoked_.wait(true, std::memory_order_acquire);
    busy_.store(true, std::memory_order_seq_cst);
    fence_as_owner();
  } while (revoked_.load(std::memory_order_acquire));
}

bool biased_lock::lock_as_other() noexcept {
  revoked_.store(true, std::memory_order_seq_cst);
  if (barriers_.load(std::memory_order_relaxed) == barriers::asymmetric &&
      !barrier_in_all_threads())
    barriers_.store(barriers::failed, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (barriers_.load(std::memory_order_relaxed) == barriers::failed &&
      !fenced_.load(std::memory_order_acquire)) {
    unlock_as_other();
    return false;
  }
  // The owner is in the middle of a few dozen instructions, whose end is a plain store that wakes
  // nobody. It may be a thread of lower priority that waits for this processor.
  for (int i = 0; busy_.load(std::memory_order_acquire); ++i)
    if (i < spins)
      pause();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  return true;
}

void biased_lock::unlock_as_other() noexcept {
  revoked_.store(false, std::memory_order_release);
  revoked_.notify_one();
}

}  // namespace sluice::detail
