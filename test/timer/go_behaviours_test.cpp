// What the tests of Go's package time show of timers and tickers, written anew for this library.
#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/wait_group.hpp>

#include "helpers.hpp"

#include <boost/asio/post.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace sluice_test;

using times = receiver<clock::time_point>;

}  // namespace

BOOST_AUTO_TEST_SUITE(timers)

// Source: time/sleep_test.go TestAfterTick
BOOST_AUTO_TEST_CASE(one_after_another_take_as_long_as_all_together) {
  run_task([]() -> task<> {
    const stopwatch watch;
    for (int i = 0; i < 10; ++i) {
      const auto before = clock::now();
      const auto v = co_await after(1ms).receive();
      BOOST_TEST((*v >= before + 1ms));
    }
    BOOST_TEST((watch.elapsed() >= 10ms));
  });
}

// Source: time/sleep_test.go TestAfterQueuing
BOOST_AUTO_TEST_CASE(go_off_in_the_order_of_their_deadlines) {
  struct set_timer {
    clock::time_point earliest;  // its deadline is between these
    clock::time_point latest;
  };
  asio::io_context io;
  std::vector<set_timer> order;
  const std::vector<int> slots{5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  sluice::go(io, [&]() -> task<> {
    for (const int s : slots)
      sluice::go([&order, s]() -> task<> {
        const auto duration = std::chrono::milliseconds(s * 2);
        const auto before = clock::now();
        auto fired = after(duration);
        const set_timer its{before + duration, clock::now() + duration};
        co_await fired.receive();
        order.push_back(its);
      });
    co_return;
  });
  run(io);
  BOOST_TEST(order.size() == slots.size());
  for (auto later = order.begin(); later != order.end(); ++later)
    for (auto earlier = order.begin(); earlier != later; ++earlier)
      BOOST_TEST((earlier->earliest <= later->latest));
}

// Source: time/sleep_test.go TestAfterStop
BOOST_AUTO_TEST_CASE(that_are_stopped_stay_silent_between_an_earlier_and_a_later_one) {
  run_task([]() -> task<> {
    bool called = false;
    auto f = after_func(2ms, [&] { called = true; });
    timer early(1ms);
    timer stopped(2ms);
    timer late(4ms);
    BOOST_TEST(stopped.stop());
    BOOST_TEST(f.stop());
    BOOST_TEST((co_await early.receive()).has_value());
    BOOST_TEST((co_await late.receive()).has_value());
    BOOST_TEST(is_empty(stopped.channel()));
    BOOST_TEST(!called);
    BOOST_TEST(!stopped.stop());
    BOOST_TEST(!f.stop());
  });
}

// Source: time/sleep_test.go TestReset
BOOST_AUTO_TEST_CASE(that_are_set_again_while_they_are_pending_are_postponed_and_go_off_once) {
  run_task([]() -> task<> {
    const stopwatch watch;
    timer t(2ms);
    BOOST_TEST(t.reset(50ms));
    timer between(3ms);
    co_await between.receive();
    BOOST_TEST(is_empty(t.channel()));
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= watch.start + 50ms));
    BOOST_TEST(!t.reset(1ms));
    BOOST_TEST((co_await t.receive()).has_value());
    BOOST_TEST((co_await stays_silent(t.channel())));
  });
}

// Source: time/sleep_test.go TestOverflowSleep
BOOST_AUTO_TEST_CASE(set_for_ever_never_go_off_and_disturb_no_other) {
  run_task([]() -> task<> {
    timer longest(clock::duration::max());
    timer almost(clock::duration::max() - 1ns);
    timer hours(std::chrono::hours::max());
    timer unmeasurable{std::chrono::duration<double>(std::numeric_limits<double>::infinity())};
    timer shortest(clock::duration::min());
    BOOST_TEST((co_await shortest.receive()).has_value());
    BOOST_TEST((co_await after(1ms).receive()).has_value());
    for (timer* const t : {&longest, &almost, &hours, &unmeasurable}) {
      BOOST_TEST(is_empty(t->channel()));
      BOOST_TEST(t->stop());
      BOOST_TEST(!t->reset(clock::duration::max()));
      BOOST_TEST(t->reset(0s));
      BOOST_TEST((co_await t->receive()).has_value());
    }
  });
}

