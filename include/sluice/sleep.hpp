// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/wait/sleep_waiter.hpp>
#include <sluice/error.hpp>

#include <chrono>
#include <ratio>
#include <type_traits>

namespace sluice {

/// The clock of sleeps and timers: monotonic.
using clock = std::chrono::steady_clock;

/// The time of sleeps, timers and deadlines where this is called: the clock's, or in a simulation
/// (<sluice/testing.hpp>) that of the simulation. Go's `time.Now`. Thread safe.
[[nodiscard]] SLUICE_DECL clock::time_point now() noexcept;

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

/// Waiting for an instant.
class sleep_wait : public operation<sleep_wait, sleep_waiter> {
 public:
  /// Its timer is that of the handler's context, so a future needs one too.
  static constexpr bool needs_executor = true;
  static constexpr const waiter_functions& functions = sleep_functions;

  explicit sleep_wait(clock::duration d) noexcept {
    delay = d > clock::duration::zero() ? d : clock::duration::zero();
  }
  explicit sleep_wait(clock::time_point t) noexcept { deadline = t; }
  sleep_wait(sleep_wait&& other) noexcept {
    delay = other.delay;
    deadline = other.deadline;
  }

  // A sleep that has just begun is not over.
  [[nodiscard]] readiness look() const noexcept {
    return delay > clock::duration::zero() ? readiness::not_ready : readiness::unknown;
  }
  [[nodiscard]] static bool try_now() noexcept { return false; }
};

}  // namespace detail

/// Waiting for an instant: what `sleep_for` and `sleep_until` return.
/**
 * In a task it is awaited and gives nothing; with a token its signature is `void(error_code)`. A
 * handler without an executor of its own runs on the scheduler of the goroutine that starts it.
 */
class sleep_operation : public detail::public_operation<detail::sleep_wait> {
 public:
  /// Used by `sleep_for` and `sleep_until`.
  using public_operation::public_operation;
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
