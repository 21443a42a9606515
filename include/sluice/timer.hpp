#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/executor/rebound.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/time/one_shot.hpp>
#include <sluice/detail/wait/sleep_waiter.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>

#include <boost/asio/async_result.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ratio>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

/// The clock of sleeps and timers: monotonic.
using clock = std::chrono::steady_clock;

namespace detail {

/// A duration as the clock's, saturated: what does not fit is "for ever" or its negative.
template <class Rep, class Period>
[[nodiscard]] constexpr clock::duration saturate(std::chrono::duration<Rep, Period> d) noexcept {
  using wide = std::chrono::duration<long double, clock::period>;
  const auto w = std::chrono::duration_cast<wide>(d);
  if (w != w) return clock::duration::zero();
  if (w >= wide(clock::duration::max())) return clock::duration::max();
  if (w <= wide(clock::duration::min())) return clock::duration::min();
  return std::chrono::ceil<clock::duration>(d);
}

}  // namespace detail

/// Waiting for an instant: what `sleep_for` and `sleep_until` return.
/**
 * In a task it is awaited and gives nothing; with a token its signature is `void(error_code)`. A
 * handler without an executor of its own runs on the scheduler of the goroutine that starts it.
 */
class sleep_operation : public detail::operation<sleep_operation, detail::sleep_waiter> {
 public:
  using signature = void(error_code);
  /// Its timer is that of the handler's context, so a future needs one too.
  static constexpr bool needs_executor = true;
  static constexpr const detail::waiter_functions& functions = detail::sleep_functions;

  /// Used by `sleep_for`.
  explicit sleep_operation(clock::duration d) noexcept {
    delay = d > clock::duration::zero() ? d : clock::duration::zero();
  }
  /// Used by `sleep_until`.
  explicit sleep_operation(clock::time_point t) noexcept { deadline = t; }
  sleep_operation(sleep_operation&& other) noexcept {
    delay = other.delay;
    deadline = other.deadline;
  }

  void take() const {
    if (outcome != detail::waiter::state::done)
      detail::throw_error(detail::outcome_error(outcome), "sluice: sleep");
  }
  [[nodiscard]] std::tuple<error_code> take_arguments() const {
    return {detail::outcome_error(outcome)};
  }
  [[nodiscard]] static detail::pinned_target handler_target() noexcept { return {}; }

  // For select: a sleep that has just begun is not over.
  [[nodiscard]] detail::readiness look() const noexcept {
    return delay > clock::duration::zero() ? detail::readiness::not_ready
                                           : detail::readiness::unknown;
  }
  [[nodiscard]] static bool do_at_once() noexcept { return false; }
};

/// Waits for at least `d`, counted from when the operation is started.
/**
 * Go's `time.Sleep`. Zero and negative durations complete at once; a duration beyond the clock's
 * range never ends. Awaited: void. With a token: `void(error_code)`.
 *
 * @par Errors
 * `asio::error::operation_aborted` if cancelled; `error::no_executor` for a handler without an
 * executor of its own outside a goroutine.
 *
 * @par Thread safety
 * Safe.
 */
template <class Rep, class Period>
[[nodiscard("co_await it, or give it a completion token")]] sleep_operation sleep_for(
    std::chrono::duration<Rep, Period> d) noexcept {
  return sleep_operation(detail::saturate(d));
}

/// Refuses a number without a unit; the compiler shows the line.
template <class Number>
requires std::is_arithmetic_v<Number>
void sleep_for(Number) = delete;  // A duration has a unit: sleep_for(1s), of std::chrono_literals.

/// Waits until `t`; a time that has passed completes at once, `time_point::max()` never.
/** As `sleep_for`. */
template <class Duration>
[[nodiscard("co_await it, or give it a completion token")]] sleep_operation sleep_until(
    std::chrono::time_point<clock, Duration> t) noexcept {
  return sleep_operation(clock::time_point(detail::saturate(t.time_since_epoch())));
}

