// SPDX-License-Identifier: BSL-1.0
// What an exception is to those who are told of failures by an `error_code`.

#include <sluice/detail/base/error_code_of.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include <boost/asio/error.hpp>

#include <new>

namespace sluice::detail {

error_code error_code_of(const std::exception_ptr& failure) noexcept {
  return detail::visit_exception<system_error>(
      failure, [](const system_error& x) { return x.code(); },
      [&failure] {
        return detail::visit_exception<std::bad_alloc>(
            failure,
            [](const std::bad_alloc&) { return error_code(boost::asio::error::no_memory); },
            [] { return error_code(error::initiation_failed); });
      });
}

}  // namespace sluice::detail
