// Tickers: their period and phase, what a slow reader misses, and what ends them.
#include "helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/post.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace {

using namespace sluice_test;

/// By how much a tick came after the instant that is its own on the phase of its ticker.
clock::duration lateness(clock::time_point tick, clock::time_point start, clock::duration period) {
  return (tick - start) % period;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tickers)

// Source: time/tick_test.go TestTicker, TestTickerReset. The machine may hold us up: some attempt
// keeps to the time.
BOOST_AUTO_TEST_CASE(keep_their_period_also_a_new_one) {
  run_in_virtual_time([]() -> task<> {
    constexpr int ticks = 10;
    constexpr auto period = 2ms;
    bool in_time = false;
    for (int attempt = 0; attempt < 10 && !in_time; ++attempt) {
      const auto start = sluice::now();
      ticker t(period);
      for (int i = 0; i < ticks; ++i) co_await t.receive();
      t.reset(2 * period);
      for (int i = 0; i < ticks; ++i) co_await t.receive();
      const auto took = sluice::now() - start;
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
  run_in_virtual_time([]() -> task<> {
    const auto start = sluice::now();
    ticker t(2ms);
    co_await sleep_for(3ms);
    const auto first_gone_off = sluice::now();
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

// Source: golang/go#49315, golang/go#14557
BOOST_AUTO_TEST_CASE(a_period_that_is_not_positive_is_refused_everywhere_in_the_same_way) {
  run_in_virtual_time([]() -> task<> {
    const auto says_period = [](const std::invalid_argument& x) {
      return std::string(x.what()).find("period") != std::string::npos;
    };
    ticker running(1ms);
    for (const clock::duration d :
         {clock::duration::zero(), clock::duration(-1), clock::duration::min()}) {
      BOOST_CHECK_EXCEPTION(ticker{d}, std::invalid_argument, says_period);
      BOOST_CHECK_EXCEPTION(running.reset(d), std::invalid_argument, says_period);
    }
    BOOST_TEST((co_await running.receive()).has_value());
    BOOST_TEST((co_await running.receive()).has_value());
  });
}

// Source: crossbeam-rs/crossbeam#406, #413, #456. Some of the last ticks come in time, and
// they are on the phase of the first if nothing has been added up.
BOOST_AUTO_TEST_CASE(a_ticker_does_not_drift) {
  run_in_virtual_time([]() -> task<> {
    constexpr auto period = 4ms;
    const auto start = sluice::now();
    ticker t(period);
    auto least = clock::duration::max();
    for (int i = 0; i < 40; ++i) {
      const auto v = co_await t.receive();
      if (i >= 20) least = std::min(least, lateness(*v, start, period));
      hold_up(1ms);
    }
    BOOST_TEST((least < 1ms));
  });
}

// Source: tokio-rs/tokio#3721, nats-io/nats.rs#875, softwaremill/ox#82
BOOST_AUTO_TEST_CASE(a_slow_reader_finds_one_tick_and_then_the_rhythm_on_the_first_phase) {
  run_in_virtual_time([]() -> task<> {
    constexpr auto period = 4ms;
    const auto start = sluice::now();
    ticker t(period);
    co_await sleep_for(25ms);
    BOOST_TEST(t.channel().try_receive().has_value());
    BOOST_TEST(is_empty(t.channel()));
    const auto before = sluice::now();
    auto last = before;
    auto least = clock::duration::max();
    for (int i = 0; i < 15; ++i) {
      const auto v = co_await t.receive();
      BOOST_TEST((*v > last));
      least = std::min(least, lateness(*v, start, period));
      last = *v;
    }
    BOOST_TEST((last >= before + 13 * period));
    BOOST_TEST((least < 1ms));
  });
}

// The thread is held up, so that several ticks are due when the ticker has its turn.
BOOST_AUTO_TEST_CASE(ticks_that_could_not_be_sent_in_time_are_skipped) {
  run_task([]() -> task<> {
    constexpr auto period = 2ms;
    const auto start = clock::now();
    ticker t(period);
    const auto made = clock::now();
    hold_up(5 * period);
    const auto first = co_await t.receive();
    BOOST_TEST((*first >= start + 5 * period));
    const auto second = co_await t.receive();
    const auto past = (*first - made) / period;  // at least
    BOOST_TEST((*second >= start + (past + 1) * period));
  });
}

// Source: crossbeam-rs/crossbeam#1329
BOOST_AUTO_TEST_CASE(a_period_of_most_of_the_clocks_range_does_not_overflow_when_armed_again) {
  run_in_virtual_time([]() -> task<> {
    constexpr auto longest = clock::duration::max();
    for (const clock::duration d : {longest, longest - 1ns, longest / 2 + 1h, longest / 2}) {
      ticker fresh(d);
      BOOST_TEST((co_await stays_silent(fresh.channel(), 1ms)));
      ticker small(1ms);
      BOOST_TEST((co_await small.receive()).has_value());
      small.reset(d);
      BOOST_TEST((co_await stays_silent(small.channel(), 2ms)));
      small.reset(1ms);
      BOOST_TEST((co_await small.receive()).has_value());
    }
    // The first arming fits, the next would not.
    const auto left = clock::time_point::max() - sluice::now();
    ticker once(left - 1h);
    BOOST_TEST((co_await stays_silent(once.channel(), 1ms)));
  });
}
