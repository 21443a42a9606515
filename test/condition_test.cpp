#include <sluice/condition.hpp>

#include <sluice/context.hpp>
#include <sluice/mutex.hpp>
#include <sluice/shared_mutex.hpp>

#include "sync_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

// Rows of Go's sync/cond_test.go, and what is left of a wait when mutex and condition go.

namespace {

using namespace sluice_test;

struct mutex_and_condition {
  mutex m;
  condition c;
};

/// Waits until it is notified, and notes that; counts those who have the lock at a time.
task<> wait_and_note(mutex_and_condition& on, int n, std::vector<int>& order, int& inside) {
  auto guard = co_await on.m.lock();
  co_await on.c.wait(guard);
  BOOST_TEST(guard.owns_lock());
  BOOST_TEST(++inside == 1);
  order.push_back(n);
  co_await sluice::this_goroutine::yield();
  --inside;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_condition)

BOOST_AUTO_TEST_CASE(is_not_waited_for_with_a_guard_that_holds_nothing) {
  mutex_and_condition on;
  run_task([&]() -> task<> {
    auto guard = co_await on.m.lock();
    guard.unlock();
    bool refused = false;
    try {
      co_await on.c.wait(guard);
    } catch (const std::logic_error&) {
      refused = true;
    }
    BOOST_TEST(refused);
  });
}

BOOST_AUTO_TEST_CASE(wakes_one_or_all_in_the_order_in_which_they_began_to_wait) {
  asio::io_context io;
  mutex_and_condition on;
  std::vector<int> order;
  int inside = 0;
  for (int n = 1; n <= 3; ++n) sluice::go(io, wait_and_note(on, n, order, inside));
  poll(io);
  BOOST_TEST(order.empty());
  on.c.notify_one();
  poll(io);
  BOOST_TEST(order == (std::vector{1}));
  on.c.notify_all();
  run(io);
  BOOST_TEST(order == (std::vector{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(that_goes_with_its_mutex_after_a_notification_lets_all_go_on_in_turn) {
  asio::io_context io;
  auto on = std::make_unique<mutex_and_condition>();
  std::vector<int> order;
  int inside = 0;
  for (int n = 1; n <= 3; ++n) sluice::go(io, wait_and_note(*on, n, order, inside));
  poll(io);
  on->c.notify_all();
  on.reset();
  run(io);
  BOOST_TEST(order == (std::vector{1, 2, 3}));
}

// The one who had the lock when the mutex went keeps those out who come back.
BOOST_AUTO_TEST_CASE(whose_mutex_goes_locked_lets_go_on_when_that_is_unlocked) {
  asio::io_context io;
  auto on = std::make_unique<mutex_and_condition>();
  std::vector<int> order;
  int inside = 0;
  sluice::go(io, wait_and_note(*on, 1, order, inside));
  poll(io);
  auto held = on->m.try_lock();
  cancellable_goroutine parked(io,
                               [&m = on->m]() -> task<> { const auto guard = co_await m.lock(); });
  poll(io);
  on->c.notify_all();
  poll(io);
  on.reset();
  poll(io);
  BOOST_TEST(order.empty());
  held.unlock();
  poll(io);
  BOOST_TEST(order == (std::vector{1}));
  BOOST_TEST(!parked.ended(), "a plain waiter of a mutex that is gone stays parked");
  parked.cancel();
  run(io);
}

BOOST_AUTO_TEST_CASE(that_is_gone_with_its_mutex_does_not_keep_a_cancelled_wait_from_ending) {
  asio::io_context io;
  auto on = std::make_unique<mutex_and_condition>();
  cancellable_goroutine waiter(io, [p = on.get()]() -> task<> {
    auto guard = co_await p->m.lock();
    co_await p->c.wait(guard);
  });
  poll(io);
  on.reset();
  poll(io);
  BOOST_TEST(!waiter.ended());
  waiter.cancel();
  run(io);
  BOOST_TEST(waiter.error() == aborted);
}

BOOST_AUTO_TEST_CASE(takes_a_shared_lock_back_as_what_it_was) {
  asio::io_context io;
  sluice::shared_mutex m;
  condition c;
  int woken = 0;
  for (int n = 0; n < 2; ++n)
    sluice::go(io, [&]() -> task<> {
      auto guard = co_await m.lock_shared();
      co_await c.wait(guard);
      BOOST_TEST(!m.try_lock());
      ++woken;
    });
  poll(io);
  c.notify_all();
  run(io);
  BOOST_TEST(woken == 2);
  BOOST_TEST(static_cast<bool>(m.try_lock()));
}

BOOST_AUTO_TEST_CASE(may_be_destroyed_with_its_context_and_its_mutex_in_any_order) {
  for (const bool context_first : {false, true}) {
    std::optional<asio::io_context> io(std::in_place);
    auto on = std::make_unique<mutex_and_condition>();
    std::vector<int> order;
    int inside = 0;
    for (int n = 1; n <= 3; ++n) sluice::go(*io, wait_and_note(*on, n, order, inside));
    poll(*io);
    on->c.notify_one();
    if (context_first) io.reset();
    on.reset();
    io.reset();
    BOOST_TEST(order.empty());
  }
}

BOOST_AUTO_TEST_SUITE_END()
