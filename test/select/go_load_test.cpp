// Go's own tests of select under load: timers beside busy channels, many selects on one channel.
#include "helpers.hpp"

#include <sluice/timer.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Sends for ever.
task<> hammer(sender<int> out) {
  for (;;) co_await out.send(1);
}

/// Runs a consumer of a channel on which two goroutines hammer, until it says that it was served by
/// something else or a long time has passed.
/** @return Whether it was served. */
template <class Consume>
bool is_served_under_fire(int threads, Consume consume) {
  asio::io_context io;
  const auto busy = make_channel<int>();
  for (int i = 0; i < 2; ++i) sluice::go(io, hammer(busy));
  bool served = false;
  sluice::go(io, [&]() -> task<> {
    co_await consume(receiver<int>(busy), served);
    io.stop();
  });
  run(io, threads);
  return served;
}

constexpr auto long_time = 2s;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_timer_beside_a_busy_channel_is_served)  // Source: runtime TestTimerFairness

BOOST_AUTO_TEST_CASE(as_a_channel) {
  const auto consume = [](receiver<int> busy, bool& served) -> task<> {
    const stopwatch watch;
    const auto time = sluice::after(20ms);
    while (!served && watch.elapsed() < long_time)
      co_await select(busy.receive(), on(time.receive(), [&] { served = true; }));
  };
  for (const int threads : {1, 2}) BOOST_TEST(is_served_under_fire(threads, consume));
}

BOOST_AUTO_TEST_CASE(as_a_ticker) {
  const auto consume = [](receiver<int> busy, bool& served) -> task<> {
    const stopwatch watch;
    sluice::ticker ticks(5ms);
    for (int left = 3; left > 0 && watch.elapsed() < long_time; served = left == 0)
      co_await select(on(ticks.receive(), [&] { --left; }), busy.receive());
  };
  for (const int threads : {1, 2}) BOOST_TEST(is_served_under_fire(threads, consume));
}

BOOST_AUTO_TEST_CASE(as_a_sleep) {
  const auto consume = [](receiver<int> busy, bool& served) -> task<> {
    const stopwatch watch;
    const auto end = watch.start + 20ms;
    while (!served && watch.elapsed() < long_time)
      co_await select(busy.receive(), on(sluice::sleep_until(end), [&] { served = true; }));
  };
  for (const int threads : {1, 2}) BOOST_TEST(is_served_under_fire(threads, consume));
}

BOOST_AUTO_TEST_CASE(as_an_asio_timer) {
  const auto consume = [](receiver<int> busy, bool& served) -> task<> {
    const stopwatch watch;
    asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
    while (!served && watch.elapsed() < long_time)
      co_await select(busy.receive(), on(timer.async_wait(asio::deferred), [&] { served = true; }));
  };
  for (const int threads : {1, 2}) BOOST_TEST(is_served_under_fire(threads, consume));
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang time TestLongAdjustTimers
BOOST_AUTO_TEST_CASE(a_far_timer_of_each_select_does_not_fire_while_others_are_moved_about) {
  asio::io_context io;
  const auto there = make_channel<int>();
  const auto back = make_channel<int>();
  const auto n = rounds(10'000);
  std::size_t fired = 0;
  bool over = false;
  const auto play = [&](channel<int> in, channel<int> out, bool begins) -> task<> {
    for (std::size_t i = 0; i < n; ++i) {
      if (begins) co_await out.send(1);
      co_await select(in.receive(), on(sluice::after(5min).receive(), [&] { ++fired; }));
      if (!begins) co_await out.send(1);
    }
    over = true;
  };
  sluice::go(io, [&]() -> task<> { co_await play(there, back, true); });
  sluice::go(io, [&]() -> task<> { co_await play(back, there, false); });
  sluice::go(io, [&]() -> task<> {
    random_numbers random(3);
    std::vector<sluice::timer> timers;
    for (int i = 0; i < 50; ++i) timers.emplace_back(1h);
    while (!over) {
      auto& t = timers[random.below(timers.size())];
      t.reset(std::chrono::minutes(6 + random.below(60)));
      co_await select(t.receive(), on(sluice::after(1us).receive(), [] {}));
    }
  });
  run(io);
  BOOST_TEST(fired == 0u);
}

namespace {

/// How long `n` goroutines take that select on one channel together and on one alone, and are
/// served alone, the first or the last first.
std::chrono::duration<double> time_of_selects(std::size_t n, bool last_first) {
  asio::io_context io;
  const auto shared = make_channel<int>();
  std::vector<channel<int>> own(n);
  for (auto& ch : own) {
    ch = make_channel<int>();
    sluice::go(io, [&]() -> task<> { co_await select(shared.receive(), ch.receive()); });
  }
  poll(io);
  if (last_first) std::reverse(own.begin(), own.end());
  const stopwatch watch;
  for (const auto& ch : own) ch.try_send(1);
  run(io);
  return watch.elapsed();
}

}  // namespace

// Source: golang test/chanlinear.go
BOOST_AUTO_TEST_CASE(the_time_to_leave_a_crowded_channel_does_not_grow_with_the_crowd) {
  constexpr std::size_t n = 1000;
  for (const bool last_first : {false, true}) {
    double least = 1e9;
    for (int tries = 0; tries < 5 && least > 20; ++tries)
      least = std::min(least, time_of_selects(8 * n, last_first) / time_of_selects(n, last_first));
    BOOST_TEST(least < 32,
               "8 times as many selects took " + std::to_string(least) + " times as long");
  }
}
