// SPDX-License-Identifier: BSL-1.0
// What the children of a `when_all` give when all have succeeded, and what is kept of them when one
// has failed.
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/error.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

namespace sluice::detail {

template <class T>
struct tuple_of_value {
  using type = std::tuple<T>;
};
template <>
struct tuple_of_value<void> {
  using type = std::tuple<>;
};
/// The results of children in a tuple, in which those without one take no place.
template <class... Children>
using values_of_children = decltype(std::tuple_cat(
    std::declval<typename tuple_of_value<typename Children::value_type>::type>()...));

template <class... Children>
using outcomes_of_children = std::tuple<std::optional<typename Children::arguments>...>;

/// How a result stands in a vector.
template <class T>
using in_vector = std::conditional_t<std::is_reference_v<T>,
                                     std::reference_wrapper<std::remove_reference_t<T>>, T>;

/// An exception as it was, which holds what had completed.
template <class Exception, class Held>
class exception_holding : public Exception, public Held {
 public:
  exception_holding(const Exception& e, const Held& held) : Exception(e), Held(held) {}
};

template <class Exception, class Held>
void throw_if_exactly(const std::exception& x, const Held& held) {
#if defined(__cpp_rtti)
  if (typeid(x) == typeid(Exception))
    detail::throw_exception(
        exception_holding<Exception, Held>(static_cast<const Exception&>(x), held));
#else
  static_cast<void>(x);
  static_cast<void>(held);
#endif
}

/// Throws a failure with what had completed, if its type is known.
template <class Held>
[[noreturn]] void rethrow_holding(const std::exception_ptr& e, const char*,
                                  [[maybe_unused]] const Held& held) {
#if !defined(SLUICE_NO_EXCEPTIONS)
  SLUICE_TRY {
    std::rethrow_exception(e);
  }
  SLUICE_CATCH(const std::exception& x) {
    detail::throw_if_exactly<system_error>(x, held);
    detail::throw_if_exactly<std::runtime_error>(x, held);
    detail::throw_if_exactly<std::logic_error>(x, held);
    detail::throw_if_exactly<std::invalid_argument>(x, held);
    detail::throw_if_exactly<std::out_of_range>(x, held);
    detail::rethrow();
  }
#else
  std::rethrow_exception(e);
#endif
}
template <class Held>
[[noreturn]] void rethrow_holding(const error_code& e, const char* what, const Held& held) {
  detail::throw_exception(exception_holding<system_error, Held>(system_error(e, what), held));
}

/// A failure of an operation whose children have completed so.
template <class Held>
[[nodiscard]] std::exception_ptr failure_holding(const std::exception_ptr& e, const Held& held) {
  if constexpr (!has_exceptions) return e;
  SLUICE_TRY {
    detail::rethrow_holding(e, "", held);
  }
  SLUICE_CATCH_ALL {
    return std::current_exception();
  }
}
template <class Held>
[[nodiscard]] error_code failure_holding(const error_code& e, const Held&) noexcept {
  return e;
}

}  // namespace sluice::detail
