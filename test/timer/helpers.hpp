#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "../support.hpp"
#include "../time_helpers.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <mutex>

// What the tests of timers share.
namespace sluice_test {

/// Longer than any test takes, shorter than the clock's range.
inline constexpr std::chrono::hours long_time{24};

/// Whether nothing of `io` waits for an instant.
inline bool has_no_timer(asio::io_context& io) {
  auto& timers = sluice::detail::scheduler::of(io).timers;
  const std::lock_guard guard(timers.lock);
  return timers.empty();
}

/// Lets every timer go off that is due at the time of the call, on this goroutine's one thread.
inline task<> let_timers_go_off() {
  co_await sluice::sleep_until(clock::now());
  co_await sluice::sleep_for(std::chrono::nanoseconds(1));
}

/// Keeps the thread until the clock has gone on by `d`.
inline void hold_up(clock::duration d) {
  const auto until = clock::now() + d;
  while (clock::now() < until) continue;
}

/// Whether a channel of times stays silent for a while.
inline task<bool> stays_silent(sluice::receiver<clock::time_point> times,
                               clock::duration d = std::chrono::milliseconds(5)) {
  auto r = co_await sluice::select(times.receive(), sluice::sleep_for(d));
  co_return r.index() == 1;
}

/// Whether it has nothing to give right now.
inline bool is_empty(const sluice::receiver<clock::time_point>& times) {
  error_code e;
  return !times.try_receive(e) && e == would_block;
}

}  // namespace sluice_test
