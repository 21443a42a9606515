#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/own_context.hpp"
#include "time_helpers.hpp"
#include "told_elsewhere.hpp"
#include "virtual_time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

// Sleeps: rows of Go's time/sleep_test.go, and times that are far away.

namespace {

using namespace sluice_test;

/// Longer than any test takes, shorter than the clock's range.
constexpr auto long_time = 24h;

/// Starts a sleep that should never end, waits for others to have slept, and says whether it is
/// still there; then cancels it.
template <class MakeSleep>
bool sleeps_on(MakeSleep make) {
  asio::io_context io;
  cancellable_goroutine sleeper(io, [&]() -> task<> { co_await make(); });
  bool others_slept = false;
  bool still_there = false;
  sluice::go(io, [&]() -> task<> {
    co_await sleep_for(1ms);
    others_slept = true;
    still_there = sleeper.ends() == 0;
    sleeper.cancel();
  });
  run(io);
  return others_slept && still_there && sleeper.ends() == 1 && sleeper.error() == aborted;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(length)

// TestSleep: never early.
BOOST_AUTO_TEST_CASE(is_never_less_than_what_was_asked_for) {
  run_in_virtual_time([]() -> task<> {
    for (const auto d : {1us, 100us, 1000us, 3000us, 7001us}) {
      const stopwatch watch;
      co_await sleep_for(d);
      BOOST_TEST((watch.elapsed() >= d));
    }
    const auto until = sluice::now() + 2ms;
    co_await sleep_until(until);
    BOOST_TEST((sluice::now() >= until));
  });
}

// TestSleepZeroDeadlock, golang/go#44868; TestOverflowSleep: the least duration ends at once.
BOOST_AUTO_TEST_CASE(of_nothing_or_less_is_over_at_once) {
  const stopwatch watch;
  run_in_virtual_time([]() -> task<> {
    for (int i = 0; i < 1000; ++i) co_await sleep_for(0s);
    co_await sleep_for(-1ns);
    co_await sleep_for(-1h);
    co_await sleep_for(clock::duration::min());
    co_await sleep_for(std::chrono::hours::min());
    co_await sleep_for(std::chrono::duration<double>(-std::numeric_limits<double>::infinity()));
    co_await sleep_until(sluice::now());
    co_await sleep_until(sluice::now() - 1h);
    co_await sleep_until(clock::time_point());
    co_await sleep_until(clock::time_point::min());
  });
  BOOST_TEST((watch.elapsed() < 1h));
}

// crossbeam-rs/crossbeam#795, rust-lang/rust#54552; TestOverflowSleep.
BOOST_AUTO_TEST_CASE(of_for_ever_never_ends_and_disturbs_no_other) {
  BOOST_TEST(sleeps_on([] { return sleep_for(clock::duration::max()); }));
  BOOST_TEST(sleeps_on([] { return sleep_for(clock::duration::max() - 1ns); }));
  BOOST_TEST(sleeps_on([] { return sleep_for(std::chrono::hours::max()); }));
  BOOST_TEST(sleeps_on([] { return sleep_for(std::chrono::seconds::max()); }));
  BOOST_TEST(sleeps_on([] { return sleep_for(std::chrono::years::max()); }));
  BOOST_TEST(sleeps_on([] {
    return sleep_for(std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
  }));
  BOOST_TEST(sleeps_on([] { return sleep_for(std::chrono::duration<float, std::milli>(1e30F)); }));
  BOOST_TEST(sleeps_on([] { return sleep_until(clock::time_point::max()); }));
  BOOST_TEST(sleeps_on([] { return sleep_until(clock::time_point::max() - 1ns); }));
}

// Close to where now + d overflows, on both sides.
BOOST_AUTO_TEST_CASE(close_to_the_end_of_the_clock_is_as_good_as_for_ever) {
  const auto left = clock::time_point::max() - clock::now();
  for (const auto d : {left - 1h, left - 1s, left, left + 1ns, left + 1s})
    BOOST_TEST(sleeps_on([d] { return sleep_for(d); }));
}

BOOST_AUTO_TEST_CASE(may_be_given_in_any_unit_and_is_rounded_up) {
  run_in_virtual_time([]() -> task<> {
    const stopwatch watch;
    co_await sleep_for(std::chrono::duration<double, std::milli>(1.5));
    BOOST_TEST((watch.elapsed() >= 1500us));
    co_await sleep_for(std::chrono::duration<int, std::ratio<1, 300>>(1));
    BOOST_TEST((watch.elapsed() >= 4833us));
    co_await sleep_for(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()));
    co_await sleep_until(std::chrono::time_point_cast<std::chrono::seconds>(sluice::now()));
  });
}

BOOST_AUTO_TEST_CASE(is_counted_from_when_the_operation_is_awaited) {
  run_in_virtual_time([]() -> task<> {
    auto op = sleep_for(3ms);
    co_await sleep_for(4ms);
    for (int i = 0; i < 2; ++i) {
      const stopwatch watch;
      co_await op;
      BOOST_TEST((watch.elapsed() >= 3ms));
    }
    auto until = sleep_until(sluice::now() + 2ms);
    co_await until;
    co_await until;  // has passed
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(many_sleepers)

// TestAfterQueuing: mixed and equal deadlines end in their order.
BOOST_AUTO_TEST_CASE(wake_in_the_order_of_their_deadlines) {
  for (const bool from_one_instant : {true, false}) {
    const std::vector<int> slots = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
    const auto until = [](int slot) { return (slot + 1) * (sanitized ? 20ms : 5ms); };
    BOOST_TEST(in_one_of_several_runs([&] {
      std::vector<int> order;
      run_task([&]() -> task<> {
        const auto start = clock::now();
        for (const int s : slots)
          sluice::go([&, s, start]() -> task<> {
            if (from_one_instant)
              co_await sleep_until(start + until(s));
            else
              co_await sleep_for(until(s));
            order.push_back(s);
          });
        co_return;
      });
      return order.size() == slots.size() && std::ranges::is_sorted(order);
    }));
  }
}

// Also if they were all late, because the thread was busy. Once more, with more time, if some were
// late to begin, or if the thread lost its processor between two that fire: one turn has so long.
BOOST_AUTO_TEST_CASE(wake_in_the_order_of_their_deadlines_when_all_have_passed) {
  constexpr int n = sanitized ? 40 : 200;  // what one turn of the event loop fires
  std::vector<int> order;
  bool in_time = false;
  for (auto lead = 10ms; lead < 10s && !(in_time && std::ranges::is_sorted(order)); lead *= 2) {
    order.clear();
    run_task([&]() -> task<> {
      const auto start = clock::now() + lead;
      random_numbers random(7);
      int begun = 0;
      for (int i = 0; i < n; ++i) {
        const auto at = static_cast<int>(random.below(1000));
        sluice::go([&, at, start]() -> task<> {
          ++begun;
          co_await sleep_until(start + at * 1us);
          order.push_back(at);
        });
      }
      while (begun < n) co_await sluice::this_goroutine::yield();
      in_time = clock::now() < start;
      while (clock::now() < start + 2ms) continue;
    });
  }
  BOOST_TEST(order.size() == std::size_t{n});
  BOOST_TEST(in_time);
  BOOST_TEST(std::ranges::is_sorted(order));
}

BOOST_AUTO_TEST_CASE(share_one_thread_and_none_is_early_or_forgotten) {
  const std::size_t n = sanitized ? 2'000 : 20'000;
  std::size_t early = 0;
  std::size_t ended = 0;
  const stopwatch watch;
  run_task([&]() -> task<> {
    random_numbers random(3);
    for (std::size_t i = 0; i < n; ++i)
      sluice::go([&, d = random.below(50'000) * 1us]() -> task<> {
        const stopwatch own;
        co_await sleep_for(d);
        early += own.elapsed() < d;
        ++ended;
      });
    co_return;
  });
  BOOST_TEST(early == 0u);
  BOOST_TEST(ended == n);
  BOOST_TEST((watch.elapsed() < (sanitized ? 20s : 2s)));  // beside each other
}

BOOST_AUTO_TEST_CASE(on_many_threads_are_neither_early_nor_forgotten) {
  const int n = static_cast<int>(rounds(4'000));
  std::atomic<int> early = 0;
  std::atomic<int> ended = 0;
  asio::io_context io;
  for (int i = 0; i < n; ++i)
    sluice::go(io, [&, i]() -> task<> {
      for (int k = 0; k < 3; ++k) {
        const auto d = (i * 7 + k * 131) % 5000 * 1us;
        const stopwatch own;
        co_await sleep_for(d);
        early += own.elapsed() < d;
      }
      ++ended;
    });
  run(io, 4);
  BOOST_TEST(early == 0);
  BOOST_TEST(ended == n);
}

BOOST_AUTO_TEST_CASE(are_cancelled_and_started_anew_without_disturbing_each_other) {
  const int n = static_cast<int>(rounds(3'000));
  int ended = 0;
  int cancelled = 0;
  run_in_virtual_time([&]() -> task<> {
    auto quit = make_channel<int>();
    sluice::wait_group wg;
    for (int i = 0; i < n; ++i)
      wg.go([&, i]() -> task<> {
        const auto d = i % 3 == 0 ? clock::duration(long_time) : clock::duration(i % 2000 * 1us);
        const auto r = co_await sluice::select(sleep_for(d), quit.receive());
        ++(r.index() == 0 ? ended : cancelled);
      });
    co_await sleep_for(5ms);
    quit.close();
    co_await wg.wait();
  });
  BOOST_TEST(ended + cancelled == n);
  BOOST_TEST(cancelled >= n / 3);
}

BOOST_AUTO_TEST_SUITE_END()

// On every kind of executor.
BOOST_AUTO_TEST_SUITE(sleepers_on)

namespace {

template <class Where>
bool sleeps_well(Where&& where) {
  return sluice::go(
             where,
             []() -> task<bool> {
               const stopwatch watch;
               co_await sleep_for(2ms);
               const bool once = watch.elapsed() >= 2ms;
               co_await sleep_for(1ms);
               co_return once&& watch.elapsed() >= 3ms;
             },
             asio::use_future)
      .get();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_context_a_pool_a_strand_or_an_executor_that_is_not_known) {
  const watchdog dog;
  running_context running(1);
  BOOST_TEST(sleeps_well(running.io));
  BOOST_TEST(sleeps_well(asio::make_strand(running.io)));
  BOOST_TEST(sleeps_well(asio::any_io_executor(asio::make_strand(running.io))));
  BOOST_TEST(sleeps_well(sluice::get_executor(running.io)));
  asio::thread_pool pool(1);
  BOOST_TEST(sleeps_well(pool));
  BOOST_TEST(sleeps_well(asio::make_strand(pool)));
  BOOST_TEST(sleeps_well(asio::system_executor()));
  own_context own;
  BOOST_TEST(sleeps_well(own));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancellation)

// The timer is disarmed: run() does not wait for it.
BOOST_AUTO_TEST_CASE(ends_a_sleep_at_once_and_leaves_nothing_behind) {
  const stopwatch watch;
  asio::io_context io;
  cancellable_goroutine sleeper(io, [&]() -> task<> { co_await sleep_for(long_time); });
  poll(io);
  BOOST_TEST(sleeper.ends() == 0);
  sleeper.cancel();
  run(io);
  BOOST_TEST(sleeper.ends() == 1);
  BOOST_TEST(sleeper.error() == aborted);
  BOOST_TEST((watch.elapsed() < long_time));
}

BOOST_AUTO_TEST_CASE(of_any_of_many_sleeps_leaves_the_others) {
  asio::io_context io;
  constexpr std::size_t n = 300;
  std::vector<std::unique_ptr<cancellable_goroutine>> sleepers;
  for (std::size_t i = 0; i < n; ++i)
    sleepers.push_back(std::make_unique<cancellable_goroutine>(io, [i]() -> task<> {
      co_await sleep_for(i % 2 == 0 ? clock::duration(long_time) : clock::duration(1ms * (i % 7)));
    }));
  poll(io);
  for (std::size_t i = 0; i < n; i += 2) sleepers[(i * 37) % n]->cancel();
  run(io);
  std::size_t cancelled = 0;
  std::size_t wrong = 0;
  for (const auto& s : sleepers) {
    cancelled += s->error() == aborted;
    wrong += s->ends() != 1;
  }
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(cancelled == n / 2);
}

BOOST_AUTO_TEST_CASE(before_a_sleep_keeps_it_from_beginning_even_if_it_is_for_nothing) {
  asio::io_context io;
  cancellable_goroutine none(io, []() -> task<> { co_await sleep_for(0s); });
  cancellable_goroutine some(io, []() -> task<> { co_await sleep_for(long_time); });
  none.cancel();
  some.cancel();
  run(io);
  BOOST_TEST(none.error() == aborted);
  BOOST_TEST(some.error() == aborted);
}

BOOST_AUTO_TEST_CASE(says_in_its_error_that_a_sleep_was_cancelled) {
  asio::io_context io;
  std::string text;
  cancellable_goroutine sleeper(io, [&]() -> task<> {
    try {
      co_await sleep_for(long_time);
    } catch (const sluice::system_error& e) {
      text = e.what();
    }
  });
  poll(io);
  sleeper.cancel();
  run(io);
  BOOST_TEST(text.find("sleep") != text.npos, text);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(token)

BOOST_AUTO_TEST_CASE(calls_a_handler_when_the_time_has_come_and_never_inside_the_call) {
  asio::io_context io;
  std::vector<int> order;
  bool inside = true;
  const auto note = [&](int n) {
    return asio::bind_executor(io, [&, n](error_code e) { order.push_back(e || inside ? -1 : n); });
  };
  const stopwatch watch;
  sleep_for(4ms)(note(2));
  sleep_for(0s)(note(0));
  sleep_until(clock::now() + 2ms)(note(1));
  sleep_until(clock::now() - 1h)(note(0));
  inside = false;
  run(io);
  BOOST_TEST(order == (std::vector{0, 0, 1, 2}), per_element());
  BOOST_TEST((watch.elapsed() >= 4ms));
}

BOOST_AUTO_TEST_CASE(of_every_kind_of_coroutine) {
  asio::io_context io;
  int ended = 0;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        const stopwatch watch;
        co_await sleep_for(2ms)(asio::use_awaitable);
        ended += watch.elapsed() >= 2ms;
      },
      asio::detached);
  sluice::go(io, [&]() -> task<> {
    const stopwatch watch;
    co_await sleep_for(1ms)(asio::deferred);
    const auto [e] = co_await sleep_for(1ms)(asio::as_tuple(asio::deferred));
    ended += !e && watch.elapsed() >= 2ms;
  });
  run(io);
  BOOST_TEST(ended == 2);
}

BOOST_AUTO_TEST_CASE(with_a_slot_cancels_at_once) {
  const stopwatch watch;
  asio::io_context io;
  asio::cancellation_signal signal;
  error_code told;
  int calls = 0;
  sleep_for(long_time)(
      asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, [&](error_code e) {
                                     told = e;
                                     ++calls;
                                   })));
  poll(io);
  BOOST_TEST(calls == 0);
  signal.emit(asio::cancellation_type::partial);
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(told == aborted);
  signal.emit(asio::cancellation_type::terminal);  // late
  BOOST_TEST((watch.elapsed() < long_time));
}

// A sleep has no executor of its own, and so no clock: not even a future can be set.
BOOST_AUTO_TEST_CASE(without_an_executor_is_told_so) {
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([](auto h) { sleep_for(1ms)(h); }) == none);
  BOOST_CHECK_EXCEPTION(sleep_for(1ms)(asio::use_future).get(), sluice::system_error,
                        has_code(sluice::error::no_executor));
}

BOOST_AUTO_TEST_SUITE_END()
