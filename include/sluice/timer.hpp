// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/rebound.hpp>
#include <sluice/detail/time/timer_state.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/sleep.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// What `timer` and `ticker` have in common: the time is sent to a channel. An I/O object.
class sending_timer {
 public:
  sending_timer(sending_timer&&) noexcept = default;
  /// The timer that it was is stopped first.
  sending_timer& operator=(sending_timer&& other) noexcept {
    if (this == &other) return *this;
    if (state_) state_->stop();
    state_ = std::move(other.state_);
    values_ = std::move(other.values_);
    return *this;
  }
  ~sending_timer() {
    if (state_) state_->stop();
  }

  /// Where the time is sent. Its size and capacity are 0.
  [[nodiscard]] receiver<clock::time_point> channel() const noexcept { return values_; }
  /// Receives the time: `channel().receive()`.
  [[nodiscard("co_await it, or give it a completion token")]] receive_operation<clock::time_point>
  receive() const noexcept {
    return values_.receive();
  }
  /// `receive()(token)`: signature `void(error_code, std::optional<clock::time_point>)`.
  template <asio::completion_token_for<receive_operation<clock::time_point>::signature> Token =
                asio::default_completion_token_t<executor>>
  auto async_receive(Token&& token = asio::default_completion_token_t<executor>()) const {
    return values_.async_receive(std::forward<Token>(token));
  }

  /// The type of its executor, as Asio's I/O objects have one.
  using executor_type = executor;
  /// Where it was set. @throws system_error `error::no_executor` if that context has ended
  [[nodiscard]] executor_type get_executor() const { return values_.get_executor(); }

  /// Cancels all waits for the time, as `channel::cancel`; it goes off all the same.
  /** @return How many it has ended. */
  std::size_t cancel() const noexcept { return values_.cancel(); }

 protected:
  sending_timer(const dispatcher_ptr& where, clock::duration d, clock::duration period)
      : values_(channel_timer::make(where, d, period, &state_)) {}

  [[nodiscard]] channel_timer& state() const noexcept { return *state_; }

 private:
  std::shared_ptr<channel_timer> state_;
  sluice::channel<clock::time_point> values_;
};

}  // namespace detail

/// Goes off once, `d` after it was set, and sends the time. Go's `time.Timer`.
/**
 * The value is the instant at which it went off. After `stop` or `reset` returns, no earlier value
 * is received. Destroying it stops it; its channel then stays silent.
 *
 * @par Thread safety
 * Distinct objects: safe. `stop`, `reset` and receiving are safe on a shared object.
 *
 * Source: Go 1.23's package time.
 */
class timer : public detail::sending_timer {
 public:
  /// Sets it on the running goroutine's scheduler.
  /** @throws system_error `error::not_in_goroutine`; std::bad_alloc */
  template <class Rep, class Period>
  explicit timer(std::chrono::duration<Rep, Period> d)
      : timer(detail::current_start_point("sluice::timer").where, detail::saturate(d)) {}
  /// Sets it on `where`, an executor or an execution context. @throws std::bad_alloc
  template <detail::executor_or_context Where, class Rep, class Period>
  timer(Where&& where, std::chrono::duration<Rep, Period> d)
      : timer(detail::start_point_of(where).where, detail::saturate(d)) {}

  /// Stops it. @return Whether that kept a value from being received.
  bool stop() noexcept { return state().stop(); }
  /// Sets it again to go off `d` from now. @return As `stop`.
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    return state().set(detail::saturate(d), clock::duration::zero());
  }

  /// Used by a token's `as_default_on`: the same with an executor of another type.
  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<timer, Executor>;
  };

 private:
  timer(const detail::dispatcher_ptr& where, clock::duration d)
      : sending_timer(where, d, clock::duration::zero()) {}
};

/// Goes off every `period` and sends the time. Go's `time.Ticker`.
/**
 * At most one tick is pending: a slow reader misses ticks, and the rest come on the original phase.
 * Destroying it stops it. As `timer` otherwise.
 */
class ticker : public detail::sending_timer {
 public:
  /// @throws std::invalid_argument for a period that is not positive; as `timer` otherwise.
  template <class Rep, class Period>
  explicit ticker(std::chrono::duration<Rep, Period> period)
      : ticker(detail::current_start_point("sluice::ticker").where, detail::saturate(period)) {}
  /// The same on `where`, an executor or an execution context.
  template <detail::executor_or_context Where, class Rep, class Period>
  ticker(Where&& where, std::chrono::duration<Rep, Period> period)
      : ticker(detail::start_point_of(where).where, detail::saturate(period)) {}

