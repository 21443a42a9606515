#pragma once

#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/wait/sleep_waiter.hpp>
#include <sluice/error.hpp>

#include <chrono>
#include <ratio>
#include <tuple>
#include <type_traits>

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
  /// What a completion handler takes.
  using signature = void(error_code);

  /// @cond
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
  /// @endcond
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

}  // namespace sluice
