// SPDX-License-Identifier: BSL-1.0
#include "goroutine/escaped_exception.hpp"

#include "base/location_text.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduled_goroutine.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/error.hpp>

#if !defined(SLUICE_STANDALONE_ASIO)
#include <boost/throw_exception.hpp>
#endif

#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>

// An exception that nobody awaits says whose it was.

namespace sluice::detail {

#if defined(__cpp_rtti) && !defined(SLUICE_NO_EXCEPTIONS)

namespace {

std::string origin_of(const scheduled_goroutine& g) {
  const std::string name = g.home->name_of(g);
  return "(in " + (name.empty() ? "a goroutine" : "goroutine \"" + name + "\",") + " started at " +
         text_of(g.started_at) + ")";
}

/// Throws an `E` with a longer text if `x` is an `E` and nothing derived from it.
template <class E>
void throw_if_exactly(const std::exception& x, const std::string& origin) {
  if (typeid(x) == typeid(E)) detail::throw_exception(E(std::string(x.what()) + ' ' + origin));
}

/// What a system_error was told at its construction; its code's text follows that.
template <class Error>
std::string prefix_of(const Error& x) {
  const std::string code = Error(x.code()).what();
  std::string_view text = x.what();
  if (text.ends_with(code)) text.remove_suffix(code.size());
  if (text.ends_with(": ")) text.remove_suffix(2);
  return std::string(text);
}

template <class Error>
Error with_origin(const Error& x, const std::string& origin) {
  const std::string prefix = prefix_of(x);
  return Error(x.code(), prefix.empty() ? origin : prefix + ' ' + origin);
}

void throw_with(const std::string& origin, const std::exception_ptr& e) {
  SLUICE_TRY {
    std::rethrow_exception(e);
  }
  SLUICE_CATCH(const system_error& x) {
    const system_error longer = with_origin(x, origin);
    if (typeid(x) == typeid(system_error)) detail::throw_exception(longer);
#if !defined(SLUICE_STANDALONE_ASIO)
    if (typeid(x) == typeid(boost::wrapexcept<system_error>))
      boost::throw_exception(longer, boost::get_throw_location(x));
  }
  SLUICE_CATCH(const std::system_error& x) {
    if (typeid(x) == typeid(std::system_error)) detail::throw_exception(with_origin(x, origin));
#endif
  }
  SLUICE_CATCH(const std::exception& x) {
    throw_if_exactly<std::runtime_error>(x, origin);
    throw_if_exactly<std::logic_error>(x, origin);
    throw_if_exactly<std::invalid_argument>(x, origin);
    throw_if_exactly<std::out_of_range>(x, origin);
    throw_if_exactly<std::length_error>(x, origin);
    throw_if_exactly<std::domain_error>(x, origin);
    throw_if_exactly<std::range_error>(x, origin);
    throw_if_exactly<std::overflow_error>(x, origin);
    throw_if_exactly<std::underflow_error>(x, origin);
  }
  SLUICE_CATCH_ALL {}
}

}  // namespace

std::exception_ptr with_origin(const std::exception_ptr& e, const scheduled_goroutine& g) noexcept {
  std::string origin;
  SLUICE_TRY {
    origin = origin_of(g);
  }
  SLUICE_CATCH_ALL {
    return e;  // There is no memory for the text.
  }
  SLUICE_TRY {
    throw_with(origin, e);
  }
  SLUICE_CATCH(const std::bad_alloc& no_memory) {}
  SLUICE_CATCH_ALL {
    return std::current_exception();
  }
  return e;
}

#else

std::exception_ptr with_origin(const std::exception_ptr& e, const scheduled_goroutine&) noexcept {
  return e;
}

#endif

}  // namespace sluice::detail