  /// Stops it; no tick comes afterwards.
  void stop() noexcept { state().stop(); }
  /// Starts it anew with another period, from now.
  /** @throws std::invalid_argument for a period that is not positive; it goes on as before then. */
  template <class Rep, class Period>
  void reset(std::chrono::duration<Rep, Period> period) {
    const auto p = checked(detail::saturate(period));
    state().set(p, p);
  }

  /// Used by a token's `as_default_on`: the same with an executor of another type.
  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<ticker, Executor>;
  };

 private:
  ticker(const detail::dispatcher_ptr& where, clock::duration period)
      : sending_timer(where, checked(period), period) {}
  [[nodiscard]] SLUICE_DECL static clock::duration checked(clock::duration period);
};

/// A channel on which the time is sent once, after `d`. Go's `time.After`.
/**
 * Dropping the last handle cancels and frees the timer: as a losing case of a select it is gone at
 * once.
 * @throws system_error `error::not_in_goroutine`; std::bad_alloc
 */
template <class Rep, class Period>
[[nodiscard]] receiver<clock::time_point> after(std::chrono::duration<Rep, Period> d);
/// The same on `where`, an executor or an execution context.
template <detail::executor_or_context Where, class Rep, class Period>
[[nodiscard]] receiver<clock::time_point> after(Where&& where,
                                                std::chrono::duration<Rep, Period> d);

/// A function that runs in a goroutine of its own when a timer goes off: what `after_func` returns.
/** Destroying this does not stop it. Thread safe. */
class timed_function {
 public:
  /// Sees to it that the function does not start. @return Whether this call has.
  bool stop() noexcept { return state_->stop(); }
  /// Lets the function run again `d` from now. @return Whether it was set.
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    return state_->set(detail::saturate(d), clock::duration::zero());
  }

 private:
  friend struct detail::access;

  explicit timed_function(std::shared_ptr<detail::timer_state> s) noexcept : state_(std::move(s)) {}

  std::shared_ptr<detail::timer_state> state_;
};

namespace detail {

[[nodiscard]] SLUICE_DECL receiver<clock::time_point> after(const dispatcher_ptr& where,
                                                            clock::duration d);

template <class F>
timed_function after_func(start_point at, clock::duration d, F&& f) {
  auto what = std::make_shared<std::decay_t<F>>(std::forward<F>(f));
  auto state = std::make_shared<goroutine_timer>(
      at.where, [counts = at.counts_as_work, where = lasting_dispatcher(at.where), what] {
        // It goes off on a thread of the context, which does not end meanwhile.
        detail::start({*pinned_dispatcher(where), counts},
                      detail::make_task([what] { return std::invoke(*what); }), starts_serial<F>,
                      std::source_location::current());
      });
  state->set(d, clock::duration::zero());
  return access::make<timed_function>(std::move(state));
}

}  // namespace detail

template <class Rep, class Period>
receiver<clock::time_point> after(std::chrono::duration<Rep, Period> d) {
  return detail::after(detail::current_start_point("sluice::after").where, detail::saturate(d));
}
template <detail::executor_or_context Where, class Rep, class Period>
receiver<clock::time_point> after(Where&& where, std::chrono::duration<Rep, Period> d) {
  return detail::after(detail::start_point_of(where).where, detail::saturate(d));
}

/// Runs `f` in a goroutine of its own after `d`. Go's `time.AfterFunc`.
/**
 * @param d How long from now.
 * @param f A callable without arguments, as for `go`; kept, and called again after a `reset`.
 * @throws system_error `error::not_in_goroutine`; std::bad_alloc
 */
template <class Rep, class Period, class F>
  requires std::invocable<std::decay_t<F>&>
timed_function after_func(std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::after_func(detail::current_start_point("sluice::after_func"), detail::saturate(d),
                            std::forward<F>(f));
}
/// The same on `where`, an executor or an execution context.
template <detail::executor_or_context Where, class Rep, class Period, class F>
  requires std::invocable<std::decay_t<F>&>
timed_function after_func(Where&& where, std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::after_func(detail::start_point_of(where), detail::saturate(d), std::forward<F>(f));
}

}  // namespace sluice
