// What went wrong with timers elsewhere, as their users reported it. Functions that a timer starts
// stand in after_func_test.cpp, timeouts in ../timeout_test.cpp, what needs threads in
// stress_test.cpp, memory in memory_test.cpp.
#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>

#include "helpers.hpp"

#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

namespace {

using namespace sluice_test;

/// By how much a tick came after the instant that is its own on the phase of its ticker.
clock::duration lateness(clock::time_point tick, clock::time_point start, clock::duration period) {
  return (tick - start) % period;
}

}  // namespace

// Source: chriskohlhoff/asio#878, chriskohlhoff/asio#423, chenshuo/muduo#668
BOOST_AUTO_TEST_SUITE(ti01_a_timer_that_is_due)

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
    std::optional<sluice::func_timer> victim;
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
  run_task([]() -> task<> {
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
BOOST_AUTO_TEST_SUITE(ti02_a_value_nobody_has_seen)

BOOST_AUTO_TEST_CASE(does_not_survive_a_reset) {
  run_task([]() -> task<> {
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
  run_task([]() -> task<> {
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

// Source: golang/go#49315, golang/go#14557
BOOST_AUTO_TEST_CASE(ti03_a_period_that_is_not_positive_is_refused_everywhere_in_the_same_way) {
  run_task([]() -> task<> {
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
BOOST_AUTO_TEST_CASE(ti04_a_ticker_does_not_drift) {
  run_task([]() -> task<> {
    constexpr auto period = 4ms;
    const auto start = clock::now();
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
BOOST_AUTO_TEST_CASE(ti05_a_slow_reader_finds_one_tick_and_then_the_rhythm_on_the_first_phase) {
  run_task([]() -> task<> {
    constexpr auto period = 4ms;
    const auto start = clock::now();
    ticker t(period);
    co_await sleep_for(25ms);
    BOOST_TEST(t.channel().try_receive().has_value());
    BOOST_TEST(is_empty(t.channel()));
    const auto before = clock::now();
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
BOOST_AUTO_TEST_CASE(ti05_ticks_that_could_not_be_sent_in_time_are_skipped) {
  run_task([]() -> task<> {
    constexpr auto period = 2ms;
    const auto start = clock::now();
    ticker t(period);
    hold_up(5 * period);
    const auto first = co_await t.receive();
    BOOST_TEST((*first >= start + 5 * period));
    const auto second = co_await t.receive();
    BOOST_TEST((*second - start) / period > (*first - start) / period);
  });
}

using durations = std::tuple<clock::duration, std::chrono::hours, std::chrono::microseconds>;

// Source: crossbeam-rs/crossbeam#795, #798, rust-lang/rust#54552, smol-rs/async-io#92
BOOST_AUTO_TEST_CASE_TEMPLATE(ti06_for_ever_as_a_duration_is_never, Duration, durations) {
  asio::io_context io;
  auto ch = make_channel<int>();
  sluice::go(io, [&]() -> task<> {
    for (const Duration d : {Duration::max(), Duration(Duration::max() - Duration(1))}) {
      timer t(1ms);
      t.reset(d);
      const auto later = after(d);
      auto f = after_func(d, [] { BOOST_ERROR("called"); });
      auto [ctx, cancel] = sluice::with_timeout(sluice::context::background(), d);
      auto r = co_await select(t.receive(), later.receive(), ctx.done(), sleep_for(d),
                               sluice::sleep_until(clock::time_point::max()), sleep_for(2ms));
      BOOST_TEST(r.index() == 5u);
      BOOST_TEST(!ctx.err());
      sluice::go([&]() -> task<> { co_await ch.send(5); });
      const auto v = co_await sluice::timeout(ch.receive(), d);
      BOOST_TEST(v.value() == 5);
      BOOST_TEST(f.stop());
      BOOST_TEST(t.stop());
    }
  });
  run(io);
  BOOST_TEST(has_no_timer(io));
}

// Source: crossbeam-rs/crossbeam#1329
BOOST_AUTO_TEST_CASE(ti07_a_period_of_most_of_the_clocks_range_does_not_overflow_when_armed_again) {
  run_task([]() -> task<> {
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
    const auto left = clock::time_point::max() - clock::now();
    ticker once(left - 1h);
    BOOST_TEST((co_await stays_silent(once.channel(), 1ms)));
  });
}

// Source: libgoc/libgoc#42, gdgvda/cron#57, microsoft/clock#6
BOOST_AUTO_TEST_CASE(ti09_a_channel_that_is_dropped_before_its_timer_goes_off_is_not_missed) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    static_cast<void>(after(1ms));
    {
      auto times = after(1ms);
      co_await error_of(sluice::timeout(times.receive(), 100us));
    }
    BOOST_TEST(has_no_timer(io));
    ticker unread(1ms);
    co_await sleep_for(4ms);
    unread.stop();
    unread.stop();
    ticker dropped(1ms);
    co_await sleep_for(2ms);
  });
  run(io);
}

// Source: yyzybb537/libgo#101
BOOST_AUTO_TEST_SUITE(ti12_the_queue_of_timers)

namespace {

/// A timer of the queue alone, on a clock that the test sets.
struct node : sluice::detail::timer_node {
  node() : timer_node(counted) {}

  static const kind counted;

  int fired = 0;
  std::multimap<clock::time_point, node*>* reference = nullptr;
  std::multimap<clock::time_point, node*>::iterator place;
  clock::time_point* last = nullptr;
};

const node::kind node::counted{
    [](timer_node& n) noexcept {
      auto& self = static_cast<node&>(n);
      self.reference->erase(self.place);
      *self.last = std::max(*self.last, self.deadline);
      return true;
    },
    [](timer_node& n) noexcept { ++static_cast<node&>(n).fired; },
};

/// Fires all that is due at `now`, batch by batch.
void fire_due(sluice::detail::timer_queue& queue, clock::time_point now) {
  do {
    for (auto* due = queue.claim_some(now); due;) {
      auto& n = *std::exchange(due, due->next_due);
      n.functions->fire(n);
    }
  } while (queue.next() <= now);
}

}  // namespace

BOOST_AUTO_TEST_CASE(fires_seconds_and_minutes_when_they_are_over) {
  asio::io_context io;
  sluice::detail::timer_queue queue(io, [] {}, [] { return true; }, [] {});
  std::multimap<clock::time_point, node*> reference;
  clock::time_point last{};
  const clock::time_point start(100h);
  std::deque<node> nodes;
  for (const auto s : {1s, 10s, 70s, 700s, 7'000s, 70'000s}) {
    node& n = nodes.emplace_back();
    n.deadline = start + s;
    n.reference = &reference;
    n.last = &last;
    n.place = reference.emplace(n.deadline, &n);
    queue.insert(n);
  }
  for (const node& n : nodes) {
    BOOST_TEST((queue.next() == n.deadline));
    fire_due(queue, n.deadline - 1ns);
    BOOST_TEST(n.fired == 0);
    fire_due(queue, n.deadline);
    BOOST_TEST(n.fired == 1);
  }
  BOOST_TEST(queue.empty());
  BOOST_TEST((queue.next() == clock::time_point::max()));
}

BOOST_AUTO_TEST_CASE(agrees_with_a_sorted_map_under_random_insertions_and_removals) {
  asio::io_context io;
  sluice::detail::timer_queue queue(io, [] {}, [] { return true; }, [] {});
  random_numbers random(7);
  std::multimap<clock::time_point, node*> reference;
  clock::time_point now(1h);
  clock::time_point last{};
  std::deque<node> nodes(300);
  for (node& n : nodes) {
    n.reference = &reference;
    n.last = &last;
  }
  std::size_t inserted = 0;
  std::size_t removed = 0;
  for (std::size_t i = 0; i < rounds(50'000); ++i) {
    node& n = nodes[random.below(nodes.size())];
    if (!n.queued()) {
      n.deadline = now + std::chrono::milliseconds(random.below(1'000));
      n.place = reference.emplace(n.deadline, &n);
      queue.insert(n);
      ++inserted;
    } else if (random.below(2)) {
      reference.erase(n.place);
      queue.remove(n);
      ++removed;
    }
    if (random.below(4) == 0) {
      now += std::chrono::milliseconds(random.below(30));
      fire_due(queue, now);
      BOOST_REQUIRE((last <= now));
    }
    const auto next = reference.empty() ? clock::time_point::max() : reference.begin()->first;
    BOOST_REQUIRE((queue.next() == next));
  }
  fire_due(queue, now + 1h);
  BOOST_TEST(queue.empty());
  std::size_t fired = 0;
  for (const node& n : nodes) fired += static_cast<std::size_t>(n.fired);
  BOOST_TEST(fired + removed == inserted);
}

// Source: yyzybb537/libgo#277
BOOST_AUTO_TEST_CASE(does_not_delay_goroutines_that_a_foreign_thread_wakes) {
  running_context running(1);
  auto latencies = make_channel<clock::duration>(running.io, 100);
  auto wake = make_channel<clock::time_point>(running.io);
  for (int i = 0; i < 100; ++i)
    sluice::go(running.io, [&]() -> task<> {
      const auto sent = co_await wake.receive();
      latencies.try_send(clock::now() - *sent);
    });
  timer far(running.io, long_time);
  auto least = clock::duration::max();
  const watchdog dog;
  for (int i = 0; i < 100; ++i) {
    wake.async_send(clock::now(), asio::use_future).get();
    const auto latency = latencies.async_receive(asio::use_future).get();
    least = std::min(least, *latency);
  }
  far.stop();
  BOOST_TEST((least < 1ms));
}

BOOST_AUTO_TEST_SUITE_END()
