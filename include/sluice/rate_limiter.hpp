// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

namespace sluice {

namespace detail {

struct rate_waiter;

/// An instant of the clock, however far away.
using rate_time = std::chrono::time_point<clock, std::chrono::duration<long double, clock::period>>;

/// A bucket of `burst` units into which one comes back every `interval`, and those who wait for it.
/**
 * It is kept as the instant at which the bucket will be full again (the generic cell rate
 * algorithm, ITU-T I.371). Those who wait have taken nothing yet, and only the first has a timer,
 * so leaving costs the same for all. All under the lock of the scheduler's timers.
 */
class rate_state {
 public:
  SLUICE_DECL rate_state(const dispatcher_ptr& where, clock::duration interval, std::size_t burst);

  [[nodiscard]] SLUICE_DECL queue_lock& lock() const noexcept;
  [[nodiscard]] const dispatcher_ptr& where() const noexcept { return where_; }
  [[nodiscard]] bool possible(std::size_t n) const noexcept { return n <= burst_; }

  [[nodiscard]] SLUICE_DECL bool take(std::size_t n) noexcept;
  SLUICE_DECL void enlist(rate_waiter& w);
  [[nodiscard]] SLUICE_DECL bool withdraw(rate_waiter& w) noexcept;
  /// The time of the first has come.
  [[nodiscard]] SLUICE_DECL bool claim_due(rate_waiter& w) noexcept;

 private:
  /// When the bucket is full again after `n` more have been taken at `now`.
  [[nodiscard]] SLUICE_DECL rate_time full_after(std::size_t n,
                                                 clock::time_point now) const noexcept;
  /// When a bucket that is full at `full` has had all that was taken.
  [[nodiscard]] SLUICE_DECL rate_time covered(rate_time full) const noexcept;
  SLUICE_DECL void drop_decided() noexcept;
  SLUICE_DECL void set_timer(rate_waiter& w);
  SLUICE_DECL void set_timer_of_first() noexcept;

  const dispatcher_ptr where_;
  const clock::duration interval_;
  const std::size_t burst_;
  rate_time full_at_{clock::time_point::min()};
  waiter_list waiters_;
};

struct rate_waiter : waiter, timer_node {
  rate_waiter() noexcept : timer_node(wakes) {}

  SLUICE_DECL static const kind wakes;

  std::shared_ptr<rate_state> state;
  std::size_t weight = 0;
};

SLUICE_DECL extern const waiter_functions rate_functions;

/// Waiting for units of a rate limiter.
class rate_wait : public operation<rate_wait, rate_waiter> {
 public:
  static constexpr const waiter_functions& functions = rate_functions;

  rate_wait(std::shared_ptr<rate_state> s, std::size_t n) noexcept {
    state = std::move(s);
    weight = n;
  }
  rate_wait(rate_wait&& other) noexcept {
    state = other.state;
    weight = other.weight;
  }

  [[nodiscard]] const dispatcher_ptr& handler_dispatcher() const noexcept { return state->where(); }
};

}  // namespace detail

/// Waiting for units of a rate limiter: what `rate_limiter::acquire` returns.
/** In a task it is awaited and gives nothing; with a token its signature is `void(error_code)`. */
class rate_operation : public detail::public_operation<detail::rate_wait> {
 public:
  /// Used by `rate_limiter::acquire`.
  using public_operation::public_operation;
};

/// Lets things happen at a rate: a token bucket. Go's `golang.org/x/time/rate`.
/**
 * The bucket holds up to `burst` units, is full at first, and gets one every `interval`. First
 * come, first served; nobody is let in early, and a large request is not starved by small ones.
 *
 * It may be destroyed while operations wait, but not its context.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * sluice::rate_limiter requests(100ms, 5);          // 10 a second, 5 at once
 * for (const auto& r : all) { co_await requests.acquire(); co_await send(r); }
 * @endcode
 */
class rate_limiter {
 public:
  /// It uses the timers of the running goroutine's scheduler.
  /// @param interval The time in which one unit comes back.
  /// @param burst How many units the bucket holds.
  /// @throws std::invalid_argument if `interval` is not positive or `burst` is 0; system_error
  /// `error::not_in_goroutine` outside a goroutine
  template <class Rep, class Period>
  explicit rate_limiter(std::chrono::duration<Rep, Period> interval, std::size_t burst = 1)
      : rate_limiter(detail::current_start_point("sluice::rate_limiter").where, interval, burst) {}
  /// The same with the timers of `where`, an executor or an execution context.
  template <detail::executor_or_context Where, class Rep, class Period>
  rate_limiter(Where&& where, std::chrono::duration<Rep, Period> interval, std::size_t burst = 1)
      : rate_limiter(detail::start_point_of(where).where, interval, burst) {}
  rate_limiter(const rate_limiter&) = delete;
  rate_limiter& operator=(const rate_limiter&) = delete;

  /// Waits for `n` units and takes them. Go's `WaitN`.
  /**
   * Awaited: void. With a token: `void(error_code)`; the handler runs by default where the
   * limiter's timers do. A request for more than `burst` only ends when it is cancelled.
   *
   * @par Errors
   * `asio::error::operation_aborted` or `error::deadline_exceeded` if cancelled.
   *
   * @par Cancellation
   * A cancelled wait, or one that loses a select, has taken nothing; those behind it move up.
   */
  [[nodiscard("co_await it, or give it a completion token")]] rate_operation acquire(
      std::size_t n = 1) const {
    return {state_, n};
  }

  /// Takes `n` units if they are there and nobody waits. Go's `AllowN`.
  [[nodiscard]] SLUICE_DECL bool try_acquire(std::size_t n = 1) noexcept;

 private:
  template <class Rep, class Period>
  rate_limiter(const detail::dispatcher_ptr& where, std::chrono::duration<Rep, Period> interval,
               std::size_t burst)
      : state_(std::make_shared<detail::rate_state>(where, detail::saturate(interval), burst)) {}

  const std::shared_ptr<detail::rate_state> state_;
};

}  // namespace sluice
