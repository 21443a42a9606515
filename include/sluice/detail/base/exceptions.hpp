// SPDX-License-Identifier: BSL-1.0
// How this library throws and catches, so that it can be built without exceptions: nothing else
// spells `try`, `catch` or `throw`.
#pragma once

#include <boost/asio/cancellation_type.hpp>
#if !defined(SLUICE_STANDALONE_ASIO)
#include <boost/throw_exception.hpp>
#endif

#include <exception>
#include <utility>

#if defined(BOOST_ASIO_NO_EXCEPTIONS) && !defined(SLUICE_NO_EXCEPTIONS)
/// Defined where Asio is used without exceptions, as it is with `-fno-exceptions`.
#define SLUICE_NO_EXCEPTIONS 1
#endif

#if defined(SLUICE_NO_EXCEPTIONS) && defined(SLUICE_STANDALONE_ASIO)
#error "Sluice without exceptions needs Boost, for boost::throw_exception"
#endif

// Macros, as in Boost and in standard libraries: a function object cannot `co_await`, nor return
// from the function that it stands in. The compilers' own words where there are exceptions; else
// what is tried is done, and what would be caught never is.
#if defined(SLUICE_NO_EXCEPTIONS)
#define SLUICE_TRY if (true)
#define SLUICE_CATCH(declaration) \
  else if (false) for ([[maybe_unused]] declaration = ::sluice::detail::nothing_caught(); false;)
#define SLUICE_CATCH_ALL else if (false)
#else
#define SLUICE_TRY try
#define SLUICE_CATCH(declaration) catch (declaration)
#define SLUICE_CATCH_ALL catch (...)
#endif

namespace sluice::detail {

#if defined(SLUICE_NO_EXCEPTIONS)
inline constexpr bool has_exceptions = false;

/// What a handler that never runs is given.
struct nothing_caught {
  template <class Exception>
  operator const Exception&() const noexcept;
};
#else
inline constexpr bool has_exceptions = true;
#endif

/// Throws `e`; without exceptions gives it to the program's `boost::throw_exception`.
template <class Exception>
[[noreturn]] void throw_exception(Exception&& e) {
#if defined(SLUICE_NO_EXCEPTIONS)
  boost::throw_exception(e);
#else
  throw std::forward<Exception>(e);
#endif
}

/// Throws again what is being handled.
[[noreturn]] inline void rethrow() {
#if defined(SLUICE_NO_EXCEPTIONS)
  std::terminate();
#else
  throw;
#endif
}

/// Throws `e` around the exception that `inside` holds; without exceptions there is none.
template <class Exception>
[[noreturn]] void throw_nested(const Exception& e,
                               [[maybe_unused]] const std::exception_ptr& inside) {
#if defined(SLUICE_NO_EXCEPTIONS)
  detail::throw_exception(e);
#else
  try {
    std::rethrow_exception(inside);
  } catch (...) {
    std::throw_with_nested(e);
  }
#endif
}

/// What `f` gives for the exception that `e` holds, if that is an `Exception`; for another what
/// `other` gives, and without exceptions, which nothing tells apart then.
template <class Exception, class F, class G>
auto visit_exception([[maybe_unused]] const std::exception_ptr& e, [[maybe_unused]] F f, G other) {
#if defined(SLUICE_NO_EXCEPTIONS)
  return other();
#else
  try {
    std::rethrow_exception(e);
  } catch (const Exception& x) {
    return f(x);
  } catch (...) {
    return other();
  }
#endif
}

}  // namespace sluice::detail
