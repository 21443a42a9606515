// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/assert.hpp>

#include <atomic>
#include <cstdint>

namespace sluice::detail {

/// How many references there are to something that ends when the last has been given up.
/** Thread safe. What was done by those who gave up theirs happened before what the last does. */
template <class Number = std::uint32_t>
class reference_count {
 public:
  explicit constexpr reference_count(Number n) noexcept : count_(n) {}

  /// By somebody who has one, or who makes the first of an object that nobody else knows.
  /** @return How many there were. */
  Number add() noexcept { return count_.fetch_add(1, std::memory_order_relaxed); }
  /// By somebody who has one.
  void retain() noexcept {
    const Number before = add();
    SLUICE_ASSERT(before != 0, "a reference is given by somebody who has one");
  }
  /// Unless none is left.
  [[nodiscard]] bool try_retain() noexcept {
    Number n = count_.load(std::memory_order_relaxed);
    while (n != 0)
      if (count_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) return true;
    return false;
  }
  /// @return Whether it was the last.
  [[nodiscard]] bool release() noexcept {
    const Number before = count_.fetch_sub(1, std::memory_order_acq_rel);
    SLUICE_ASSERT(before != 0, "as many references are given up as there were");
    return before == 1;
  }

  /// Acquires what those did who have given up theirs.
  [[nodiscard]] Number count() const noexcept { return count_.load(std::memory_order_acquire); }

 private:
  std::atomic<Number> count_;
};

}  // namespace sluice::detail
