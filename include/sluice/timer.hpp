#pragma once

#include <sluice/detail/operation.hpp>
#include <sluice/detail/timer_queue.hpp>
#include <sluice/error.hpp>

#include <chrono>
#include <concepts>
#include <ratio>
#include <tuple>
#include <type_traits>

namespace sluice {

/// The clock of sleeps and timers: monotonic.
using clock = std::chrono::steady_clock;

namespace detail {

/// A wait for an instant in a scheduler's timer queue.
struct sleep_waiter : waiter, timer_node {
  sleep_waiter() noexcept : timer_node(&wake_sleeper) {}

  static void wake_sleeper(timer_node& node, wake_list& wakes) noexcept;
};

extern const waiter_functions sleep_functions;

/// A duration as the clock's, saturated: what does not fit is "for ever" or its negative.
template <class Rep, class Period>
[[nodiscard]] constexpr clock::duration saturate(std::chrono::duration<Rep, Period> d) noexcept {
  using wide = std::chrono::duration<long double, clock::period>;
  const auto w = std::chrono::duration_cast<wide>(d);
  if (w >= wide(clock::duration::max())) return clock::duration::max();
  if (w <= wide(clock::duration::min())) return clock::duration::min();
  return std::chrono::ceil<clock::duration>(d);
}

/// `from + d`, saturated.
[[nodiscard]] constexpr clock::time_point add_saturated(clock::time_point from,
                                                        clock::duration d) noexcept {
  if (d > clock::duration::zero() && from > clock::time_point::max() - d)
    return clock::time_point::max();
  if (d < clock::duration::zero() && from < clock::time_point::min() - d)
    return clock::time_point::min();
  return from + d;
}

}  // namespace detail

/// Waiting for an instant: what `sleep_for` and `sleep_until` return.
/**
 * In a task it is awaited and gives nothing; with a token its signature is `void(error_code)`. The
 * handler needs an executor of its own.
 */
class [[nodiscard(
    "an operation does nothing until it is awaited or given a token")]] sleep_operation
    : public detail::operation<sleep_operation, detail::sleep_waiter> {
 public:
  using signature = void(error_code);
  static constexpr const detail::waiter_functions& functions = detail::sleep_functions;

  /// Used by `sleep_for`.
  explicit sleep_operation(clock::duration d) noexcept : duration_(d) {}
  /// Used by `sleep_until`.
  explicit sleep_operation(clock::time_point t) noexcept : relative_(false) {
    deadline = t;
  }
  sleep_operation(sleep_operation && other) noexcept
      : duration_(other.duration_), relative_(other.relative_) {
    deadline = other.deadline;
  }

  void prepare() noexcept;
  bool start(detail::goroutine & g) {
    prepare();
    return detail::await_waiter(g, *this, functions);
  }
  void take() const {
    if (outcome != detail::waiter::state::done)
      detail::throw_error(detail::outcome_error(outcome), "sluice: sleep");
  }
  [[nodiscard]] std::tuple<error_code> take_arguments() const {
    return {detail::outcome_error(outcome)};
  }
  [[nodiscard]] static detail::target_ptr handler_target() noexcept {
    return {};
  }

 private:
  clock::duration duration_{};
  bool relative_ = true;
};

/// Waits for at least `d`, counted from when the operation is started.
/**
 * Go's `time.Sleep`. Zero and negative durations complete at once; a duration beyond the clock's
 * range never ends. Awaited: void. With a token: `void(error_code)`.
 *
 * @par Errors
 * `asio::error::operation_aborted` if cancelled; `error::no_executor` is thrown for a handler
 * without an executor of its own.
 *
 * @par Thread safety
 * Safe.
 */
template <class Rep, class Period>
sleep_operation sleep_for(std::chrono::duration<Rep, Period> d) noexcept {
  return sleep_operation(detail::saturate(d));
}

/// Waits until `t`; a time that has passed completes at once, `time_point::max()` never.
/** As `sleep_for`. */
template <class Duration>
sleep_operation sleep_until(std::chrono::time_point<clock, Duration> t) noexcept {
  return sleep_operation(clock::time_point(detail::saturate(t.time_since_epoch())));
}

}  // namespace sluice