// Source: time/sleep_test.go TestZeroTimer, issue 44868
BOOST_AUTO_TEST_CASE(set_to_nothing_go_off_promptly_many_times) {
  run_task([]() -> task<> {
    timer again(0s);
    for (std::size_t i = 0; i < rounds(5'000); ++i) {
      timer t(0s);
      co_await t.receive();
      co_await again.receive();
      again.reset(0s);
    }
  });
}

// Source: time/sleep_test.go TestAfterTimes
BOOST_AUTO_TEST_CASE(send_the_instant_at_which_they_went_off_however_late_it_is_received) {
  run_task([]() -> task<> {
    const auto start = clock::now();
    const times t = after(1ms);
    const auto k = ticker(1ms);
    co_await sleep_for(2ms);
    const auto gone_off = clock::now();
    hold_up(3ms);
    const auto v = co_await t.receive();
    const auto w = co_await k.receive();
    BOOST_TEST((*v >= start + 1ms));
    BOOST_TEST((*v <= gone_off));
    BOOST_TEST((*w >= start + 1ms));
    BOOST_TEST((*w <= gone_off));
  });
}

BOOST_AUTO_TEST_SUITE_END()

// Source: time/sleep_test.go testTimerChan (Go 1.23), golang/go#37196
BOOST_AUTO_TEST_SUITE(channels_of_timers)

BOOST_AUTO_TEST_CASE(give_no_stale_value_after_stop) {
  run_task([]() -> task<> {
    timer t(0s);
    co_await let_timers_go_off();
    BOOST_TEST(t.stop());  // it had gone off, but nobody had received
    BOOST_TEST(is_empty(t.channel()));
    BOOST_TEST((co_await stays_silent(t.channel())));
    BOOST_TEST(!t.stop());
  });
}

BOOST_AUTO_TEST_CASE(give_no_stale_value_after_reset) {
  run_task([]() -> task<> {
    timer t(0s);
    co_await let_timers_go_off();
    BOOST_TEST(t.reset(long_time));
    BOOST_TEST(is_empty(t.channel()));
    BOOST_TEST((co_await stays_silent(t.channel())));
    const auto before = clock::now();
    BOOST_TEST(t.reset(1ms));
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= before + 1ms));
  });
}

BOOST_AUTO_TEST_CASE(of_tickers_give_no_stale_tick_after_stop_or_reset) {
  run_task([]() -> task<> {
    ticker t(1ms);
    co_await sleep_for(3ms);
    t.stop();
    BOOST_TEST(is_empty(t.channel()));
    t.reset(1ms);
    co_await sleep_for(3ms);
    const auto before = clock::now();
    t.reset(2ms);
    BOOST_TEST(is_empty(t.channel()));
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= before + 2ms));
  });
}

BOOST_AUTO_TEST_CASE(give_one_value_to_one_of_two_receivers) {
  asio::io_context io;
  int received = 0;
  int cancelled = 0;
  auto stop = make_channel<void>();
  std::optional<timer> t(std::in_place, io, 1ms);
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&]() -> task<> {
      auto r = co_await select(t->receive(), stop.receive());
      ++(r.index() == 0 ? received : cancelled);
      if (r.index() == 0) {
        co_await sleep_for(3ms);
        stop.close();
      }
    });
  run(io);
  BOOST_TEST(received == 1);
  BOOST_TEST(cancelled == 1);
}

BOOST_AUTO_TEST_CASE(wake_who_is_parked_when_the_timer_is_set_nearer) {
  asio::io_context io;
  timer t(io, long_time);
  std::optional<clock::time_point> v;
  sluice::go(io, [&]() -> task<> { v = co_await t.receive(); });
  poll(io);
  const stopwatch watch;
  BOOST_TEST(t.reset(1ms));
  run(io);
  BOOST_REQUIRE(v);
  BOOST_TEST((*v >= watch.start + 1ms));
}

