// The slow ways of `byte_lock`, `biased_lock` and `pin_count`: what a thread does that finds one
// taken. A lock whose owner has given it up may be destroyed by the next one, so nothing of it is
// touched after the store or exchange that gives it up.

#include <sluice/detail/base/biased_lock.hpp>
#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/pin_count.hpp>
#include <sluice/detail/base/test_point.hpp>

#include <chrono>
#include <thread>

#if defined(__linux__)
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

namespace sluice::detail {

namespace {

void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

constexpr int spins = 100;

// Sleeps while `word` is `value`. The bound covers the one wake-up that `unlock` may miss, because
// it looks for sleepers before its store and not after it.
void sleep_on(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
#if defined(__linux__)
  const timespec bound{0, 200'000};
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &bound, nullptr, 0);
#else
  if (word.load(std::memory_order_relaxed) == value)
    std::this_thread::sleep_for(std::chrono::microseconds(50));
#endif
}

bool register_asymmetric_barrier() noexcept {
#if defined(__linux__) && defined(SYS_membarrier)
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
  return false;
#endif
}

bool barrier_in_all_threads() noexcept {
#if defined(__linux__) && defined(SYS_membarrier)
  return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
  return false;
#endif
}

}  // namespace

void byte_lock::lock_slowly() noexcept {
  for (int i = 0; i < spins; ++i) {
    pause();
    if (state_.load(std::memory_order_relaxed) == free &&
        state_.exchange(locked, std::memory_order_acquire) == free)
      return;
  }
  while (state_.exchange(contended, std::memory_order_acquire) != free) sleep_on(state_, contended);
}

void byte_lock::wake_one(std::atomic<std::uint32_t>* address) noexcept {
#if defined(__linux__)
  syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#else
  static_cast<void>(address);
#endif
}

std::atomic<biased_lock::barriers> biased_lock::barriers_{
    register_asymmetric_barrier() ? barriers::asymmetric : barriers::fences};

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

// One thread at a time, so the mark is the one thread's that waits.
void pin_count::wait_slowly() noexcept {
  const std::lock_guard guard(waiting_);
  const epoch first = current_.load(std::memory_order_relaxed);
  const epoch other = first ^ 1;
  wait_for(counts_[other]);
  current_.store(other, std::memory_order_relaxed);
  test_point("the current count of pins has changed");
  wait_for(counts_[first]);
}

void pin_count::wait_for(count& c) noexcept {
  auto seen = c.load(std::memory_order_acquire);
  while (seen >= one) {
    if ((seen & awaited) != 0 ||
        c.compare_exchange_weak(seen, seen | awaited, std::memory_order_acquire)) {
      c.wait(seen | awaited, std::memory_order_acquire);
      seen = c.load(std::memory_order_acquire);
    }
  }
  c.fetch_and(~awaited, std::memory_order_relaxed);
}

void pin_count::wake(count* address) noexcept {
  address->notify_all();
}

}  // namespace sluice::detail
