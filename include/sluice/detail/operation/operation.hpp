// SPDX-License-Identifier: BSL-1.0
// Operations of this library: how a task awaits one, and how a completion token starts one. While
// an operation waits it stays where it is; it leaves its wait queue before it ends.
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/await.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/handler_operation.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_future.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// Futures are set wherever the operation completes, so they need no executor.
template <class Token>
inline constexpr bool completes_on_the_spot = false;
template <class Allocator>
inline constexpr bool completes_on_the_spot<asio::use_future_t<Allocator>> = true;
template <class Token>
inline constexpr bool completes_on_the_spot<asio::redirect_error_t<Token>> =
    completes_on_the_spot<Token>;
template <class Token>
inline constexpr bool completes_on_the_spot<asio::as_tuple_t<Token>> = completes_on_the_spot<Token>;

/// An operation that a completion token is given.
/** It stays the caller's while the token starts it inside the call, as a handler does, and what it
 * waits for pinned; one that starts it later moves it, and from then on it owns what it needs. */
template <class Operation>
class given_operation {
 public:
  explicit given_operation(Operation& op) : at_(&op), pinned_(op.handler_dispatcher()) {}
  given_operation(given_operation&& other) : own_(std::move(*other.at_)), at_(&*own_) {
    other.pinned_ = {};
    at_->keep();
  }
  given_operation& operator=(given_operation&&) = delete;

  [[nodiscard]] Operation& get() noexcept { return *at_; }
  /// The operation's own executor; none if it has none, or was moved.
  [[nodiscard]] const pinned_dispatcher& pinned() const noexcept { return pinned_; }
  [[nodiscard]] pinned_dispatcher take_pinned() noexcept { return std::move(pinned_); }

 private:
  std::optional<Operation> own_;
  Operation* at_;
  pinned_dispatcher pinned_;
};

/// Starts an operation with the handler that a token has made.
template <bool OnTheSpot, class Start>
class operation_initiation : public operation_executor {
 public:
  operation_initiation(const pinned_dispatcher& own, Start start)
      : operation_executor(own), start_(std::move(start)) {}

  template <class Handler, class Operation>
  void operator()(Handler handler, given_operation<Operation>&& given) const {
    pinned_dispatcher own = given.take_pinned();
    if (!own) own = handler_dispatcher();
    if (!own) own = current_dispatcher_or_none();
    start_(std::bool_constant<OnTheSpot>(), own, std::move(handler), std::move(given.get()));
  }

 private:
  Start start_;
};

/// Starts an operation with a completion token: by `start(on_the_spot, own, handler, operation)`.
/** The handler's executor is by default that of what the operation waits for, otherwise that of
 * the goroutine that makes this call. If there is none it completes with `error::no_executor`.
 *
 * What the operation waits for may outlive its context, whose end may have come when a token
 * launches it, or come meanwhile on another thread: it is pinned until the wait is registered. */
template <class Signature, class Operation, class Token, class Start>
auto initiate(Operation& op, Token&& token, Start start) {
  given_operation<Operation> given(op);
  using initiation_type = operation_initiation<completes_on_the_spot<std::decay_t<Token>>, Start>;
  return asio::async_initiate<Token, Signature>(initiation_type(given.pinned(), std::move(start)),
                                                token, std::move(given));
}

/// What is given where a completion token belongs and is none.
template <class T, class Signature>
concept no_token_for = !asio::completion_token_for<T, Signature>;

/// What every operation of this library has in common: its waiter, and how a task awaits it.
/**
 * `Derived` has `functions`, and what it does otherwise than an operation that gives nothing:
 * `take()` which gives the result or throws, and for token calls `signature`, `take_arguments()`
 * and `handler_dispatcher()`. `prepare()` is called before every wait.
 */
template <class Derived, class Waiter = waiter>
class operation : public Waiter {
 public:
  using sluice_operation = void;
  using signature = void(error_code);
  /// Whether its own destructor has called `forget`.
  static constexpr bool forgets_first = false;

