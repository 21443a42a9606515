#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::detail {

/// How many threads use something that is about to end, and a wait until none does.
/**
 * One read-modify-write to come and one to go. Who waits sleeps: a thread of a lower priority than
 * its own may be among those who are to go. Nothing is touched after the count that the waiting
 * thread may see, so that thread may destroy it.
 */
class pin_count {
 public:
  pin_count() noexcept = default;
  pin_count(const pin_count&) = delete;
  pin_count& operator=(const pin_count&) = delete;

  void add() noexcept { word_.fetch_add(one, std::memory_order_acq_rel); }

  void remove() noexcept {
    auto* const address = &word_;
    if (word_.fetch_sub(one, std::memory_order_acq_rel) == (one | awaited)) [[unlikely]]
      wake(address);
  }

  void wait_for_none() noexcept {
    if (word_.load(std::memory_order_acquire) != 0) wait_slowly();
  }

 private:
  static constexpr std::uint32_t awaited = 1, one = 2;

  void wait_slowly() noexcept;
  static void wake(std::atomic<std::uint32_t>* address) noexcept;

  std::atomic<std::uint32_t> word_{0};
};

}  // namespace sluice::detail
