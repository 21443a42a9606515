// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/error.hpp>

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// @throws system_error `error::closed`
[[noreturn]] SLUICE_DECL void throw_nothing_received();

/// What derives from it is returned in memory, where it is made.
/** In registers an optional number takes longer: g++ puts it together from narrow stores and reads
 * it again as a whole, which the processor cannot forward. */
class returned_in_memory {
 protected:
  constexpr returned_in_memory() noexcept = default;
  constexpr returned_in_memory(const returned_in_memory&) noexcept {}
  constexpr returned_in_memory& operator=(const returned_in_memory&) noexcept { return *this; }
  ~returned_in_memory() = default;
};

}  // namespace detail

/// What a receive gives: a value, or nothing because the channel is closed and drained.
/**
 * Go's `v, ok := <-ch` in one object: a `std::optional<T>` whose value cannot be read when there is
 * none. That throws where a `std::optional`'s is undefined behaviour; where it has just been
 * tested, as in `while (auto v = co_await ch.receive())`, the compiler leaves the second test out.
 *
 * It becomes a `std::optional<T>` where one is wanted: `std::optional<int> v = co_await
 * ch.receive();`. With `T` bool use that form: `std::optional<bool> v(r)` asks `r`, as it asks
 * whatever converts to bool, whether there is a value. An element that can be made from anything,
 * as `std::any`, comes in a plain `std::optional`, for it would hold this object itself.
 *
 * @par Errors
 * `*`, `->` and `value()` throw `system_error` with `error::closed` if there is no value.
 */
template <class T>
class received : public std::optional<T>, private detail::returned_in_memory {
  using base = std::optional<T>;

 public:
  /// Nothing.
  constexpr received() noexcept = default;
  /// Nothing.
  constexpr received(std::nullopt_t) noexcept {}
  /// What the optional holds.
  constexpr received(base value) noexcept(std::is_nothrow_move_constructible_v<T>)
      : base(std::move(value)) {}
  /// A value made from `args`.
  template <class... Args>
  constexpr explicit received(std::in_place_t in_place, Args&&... args)
      : base(in_place, std::forward<Args>(args)...) {}

  using base::operator=;

  /// The value.
  constexpr T& value() & { return *checked(); }
  /// The value.
  constexpr const T& value() const& { return *checked(); }
  /// The value.
  constexpr T&& value() && { return std::move(*checked()); }
  /// The value.
  constexpr const T&& value() const&& { return std::move(*checked()); }

  /// The value.
  constexpr T& operator*() & { return *checked(); }
  /// The value.
  constexpr const T& operator*() const& { return *checked(); }
  /// The value.
  constexpr T&& operator*() && { return std::move(*checked()); }
  /// The value.
  constexpr const T&& operator*() const&& { return std::move(*checked()); }

  /// A member of the value.
  constexpr T* operator->() { return checked(); }
  /// A member of the value.
  constexpr const T* operator->() const { return checked(); }

 private:
  [[nodiscard]] constexpr T* checked() {
    if (!this->has_value()) [[unlikely]]
      detail::throw_nothing_received();
    return base::operator->();
  }
  [[nodiscard]] constexpr const T* checked() const {
    if (!this->has_value()) [[unlikely]]
      detail::throw_nothing_received();
    return base::operator->();
  }
};

namespace detail {

template <class T>
[[nodiscard]] constexpr const std::optional<T>& plain(const std::optional<T>& o) noexcept {
  return o;
}

}  // namespace detail

/// Compares as `std::optional`s do, whose own operators would take one side for a value. What is to
/// be ordered is read first.
template <class T, std::equality_comparable_with<T> U>
[[nodiscard]] constexpr bool operator==(const received<T>& a, const received<U>& b) {
  return detail::plain(a) == detail::plain(b);
}
/// The same with an optional.
template <class T, std::equality_comparable_with<T> U>
[[nodiscard]] constexpr bool operator==(const received<T>& a, const std::optional<U>& b) {
  return detail::plain(a) == b;
}
// Written out: a rewritten one would be left for an operator of `std::optional`.
/// The same with an optional.
template <class T, std::equality_comparable_with<T> U>
[[nodiscard]] constexpr bool operator==(const std::optional<T>& a, const received<U>& b) {
  return a == detail::plain(b);
}
/// The same negated.
template <class T, std::equality_comparable_with<T> U>
[[nodiscard]] constexpr bool operator!=(const received<T>& a, const received<U>& b) {
  return detail::plain(a) != detail::plain(b);
}
/// The same negated.
template <class T, std::equality_comparable_with<T> U>
[[nodiscard]] constexpr bool operator!=(const received<T>& a, const std::optional<U>& b) {
  return detail::plain(a) != b;
}
/// The same negated.
template <class T, std::equality_comparable_with<T> U>
[[nodiscard]] constexpr bool operator!=(const std::optional<T>& a, const received<U>& b) {
  return a != detail::plain(b);
}

namespace detail {

/// What a receive of `T` gives.
template <class T>
struct what_is_received {
  struct another : std::optional<T> {};
  using type = std::conditional_t<std::is_convertible_v<another, T>, std::optional<T>, received<T>>;
};
template <>
struct what_is_received<void> {
  using type = bool;
};

}  // namespace detail

}  // namespace sluice
