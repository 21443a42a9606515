// SPDX-License-Identifier: BSL-1.0
// The failures of a worker pool's own.

#include "failures.hpp"

#include <sluice/error.hpp>

#include <boost/asio/error.hpp>

#include <exception>
#include <type_traits>

namespace sluice::detail {

namespace {

template <class Failure>
Failure failure_of(const error_code& e) {
  if constexpr (std::is_same_v<Failure, error_code>)
    return e;
  else
    return std::make_exception_ptr(system_error(e, "sluice::worker_pool"));
}

}  // namespace

const pool_failures& pool_failures::all() {
  // Threads may need it to the very end.
  static const pool_failures* const made =
      new pool_failures{failure_of<job_failure>(error::closed),
                        failure_of<job_failure>(boost::asio::error::operation_aborted),
                        failure_of<job_failure>(boost::asio::error::timed_out)};
  return *made;
}

}  // namespace sluice::detail
