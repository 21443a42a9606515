// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/executor.hpp>

#include <utility>

namespace sluice::detail {

/// Where Asio runs what has no executor: its system executor.
[[nodiscard]] SLUICE_DECL const dispatcher_ptr& system_dispatcher() noexcept;

/// The executor of an operation that is given a token.
/** A token that starts the operation later moves or copies its initiation: what it has then is what
 * may be kept when the context of that executor has ended. */
class operation_executor {
 public:
  using executor_type = executor;

  /// @param own Its own executor; without one it takes that of the goroutine around, if any.
  explicit operation_executor(const pinned_dispatcher& own)
      : from_(own ? own.from() : nullptr),
        kept_(own && !from_ ? own.kept() : lasting_dispatcher()),
        where_(from_ || kept_ ? dispatcher_ptr()
               : own          ? *own
                              : current_dispatcher_or_none()) {}
  /** @throws std::bad_alloc */
  operation_executor(const operation_executor& other)
      : kept_(other.from_    ? *other.from_
              : other.where_ ? lasting_dispatcher(other.where_)
                             : other.kept_) {}
  operation_executor& operator=(const operation_executor&) = delete;

  /// Asio's default if the operation has none: a token may ask before it knows that its handler
  /// has one.
  [[nodiscard]] executor_type get_executor() const noexcept {
    const pinned_dispatcher own = handler_dispatcher();
    return detail::executor_on(own ? *own : system_dispatcher());
  }
  /// The operation's executor, or none: it had none, or its context has ended.
  [[nodiscard]] SLUICE_DECL pinned_dispatcher handler_dispatcher() const noexcept;

 private:
  /// Where what may be kept stays while the token starts the operation.
  const lasting_dispatcher* const from_ = nullptr;
  const lasting_dispatcher kept_;
  const dispatcher_ptr where_;
};

/// What starts an operation, with the executor of the operation, as Asio's own initiations have it.
/** Tokens that need one of their own use it: the timer of `asio::cancel_after` waits there. */
template <class Function>
class initiation : public operation_executor {
 public:
  initiation(const pinned_dispatcher& own, Function start)
      : operation_executor(own), start_(std::move(start)) {}

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) const {
    start_(std::forward<Handler>(handler), std::forward<Args>(args)...);
  }

 private:
  Function start_;
};

}  // namespace sluice::detail
