// SPDX-License-Identifier: BSL-1.0
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

  /// An object by a constructor that is for the library alone.
  template <class T, class... Arguments>
  [[nodiscard]] static T make(Arguments&&... arguments) {
    return T(std::forward<Arguments>(arguments)...);
  }

  /// Where an executor has functions run.
  template <class Executor>
  [[nodiscard]] static const auto& dispatcher_of(const Executor& ex) noexcept {
    return ex.dispatcher_;
  }

  /// What a context, a wait group and their like share with their copies.
  template <class T>
  [[nodiscard]] static const auto& state_of(const T& object) noexcept {
    return object.state_;
  }
  template <class T>
  [[nodiscard]] static auto take_state(T& object) noexcept {
    return std::move(object.state_);
  }
  /// Whether somebody has taken a context out of this object, by moving.
  template <class Context>
  [[nodiscard]] static bool is_moved_out(const Context& ctx) noexcept {
    return static_cast<bool>(ctx.moved_out_);
  }
  /// Moves a context with what `is_moved_out` says of it.
  template <class Context>
  static void move_whole(Context& from, Context& to) noexcept {
    const bool out = is_moved_out(from);
    to = std::move(from);
    if (out) to.moved_out_.set();
  }
  /// The values of a context.
  template <class Context>
  [[nodiscard]] static const auto& values_of(const Context& ctx) noexcept {
    return ctx.values_;
  }

  /// What a connection in memory knows of its other end.
  template <class Stream>
  [[nodiscard]] static auto look_at_peer(const Stream& stream) noexcept {
    return stream.look_at_peer();
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

}  // namespace sluice::detail