namespace detail {

/// What `timer`, `ticker` and `after_func` have in common: when it goes off, and how often.
class timer_state : public std::enable_shared_from_this<timer_state> {
 public:
  /** @throws std::bad_alloc */
  explicit timer_state(const target_ptr& where) : where_(where) {}
  timer_state(const timer_state&) = delete;
  timer_state& operator=(const timer_state&) = delete;
  virtual ~timer_state();

  /// Sets it to go off `d` from now and then every `period`, if that is positive.
  /** Does no more than `stop` if its context has ended.
   * @return Whether it was set, or what it did last can still be undone and has been. */
  bool set(clock::duration d, clock::duration period);
  /// The same without setting it again: afterwards it does nothing.
  bool stop() noexcept;

 protected:
  /// It goes off. Called under the lock, so that it happens before a `stop` or not at all.
  virtual void go_off(clock::time_point now, wake_list& woken) = 0;
  /// Called afterwards, under no lock; again a little later if it throws `std::bad_alloc`.
  virtual void gone_off() {}
  /// Its context has ended, so that it never goes off. Called under the lock.
  virtual void end(wake_list&) noexcept {}
  /// Whether it lives while it is set, although nobody holds it.
  [[nodiscard]] virtual bool keeps_itself() const noexcept { return false; }
  /// Undoes what it did last, under the lock. @return False if that is too late.
  virtual bool undo() noexcept { return false; }

  byte_lock lock_;

 private:
  [[nodiscard]] bool unset(std::shared_ptr<one_shot>& was) noexcept;
  [[nodiscard]] bool arm(const target_ptr& where, clock::time_point at);
  void on_shot(std::uint64_t generation);
  void on_end_of_context() noexcept;
  void try_again(std::uint64_t generation, std::shared_ptr<one_shot> shot) noexcept;

  const lasting_target where_;
  std::shared_ptr<one_shot> shot_;
  std::uint64_t generation_ = 0;
  clock::time_point deadline_;
  clock::duration period_{};
};

/// A timer that sends the time to a channel, which owns it and looks unbuffered.
class channel_timer final : public timer_state {
 public:
  /// The channel of a timer that is set to `d` and `period`; it owns the timer.
  static channel<clock::time_point> make(const target_ptr& where, clock::duration d,
                                         clock::duration period,
                                         std::shared_ptr<channel_timer>* timer = nullptr);

  using timer_state::timer_state;

  /// The channel has ended.
  void detach() noexcept;

 private:
  void go_off(clock::time_point now, wake_list& woken) override;
  void end(wake_list& woken) noexcept override;
  bool undo() noexcept override;

  channel_core* channel_ = nullptr;
};

/// A timer that starts a goroutine.
class goroutine_timer final : public timer_state {
 public:
  goroutine_timer(const target_ptr& where, std::function<void()> start)
      : timer_state(where), start_(std::move(start)) {}

 private:
  void go_off(clock::time_point, wake_list&) override {}
  void gone_off() override { start_(); }
  [[nodiscard]] bool keeps_itself() const noexcept override { return true; }

  const std::function<void()> start_;
};

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

  using executor_type = executor;
  /// Where it was set. @throws system_error `error::no_executor` if that context has ended
  [[nodiscard]] executor_type get_executor() const { return values_.get_executor(); }

  /// Cancels all waits for the time, as `channel::cancel`; it goes off all the same.
  /** @return How many it has ended. */
  std::size_t cancel() const noexcept { return values_.cancel(); }

 protected:
  sending_timer(const target_ptr& where, clock::duration d, clock::duration period)
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
  /// Sets it on the running goroutine's scheduler, or on `where`.
  /** @throws system_error `error::not_in_goroutine`; std::bad_alloc */
  template <class Rep, class Period>
  explicit timer(std::chrono::duration<Rep, Period> d)
      : timer(detail::current_place("sluice::timer").where, detail::saturate(d)) {}
  template <detail::place_to_start Where, class Rep, class Period>
  timer(Where&& where, std::chrono::duration<Rep, Period> d)
      : timer(detail::place_of(where).where, detail::saturate(d)) {}

