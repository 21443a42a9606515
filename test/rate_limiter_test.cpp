#include <sluice/rate_limiter.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

// The behaviours of golang.org/x/time/rate: Wait, Allow, and who comes first.

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_limiter)

BOOST_AUTO_TEST_CASE(gives_a_burst_at_once_and_then_one_each_interval_never_early) {
  run_in_virtual_time([]() -> task<> {
    const stopwatch watch;
    rate_limiter limiter(2ms, 3);
    for (int i = 0; i < 3; ++i) co_await limiter.acquire();
    const auto burst = watch.elapsed();
    for (int i = 1; i <= 5; ++i) {
      co_await limiter.acquire();
      BOOST_TEST((watch.elapsed() >= i * 2ms));
    }
    BOOST_TEST((burst < 1s));
  });
}

// Source: TestLimiterBurst1, TestSimultaneousRequests: AllowN
BOOST_AUTO_TEST_CASE(allows_what_is_there_and_refuses_the_rest) {
  asio::io_context io;
  rate_limiter limiter(io, 24h, 5);
  BOOST_TEST(!limiter.try_acquire(6));
  BOOST_TEST(limiter.try_acquire(2));
  BOOST_TEST(!limiter.try_acquire(4));
  BOOST_TEST(limiter.try_acquire(3));
  BOOST_TEST(!limiter.try_acquire());
  BOOST_TEST(limiter.try_acquire(0));
}

BOOST_AUTO_TEST_CASE(fills_up_to_its_burst_and_no_further) {
  run_in_virtual_time([]() -> task<> {
    rate_limiter limiter(1ms, 2);
    BOOST_TEST(limiter.try_acquire(2));
    co_await sluice::sleep_for(10ms);
    const auto before = sluice::now();
    BOOST_TEST(limiter.try_acquire(2));
    const bool third = limiter.try_acquire();
    BOOST_TEST((!third || sluice::now() - before >= 1ms));
  });
}

BOOST_AUTO_TEST_CASE(must_let_something_through) {
  asio::io_context io;
  BOOST_CHECK_THROW(rate_limiter(io, 0ms), std::invalid_argument);
  BOOST_CHECK_THROW(rate_limiter(io, -1ms), std::invalid_argument);
  BOOST_CHECK_THROW(rate_limiter(io, 1ms, 0), std::invalid_argument);
  const auto not_in_goroutine = sluice::make_error_code(sluice::error::not_in_goroutine);
  BOOST_CHECK_EXCEPTION(rate_limiter(1ms), sluice::system_error, has_code(not_in_goroutine));
}

