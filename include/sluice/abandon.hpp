// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/executor_of_operation.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/error.hpp>
#include <sluice/task.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// The completion arguments of an operation that was not waited for.
template <class Arguments>
[[nodiscard]] Arguments abandoned_arguments() {
  std::optional<Arguments> all;
  detail::make_failure(all, asio::error::operation_aborted);
  return *std::move(all);
}

/// What an operation and its handler share until the operation ends or is abandoned.
/** Used on the handler's executor only. */
template <class Handler, class... Args>
class abandonable : public std::enable_shared_from_this<abandonable<Handler, Args...>> {
 public:
  using slot_type = asio::associated_cancellation_slot_t<Handler>;

  abandonable(Handler&& handler, asio::any_io_executor where)
      : handler_(std::move(handler)), where_(std::move(where)) {}

  [[nodiscard]] const asio::any_io_executor& get_executor() const noexcept { return where_; }
  [[nodiscard]] asio::cancellation_slot slot() noexcept { return signal_.slot(); }

  /// Passes requests on to the operation, and tells the handler if one is terminal.
  void listen_to(slot_type slot) {
    if (!slot.is_connected()) return;
    slot_.emplace(slot);
    slot.assign([weak = this->weak_from_this()](asio::cancellation_type type) {
      if (const auto self = weak.lock()) self->cancel(type);
    });
  }

  /// The operation has ended, or is not waited for any longer.
  template <class... A>
  void complete(A&&... args) {
    if (!handler_) return;
    Handler handler = std::move(*handler_);
    handler_.reset();
    if (slot_) slot_->clear();
    std::move(handler)(std::forward<A>(args)...);
  }

 private:
  void cancel(asio::cancellation_type type) {
    signal_.emit(type);
    if (told_ || (type & asio::cancellation_type::terminal) == asio::cancellation_type::none)
      return;
    asio::post(where_, [self = this->shared_from_this()] {
      std::apply([&](auto&&... args) { self->complete(std::move(args)...); },
                 abandoned_arguments<std::tuple<std::decay_t<Args>...>>());
    });
    told_ = true;
  }

  std::optional<Handler> handler_;
  const asio::any_io_executor where_;
  asio::cancellation_signal signal_;
  std::optional<slot_type> slot_;
  bool told_ = false;
};

/// The handler of such an operation.
/** It has no allocator of the user's: the operation may outlive that. */
template <class Abandonable>
class abandonable_handler {
 public:
  using executor_type = asio::any_io_executor;
  using cancellation_slot_type = asio::cancellation_slot;

  explicit abandonable_handler(std::shared_ptr<Abandonable> shared) noexcept
      : shared_(std::move(shared)) {}

  [[nodiscard]] executor_type get_executor() const noexcept { return shared_->get_executor(); }
  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
    return shared_->slot();
  }

  template <class... Args>
  void operator()(Args&&... args) {
    const auto shared = std::move(shared_);
    shared->complete(std::forward<Args>(args)...);
  }

 private:
  std::shared_ptr<Abandonable> shared_;
};

/// Launches an operation with such a handler.
template <class Initiation, class... Args>
class abandonable_initiation {
 public:
  template <class I>
  explicit abandonable_initiation(std::in_place_t, I&& initiation)
      : initiation_(std::forward<I>(initiation)) {}

  /// The operation's own executor, for a token around this one.
  [[nodiscard]] auto get_executor() const
    requires requires(const Initiation& i) { i.get_executor(); }
  {
    return initiation_.get_executor();
  }

  template <class Handler, class... InitArgs>
  void operator()(Handler&& handler, InitArgs&&... args) && {
    using shared_type = abandonable<std::decay_t<Handler>, Args...>;
    const auto slot = asio::get_associated_cancellation_slot(handler);
    auto where = detail::executor_of_operation(initiation_, handler);
    auto shared = std::make_shared<shared_type>(
        std::decay_t<Handler>(std::forward<Handler>(handler)), std::move(where));
    shared->listen_to(slot);
    std::move(initiation_)(abandonable_handler<shared_type>(std::move(shared)),
                           std::forward<InitArgs>(args)...);
  }

 private:
  Initiation initiation_;
};

/// The token with which `abandon` takes an operation apart.
struct use_abandonable_task {};

}  // namespace detail

/// An Asio operation that is not waited for once it is cancelled.
/**
 * `select` and `timeout` cancel what has lost or taken too long and wait until it has ended,
 * because it may use buffers of the caller. An operation that ignores cancellation, such as a name
 * lookup, delays them. An abandoned one does not: when terminal cancellation is requested it
 * completes with `operation_aborted` by a post to the handler's executor, after the request was
 * passed on to the operation itself; what that does later is dropped. It is work of its I/O object
 * until it ends.
 *
 * For operations that use nothing of the caller's: no buffer, and no object that may end before
 * them.
 *
 * @param op An Asio operation given `asio::deferred`, `use_task` or `asio::as_tuple` of these. Its
 * first completion argument is an `error_code` or an `exception_ptr`, and the others have default
 * constructors.
 * @return An operation like `op`: for `co_await`, `select`, `timeout` and, called, for any
 * completion token. Like `op` it is cancelled on the handler's executor.
 *
 * @par Errors
 * Those of `op`; `asio::error::operation_aborted` when it was abandoned.
 *
 * @code
 * const auto endpoints = co_await sluice::timeout(
 *     sluice::abandon(resolver.async_resolve(host, "https", asio::deferred)), 2s);
 * @endcode
 */
template <class Operation>
  requires detail::is_asio_operation<std::remove_cvref_t<Operation>> ||
           asio::is_deferred<std::remove_cvref_t<Operation>>::value
[[nodiscard]] auto abandon(Operation&& op) {
  return std::remove_cvref_t<Operation>(std::forward<Operation>(op))(
      detail::use_abandonable_task());
}

}  // namespace sluice

template <class... Args>
class boost::asio::async_result<sluice::detail::use_abandonable_task, void(Args...)> {
 public:
  template <class Initiation, class... InitArgs>
    requires sluice::detail::decay_copyable<Initiation, InitArgs...>
  static auto initiate(Initiation&& initiation, sluice::detail::use_abandonable_task,
                       InitArgs&&... args) {
    static_assert(
        sluice::detail::failure_argument<std::tuple<std::decay_t<Args>...>>::can_be_made,
        "sluice::abandon takes an operation that can say operation_aborted: its first completion "
        "argument is an error_code or an exception_ptr, and the others have default constructors");
    using initiation_type =
        sluice::detail::abandonable_initiation<std::decay_t<Initiation>, Args...>;
    return async_result<sluice::use_task_t, void(Args...)>::initiate(
        initiation_type(std::in_place, std::forward<Initiation>(initiation)), sluice::use_task,
        std::forward<InitArgs>(args)...);
  }
};
