// SPDX-License-Identifier: BSL-1.0
// The slow ways of `byte_lock`: what a thread does that finds it taken. A lock whose owner has
// given it up may be destroyed by the next one, so nothing of it is touched after the exchange that
// gives it up.

#include <sluice/detail/base/byte_lock.hpp>

#include "spin.hpp"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#else
#include <chrono>
#include <thread>
#endif

namespace sluice::detail {

namespace {

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

}  // namespace sluice::detail
