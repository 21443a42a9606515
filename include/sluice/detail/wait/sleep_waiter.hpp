// SPDX-License-Identifier: BSL-1.0
// The wait for an instant: a waiter that is in a queue of timers instead of a list.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <chrono>

namespace sluice::detail {

/// A wait for an instant in a scheduler's timer queue.
struct sleep_waiter : waiter, timer_node {
  using duration = std::chrono::steady_clock::duration;

  static constexpr duration until_deadline{-1};

  sleep_waiter() noexcept : timer_node(wakes) {}

  SLUICE_DECL static const kind wakes;

  /// How long to wait from when it is enlisted, or `until_deadline`. A wait that is over at once,
  /// or never begins, needs no look at the clock.
  duration delay = until_deadline;
};

SLUICE_DECL extern const waiter_functions sleep_functions;

/// `from + d`, saturated.
[[nodiscard]] constexpr std::chrono::steady_clock::time_point add_saturated(
    std::chrono::steady_clock::time_point from, std::chrono::steady_clock::duration d) noexcept {
  using time_point = std::chrono::steady_clock::time_point;
  if (d > d.zero() && from > time_point::max() - d) return time_point::max();
  if (d < d.zero() && from < time_point::min() - d) return time_point::min();
  return from + d;
}

}  // namespace sluice::detail
