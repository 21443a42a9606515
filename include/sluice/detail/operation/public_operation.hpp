// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/access.hpp>

#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What stands behind an operation of a public class.
template <class Operation>
using wait_of_t = std::remove_reference_t<decltype(access::wait_of(
    std::declval<std::remove_reference_t<Operation>&>()))>;

/// An operation as it was given, as what stands behind it.
template <class Operation>
[[nodiscard]] auto&& forward_wait(std::remove_reference_t<Operation>& op) noexcept {
  if constexpr (std::is_lvalue_reference_v<Operation>)
    return access::wait_of(op);
  else
    return std::move(access::wait_of(op));
}

/// The public side of an operation: it is awaited, given a completion token, or offered to
/// `select`.
/** `Wait` does it, and is for the library alone. */
template <class Wait>
class public_operation : private Wait {
  friend struct access;

 public:
  /// Used by the library: that it is an operation of it, and of what kind.
  using sluice_operation = Wait;
  /// What a completion handler takes.
  using signature = typename Wait::signature;
  /// Starts it with a completion token.
  using Wait::operator();

  /// Used by the library.
  using Wait::Wait;
  public_operation(public_operation&&) = default;
  [[gnu::always_inline]] ~public_operation() = default;
};

}  // namespace sluice::detail