// Source: TestWaitMax, TestWaitInf: extreme values do not overflow
BOOST_AUTO_TEST_CASE(may_be_as_slow_and_as_large_as_its_types_allow) {
  asio::io_context io;
  rate_limiter slow(io, std::chrono::hours::max(), 2);
  BOOST_TEST(slow.try_acquire());
  BOOST_TEST(slow.try_acquire());
  BOOST_TEST(!slow.try_acquire());
  constexpr auto most = std::numeric_limits<std::size_t>::max();
  rate_limiter large(io, 24h, most);
  BOOST_TEST(large.try_acquire(1000));
  rate_limiter fast(io, 1ns, 1000);
  BOOST_TEST(fast.try_acquire(1000));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(waiting)

BOOST_AUTO_TEST_CASE(is_first_come_first_served_and_a_large_request_is_not_starved) {
  run_task([]() -> task<> {
    rate_limiter limiter(1ms, 10);
    BOOST_TEST(limiter.try_acquire(10));
    std::vector<int> order;
    std::size_t left = 6;
    const auto all = sluice::make_channel<void>();
    for (int i = 0; i < 6; ++i)
      sluice::go([&, i]() -> task<> {
        co_await limiter.acquire(i == 1 ? 10 : 1);
        order.push_back(i);
        if (--left == 0) all.close();
      });
    co_await sluice::sleep_for(1us);
    BOOST_TEST(!limiter.try_acquire(10));
    static_cast<void>(co_await all.receive());
    const std::vector<int> expected{0, 1, 2, 3, 4, 5};
    BOOST_TEST(order == expected, per_element());
  });
}

// Source: TestWaitSimple: more than the burst
BOOST_AUTO_TEST_CASE(for_more_than_the_burst_holds_up_nobody_and_ends_when_it_is_cancelled) {
  run_in_virtual_time([]() -> task<> {
    rate_limiter limiter(1ms, 2);
    std::optional<error_code> impossible;
    const auto tree = with_cancel(sluice::context::background());
    const auto ended = sluice::make_channel<void>();
    sluice::go(tree.ctx, [&]() -> task<> {
      impossible = co_await error_of(limiter.acquire(3));
      ended.close();
    });
    co_await sluice::sleep_for(1us);
    for (int i = 0; i < 4; ++i) co_await limiter.acquire();
    BOOST_TEST(!impossible);
    tree.cancel();
    static_cast<void>(co_await ended.receive());
    BOOST_TEST(impossible.value() == aborted);
  });
}

// Source: TestWaitTimeout, TestCancel: a reservation that is cancelled is given back
BOOST_AUTO_TEST_CASE(that_is_cancelled_has_taken_nothing_and_those_behind_move_up) {
  asio::io_context io;
  rate_limiter limiter(io, 10ms, 100);
  BOOST_TEST(limiter.try_acquire(100));
  const auto tree = with_cancel(sluice::context::background());
  std::optional<error_code> first;
  std::optional<sluice::clock::duration> second;
  const stopwatch watch;
  sluice::go(tree.ctx, io, [&]() -> task<> { first = co_await error_of(limiter.acquire(100)); });
  poll(io);
  sluice::go(io, [&]() -> task<> {
    co_await limiter.acquire();
    second = watch.elapsed();
  });
  poll(io);
  tree.cancel();
  run(io);
  BOOST_TEST(first.value() == aborted);
  BOOST_TEST((second.value() >= 10ms));
  BOOST_TEST((second.value() < 900ms), "not behind a hundred units");
}

BOOST_AUTO_TEST_CASE(that_loses_a_select_or_times_out_has_taken_nothing) {
  run_in_virtual_time([]() -> task<> {
    rate_limiter limiter(100ms, 1);
    const stopwatch watch;
    co_await limiter.acquire();
    for (int i = 0; i < 5; ++i) {
      auto r = co_await sluice::select(limiter.acquire(), sluice::sleep_for(1us));
      BOOST_TEST(r.index() == 1u);
      const auto e = co_await error_of(sluice::timeout(limiter.acquire(), 1us));
      BOOST_TEST(e == timed_out);
    }
    co_await limiter.acquire();
    BOOST_TEST((watch.elapsed() >= 100ms));
    BOOST_TEST((watch.elapsed() < 900ms), "the losers have taken some");
    auto won = co_await sluice::select(limiter.acquire(), sluice::sleep_for(24h));
    BOOST_TEST(won.index() == 0u);
    BOOST_TEST((watch.elapsed() >= 200ms));
  });
}

BOOST_AUTO_TEST_CASE(works_with_handlers_and_their_slots) {
  asio::io_context io;
  rate_limiter limiter(io, 5ms);
  std::vector<error_code> told;
  asio::cancellation_signal signal;
  const auto tell = [&](error_code e) { told.push_back(e); };
  limiter.acquire()(asio::bind_executor(io, tell));
  BOOST_TEST(told.empty(), "never inside the call");
  limiter.acquire()(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, tell)));
  limiter.acquire()(asio::bind_executor(io, tell));
  poll(io);
  BOOST_TEST(told.size() == 1u);
  signal.emit(asio::cancellation_type::total);
  run(io);
  const std::vector<error_code> expected{no_error, aborted, no_error};
  BOOST_TEST(told == expected, per_element());
}

