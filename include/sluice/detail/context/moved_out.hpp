// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace sluice::detail {

/// Whether the object that this is a member of has been moved from, and not been assigned to since.
class moved_out {
 public:
  moved_out() noexcept = default;
  moved_out(const moved_out&) noexcept {}
  moved_out(moved_out&& other) noexcept { other.value_ = true; }
  moved_out& operator=(const moved_out&) noexcept {
    value_ = false;
    return *this;
  }
  moved_out& operator=(moved_out&& other) noexcept {
    other.value_ = true;
    value_ = false;
    return *this;
  }
  ~moved_out() = default;

  explicit operator bool() const noexcept { return value_; }
  /// It stands in the place of another, from which has been moved.
  void set() noexcept { value_ = true; }

 private:
  bool value_ = false;
};

}  // namespace sluice::detail
