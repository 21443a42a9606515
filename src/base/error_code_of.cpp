// SPDX-License-Identifier: BSL-1.0
// What an exception is to those who are told of failures by an `error_code`.

#include <sluice/detail/base/error_code_of.hpp>

#include <boost/asio/error.hpp>

#include <new>

namespace sluice::detail {

error_code error_code_of(const std::exception_ptr& failure) noexcept {
  try {
    std::rethrow_exception(failure);
  } catch (const system_error& x) {
    return x.code();
  } catch (const std::bad_alloc&) {
    return boost::asio::error::no_memory;
  } catch (...) {
    return error::initiation_failed;
  }
}

}  // namespace sluice::detail
