#pragma once

#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What the library does with its public classes and their users cannot.
struct access {
  /// What an operation's class derives from privately; the operation itself if that has no such
  /// class.
  template <class Operation>
  [[nodiscard]] static auto& wait_of(Operation& op) noexcept {
    if constexpr (requires { typename Operation::sluice_operation; })
      return wait_of_own(op);
    else
      return op;
  }

  /// What a context, a wait group and their like share with their copies.
  template <class T>
  [[nodiscard]] static const auto& state_of(const T& object) noexcept {
    return object.state_;
  }
  /// The values of a context.
  template <class Context>
  [[nodiscard]] static const auto& values_of(const Context& ctx) noexcept {
    return ctx.values_;
  }

  /// The reference that a handle of a channel holds.
  template <class Handle>
  [[nodiscard]] static const auto& ref_of(const Handle& handle) noexcept {
    return handle.ref_;
  }

 private:
  template <class Operation>
  [[nodiscard]] static auto& wait_of_own(Operation& op) noexcept {
    using wait = typename Operation::sluice_operation;
    if constexpr (std::is_void_v<wait>)
      return op;
    else
      return static_cast<std::conditional_t<std::is_const_v<Operation>, const wait, wait>&>(op);
  }
};

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
};

}  // namespace sluice::detail
