#pragma once

#include <sluice/detail/target.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <utility>

namespace sluice::detail {

/// What starts an operation, with the executor of the operation, as Asio's own initiations have it.
/** Tokens that need one of their own use it: the timer of `asio::cancel_after` waits there. */
template <class Function>
class initiation {
 public:
  using executor_type = executor;

  /// @param where The operation's own executor; none if it has none.
  initiation(target_ptr where, Function start)
      : where_(std::move(where)), start_(std::move(start)) {}

  /// @throws system_error `error::no_executor` if the operation has none.
  [[nodiscard]] executor_type get_executor() const {
    if (!where_) throw_error(error::no_executor, "sluice: operation without an executor");
    return executor(where_);
  }

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) const {
    start_(std::forward<Handler>(handler), std::forward<Args>(args)...);
  }

 private:
  target_ptr where_;
  Function start_;
};

}  // namespace sluice::detail
