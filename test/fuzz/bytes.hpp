#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice_test::fuzz {

/// What a fuzzer gives: choices, one byte each.
class bytes {
 public:
  explicit bytes(std::span<const std::uint8_t> all) noexcept : left_(all) {}

  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
  /// One of 0 ... bound - 1; 0 when there are no more.
  std::uint32_t below(std::uint32_t bound) noexcept {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_.front();
    left_ = left_.subspan(1);
    return first % bound;
  }
  bool one_in(std::uint32_t n) noexcept { return below(n) == n - 1; }

 private:
  std::span<const std::uint8_t> left_;
};

}  // namespace sluice_test::fuzz
