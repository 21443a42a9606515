// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <source_location>

namespace sluice::detail {

/// An operation that a coroutine of this library awaits for its caller, whose line reports name.
template <class Operation>
class awaited_at {
 public:
  awaited_at(Operation& op, const std::source_location& where) noexcept
      : operation_(&op), where_(where) {}

  [[nodiscard]] Operation& operation() const noexcept { return *operation_; }
  [[nodiscard]] const std::source_location& where() const noexcept { return where_; }

 private:
  Operation* operation_;
  std::source_location where_;
};

}  // namespace sluice::detail
