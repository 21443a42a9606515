// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/asio_compatibility.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>

namespace sluice::detail {

/// The executor on which the handler of an operation that is being launched will run: its
/// associated executor, by default that of the I/O object or of the operation of this library.
template <class Initiation, class Handler>
[[nodiscard]] asio::any_io_executor executor_of_operation(const Initiation& initiation,
                                                          const Handler& handler) {
  if constexpr (requires { initiation.get_executor(); })
    return asio::get_associated_executor(handler, initiation.get_executor());
  else
    return detail::associated_executor_of(handler);
}

}  // namespace sluice::detail
