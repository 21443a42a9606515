// Timers that are dropped, stopped or not needed are freed at once; also Go's TestTimerGC.
// Timers in a loop of selects are looked at in ../select/memory_test.cpp.
#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>

#include "helpers.hpp"

#include "../allocation_counts.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Does something `n` times in a goroutine and looks at what is allocated meanwhile.
/** No timer may be left after the step of any round, and the context must run out after the last.
 */
template <class OneRound>
void check_flat(std::size_t n, OneRound one_round) {
  asio::io_context io;
  std::ptrdiff_t before = 0;
  std::ptrdiff_t after = 0;
  std::size_t left_a_timer = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) {
      if (i == n / 10) before = live_allocations;
      co_await one_round(io);
      co_await sluice::this_goroutine::yield();
      left_a_timer += !has_no_timer(io);
    }
    after = live_allocations;
  });
  run(io);
  BOOST_TEST(left_a_timer == 0u);
  BOOST_TEST(std::abs(after - before) < 100);
}

}  // namespace

// Source: hashicorp/vault#14814, golang/go#29316, go-mysql-org/go-mysql#423
BOOST_AUTO_TEST_SUITE(nothing_piles_up)

BOOST_AUTO_TEST_CASE(of_timeouts_around_operations_that_are_ready) {
  const auto ch = make_channel<int>(1);
  check_flat(rounds(100'000), [&](asio::io_context&) -> task<> {
    co_await sluice::timeout(ch.send(1), 1h);
    co_await sluice::timeout(ch.receive(), 1h);
  });
}

BOOST_AUTO_TEST_CASE(of_timeouts_around_operations_that_park) {
  const auto there = make_channel<int>();
  const auto back = make_channel<int>();
  bool first = true;
  const std::size_t n = rounds(50'000);
  check_flat(n, [&](asio::io_context& io) -> task<> {
    if (std::exchange(first, false))
      sluice::go(io, [&]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          const auto v = co_await there.receive();
          co_await back.send(*v);
        }
      });
    co_await sluice::timeout(there.send(1), 1h);
    co_await sluice::timeout(back.receive(), 1h);
  });
}

BOOST_AUTO_TEST_CASE(of_timeouts_around_asio_operations) {
  check_flat(rounds(20'000), [](asio::io_context& io) -> task<> {
    co_await sluice::timeout(asio::post(io, asio::deferred), 1h);
  });
}

BOOST_AUTO_TEST_CASE(of_contexts_with_a_timeout) {
  const auto ch = make_channel<int>(1);
  auto [parent, cancel] = sluice::with_cancel(sluice::context::background());
  check_flat(rounds(50'000), [&, &ctx = parent](asio::io_context&) -> task<> {
    auto limited = sluice::with_timeout(ctx, 1h);
    co_await ch.send(1);
    co_await sluice::select(ch.receive(), limited.ctx.done());
  });
  BOOST_TEST(parent.child_count() == 0u);
}

BOOST_AUTO_TEST_CASE(of_timers_set_and_stopped) {
  std::optional<sluice::timer> t;
  std::optional<sluice::ticker> k;
  check_flat(rounds(50'000), [&](asio::io_context& io) -> task<> {
    if (!t) t.emplace(io, 1h);
    if (!k) k.emplace(io, 1h);
    t->reset(1h);
    k->reset(2h);
    auto f = sluice::after_func(1h, [] {});
    f.reset(2h);
    f.stop();
    t->stop();
    k->stop();
    co_return;
  });
}

BOOST_AUTO_TEST_SUITE_END()

// Source: time/tick_test.go TestTimerGC; golang/go#61542, golang/go#8898
BOOST_AUTO_TEST_CASE(timers_that_nobody_stopped_are_gone_when_nobody_refers_to_them) {
  check_flat(rounds(10'000), [](asio::io_context&) -> task<> {
    const sluice::timer t(1h);
    const sluice::ticker k(1h);
    static_cast<void>(sluice::after(1h));
    const auto kept = sluice::after(1h);
    const auto times = t.channel();
    co_return;
  });
}

BOOST_AUTO_TEST_CASE(ten_thousand_pending_timers_are_gone_with_their_context) {
  const std::ptrdiff_t before = live_allocations;
  {
    asio::io_context io;
    std::vector<sluice::receiver<clock::time_point>> times;
    for (int i = 0; i < 10'000; ++i) times.push_back(sluice::after(io, 1h));
    for (int i = 0; i < 1'000; ++i) static_cast<void>(sluice::after_func(io, 1h, [] {}));
    BOOST_TEST(live_allocations > before + 10'000);
    times.clear();
  }
  BOOST_TEST(live_allocations <= before);
}

// Source: libgoc/libgoc#42, gdgvda/cron#57, microsoft/clock#6
BOOST_AUTO_TEST_CASE(a_channel_that_is_dropped_before_its_timer_goes_off_is_not_missed) {
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