BOOST_AUTO_TEST_CASE(leave_who_is_parked_when_the_timer_is_set_farther_or_stopped) {
  asio::io_context io;
  timer t(io, long_time);
  std::optional<clock::time_point> v;
  sluice::go(io, [&]() -> task<> { v = co_await t.receive(); });
  poll(io);
  clock::time_point set;
  sluice::go(io, [&]() -> task<> {
    t.reset(1ms);
    hold_up(2ms);  // it is due, but has not had its turn
    BOOST_TEST(t.reset(long_time));
    co_await sleep_for(2ms);
    BOOST_TEST(!v);
    t.reset(1ms);
    hold_up(2ms);
    BOOST_TEST(t.stop());
    co_await sleep_for(2ms);
    BOOST_TEST(!v);
    set = clock::now();
    BOOST_TEST(!t.reset(1ms));
  });
  run(io);
  BOOST_REQUIRE(v);
  BOOST_TEST((*v >= set + 1ms));
}

BOOST_AUTO_TEST_CASE(of_stopped_timers_and_tickers_are_cases_that_do_not_happen) {
  run_task([]() -> task<> {
    timer t(1ms);
    ticker k(1ms);
    t.stop();
    k.stop();
    auto r = co_await select(t.receive(), k.receive(), sleep_for(4ms));
    BOOST_TEST(r.index() == 2u);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(tickers)

// Source: time/tick_test.go TestTicker, TestTickerReset. The machine may hold us up: some attempt
// keeps to the time.
BOOST_AUTO_TEST_CASE(keep_their_period_also_a_new_one) {
  run_task([]() -> task<> {
    constexpr int ticks = 10;
    constexpr auto period = 2ms;
    bool in_time = false;
    for (int attempt = 0; attempt < 10 && !in_time; ++attempt) {
      const auto start = clock::now();
      ticker t(period);
      for (int i = 0; i < ticks; ++i) co_await t.receive();
      t.reset(2 * period);
      for (int i = 0; i < ticks; ++i) co_await t.receive();
      const auto took = clock::now() - start;
      constexpr auto right = ticks * period + ticks * 2 * period;
      BOOST_TEST((took >= right));
      in_time = took <= right * 13 / 10;
    }
    BOOST_TEST(in_time);
  });
}

// Source: time/tick_test.go TestTeardown
BOOST_AUTO_TEST_CASE(may_be_made_received_from_and_stopped_again_and_again) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 3; ++i) {
      ticker t(1ms);
      co_await t.receive();
      t.stop();
    }
    BOOST_TEST(has_no_timer(io));
  });
  run(io);
}

// Source: time/tick_test.go TestTickTimes, TestTicker (slow receivers)
BOOST_AUTO_TEST_CASE(drop_what_a_slow_receiver_misses_and_keep_the_first) {
  run_task([]() -> task<> {
    const auto start = clock::now();
    ticker t(2ms);
    co_await sleep_for(3ms);
    const auto first_gone_off = clock::now();
    co_await sleep_for(10ms);
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= start + 2ms));
    BOOST_TEST((*v <= first_gone_off));
    BOOST_TEST(is_empty(t.channel()));
  });
}

// Source: time/tick_test.go TestAfterStress; time/sleep_test.go TestAfterStress
BOOST_AUTO_TEST_CASE(of_one_nanosecond_tick_promptly_and_starve_nobody) {
  asio::io_context io;
  bool slept = false;
  bool posted = false;
  std::size_t turns = 0;
  sluice::go(io, [&]() -> task<> {
    ticker t(1ns);
    sluice::go([&]() -> task<> {
      co_await sleep_for(1ms);
      slept = true;
    });
    sluice::go([&]() -> task<> {
      while (!slept) {
        ++turns;
        co_await sluice::this_goroutine::yield();
      }
    });
    for (std::size_t i = 0; i < rounds(2'000) || !slept; ++i) {
      co_await t.receive();
      if (i == 10) asio::post(io, [&] { posted = true; });
    }
  });
  run(io);
  BOOST_TEST(slept);
  BOOST_TEST(posted);
  BOOST_TEST(turns > 0u);
}

BOOST_AUTO_TEST_SUITE_END()
