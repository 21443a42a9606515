#include <sluice/testing/explore.hpp>

#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/when_all.hpp>

#include "support.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <exception>
#include <map>
#include <set>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// The search for a schedule that fails.

namespace {

using namespace sluice_test;
using sluice::testing::exploration;
using sluice::testing::explore;
using sluice::testing::explore_all;
using sluice::testing::replay;
using sluice::testing::simulation;
using sluice::testing::simulation_failure;
using reason = simulation_failure::reason;

/// What a search fails with.
template <class Search>
simulation_failure failure_of(Search search) {
  try {
    search();
  } catch (const simulation_failure& x) {
    return x;
  }
  throw std::runtime_error("the search has found nothing");
}

/// Two goroutines read a counter and write it, each under a lock, but not under one.
task<> lose_an_update() {
  int counter = 0;
  sluice::mutex m;
  sluice::wait_group both;
  for (int i = 0; i != 2; ++i)
    both.go([&]() -> task<> {
      int seen = 0;
      {
        const auto held = co_await m.lock();
        seen = counter;
      }
      const auto held = co_await m.lock();
      counter = seen + 1;
    });
  co_await both.wait();
  if (counter != 2) throw std::logic_error("an update was lost");
}

/// A wake-up is lost if the flag is set between the look and the wait.
task<> lose_a_wakeup() {
  bool flag = false;
  const auto wake = sluice::make_channel<int>();
  sluice::wait_group both;
  both.go([&]() -> task<> {
    if (flag) co_return;
    co_await sluice::this_goroutine::yield();
    static_cast<void>(co_await wake.receive());
  });
  both.go([&]() -> task<> {
    flag = true;
    sluice::error_code nobody_waits;
    static_cast<void>(wake.try_send(1, nobody_waits));
    co_return;
  });
  co_await both.wait();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_search)

BOOST_AUTO_TEST_CASE(finds_a_lost_update_by_seeds_and_by_schedules) {
  for (const auto& found : {failure_of([] { explore(lose_an_update); }),
                            failure_of([] { explore_all(lose_an_update); })}) {
    BOOST_TEST((found.why() == reason::exception));
    BOOST_TEST(contains(found.what(), "an update was lost"));
    BOOST_TEST(contains(found.what(), "until it was interrupted"));
    BOOST_TEST(contains(found.what(), "explore_test.cpp:"));
  }
}

BOOST_AUTO_TEST_CASE(nests_the_exception_that_it_found) {
  try {
    explore(lose_an_update);
    BOOST_ERROR("nothing was found");
  } catch (const std::exception& x) {
    BOOST_CHECK_THROW(std::rethrow_if_nested(x), std::logic_error);
  }
}

BOOST_AUTO_TEST_CASE(finds_a_lost_wakeup) {
  BOOST_TEST((failure_of([] { explore(lose_a_wakeup); }).why() == reason::deadlock));
  BOOST_TEST((failure_of([] { explore_all(lose_a_wakeup); }).why() == reason::deadlock));
}

BOOST_AUTO_TEST_CASE(shows_what_seeds_and_decisions_show_again) {
  const auto here = std::source_location::current();
  const simulation_failure found = failure_of([&] { explore(lose_an_update, here); });
  const std::string text = found.what();
  const std::string again =
      failure_of([&] { replay(found.decisions(), lose_an_update, here); }).what();
  BOOST_TEST(again.substr(0, again.find("\nSeen again")) ==
             text.substr(0, text.find("\nFound by")));

  const std::string before = "{.first_seed = ";
  const auto at = text.find(before) + before.size();
  const std::string seed = text.substr(at, text.find(',', at) - at);
  const auto same =
      failure_of([&] { explore({.first_seed = std::stoull(seed), .seeds = 1}, lose_an_update); });
  BOOST_TEST(same.decisions() == found.decisions());

  BOOST_REQUIRE(::setenv("SLUICE_SIMULATION_SEED", seed.c_str(), 1) == 0);
  const auto of_environment = failure_of([&] { explore(lose_an_update); });
  BOOST_REQUIRE(::setenv("SLUICE_SIMULATION_SEED", "one", 1) == 0);
  BOOST_CHECK_THROW(explore(lose_an_update), std::invalid_argument);
  BOOST_REQUIRE(::unsetenv("SLUICE_SIMULATION_SEED") == 0);
  BOOST_TEST(of_environment.decisions() == found.decisions());
}

BOOST_AUTO_TEST_CASE(shortens_what_it_shows) {
  const auto body = []() -> task<> {
    // Much that has nothing to do with the fault, and much to be decided.
    sluice::wait_group all;
    const auto c = sluice::make_channel<int>(1);
    for (int i = 0; i != 4; ++i)
      all.go([&, i]() -> task<> {
        for (int j = 0; j != 10; ++j) {
          co_await c.send(i);
          static_cast<void>(co_await c.receive());
        }
      });
    all.go([]() -> task<> { co_await lose_an_update(); });
    co_await all.wait();
  };
  const auto found = failure_of([&] { explore(body); });
  const auto not_zero = [](const std::string& decisions) {
    std::size_t n = 0;
    std::size_t at = 0;
    while (at < decisions.size()) {
      const auto end = std::min(decisions.find('.', at), decisions.size());
      n += decisions.substr(at, end - at) != "0";
      at = end + 1;
    }
    return n;
  };
  BOOST_TEST(not_zero(found.decisions()) <= 8U);
}

BOOST_AUTO_TEST_CASE(refuses_decisions_that_are_none) {
  for (const char* none : {"", "1.x", "1", "x/1", "1/", "1/2.", "1/2/3"}) {
    if (std::string(none) == "1") continue;  // a seed, and nothing decided
    BOOST_CHECK_THROW(replay(none, lose_an_update), std::invalid_argument);
  }
  BOOST_CHECK_NO_THROW(replay("0", [] { return 1; }));
}

BOOST_AUTO_TEST_CASE(shows_a_body_again_that_asks_for_its_seed) {
  const auto body = [](simulation& sim) -> task<> {
    co_await sluice::this_goroutine::yield();
    if (sim.seed() == 9) throw std::logic_error("the ninth");
  };
  const auto found = failure_of([&] { explore(body); });
  BOOST_TEST((failure_of([&] { replay(found.decisions(), body); }).why() == reason::exception));
}

BOOST_AUTO_TEST_CASE(ends_for_one_that_waits_for_another_without_a_wait) {
  const auto spin = [](bool fails) -> task<> {
    bool flag = false;
    sluice::mutex m;
    sluice::go([&]() -> task<> {
      flag = true;
      co_return;
    });
    while (!flag) static_cast<void>(co_await m.lock());
    if (fails) throw std::logic_error("behind it");
  };
  BOOST_TEST(explore_all({.preemptions = 0}, [&] { return spin(false); }).complete);
  BOOST_TEST(
      contains(failure_of([&] { explore([&] { return spin(true); }); }).what(), "behind it"));
}

BOOST_AUTO_TEST_CASE(tries_the_children_of_when_all_in_every_order) {
  std::set<std::string> orders;
  const auto body = [&]() -> task<> {
    std::string order;
    const auto child = [&](char name) -> task<> {
      order += name;
      co_return;
    };
    co_await sluice::when_all(child('a'), child('b'), child('c'));
    orders.insert(order);
  };
  BOOST_TEST(explore_all(body).complete);
  BOOST_TEST(orders.size() == 6U);
}

BOOST_AUTO_TEST_CASE(gives_the_body_its_simulation) {
  const exploration done = explore({.seeds = 10}, [](simulation& sim) -> task<> {
    const auto begin = sim.now();
    co_await sluice::sleep_for(1s);
    if (sim.now() - begin != 1s) throw std::logic_error("another time");
  });
  BOOST_TEST(done.schedules == 10U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_search_of_all_schedules)

BOOST_AUTO_TEST_CASE(tries_each_order_once) {
  std::map<std::string, int> orders;
  const auto body = [&]() -> task<> {
    std::string order;
    sluice::wait_group all;
    for (const char name : {'a', 'b', 'c', 'd'})
      all.go([&order, name]() -> task<> {
        order += name;
        co_return;
      });
    co_await all.wait();
    ++orders[order];
  };
  const exploration done = explore_all({.preemptions = 0}, body);
  BOOST_TEST(done.complete);
  BOOST_TEST(done.schedules == 24U);
  BOOST_TEST(orders.size() == 24U);
  for (const auto& [order, times] : orders) BOOST_TEST(times == 1);
}

BOOST_AUTO_TEST_CASE(needs_a_preemption_for_what_needs_one) {
  BOOST_TEST(explore_all({.preemptions = 0}, lose_an_update).complete);
  BOOST_TEST((failure_of([] { explore_all({.preemptions = 1}, lose_an_update); }).why() ==
              reason::exception));
}

BOOST_AUTO_TEST_CASE(tries_each_case_of_a_select_and_each_order_of_deadlines) {
  std::set<std::string> seen;
  const auto body = [&]() -> task<> {
    const auto a = sluice::make_channel<int>(1);
    const auto b = sluice::make_channel<int>(1);
    co_await a.send(1);
    co_await b.send(2);
    std::string way;
    auto of_a = [&](std::optional<int>) { way += 'a'; };
    auto of_b = [&](std::optional<int>) { way += 'b'; };
    co_await sluice::select(sluice::on(a.receive(), of_a), sluice::on(b.receive(), of_b));
    sluice::wait_group all;
    for (const char name : {'x', 'y'})
      all.go([&way, name]() -> task<> {
        co_await sluice::sleep_for(1s);
        way += name;
      });
    co_await all.wait();
    seen.insert(way);
  };
  BOOST_TEST(explore_all({.preemptions = 0}, body).complete);
  BOOST_TEST(seen == std::set<std::string>({"axy", "ayx", "bxy", "byx"}));
}

BOOST_AUTO_TEST_CASE(says_that_it_has_given_up) {
  const exploration done = explore_all({.preemptions = 2, .most_schedules = 3}, [] {
    return []() -> task<> {
      sluice::wait_group all;
      for (int i = 0; i != 4; ++i) all.go([]() -> task<> { co_return; });
      co_await all.wait();
    }();
  });
  BOOST_TEST(!done.complete);
  BOOST_TEST(done.schedules == 3U);
}

BOOST_AUTO_TEST_SUITE_END()