  operation() noexcept = default;
  operation(operation&&) noexcept {}
  operation& operator=(operation&&) = delete;
  [[gnu::always_inline]] ~operation() {
    if constexpr (!Derived::forgets_first) forget();
  }

  /// Called before every wait, when the operation is where it stays.
  void prepare() noexcept {}
  /// Called when it is started with a token, or is to be later: from then on it owns what it needs.
  void keep() noexcept {}

  void take() const { throw_unless_done(); }
  /// What `take` throws where there are exceptions.
  [[nodiscard]] error_code failure_code() const noexcept { return outcome_error(this->outcome); }
  [[nodiscard]] std::tuple<error_code> take_arguments() const {
    return {outcome_error(this->outcome)};
  }
  [[nodiscard]] static pinned_dispatcher handler_dispatcher() noexcept { return {}; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    goroutine& g = *h.promise().g;
    SLUICE_TRY {
      return derived().start(g);
    }
    SLUICE_CATCH_ALL {
      end_wait(g);
      detail::rethrow();
    }
  }

  /// Starts it with a completion token.
  // `Self`, because g++ 11 and clang 15 look at a constraint before `Derived` is complete.
  template <class Token, class Self = Derived>
    requires asio::completion_token_for<Token, typename Self::signature>
  auto operator()(Token&& token) && {
    const auto start = []<bool OnTheSpot, class Handler>(std::bool_constant<OnTheSpot>,
                                                         pinned_dispatcher& own, Handler&& handler,
                                                         Derived&& op) {
      handler_operation<Derived, Handler, OnTheSpot>::start(own, std::move(op), std::move(handler));
    };
    return detail::initiate<typename Derived::signature>(derived(), std::forward<Token>(token),
                                                         start);
  }

  /// Refuses a handler of something else; the compiler shows the line.
  template <class T, class Self = Derived>
    requires no_token_for<T, typename Self::signature>
  void operator()(T&&) && = delete;  // A handler takes (error_code), or (error_code, value).

  // For a handler.
  [[nodiscard]] bool done_for_handler() {
    const auto& f = Derived::functions;
    if (!f.lock(*this) || !f.ready(*this)) return false;
    derived().prepare();
    waker nobody(nullptr, nullptr);
    return detail::begin_handler_wait(nobody, nullptr, *this, f) == begun::done;
  }
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h) {
    derived().prepare();
    return detail::begin_handler_wait(p, &h, *this, Derived::functions);
  }
  [[nodiscard]] bool cancel_for_handler() noexcept {
    return detail::end_handler_wait(*this, Derived::functions);
  }
  void woken_for_handler(bool) noexcept {}
  void end_for_handler() noexcept { this->who = nullptr; }

  /// Ends a wait that was not resumed. Called first by a destructor whose operation has members
  /// that the wait uses.
  [[gnu::always_inline]] void forget() noexcept {
    if (this->who) [[unlikely]]
      forget_now();
  }

  decltype(auto) await_resume() {
    if (this->who) {
      SLUICE_ASSERT(!this->linked() && this->outcome != waiter::state::waiting,
                    "a goroutine goes on when its wait has an outcome and has left its queue");
      end_wait(static_cast<goroutine&>(*this->who));
    }
    return derived().take();
  }

 protected:
  void throw_unless_done() const {
    if (this->outcome != waiter::state::done)
      throw_wait_error(this->outcome, Derived::functions.reason);
  }

  /// Waits for a goroutine. Hidden by operations with a shorter way.
  bool start(goroutine& g) { return await_waiter(g, *this, Derived::functions); }

 private:
  [[gnu::noinline]] void forget_now() noexcept {
    forget_waiter(*this, Derived::functions);
    this->who = nullptr;
  }

  void end_wait(goroutine& g) noexcept {
    if (g.cancel) [[unlikely]]
      g.cancel->end();
    this->who = nullptr;
  }

  [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

}  // namespace sluice::detail
