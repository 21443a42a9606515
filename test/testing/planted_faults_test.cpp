#include <sluice/testing.hpp>

#include <sluice/channel.hpp>
#include <sluice/condition.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/once.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"
#include "testing/planted.hpp"
#include "testing/search.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Faults that were planted are found, each within 10,000 schedules; the same programs without them
// are right in as many.

namespace {

using namespace sluice_test;
using sluice::testing::simulation;

/// Two senders, two receivers, and a close when the senders are through: nothing may be lost.
task<> hand_over(fault planted) {
  planted_channel c(1, planted);
  sluice::wait_group senders;
  sluice::wait_group receivers;
  int sum = 0;
  for (int i = 1; i != 3; ++i)
    senders.go([&c, i]() -> task<> {
      co_await c.send(i);
      co_await c.send(10 * i);
    });
  for (int i = 0; i != 2; ++i)
    receivers.go([&]() -> task<> {
      while (const auto v = co_await c.receive()) sum += *v;
    });
  co_await senders.wait();
  co_await c.close();
  co_await receivers.wait();
  if (sum != 33) throw std::logic_error("the values add up to " + std::to_string(sum));
  if (c.received() != 4) throw std::logic_error(std::to_string(c.received()) + " were counted");
}

/// A select of two receives by two goroutines, each of which takes a value and then claims.
task<> select_that_moves_before_it_claims(simulation&, bool planted) {
  const auto a = sluice::make_channel<int>(1);
  const auto b = sluice::make_channel<int>(1);
  co_await a.send(1);
  co_await b.send(2);
  std::optional<int> winner;
  sluice::mutex claim;
  sluice::wait_group both;
  for (const auto& c : {a, b})
    both.go([&, c]() -> task<> {
      if (planted) {
        const auto value = co_await c.receive();
        const auto held = co_await claim.lock();
        if (!winner) winner = *value;
      } else {
        const auto held = co_await claim.lock();
        if (winner) co_return;
        winner = *co_await c.receive();
      }
    });
  co_await both.wait();
  if (a.size() + b.size() != 1) throw std::logic_error("the loser's value is lost");
}

/// One of two cells always has the token: who looks at one and then at the other sees neither.
task<> otherwise_case_by_case(simulation&, bool planted) {
  bool in_a = true;
  bool in_b = false;
  sluice::mutex lock_of_a;
  sluice::mutex lock_of_b;
  sluice::wait_group both;
  both.go([&]() -> task<> {
    for (int i = 0; i != 3; ++i) {
      const auto held_a = co_await lock_of_a.lock();
      const auto held_b = co_await lock_of_b.lock();
      std::swap(in_a, in_b);
    }
  });
  both.go([&]() -> task<> {
    for (int i = 0; i != 3; ++i) {
      bool seen = false;
      {
        auto held_a = co_await lock_of_a.lock();
        seen = in_a;
        if (planted) held_a.unlock();
        const auto held_b = co_await lock_of_b.lock();
        seen |= in_b;
      }
      if (!seen) throw std::logic_error("otherwise, and yet a case was always ready");
    }
  });
  co_await both.wait();
}

/// A deadline that is looked at before the work is done, and not behind it.
task<> late_result(simulation&, bool planted) {
  std::optional<int> result;
  bool timed_out = false;
  sluice::wait_group both;
  both.go([&]() -> task<> {
    co_await sluice::sleep_for(1s);
    if (planted || !timed_out) result = 1;
  });
  both.go([&]() -> task<> {
    co_await sluice::sleep_for(1s);
    if (!result) timed_out = true;
  });
  co_await both.wait();
  if (result && timed_out) throw std::logic_error("a result, and a timeout as well");
}

/// Two locks in two orders.
task<> dining(simulation&, bool planted) {
  sluice::mutex left;
  sluice::mutex right;
  sluice::wait_group both;
  both.go([&]() -> task<> {
    const auto first = co_await left.lock();
    const auto second = co_await right.lock();
  });
  both.go([&]() -> task<> {
    const auto first = co_await (planted ? right : left).lock();
    const auto second = co_await (planted ? left : right).lock();
  });
  co_await both.wait();
}

/// A flag that says "initialised" before it is.
task<> initialised_twice(simulation&, bool planted) {
  int runs = 0;
  bool done = false;
  sluice::once once;
  const auto initialise = [&]() -> task<> {
    co_await sluice::this_goroutine::yield();
    ++runs;
  };
  sluice::wait_group all;
  for (int i = 0; i != 3; ++i)
    all.go([&]() -> task<> {
      if (!planted) {
        co_await once.call(initialise);
      } else if (!done) {
        co_await initialise();
        done = true;
      }
    });
  co_await all.wait();
  if (runs != 1) throw std::logic_error("initialised " + std::to_string(runs) + " times");
}

const std::vector<named_program> programs{
    {"a lost wake-up",
     [](simulation&, bool p) { return hand_over(p ? fault::lost_wakeup : fault::none); }},
    {"a close before what is in it",
     [](simulation&, bool p) { return hand_over(p ? fault::close_before_drain : fault::none); }},
    {"one woken for several",
     [](simulation&, bool p) { return hand_over(p ? fault::woken_once : fault::none); }},
    {"a count outside the lock",
     [](simulation&, bool p) { return hand_over(p ? fault::counted_outside : fault::none); }},
    {"a value moved before the claim", &select_that_moves_before_it_claims},
    {"otherwise case by case", &otherwise_case_by_case},
    {"a result beside a timeout", &late_result},
    {"two locks in two orders", &dining},
    {"initialised twice", &initialised_twice},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_planted_fault)

BOOST_DATA_TEST_CASE(is_found, boost::unit_test::data::make(programs), p) {
  BOOST_TEST(search_finds(p.run));
}

BOOST_DATA_TEST_CASE(is_not_found_where_there_is_none, boost::unit_test::data::make(programs), p) {
  try_seeds(rounds(2000), p.run, false);
}

BOOST_AUTO_TEST_SUITE_END()
