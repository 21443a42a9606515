// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// An object of an aggregate type, made from its parts or as a whole.
/**
 * For parameters that callers write as a braced list: g++ 12 copies an aggregate that is made
 * inside a `co_await` expression bitwise and destroys both, but not an object that has a
 * constructor.
 */
template <class T>
class from_parts {
 public:
  from_parts(const T& whole)
    requires std::copy_constructible<T>
      : whole_(whole) {}
  from_parts(T&& whole) : whole_(std::move(whole)) {}
  template <class U>
    requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, T> &&
             !std::same_as<std::remove_cvref_t<U>, from_parts>)
  from_parts(U&& other) : whole_(std::forward<U>(other)) {}
  /// One for each of the first parts; the others are as `T{}` has them.
  template <class... Parts>
    requires(sizeof...(Parts) != 1 && std::constructible_from<T, Parts...>)
  from_parts(Parts&&... parts) : whole_(std::forward<Parts>(parts)...) {}
  template <class Part>
    requires(!std::convertible_to<Part, T> && std::constructible_from<T, Part> &&
             !std::same_as<std::remove_cvref_t<Part>, from_parts>)
  from_parts(Part&& part) : whole_(std::forward<Part>(part)) {}

  operator T&&() && noexcept { return std::move(whole_); }

 private:
  T whole_;
};

/// The type of a parameter that is a `T`, which callers may write as a braced list.
template <class T>
using parameter =
#if (defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13) || defined(SLUICE_AS_WITH_GCC12)
    std::conditional_t<std::is_aggregate_v<T> && !std::is_trivially_destructible_v<T>,
                       from_parts<T>, T>;
#else
    T;
#endif

}  // namespace sluice::detail
