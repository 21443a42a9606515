// Timers, tickers and functions used from several threads at the same time.
#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>

#include "../sync_helpers.hpp"
#include "helpers.hpp"

#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

// Source: chriskohlhoff/asio#878, chriskohlhoff/asio#423, chenshuo/muduo#668
BOOST_AUTO_TEST_SUITE(stop_tells_the_truth)

BOOST_AUTO_TEST_CASE(about_a_function) {
  running_context running(1);
  const watchdog dog;
  random_numbers random(1);
  struct one_call {
    std::atomic<int> calls = 0;
    bool stopped = false;
  };
  std::vector<std::unique_ptr<one_call>> all;
  for (std::size_t i = 0; i < rounds(5'000); ++i) {
    auto& c = *all.emplace_back(std::make_unique<one_call>());
    auto f =
        after_func(running.io, std::chrono::microseconds(random.below(20)), [&c] { ++c.calls; });
    for (std::size_t n = random.below(60); n != 0; --n) random.pause();
    c.stopped = f.stop();
  }
  running.join();
  std::size_t wrong = 0;
  for (const auto& c : all) wrong += c->calls != (c->stopped ? 0 : 1);
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(about_a_value_that_another_thread_waits_for) {
  running_context running(1);
  const watchdog dog;
  random_numbers random(2);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rounds(3'000); ++i) {
    timer t(running.io, std::chrono::microseconds(random.below(20)));
    auto quit = make_channel<void>(running.io);
    auto received = sluice::go(
        running.io,
        [&]() -> task<bool> {
          auto r = co_await select(t.receive(), quit.receive());
          co_return r.index() == 0;
        },
        asio::use_future);
    for (std::size_t n = random.below(60); n != 0; --n) random.pause();
    const bool stopped = t.stop();
    if (stopped) quit.close();
    wrong += received.get() == stopped;
  }
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(to_one_of_two_threads_that_stop) {
  running_context running(1);
  const watchdog dog;
  std::optional<timer> t;
  std::atomic<int> first = 0;
  std::atomic<int> second = 0;
  std::size_t wrong = 0;
  duel::fight(
      rounds(3'000), [&] { t.emplace(running.io, 1h); }, [&] { first = t->stop(); },
      [&] { second = t->stop(); }, [&] { wrong += first + second != 1; });
  t.reset();
  BOOST_TEST(wrong == 0u);
}

// The value that a reset leaves behind would be older than the reset.
BOOST_AUTO_TEST_CASE(and_no_stale_value_comes_after_a_reset) {
  running_context running(1);
  const watchdog dog;
  random_numbers random(3);
  std::size_t wrong = 0;
  timer t(running.io, 0s);
  for (std::size_t i = 0; i < rounds(3'000); ++i) {
    for (std::size_t n = random.below(60); n != 0; --n) random.pause();
    const auto before = clock::now();
    t.reset(10us);
    const auto v = t.receive()(asio::use_future).get();
    wrong += !v || *v < before + 10us;
    t.reset(std::chrono::microseconds(random.below(20)));
  }
  t.stop();
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: time/sleep_test.go TestTimerStopStress
BOOST_AUTO_TEST_CASE(functions_that_were_stopped_never_run) {
  asio::io_context io;
  std::atomic<int> calls = 0;
  for (int i = 0; i < 100; ++i)
    sluice::go(io, [&calls, i]() -> task<> {
      auto f = after_func(std::chrono::milliseconds(5 + i), [&calls] { ++calls; });
      co_await sleep_for(1ms);
      if (!f.stop()) --calls;
    });
  run(io, 2);
  BOOST_TEST(calls == 0);
}

// Source: time/sleep_test.go TestTimerModifiedEarlier, golang/go#47329
BOOST_AUTO_TEST_CASE(a_timer_that_is_set_nearer_again_and_again_goes_off_each_time) {
  asio::io_context io;
  std::size_t received = 0;
  std::vector<std::unique_ptr<timer>> others;
  for (int i = 0; i < 100; ++i) others.push_back(std::make_unique<timer>(io, 1h + i * 1s));
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < rounds(200); ++i) {
      timer t(2h);
      t.reset(1h);
      t.reset(10us);
      received += (co_await t.receive()).has_value();
    }
    others.clear();
  });
  run(io, 2);
  BOOST_TEST(received == rounds(200));
}

// Source: time/sleep_test.go TestAdjustTimers, golang/go#47762
BOOST_AUTO_TEST_CASE(timers_moved_earlier_and_later_by_many_goroutines_are_never_lost) {
  asio::io_context io;
  constexpr std::size_t timers = 32;
  std::vector<std::unique_ptr<timer>> all;
  for (std::size_t i = 0; i < timers; ++i) all.push_back(std::make_unique<timer>(io, 1h));
  std::atomic<std::size_t> gone_off = 0;
  std::atomic<std::size_t> left = timers;
  findings wrong;
  for (std::size_t i = 0; i < timers; ++i)
    sluice::go(io, [&, i]() -> task<> {
      random_numbers random(i);
      timer& mine = *all[i];
      for (std::size_t n = rounds(50); n != 0; --n) {
        for (std::size_t moves = random.below(5); moves != 0; --moves) {
          mine.reset(std::chrono::microseconds(random.below(2'000)));
          if (random.below(3) == 0) co_await sluice::this_goroutine::yield();
        }
        const auto before = clock::now();
        mine.reset(std::chrono::microseconds(random.below(200)));
        const auto v = co_await mine.receive();
        wrong.expect(v && *v >= before, "a stale value");
        ++gone_off;
      }
      --left;
    });
  run(io, 3);
  BOOST_TEST(left == 0u);
  BOOST_TEST(gone_off == timers * rounds(50));
  BOOST_TEST(wrong.text() == "");
}

BOOST_AUTO_TEST_CASE(a_ticker_is_read_reset_and_stopped_by_three_threads) {
  running_context running(1);
  const watchdog dog;
  std::atomic<bool> over = false;
  std::atomic<std::size_t> ticks = 0;
  findings wrong;
  auto t = std::make_unique<ticker>(running.io, 20us);
  auto quit = make_channel<void>(running.io);
  sluice::go(running.io, [&]() -> task<> {
    auto last = clock::time_point::min();
    for (;;) {
      auto r = co_await select(t->receive(), quit.receive());
      if (r.index() == 1) co_return;
      const auto v = *r.get<0>();
      wrong.expect(v >= last, "ticks out of order");
      last = v;
      ++ticks;
    }
  });
  std::thread stopper([&] {
    while (!over) {
      t->stop();
      std::this_thread::yield();
    }
  });
  for (std::size_t i = 0; i < rounds(2'000); ++i) t->reset(std::chrono::microseconds(10 + i % 50));
  over = true;
  stopper.join();
  const std::size_t seen = ticks;
  t->reset(20us);
  while (ticks < seen + 10) std::this_thread::yield();
  t->stop();
  quit.close();
  running.join();
  BOOST_TEST(wrong.text() == "");
}

// Source: libgoc/libgoc#42
BOOST_AUTO_TEST_CASE(channels_are_dropped_while_their_timers_go_off) {
  running_context running(2);
  const watchdog dog;
  random_numbers random(4);
  for (std::size_t i = 0; i < rounds(5'000); ++i) {
    auto times = sluice::after(running.io, std::chrono::microseconds(random.below(20)));
    std::optional<ticker> k(std::in_place, running.io, 5us);
    auto ticks = k->channel();
    for (std::size_t n = random.below(40); n != 0; --n) random.pause();
    if (random.below(2)) k.reset();
    ticks = {};
    times = {};
  }
  running.join();
}
