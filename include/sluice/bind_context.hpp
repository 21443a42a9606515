// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/base/associated_goroutine.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/executor_of_operation.hpp>
#include <sluice/detail/executor/post_by.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associator.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// What cancels one Asio operation when a context is done.
class context_binding : public std::enable_shared_from_this<context_binding> {
 public:
  SLUICE_DECL context_binding(const context& ctx, asio::any_io_executor where);

  [[nodiscard]] asio::cancellation_slot slot() noexcept { return signal_.slot(); }

  /// Before the launch, after which nothing may throw. @throws std::bad_alloc
  SLUICE_DECL void prepare();
  /// The operation has been launched: passes on that the context is done, on the executor.
  SLUICE_DECL void start() noexcept;
  /// On the executor: cancels the operation if it has not completed.
  SLUICE_DECL void emit(asio::cancellation_type type);
  /// The operation has completed, or never will: the executor is not used any more.
  SLUICE_DECL void complete() noexcept;

  /// What the operation's error is because of the context.
  [[nodiscard]] error_code error_for(const error_code& e) const noexcept {
    if (e != asio::error::operation_aborted) return e;
    const error_code reason = ctx_.err();
    return reason == error::deadline_exceeded ? reason : e;
  }
  [[nodiscard]] std::exception_ptr error_for(std::exception_ptr failure) const {
    if (failure && ctx_.err() == error::deadline_exceeded)
      detail::explain_abort(failure, error::deadline_exceeded);
    return failure;
  }

 private:
  SLUICE_DECL void request();

  const context ctx_;
  asio::any_io_executor where_;
  const std::shared_ptr<scheduler_link> link_;
  asio::cancellation_signal signal_;
  std::mutex mutex_;
  bool completed_ = false;
  std::unique_ptr<context_registration> registration_;
};

/// A handler whose operation is bound to a context.
template <class Handler>
class context_handler {
 public:
  using cancellation_slot_type = asio::cancellation_slot;

  context_handler(Handler&& h, std::shared_ptr<context_binding> b)
      : handler_(std::move(h)), binding_(std::move(b)) {}
  context_handler(context_handler&&) = default;
  context_handler& operator=(context_handler&&) = delete;
  // Perhaps uncalled, because its context is about to go: no request may be on its way there then.
  ~context_handler() {
    if (binding_) binding_->complete();
  }

  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
    return binding_->slot();
  }
  [[nodiscard]] const Handler& inner() const noexcept { return handler_; }

  template <class Failure, class... Args>
    requires(std::same_as<Failure, error_code> || std::same_as<Failure, std::exception_ptr>)
  void operator()(Failure e, Args&&... args) {
    const auto told = binding_->error_for(std::move(e));
    end();
    std::move(handler_)(told, std::forward<Args>(args)...);
  }
  template <class... Args>
  void operator()(Args&&... args) {
    end();
    std::move(handler_)(std::forward<Args>(args)...);
  }

 private:
  void end() noexcept {
    if (auto slot = asio::get_associated_cancellation_slot(handler_); slot.is_connected())
      slot.clear();
    std::exchange(binding_, nullptr)->complete();
  }

  Handler handler_;
  std::shared_ptr<context_binding> binding_;
};

/// Launches an operation with such a handler; for a goroutine on its explicit strand.
template <class Initiation>
class context_initiation {
 public:
  template <class I>
  context_initiation(I&& initiation, const context& ctx)
      : initiation_(std::forward<I>(initiation)), ctx_(ctx) {}

  /// The operation's own executor, for a token around this one.
  [[nodiscard]] auto get_executor() const
    requires requires(const Initiation& i) { i.get_executor(); }
  {
    return initiation_.get_executor();
  }

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) {
    goroutine* const g = detail::get_associated_goroutine(handler);
    if (!g || g->on_its_strand())
      return launch(std::forward<Handler>(handler), std::forward<Args>(args)...);
    g->become_serial();
    detail::queue(
        detail::executor_on(g->where),
        [self = std::move(*this), h = std::decay_t<Handler>(std::forward<Handler>(handler)),
         all = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)]() mutable {
          std::apply([&](auto&... a) { self.launch(std::move(h), std::move(a)...); }, all);
        });
  }

 private:
  template <class Handler, class... Args>
  void launch(Handler&& handler, Args&&... args) {
    using handler_type = std::decay_t<Handler>;
    const auto binding = std::make_shared<context_binding>(
        ctx_, detail::executor_of_operation(initiation_, handler));
    if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected())
      slot.assign([binding](asio::cancellation_type type) { binding->emit(type); });
    binding->prepare();
    std::move(initiation_)(
        context_handler<handler_type>(handler_type(std::forward<Handler>(handler)), binding),
        std::forward<Args>(args)...);
    binding->start();
  }

  Initiation initiation_;
  context ctx_;
};

}  // namespace detail

/// A completion token that binds one operation to a context: what `bind_context` returns.
template <class Token>
class context_binder {
 public:
  /// Used by `bind_context`.
  template <class T>
  context_binder(context ctx, T&& token) : ctx_(std::move(ctx)), token_(std::forward<T>(token)) {}

  /// The context.
  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }
  /// The token that it was made from.
  [[nodiscard]] Token& token() noexcept { return token_; }
  /// The same of a constant one.
  [[nodiscard]] const Token& token() const noexcept { return token_; }

 private:
  context ctx_;
  Token token_;
};

/// Makes a token with which an Asio operation is cancelled when `ctx` is done.
/**
 * The operation then ends with `asio::error::operation_aborted`, or `error::deadline_exceeded` if
 * it is a deadline that has passed. Cancellation of every type that the operation supports is
 * emitted on the handler's executor, by default that of the I/O object, which therefore is a strand
 * where several threads run the context. A cancellation slot of the token works beside it.
 *
 * @code
 * const auto [ctx, cancel] = sluice::with_timeout(io, parent, 5s);
 * socket.async_read_some(buffer, sluice::bind_context(ctx, [](error_code e, std::size_t n) {}));
 * @endcode
 */
template <class Token>
[[nodiscard]] context_binder<std::decay_t<Token>> bind_context(context ctx, Token&& token) {
  return {std::move(ctx), std::forward<Token>(token)};
}

}  // namespace sluice

template <class Token, class Result, class... Args>
class boost::asio::async_result<sluice::context_binder<Token>, Result(Args...)> {
 public:
  template <class Initiation, class Binder, class... InitArgs>
  static auto initiate(Initiation&& initiation, Binder&& binder, InitArgs&&... args) {
    using inner =
        std::conditional_t<std::is_const_v<std::remove_reference_t<Binder>>, const Token, Token>;
    return async_initiate<inner, Result(Args...)>(
        sluice::detail::context_initiation<std::decay_t<Initiation>>(
            std::forward<Initiation>(initiation), binder.ctx()),
        binder.token(), std::forward<InitArgs>(args)...);
  }
};

template <template <class, class> class Associator, class Handler, class Default>
struct boost::asio::associator<Associator, sluice::detail::context_handler<Handler>, Default>
    : Associator<Handler, Default> {
  static auto get(const sluice::detail::context_handler<Handler>& h) noexcept {
    return Associator<Handler, Default>::get(h.inner());
  }
  static auto get(const sluice::detail::context_handler<Handler>& h, const Default& d) noexcept {
    return Associator<Handler, Default>::get(h.inner(), d);
  }
};