  /// Stops it. @return Whether that kept a value from being received.
  bool stop() noexcept { return state().stop(); }
  /// Sets it again to go off `d` from now. @return As `stop`.
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    return state().set(detail::saturate(d), clock::duration::zero());
  }

  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<timer, Executor>;
  };

 private:
  timer(const detail::target_ptr& where, clock::duration d)
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
      : ticker(detail::current_place("sluice::ticker").where, detail::saturate(period)) {}
  template <detail::place_to_start Where, class Rep, class Period>
  ticker(Where&& where, std::chrono::duration<Rep, Period> period)
      : ticker(detail::place_of(where).where, detail::saturate(period)) {}

  /// Stops it; no tick comes afterwards.
  void stop() noexcept { state().stop(); }
  /// Starts it anew with another period, from now.
  /** @throws std::invalid_argument for a period that is not positive; it goes on as before then. */
  template <class Rep, class Period>
  void reset(std::chrono::duration<Rep, Period> period) {
    const auto p = checked(detail::saturate(period));
    state().set(p, p);
  }

  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<ticker, Executor>;
  };

 private:
  ticker(const detail::target_ptr& where, clock::duration period)
      : sending_timer(where, checked(period), period) {}
  [[nodiscard]] static clock::duration checked(clock::duration period);
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
template <detail::place_to_start Where, class Rep, class Period>
[[nodiscard]] receiver<clock::time_point> after(Where&& where,
                                                std::chrono::duration<Rep, Period> d);

/// A function that runs in a goroutine of its own when a timer goes off: what `after_func` returns.
/** Destroying this does not stop it. Thread safe. */
class func_timer {
 public:
  /// Used by `after_func`.
  explicit func_timer(std::shared_ptr<detail::timer_state> s) noexcept : state_(std::move(s)) {}

  /// Sees to it that the function does not start. @return Whether this call has.
  bool stop() noexcept { return state_->stop(); }
  /// Lets the function run again `d` from now. @return Whether it was set.
  template <class Rep, class Period>
  bool reset(std::chrono::duration<Rep, Period> d) {
    return state_->set(detail::saturate(d), clock::duration::zero());
  }

 private:
  std::shared_ptr<detail::timer_state> state_;
};

namespace detail {

[[nodiscard]] receiver<clock::time_point> after(const target_ptr& where, clock::duration d);

template <class F>
func_timer after_func(start_place place, clock::duration d, F&& f) {
  auto what = std::make_shared<std::decay_t<F>>(std::forward<F>(f));
  auto state = std::make_shared<goroutine_timer>(
      place.where, [counts = place.counts_as_work, where = lasting_target(place.where), what] {
        // It goes off on a thread of the context, which does not end meanwhile.
        detail::start({*pinned_target(where), counts},
                      detail::make_task([what] { return std::invoke(*what); }), starts_serial<F>,
                      std::source_location::current());
      });
  state->set(d, clock::duration::zero());
  return func_timer(std::move(state));
}

}  // namespace detail

template <class Rep, class Period>
receiver<clock::time_point> after(std::chrono::duration<Rep, Period> d) {
  return detail::after(detail::current_place("sluice::after").where, detail::saturate(d));
}
template <detail::place_to_start Where, class Rep, class Period>
receiver<clock::time_point> after(Where&& where, std::chrono::duration<Rep, Period> d) {
  return detail::after(detail::place_of(where).where, detail::saturate(d));
}

/// Runs `f` in a goroutine of its own after `d`. Go's `time.AfterFunc`.
/**
 * @param f A callable without arguments, as for `go`; kept, and called again after a `reset`.
 * @throws system_error `error::not_in_goroutine`; std::bad_alloc
 */
template <class Rep, class Period, class F>
requires std::invocable < std::decay_t<F>
& > func_timer after_func(std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::after_func(detail::current_place("sluice::after_func"), detail::saturate(d),
                            std::forward<F>(f));
}
/// The same on `where`, an executor or an execution context.
template <detail::place_to_start Where, class Rep, class Period, class F>
requires std::invocable < std::decay_t<F>
& > func_timer after_func(Where&& where, std::chrono::duration<Rep, Period> d, F&& f) {
  return detail::after_func(detail::place_of(where), detail::saturate(d), std::forward<F>(f));
}

}  // namespace sluice
