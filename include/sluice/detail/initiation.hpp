#pragma once

#include <sluice/detail/target.hpp>
#include <sluice/executor.hpp>

#include <utility>

namespace sluice::detail {

/// Where Asio runs what has no executor: its system executor.
[[nodiscard]] const target_ptr& system_target() noexcept;

/// What starts an operation, with the executor of the operation, as Asio's own initiations have it.
/** Tokens that need one of their own use it: the timer of `asio::cancel_after` waits there. */
template <class Function>
class initiation {
 public:
  using executor_type = executor;

  /// @param where The operation's own executor; none if it has none.
  initiation(target_ptr where, Function start)
      : where_(std::move(where)), start_(std::move(start)) {}

  /// Asio's default if the operation has none: a token may ask before it knows that its handler
  /// has one.
  [[nodiscard]] executor_type get_executor() const noexcept {
    return executor(where_ ? where_ : system_target());
  }
  /// The operation's own executor, or none.
  [[nodiscard]] const target_ptr& handler_target() const noexcept { return where_; }

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) const {
    start_(std::forward<Handler>(handler), std::forward<Args>(args)...);
  }

 private:
  target_ptr where_;
  Function start_;
};

}  // namespace sluice::detail
