// Timers that are stopped and set again: what is still due, and what nobody has received.
#include "helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <optional>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(timers)

// Source: time/sleep_test.go TestAfterStop
BOOST_AUTO_TEST_CASE(that_are_stopped_stay_silent_between_an_earlier_and_a_later_one) {
  run_in_virtual_time([]() -> task<> {
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
  run_in_virtual_time([]() -> task<> {
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

BOOST_AUTO_TEST_SUITE_END()

// Source: chriskohlhoff/asio#878, chriskohlhoff/asio#423, chenshuo/muduo#668
BOOST_AUTO_TEST_SUITE(a_timer_that_is_due)

BOOST_AUTO_TEST_CASE(and_stopped_before_its_turn_stays_silent) {
  asio::io_context io;
  bool called = false;
  auto f = after_func(io, 0s, [&] { called = true; });
  timer t(io, 0s);
  hold_up(1ms);
  BOOST_TEST(f.stop());
  BOOST_TEST(t.stop());
  run(io);
  BOOST_TEST(!called);
  BOOST_TEST(is_empty(t.channel()));
}

BOOST_AUTO_TEST_CASE(together_with_one_that_stops_it_is_told_the_truth) {
  for (const bool stopper_first : {true, false}) {
    asio::io_context io;
    const auto due = clock::now() + 1ms;
    std::optional<sluice::timed_function> victim;
    std::optional<bool> stopped;
    bool called = false;
    const auto stop = [&] { stopped = victim->stop(); };
    const auto call = [&] { called = true; };
    if (stopper_first) static_cast<void>(after_func(io, due - clock::now(), stop));
    victim.emplace(after_func(io, due - clock::now(), call));
    if (!stopper_first) static_cast<void>(after_func(io, due - clock::now(), stop));
    hold_up(2ms);
    run(io);
    BOOST_REQUIRE(stopped);
    BOOST_TEST(called != *stopped);
  }
}

BOOST_AUTO_TEST_CASE(together_with_the_value_it_limits_never_reports_a_timeout_after_it) {
  run_in_virtual_time([]() -> task<> {
    for (std::size_t i = 0; i < rounds(500); ++i) {
      auto ch = make_channel<int>(1);
      timer sender(100us);
      sluice::go([&sender, ch]() -> task<> {
        co_await sender.receive();
        ch.try_send(1);
      });
      std::optional<int> got;
      error_code e;
      try {
        got = co_await sluice::timeout(ch.receive(), 100us);
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      BOOST_TEST((got.has_value() != (e == timed_out)));
      if (!got) got = co_await ch.receive();
      BOOST_TEST(got.value() == 1);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang/go#37196, golang/go#14038, golang/go#11513
BOOST_AUTO_TEST_SUITE(a_value_nobody_has_seen)

BOOST_AUTO_TEST_CASE(does_not_survive_a_reset) {
  run_in_virtual_time([]() -> task<> {
    timer t(0s);
    co_await let_timers_go_off();
    t.reset(1h);
    const auto e = co_await error_of(sluice::timeout(t.receive(), 5ms));
    BOOST_TEST(e == timed_out);
    BOOST_TEST(t.stop());
    BOOST_TEST((co_await error_of(sluice::timeout(t.receive(), 2ms))) == timed_out);
  });
}

BOOST_AUTO_TEST_CASE(does_not_survive_a_reset_by_another_while_one_waits) {
  run_task([]() -> task<> {
    timer t(1h);
    const stopwatch watch;
    sluice::go([&]() -> task<> {
      for (int i = 0; i < 5; ++i) {
        t.reset(1ms);
        hold_up(2ms);  // it is due, but has not had its turn
        t.reset(1ms);
      }
      co_return;
    });
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= watch.start + 11ms));
    BOOST_TEST((co_await stays_silent(t.channel())));
  });
}

BOOST_AUTO_TEST_CASE(need_not_be_drained_and_the_old_pattern_does_not_hang) {
  run_in_virtual_time([]() -> task<> {
    for (const bool received : {false, true}) {
      timer t(0s);
      co_await let_timers_go_off();
      if (received) static_cast<void>(co_await t.receive());
      const bool stopped = t.stop();
      BOOST_TEST(stopped == !received);
      if (!stopped && !received) static_cast<void>(co_await t.receive());
      t.reset(0s);
      BOOST_TEST((co_await t.receive()).has_value());
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

// Source: time/sleep_test.go testTimerChan (Go 1.23), golang/go#37196
BOOST_AUTO_TEST_SUITE(channels_of_timers)

BOOST_AUTO_TEST_CASE(give_no_stale_value_after_stop) {
  run_in_virtual_time([]() -> task<> {
    timer t(0s);
    co_await let_timers_go_off();
    BOOST_TEST(t.stop());  // it had gone off, but nobody had received
    BOOST_TEST(is_empty(t.channel()));
    BOOST_TEST((co_await stays_silent(t.channel())));
    BOOST_TEST(!t.stop());
  });
}

BOOST_AUTO_TEST_CASE(give_no_stale_value_after_reset) {
  run_in_virtual_time([]() -> task<> {
    timer t(0s);
    co_await let_timers_go_off();
    BOOST_TEST(t.reset(long_time));
    BOOST_TEST(is_empty(t.channel()));
    BOOST_TEST((co_await stays_silent(t.channel())));
    const auto before = sluice::now();
    BOOST_TEST(t.reset(1ms));
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= before + 1ms));
  });
}

BOOST_AUTO_TEST_CASE(of_tickers_give_no_stale_tick_after_stop_or_reset) {
  run_in_virtual_time([]() -> task<> {
    ticker t(1ms);
    co_await sleep_for(3ms);
    t.stop();
    BOOST_TEST(is_empty(t.channel()));
    t.reset(1ms);
    co_await sleep_for(3ms);
    const auto before = sluice::now();
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
  run_in_virtual_time([]() -> task<> {
    timer t(1ms);
    ticker k(1ms);
    t.stop();
    k.stop();
    auto r = co_await select(t.receive(), k.receive(), sleep_for(4ms));
    BOOST_TEST(r.index() == 2u);
  });
}

BOOST_AUTO_TEST_SUITE_END()
