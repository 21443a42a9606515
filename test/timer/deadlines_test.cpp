// When timers go off: in which order, how late, at once or never.
#include "helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <tuple>
#include <vector>

namespace {

using namespace sluice_test;

using times = receiver<clock::time_point>;
using durations = std::tuple<clock::duration, std::chrono::hours, std::chrono::microseconds>;

}  // namespace

BOOST_AUTO_TEST_SUITE(timers)

// Source: time/sleep_test.go TestAfterTick
BOOST_AUTO_TEST_CASE(one_after_another_take_as_long_as_all_together) {
  run_in_virtual_time([]() -> task<> {
    const stopwatch watch;
    for (int i = 0; i < 10; ++i) {
      const auto before = sluice::now();
      const auto v = co_await after(1ms).receive();
      BOOST_TEST((*v >= before + 1ms));
    }
    BOOST_TEST((watch.elapsed() >= 10ms));
  });
}

// Source: time/sleep_test.go TestAfterQueuing
BOOST_AUTO_TEST_CASE(go_off_in_the_order_of_their_deadlines) {
  const std::vector<int> slots{5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
  std::vector<clock::time_point> order;
  run_in_virtual_time([&]() -> task<> {
    for (const int s : slots)
      sluice::go([&order, s]() -> task<> {
        const auto duration = std::chrono::milliseconds(s * 2);
        const auto deadline = sluice::now() + duration;
        co_await after(duration).receive();
        BOOST_TEST((sluice::now() == deadline));
        order.push_back(deadline);
      });
    co_await sleep_for(1h);
  });
  BOOST_TEST(order.size() == slots.size());
  BOOST_TEST(std::ranges::is_sorted(order));
}

// Source: time/sleep_test.go TestOverflowSleep
BOOST_AUTO_TEST_CASE(set_for_ever_never_go_off_and_disturb_no_other) {
  run_in_virtual_time([]() -> task<> {
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
  run_in_virtual_time([]() -> task<> {
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
  run_in_virtual_time([]() -> task<> {
    const auto start = sluice::now();
    const times t = after(1ms);
    const auto k = ticker(1ms);
    co_await sleep_for(2ms);
    const auto gone_off = sluice::now();
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

// Source: crossbeam-rs/crossbeam#795, #798, rust-lang/rust#54552, smol-rs/async-io#92
BOOST_AUTO_TEST_CASE_TEMPLATE(for_ever_as_a_duration_is_never, Duration, durations) {
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
