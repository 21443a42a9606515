// SPDX-License-Identifier: BSL-1.0
// The failures of a worker pool's own.

#include "failures.hpp"

#include <sluice/error.hpp>

#include <boost/asio/error.hpp>

namespace sluice::detail {

namespace {

std::exception_ptr failure_of(const error_code& e) {
  return std::make_exception_ptr(system_error(e, "sluice::worker_pool"));
}

}  // namespace

const pool_failures& pool_failures::all() {
  // Threads may need it to the very end.
  static const pool_failures* const made = new pool_failures{
      failure_of(error::closed), failure_of(boost::asio::error::operation_aborted),
      failure_of(boost::asio::error::timed_out)};
  return *made;
}

}  // namespace sluice::detail