BOOST_AUTO_TEST_CASE(outlives_the_limiter) {
  asio::io_context io;
  auto limiter = std::make_unique<rate_limiter>(io, 1ms);
  BOOST_TEST(limiter->try_acquire());
  int passed = 0;
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&]() -> task<> {
      co_await limiter->acquire();
      ++passed;
    });
  poll(io);
  limiter.reset();
  run(io);
  BOOST_TEST(passed == 2);
}

BOOST_AUTO_TEST_CASE(may_be_destroyed_with_its_context) {
  const auto shared = std::make_shared<int>();
  {
    asio::io_context io;
    rate_limiter limiter(io, 24h);
    BOOST_TEST(limiter.try_acquire());
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&limiter, shared]() -> task<> { co_await limiter.acquire(); });
    poll(io);
    BOOST_TEST(shared.use_count() == 4);
  }
  BOOST_TEST(shared.use_count() == 1);
}

// Source: TestLongRunningQPS, TestSimultaneousLongRequests
BOOST_AUTO_TEST_CASE(on_several_threads_and_cancelled_at_random_keeps_to_the_rate) {
  const watchdog dog;
  asio::io_context io;
  rate_limiter limiter(io, 50us, 4);
  std::atomic<std::size_t> passed{0}, cancelled{0};
  const std::size_t n = rounds(100, 60);
  const stopwatch watch;
  for (std::size_t who = 0; who < 8; ++who)
    sluice::go(io, [&, who]() -> task<> {
      random_numbers random(who);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t units = 1 + random.below(3);
        const auto e = co_await error_of(
            sluice::timeout(limiter.acquire(units), std::chrono::microseconds(random.below(2000))));
        if (e)
          ++cancelled;
        else
          passed += units;
      }
    });
  run(io, 3);
  const auto most = 4 + watch.elapsed() / 50us;
  BOOST_TEST(passed <= static_cast<std::size_t>(most));
  BOOST_TEST(passed > 0u);
  BOOST_TEST(cancelled > 0u);
}

// Each that leaves from the front moved all behind it, under the lock of the timers: 46 s.
BOOST_AUTO_TEST_CASE(of_many_who_give_up_in_the_order_in_which_they_came_costs_each_the_same) {
  const watchdog dog;
  asio::io_context io;
  rate_limiter limiter(io, 1h, 1);
  BOOST_TEST(limiter.try_acquire());
  const std::size_t n = rounds(30'000);
  std::size_t gave_up = 0;
  for (std::size_t i = 0; i < n; ++i)
    sluice::go(io, [&]() -> task<> {
      gave_up += (co_await error_of(sluice::timeout(limiter.acquire(), 1ms))) == timed_out;
    });
  const stopwatch watch;
  run(io);
  BOOST_TEST(gave_up == n);
  BOOST_TEST((watch.elapsed() < 20s));
}

// Only the first waits for an instant; those behind the ones that leave move up.
BOOST_AUTO_TEST_CASE(of_those_who_leave_from_the_middle_of_the_line_keeps_nobody_waiting) {
  run_task([]() -> task<> {
    rate_limiter limiter(1ms, 10'000);
    BOOST_TEST(limiter.try_acquire(10'000));
    const stopwatch watch;
    const auto tree = with_cancel(sluice::context::background());
    std::vector<int> order;
    const auto small = [&](int n) -> task<> {
      co_await limiter.acquire();
      order.push_back(n);
    };
    const auto large = [&]() -> task<> {
      static_cast<void>(co_await error_of(limiter.acquire(10'000)));
    };
    sluice::wait_group all;
    all.go(small(1));
    co_await sluice::this_goroutine::yield();
    for (int i = 0; i < 2; ++i) sluice::go(tree.ctx, large());
    co_await sluice::this_goroutine::yield();
    all.go(small(2));
    co_await sluice::this_goroutine::yield();
    tree.cancel();
    co_await small(3);
    co_await all.wait();
    BOOST_TEST(order == (std::vector{1, 2, 3}), per_element());
    BOOST_TEST((watch.elapsed() >= 3ms));
    BOOST_TEST((watch.elapsed() < 9s), "as if nobody had asked for ten thousand");
  });
}

BOOST_AUTO_TEST_SUITE_END()
