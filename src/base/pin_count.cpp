// SPDX-License-Identifier: BSL-1.0
// How the end of a context waits for pins. Nothing of the count is touched after the store that
// wakes who waits: the count may go with the context.

#include <sluice/detail/base/pin_count.hpp>
#include <sluice/detail/base/test_point.hpp>

#include <mutex>

namespace sluice::detail {

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
