// Selects with sleeps, timers and tickers among their cases, and timeouts beside them.
#include "helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace {

using namespace sluice_test;

/// A payload that is not zero and tells its own number.
struct message {
  explicit message(std::uint64_t n) : number(n), check(~n * 0x9e3779b97f4a7c15U) {}
  [[nodiscard]] bool is(std::uint64_t n) const {
    return number == n && check == ~n * 0x9e3779b97f4a7c15U;
  }
  std::uint64_t number;
  std::uint64_t check;
};

/// Receives with a deadline, gives the value or nullopt for a timeout, and tells of the end.
using timed_receive = task<std::optional<message>> (*)(const channel<message>&,
                                                       std::chrono::nanoseconds, bool& ended);

task<std::optional<message>> receive_by_select(const channel<message>& ch,
                                               std::chrono::nanoseconds d, bool& ended) {
  std::optional<message> got;
  co_await select(on(ch.receive(),
                     [&](std::optional<message> m) {
                       ended = !m;
                       got = m;
                     }),
                  on(sluice::sleep_for(d), [] {}));
  co_return got;
}

task<std::optional<message>> receive_by_timeout(const channel<message>& ch,
                                                std::chrono::nanoseconds d, bool& ended) {
  try {
    auto m = co_await sluice::timeout(ch.receive(), d);
    ended = !m;
    co_return m;
  } catch (const sluice::system_error& e) {
    if (e.code() != timed_out) throw;
  }
  co_return std::nullopt;
}

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

// Source: yyzybb537/libgo#246
BOOST_AUTO_TEST_CASE(a_timed_receive_gives_a_whole_value_or_has_taken_nothing) {
  for (const timed_receive receive : {&receive_by_select, &receive_by_timeout}) {
    const watchdog dog;
    const auto n = rounds(2000);
    asio::io_context to_send;
    asio::io_context to_receive;
    const auto ch = make_channel<message>();
    std::size_t received = 0;
    std::size_t timeouts = 0;
    std::size_t wrong = 0;
    sluice::go(to_send, [&]() -> task<> {
      random_numbers random(1);
      for (std::size_t i = 0; i < n; ++i) {
        co_await sluice::sleep_for(std::chrono::microseconds(random.below(60)));
        co_await ch.send(message(i));
      }
      ch.close();
    });
    sluice::go(to_receive, [&]() -> task<> {
      for (bool ended = false; !ended;) {
        const auto m = co_await receive(ch, 30us, ended);
        if (m)
          wrong += !m->is(received++);
        else
          timeouts += !ended;
      }
    });
    on_threads(2, [&](int i) { (i == 0 ? to_send : to_receive).run(); });
    BOOST_TEST(received == n);
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(timeouts > 0u);
  }
}

BOOST_AUTO_TEST_SUITE(a_time_that_has_passed)  // Source: crossbeam-rs/crossbeam#975

BOOST_AUTO_TEST_CASE(lets_a_ready_value_through_a_timeout) {
  run_in_virtual_time([]() -> task<> {
    const auto ch = holding({1, 2, 3});
    auto a = co_await sluice::timeout(ch.receive(), 0s);
    BOOST_TEST(*a == 1);
    auto b = co_await sluice::timeout(ch.receive(), -5s);
    BOOST_TEST(*b == 2);
    BOOST_TEST(ch.size() == 1u);
  });
}

BOOST_AUTO_TEST_CASE(and_a_ready_channel_are_chosen_alike) {
  run_in_virtual_time([]() -> task<> {
    const auto ch = make_channel<int>(1);
    constexpr int trials = 2000;
    int delivered = 0;
    int wrong = 0;
    for (int i = 0; i < trials; ++i) {
      try_send(ch, i);
      int got = -1;
      const auto take = [&](std::optional<int> v) { got = *v; };
      std::size_t c = 99;
      if (i % 2)
        c = co_await select(on(ch.receive(), take), on(sluice::sleep_for(0s), [] {}));
      else
        c = 1 - co_await select(on(sluice::sleep_until(sluice::now() - 1h), [] {}),
                                on(ch.receive(), take));
      delivered += got != -1;
      wrong += (c == 0) != (got != -1) || ch.size() != (c == 0 ? 0u : 1u);
    }
    BOOST_TEST(wrong == 0);
    BOOST_TEST(delivered > trials / 4);
    BOOST_TEST(delivered < trials * 3 / 4);
  });
}

BOOST_AUTO_TEST_CASE(of_a_context_takes_no_value) {
  asio::io_context io;
  const auto ch = holding({7});
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  cancel();
  error_code plain;
  error_code selected;
  error_code timed;
  sluice::go(ctx, io, [&]() -> task<> {
    plain = co_await error_of(ch.receive());
    selected = co_await error_of(select(ch.receive(), ch.send(8)));
    timed = co_await error_of(sluice::timeout(ch.receive(), 1s));
  });
  run(io);
  BOOST_TEST(plain == aborted);
  BOOST_TEST(selected == aborted);
  BOOST_TEST(timed == aborted);
  BOOST_TEST(ch.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang time testTimerChan
BOOST_AUTO_TEST_CASE(of_two_goroutines_that_select_on_one_timer_one_gets_the_time) {
  asio::io_context io;
  auto quiet = make_channel<int>();
  sluice::timer t(io, 24h);
  int got = 0;
  int told = 0;
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&]() -> task<> {
      const auto c = co_await select(on(quiet.receive(), [&] { ++told; }),
                                     on(t.receive(), [&](auto time) { got += time.has_value(); }));
      if (c == 1) quiet.close();
    });
  poll(io);
  BOOST_TEST(t.reset(1ms));  // while both are parked on it
  run(io);
  BOOST_TEST(got == 1);
  BOOST_TEST(told == 1);
}

// Source: golang time testTimerChan
BOOST_AUTO_TEST_CASE(a_stopped_timer_is_a_case_that_does_not_happen) {
  asio::io_context io;
  sluice::timer t(io, 0s);
  t.stop();
  std::vector<std::size_t> log;
  sluice::go(io, [&]() -> task<> {
    log.push_back(co_await select(on(t.receive(), [] {}), otherwise([] {})));
    log.push_back(co_await select(on(t.receive(), [] {}), on(sluice::sleep_for(5ms), [] {})));
    t.reset(0s);
    log.push_back(co_await select(on(t.receive(), [] {})));
  });
  run(io);
  BOOST_TEST(log == std::vector<std::size_t>({1, 1, 0}), per_element());
}

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
