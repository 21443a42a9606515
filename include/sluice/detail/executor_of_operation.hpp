#pragma once

#include <sluice/detail/asio_compatibility.hpp>
#include <sluice/detail/target.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>

#include <tuple>
#include <utility>

namespace sluice::detail {

/// Where the handler of an operation that is being launched will run: its associated executor, by
/// default that of the I/O object or of the operation of this library, if it has one.
template <class Initiation, class Handler, class... InitArgs>
[[nodiscard]] asio::any_io_executor executor_of_operation(const Initiation& initiation,
                                                          const Handler& handler,
                                                          const InitArgs&... args) {
  if constexpr (sizeof...(InitArgs) == 1 && (requires { args.handler_target(); } && ...)) {
    const auto& [op] = std::tie(args...);
    if (target_ptr target = op.handler_target())
      return asio::get_associated_executor(handler, executor(std::move(target)));
    return detail::associated_executor_of(handler);
  } else if constexpr (requires { initiation.get_executor(); }) {
    return asio::get_associated_executor(handler, initiation.get_executor());
  } else {
    return detail::associated_executor_of(handler);
  }
}

}  // namespace sluice::detail
