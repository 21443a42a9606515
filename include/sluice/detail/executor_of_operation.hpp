#pragma once

#include <sluice/detail/target.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>

#include <utility>

namespace sluice::detail {

/// The executor of an operation of this library; none for another initiation argument.
template <class Operation>
[[nodiscard]] target_ptr target_of_operation(const Operation& op) {
  if constexpr (requires { op.handler_target(); })
    return op.handler_target();
  else
    return {};
}

/// Where the handler of an operation that is being launched will run: its associated executor, by
/// default that of the I/O object or of the operation of this library.
template <class Initiation, class Handler, class... InitArgs>
[[nodiscard]] asio::any_io_executor executor_of_operation(const Initiation& initiation,
                                                          const Handler& handler,
                                                          const InitArgs&... args) {
  if constexpr (requires { initiation.get_executor(); }) {
    return asio::get_associated_executor(handler, initiation.get_executor());
  } else {
    target_ptr target;
    static_cast<void>(((target = detail::target_of_operation(args)) || ...));
    if (target) return asio::get_associated_executor(handler, executor(std::move(target)));
    return asio::get_associated_executor(handler);
  }
}

}  // namespace sluice::detail
