// SPDX-License-Identifier: BSL-1.0
// The ways into a `queue_lock`. Whoever has `turn_` decides to whom it is biased, so one thread at
// a time takes a bias away.

#include <sluice/detail/base/queue_lock.hpp>

#include "barrier_in_all_threads.hpp"
#include "spin.hpp"

#include <sluice/detail/base/assert.hpp>

#include <chrono>
#include <limits>
#include <thread>

namespace sluice::detail {

namespace {

/// Whether locks may be biased: only where a bias can be taken away.
std::atomic<bool> may_be_biased{register_barriers_in_all_threads()};

/// What tells this thread from all others, also if several copies of the library run in them: an
/// address. A thread that ends leaves it, and its biases, to one that begins later. 0 until it is
/// needed.
[[gnu::tls_model("initial-exec")]] thread_local constinit std::uintptr_t mark_of_thread = 0;

}  // namespace

void queue_lock::lock_or_enter() noexcept {
  const std::uintptr_t own = mark_of_thread | biased;
  if (user_.load(std::memory_order_relaxed) == own) {
    SLUICE_ASSERT(!inside_.load(std::memory_order_relaxed), "a queue lock is entered once");
    inside_.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (user_.load(std::memory_order_acquire) == own) [[likely]]
      return;
    inside_.store(false, std::memory_order_release);
  }
  lock_in_turn();
}

// Apart, so that who enters has nothing to save.
[[gnu::noinline]] void queue_lock::lock_in_turn() noexcept {
  turn_.lock();
  if (mark_of_thread == 0) mark_of_thread = reinterpret_cast<std::uintptr_t>(&mark_of_thread);
  const std::uintptr_t thread = mark_of_thread;
  if (owner_ == thread) owner_ = 0;
  const std::uintptr_t last = user_.load(std::memory_order_relaxed);
  if (last != thread) {
    user_.store(thread, std::memory_order_relaxed);
    if ((last & biased) != 0) [[unlikely]]
      take_bias_away();
    left_ = patience_;
  } else if (--left_ == 0) [[unlikely]] {
    give_bias(thread);
  }
  in_turn_ = true;
}

[[gnu::noinline]] void queue_lock::give_bias(std::uintptr_t thread) noexcept {
  left_ = patience_;
  if (owner_ != 0 || !may_be_biased.load(std::memory_order_relaxed)) return;
  owner_ = thread;
  user_.store(thread | biased, std::memory_order_relaxed);
}

// In a sandbox that was entered since, the kernel may refuse what it has granted: then no lock is
// biased any more, and who is inside has had the time that no processor keeps a store back for.
[[gnu::noinline]] void queue_lock::take_bias_away() noexcept {
  if (!barrier_in_all_threads()) {
    may_be_biased.store(false, std::memory_order_relaxed);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  // It is in the middle of a few dozen instructions, whose end is a plain store that wakes nobody.
  // It may be a thread of lower priority that waits for this processor.
  for (int i = 0; inside_.load(std::memory_order_acquire); ++i)
    if (i < spins)
      pause();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  if (patience_ <= std::numeric_limits<std::uint16_t>::max() / 2)
    patience_ = static_cast<std::uint16_t>(2 * patience_);
}

}  // namespace sluice::detail
