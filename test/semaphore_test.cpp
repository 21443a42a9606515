#include <sluice/semaphore.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "sync_helpers.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Rows of semaphore_test.go of golang.org/x/sync, and cancelled waiters: golang/go#37852.

namespace {

using namespace sluice_test;

static_assert(!std::is_copy_constructible_v<semaphore> && !std::is_move_constructible_v<semaphore>);
static_assert(!std::is_copy_constructible_v<semaphore::permit>);
static_assert(std::is_nothrow_move_constructible_v<semaphore::permit> &&
              std::is_nothrow_move_assignable_v<semaphore::permit>);

/// Notes `n` when it has acquired so many units, and keeps them until the channel is closed.
task<> hold(semaphore& s, std::size_t units, int n, std::vector<int>& order,
            sluice::channel<void> until) {
  const auto p = co_await s.acquire(units);
  order.push_back(n);
  static_cast<void>(co_await until.receive());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_permit)

// Source: TestWeightedTryAcquire
BOOST_AUTO_TEST_CASE(gives_its_units_back_when_it_is_destroyed_assigned_to_or_released) {
  semaphore s(2);
  BOOST_TEST(s.capacity() == 2u);
  auto a = s.try_acquire();
  auto b = s.try_acquire();
  BOOST_TEST(a.count() == 1u);
  BOOST_TEST(!s.try_acquire());
  a = std::move(b);
  BOOST_TEST(static_cast<bool>(a));
  BOOST_TEST(!b);
  BOOST_TEST(b.count() == 0u);
  {
    const auto c = s.try_acquire();
    BOOST_TEST(static_cast<bool>(c));
    BOOST_TEST(!s.try_acquire());
  }
  a.release();
  const auto both = s.try_acquire(2);
  BOOST_TEST(both.count() == 2u);
}

// Source: TestWeightedPanic: releasing what was not acquired
BOOST_AUTO_TEST_CASE(that_holds_nothing_cannot_be_released) {
  semaphore s(1);
  semaphore::permit none;
  BOOST_CHECK_THROW(none.release(), std::logic_error);
  BOOST_CHECK_THROW(none.detach(), std::logic_error);
  BOOST_CHECK_THROW(s.release(), std::logic_error);
  auto p = s.try_acquire();
  BOOST_CHECK_THROW(s.release(), std::logic_error);
  p.release();
  BOOST_CHECK_THROW(p.release(), std::logic_error);
  BOOST_TEST(static_cast<bool>(s.try_acquire()));
}

BOOST_AUTO_TEST_CASE(that_is_detached_is_given_back_by_hand) {
  semaphore s(3);
  auto p = s.try_acquire(2);
  p.detach();
  BOOST_TEST(!p);
  BOOST_TEST(!s.try_acquire(2));
  s.release();
  BOOST_TEST(s.try_acquire(2).count() == 2u);
  BOOST_CHECK_THROW(s.release(2), std::logic_error);
  s.release();
  BOOST_TEST(s.try_acquire(3).count() == 3u);
}

BOOST_AUTO_TEST_CASE(may_outlive_the_semaphore) {
  auto s = std::make_unique<semaphore>(1u);
  auto p = s->try_acquire();
  s.reset();
  p.release();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(acquiring)

// Source: TestLargeAcquireDoesntStarve, TestWeightedDoesntBlockIfTooBig
BOOST_AUTO_TEST_CASE(is_first_come_first_served_whatever_the_weight) {
  asio::io_context io;
  semaphore s(3);
  const auto until = sluice::make_channel<void>(io);
  std::vector<int> order;
  auto held = s.try_acquire(2);
  sluice::go(io, hold(s, 3, 1, order, until));
  poll(io);
  sluice::go(io, hold(s, 1, 2, order, until));
  poll(io);
  BOOST_TEST(order.empty(), "a unit is free, but the first wants three");
  BOOST_TEST(!s.try_acquire(), "nobody barges");
  held.release();
  poll(io);
  const std::vector<int> first{1};
  BOOST_TEST(order == first, per_element());
  until.close();
  run(io);
  const std::vector<int> both{1, 2};
  BOOST_TEST(order == both, per_element());
}

// Source: TestLargeAcquireDoesntStarve
BOOST_AUTO_TEST_CASE(of_all_units_is_not_starved_by_small_ones) {
  const watchdog dog;
  run_in_virtual_time([]() -> task<> {
    constexpr std::size_t n = 10;
    semaphore s(n);
    bool stop = false;
    sluice::wait_group small;
    for (std::size_t i = 0; i < n; ++i)
      small.go([&]() -> task<> {
        while (!stop) {
          const auto p = co_await s.acquire();
          co_await sluice::sleep_for(1us);
        }
      });
    co_await sluice::sleep_for(1us);
    auto all = co_await s.acquire(n);
    BOOST_TEST(all.count() == n);
    stop = true;
    all.release();
    co_await small.wait();
  });
}

// Source: TestWeightedDoesntBlockIfTooBig
BOOST_AUTO_TEST_CASE(more_than_there_are_holds_up_nobody_and_ends_when_it_is_cancelled) {
  asio::io_context io;
  semaphore s(2);
  const auto tree = with_cancel(sluice::context::background());
  std::optional<error_code> impossible;
  const auto most = std::numeric_limits<std::size_t>::max();
  sluice::go(tree.ctx, io, [&]() -> task<> { impossible = co_await error_of(s.acquire(3)); });
  poll(io);
  BOOST_TEST(!s.try_acquire(3));
  BOOST_TEST(!s.try_acquire(most));
  bool passed = false;
  sluice::go(io, [&]() -> task<> {
    const auto p = co_await s.acquire(2);
    passed = true;
  });
  poll(io);
  BOOST_TEST(passed);
  BOOST_TEST(!impossible);
  tree.cancel();
  run(io);
  BOOST_TEST(impossible.value() == aborted);
}

// Source: TestWeightedAcquire: with a timeout
BOOST_AUTO_TEST_CASE(may_be_given_up_after_a_time) {
  run_in_virtual_time([]() -> task<> {
    semaphore s(2);
    auto first = co_await s.acquire(1);
    const auto second = co_await s.acquire(1);
    const auto e = co_await error_of(sluice::timeout(s.acquire(), 1ms));
    BOOST_TEST(e == timed_out);
    first.release();
    const auto third = co_await sluice::timeout(s.acquire(), 1h);
    BOOST_TEST(static_cast<bool>(third));
  });
}

// Source: golang/go#63615: a done context comes before free units
BOOST_AUTO_TEST_CASE(in_a_context_that_is_done_fails_even_if_there_are_units) {
  asio::io_context io;
  semaphore s(1);
  const auto tree = with_cancel(sluice::context::background());
  tree.cancel();
  std::optional<error_code> e;
  sluice::go(tree.ctx, io, [&]() -> task<> { e = co_await error_of(s.acquire()); });
  run(io);
  BOOST_TEST(e.value() == aborted);
  BOOST_TEST(static_cast<bool>(s.try_acquire()));
}

// Source: TestAllocCancelDoesntStarve
BOOST_AUTO_TEST_CASE(of_many_that_is_cancelled_lets_in_those_behind) {
  for (const bool by_select : {false, true}) {
    asio::io_context io;
    semaphore s(10);
    const auto until = sluice::make_channel<void>(io);
    const auto give_up = sluice::make_channel<void>(io);
    std::vector<int> order;
    const auto held = s.try_acquire(1);
    const auto tree = with_cancel(sluice::context::background());
    sluice::go(tree.ctx, io, [&]() -> task<> {
      try {
        co_await sluice::select(s.acquire(10), give_up.receive());
      } catch (const sluice::system_error&) {
      }
    });
    poll(io);
    for (int i = 0; i < 3; ++i) sluice::go(io, hold(s, 3, i, order, until));
    poll(io);
    BOOST_TEST(order.empty());
    if (by_select)
      give_up.close();
    else
      tree.cancel();
    poll(io);
    const std::vector<int> expected{0, 1, 2};
    BOOST_TEST(order == expected, per_element());
    until.close();
    run(io);
    BOOST_TEST(s.try_acquire(9).count() == 9u);
  }
}

BOOST_AUTO_TEST_CASE(works_with_handlers_and_futures) {
  asio::io_context io;
  semaphore s(2);
  std::future<semaphore::permit> future = s.acquire()(asio::use_future);
  auto from_future = future.get();
  std::vector<std::size_t> counts;
  const auto tell = [&](error_code e, semaphore::permit p) {
    if (!e) counts.push_back(p.count());
  };
  s.acquire(2)(asio::bind_executor(io, tell));
  s.acquire(1)(asio::bind_executor(io, tell));
  poll(io);
  BOOST_TEST(counts.empty());
  from_future.release();
  run(io);
  const std::vector<std::size_t> expected{2, 1};
  BOOST_TEST(counts == expected, per_element());
  BOOST_TEST(s.try_acquire(2).count() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(on_several_threads)

// Source: TestWeighted: a hammer
BOOST_AUTO_TEST_CASE(no_more_units_are_out_than_there_are) {
  const watchdog dog;
  asio::io_context io;
  constexpr std::size_t capacity = 7;
  semaphore s(capacity);
  std::atomic<std::size_t> out{0}, over{0}, acquired{0};
  const std::size_t n = rounds(1000, 300);
  for (std::size_t who = 0; who < 12; ++who)
    sluice::go(io, [&, who]() -> task<> {
      random_numbers random(who);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t units = 1 + random.below(capacity);
        semaphore::permit p;
        switch (random.below(3)) {
          case 0:
            p = s.try_acquire(units);
            break;
          case 1:
            try {
              p = co_await sluice::timeout(s.acquire(units),
                                           std::chrono::microseconds(random.below(50)));
            } catch (const sluice::system_error&) {
            }
            break;
          default:
            p = co_await s.acquire(units);
        }
        if (!p) continue;
        ++acquired;
        if ((out += units) > capacity) ++over;
        random.pause();
        out -= units;
      }
    });
  run(io, 3);
  BOOST_TEST(over == 0u);
  BOOST_TEST(out == 0u);
  BOOST_TEST(acquired >= 4 * n);
  BOOST_TEST(s.try_acquire(capacity).count() == capacity);
}

// Source: golang/go#63615: one that is cancelled while it is given units gives them back
BOOST_AUTO_TEST_CASE(a_unit_is_not_lost_when_its_waiter_is_cancelled_while_it_is_chosen) {
  const watchdog dog;
  running_context where(1);
  std::optional<sluice::cancellable_context> tree;
  semaphore s(1);
  semaphore::permit held;
  std::atomic<bool> ended{false};
  std::size_t lost = 0;
  duel::fight(
      rounds(4000, 1000),
      [&] {
        held = s.try_acquire();
        if (!held) ++lost;
        tree.emplace(with_cancel(sluice::context::background()));
        ended = false;
        sluice::go(tree->ctx, where.io, [&]() -> task<> {
          {
            static_cast<void>(co_await error_of(s.acquire()));
          }
          ended = true;
        });
      },
      [&] { held = {}; }, [&] { tree->cancel(); },
      [&] {
        while (!ended) std::this_thread::yield();
      });
  where.join();
  BOOST_TEST(lost == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
