// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/decl.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace sluice::detail {

/// How many threads use something that is about to end, and a wait until those have gone who came
/// before the wait.
/**
 * One read-modify-write to come and one to go. Who waits sleeps: a thread of a lower priority than
 * its own may be among those who are to go. Nothing is touched after the count that the waiting
 * thread may see, so that thread may destroy it.
 *
 * There are two counts, so that those who come meanwhile do not keep the waiting thread, however
 * close they follow each other. Who comes adds to the current one. Who waits does so for the other
 * one, makes it the current one and waits for the first: then each count has been seen at none once
 * since the wait began. A thread that read which is the current one before it changed, and adds to
 * it afterwards, prolongs a wait by itself, once.
 */
class pin_count {
 public:
  /// Which count a pin is in.
  using epoch = std::uint8_t;

  pin_count() noexcept = default;
  pin_count(const pin_count&) = delete;
  pin_count& operator=(const pin_count&) = delete;

  [[nodiscard]] epoch add() noexcept {
    const epoch p = current_.load(std::memory_order_relaxed);
    counts_[p].fetch_add(one, std::memory_order_acq_rel);
    return p;
  }

  void remove(epoch p) noexcept {
    auto* const address = &counts_[p];
    const auto before = address->fetch_sub(one, std::memory_order_acq_rel);
    SLUICE_ASSERT(before >= one, "a pin that is given back was taken");
    if (before == (one | awaited)) [[unlikely]]
      wake(address);
  }

  /// Several threads may wait, each for those who came before it.
  void wait_for_none() noexcept {
    if (counts_[0].load(std::memory_order_acquire) != 0 ||
        counts_[1].load(std::memory_order_acquire) != 0)
      wait_slowly();
  }

 private:
  using count = std::atomic<std::uint32_t>;

  static constexpr std::uint32_t awaited = 1, one = 2;

  SLUICE_DECL void wait_slowly() noexcept;
  SLUICE_DECL static void wait_for(count& c) noexcept;
  SLUICE_DECL static void wake(count* address) noexcept;

  std::array<count, 2> counts_{};
  std::atomic<epoch> current_{0};
  std::mutex waiting_;
};

}  // namespace sluice::detail
