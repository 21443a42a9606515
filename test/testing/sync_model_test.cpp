// What goroutines wait for each other with, in small programs of a seed that a simulation runs by
// the same seed, against what a sequential program would keep count of. Each program with one fault
// in it is refused.

#include <sluice/condition.hpp>
#include <sluice/context.hpp>
#include <sluice/mutex.hpp>
#include <sluice/once.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/singleflight.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"
#include "testing/actors.hpp"
#include "testing/search.hpp"
#include "time_helpers.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using sluice::testing::simulation;

/// Acquires by one of the ways that there are; what it returns holds nothing if it did not.
template <class Acquire, class Try>
auto acquire(random_numbers& random, Acquire operation, Try attempt) -> task<decltype(attempt())> {
  using guard = decltype(attempt());
  const auto limit = std::chrono::milliseconds(random.below(3));
  switch (random.below(4)) {
    case 0:
      co_return attempt();
    case 1:
      try {
        co_return co_await sluice::timeout(operation(), limit);
      } catch (...) {
        if (given_up() != asio::error::timed_out) throw;
        co_return guard();
      }
    case 2: {
      guard got;
      const auto keep = [&got](guard g) { got = std::move(g); };
      const auto nothing = [] {};
      co_await sluice::select(sluice::on(operation(), keep),
                              sluice::on(sluice::sleep_for(limit), nothing));
      co_return got;
    }
    default:
      co_return co_await operation();
  }
}

/// One inside a mutex; one writer or several readers; no more permits than there are. In the end
/// all is free.
task<> guards(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  const std::size_t capacity = 1 + random.below(3);
  sluice::mutex m;
  sluice::shared_mutex s;
  sluice::semaphore permits(capacity);
  int locked = 0;
  int readers = 0;
  int writers = 0;
  std::size_t used = 0;
  const auto in_mutex = [&]() -> task<> {
    auto held = co_await acquire(random, [&] { return m.lock(); }, [&] { return m.try_lock(); });
    if (!held.owns_lock()) co_return;
    if (planted) held.unlock();
    const one_inside here(locked);
    if (locked != 1) refuse("two have locked a mutex");
    co_await do_nothing_for_a_while(random);
  };
  const auto reading = [&]() -> task<> {
    const auto held = co_await acquire(
        random, [&] { return s.lock_shared(); }, [&] { return s.try_lock_shared(); });
    if (!held.owns_lock()) co_return;
    const one_inside here(readers);
    if (writers != 0) refuse("somebody reads what is written");
    co_await do_nothing_for_a_while(random);
  };
  const auto writing = [&]() -> task<> {
    const auto held =
        co_await acquire(random, [&] { return s.lock(); }, [&] { return s.try_lock(); });
    if (!held.owns_lock()) co_return;
    const one_inside here(writers);
    if (writers != 1 || readers != 0) refuse("a writer is not alone");
    co_await do_nothing_for_a_while(random);
  };
  const auto with_permits = [&]() -> task<> {
    const std::size_t n = 1 + random.below(capacity);
    const auto held = co_await acquire(
        random, [&] { return permits.acquire(n); }, [&] { return permits.try_acquire(n); });
    if (!held) co_return;
    if (held.count() != n) refuse("a permit is not of what was asked for");
    const one_inside here(used, n);
    if (used > capacity) refuse("more permits are used than there are");
    co_await do_nothing_for_a_while(random);
  };
  const std::function<task<>()> act = [&]() -> task<> {
    switch (random.below(4)) {
      case 0:
        return in_mutex();
      case 1:
        return reading();
      case 2:
        return writing();
      default:
        return with_permits();
    }
  };
  co_await run_actors(random, false, act);
  if (!m.try_lock().owns_lock()) refuse("a mutex has stayed locked");
  if (!s.try_lock().owns_lock()) refuse("a shared mutex has stayed locked");
  if (!permits.try_acquire(capacity)) refuse("a permit is lost");
}

/// A queue of a mutex and a condition for each end: every value comes once, in order, and nobody
/// waits for what is there, whoever is cancelled.
task<> conditions(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  sluice::mutex m;
  sluice::condition has_value;
  sluice::condition has_room;
  std::deque<int> values;
  int sent = 0;
  int received = 0;
  int receivers_waiting = 0;
  const auto send = [&]() -> task<> {
    auto held = co_await m.lock();
    while (values.size() == 2) co_await has_room.wait(held);
    values.push_back(++sent);
    has_value.notify_one();
  };
  const auto receive = [&]() -> task<> {
    auto held = co_await m.lock();
    {
      const one_inside here(receivers_waiting);
      while (values.empty()) co_await has_value.wait(held);
      if (planted && random.below(3) == 0) co_return;  // and does not pass it on
    }
    if (values.front() != ++received) refuse("values do not come in order");
    values.pop_front();
    has_room.notify_one();
  };
  // By then nobody runs who would still wake somebody.
  bool missed = false;
  wait_group looking;
  looking.add();
  const auto look = [&]() -> task<> {
    co_await sluice::sleep_for(500ms);
    co_await sluice::testing::settle();
    missed = receivers_waiting > 0 && !values.empty();
    looking.done();
  };
  sluice::go(look);
  const std::function<task<>()> act = [&]() -> task<> {
    co_await do_nothing_for_a_while(random);
    auto step = random.below(2) == 0 ? send() : receive();
    co_await std::move(step);
  };
  co_await run_actors(random, true, act);
  co_await looking.wait();
  if (missed) refuse("somebody waits for a value that is there");
  if (sent != received + static_cast<int>(values.size())) refuse("a value is lost");
}

/// Who waits for a group goes on when those have ended that were there when he came.
task<> wait_groups(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  wait_group group;
  std::vector<bool> ended;
  bool too_early = false;
  const auto member = [&](std::size_t number) -> task<> {
    if (planted) group.done();
    co_await do_nothing_for_a_while(random);
    ended[number] = true;
    if (!planted) group.done();
  };
  const std::function<task<>()> act = [&]() -> task<> {
    if (random.below(2) == 0) {
      group.add();
      sluice::go(member, ended.size());
      ended.push_back(false);
      co_return;
    }
    const auto there = static_cast<std::ptrdiff_t>(ended.size());
    co_await group.wait();
    too_early |= std::find(ended.begin(), ended.begin() + there, false) != ended.begin() + there;
  };
  co_await run_actors(random, true, act);
  co_await group.wait();
  co_await sluice::testing::advance(1s);  // of a fault, members go on
  if (too_early) refuse("a group is waited for, and a member goes on");
}

/// One is in the function at a time, and nobody after it has been done.
task<> onces(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  sluice::once once;
  const bool fails = random.below(3) == 0;
  int inside = 0;
  bool done = false;
  const auto f = [&]() -> task<> {
    const one_inside here(inside);
    if (inside != 1) refuse("two initialise at the same time");
    if (done) refuse("it is initialised again");
    co_await do_nothing_for_a_while(random);
    done = true;
    if (fails) throw std::runtime_error("it fails");
  };
  const std::function<task<>()> act = [&]() -> task<> {
    sluice::once own;
    try {
      sluice::once& asked = planted ? own : once;
      co_await asked.call(f);
      if (!done || fails) refuse("a call has returned before it was done");
    } catch (const std::runtime_error& e) {
      if (dynamic_cast<const sluice::system_error*>(&e)) throw;
      if (!fails || !done) throw;
    }
  };
  co_await run_actors(random, false, act);
}

/// When a group is left nothing of it runs; its error is the first, or all of them.
task<> task_groups(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  const auto policy = random.below(2) == 0 ? group_errors::first : group_errors::all;
  const std::size_t limit = random.below(3);
  int running = 0;
  std::vector<std::string> thrown;
  const auto child = [&](std::string name) -> task<> {
    const one_inside here(running);
    if (limit != 0 && !planted && running > static_cast<int>(limit))
      refuse("more of a group run than may");
    co_await do_nothing_for_a_while(random);
    if (random.below(3) == 0) {
      thrown.push_back(name);
      throw std::runtime_error(name);
    }
  };
  const auto stray = [&](std::string name) -> task<> {
    try {
      co_await child(std::move(name));
    } catch (const std::runtime_error&) {
      // Nobody is told.
    }
  };
  const auto body = [&](task_group& g) -> task<> {
    if (limit != 0) g.set_limit(limit);
    for (std::size_t i = 1 + random.below(4); i != 0; --i) {
      if (planted)
        sluice::go(stray, std::to_string(i));
      else
        g.go(child, std::to_string(i));
      co_await do_nothing_for_a_while(random);
    }
  };
  std::string first;
  std::size_t errors = 0;
  try {
    co_await sluice::with_task_group(sluice::context::background(), body, policy);
  } catch (const sluice::task_group_error& e) {
    errors = e.errors().size();
  } catch (const std::runtime_error& e) {
    first = e.what();
  }
  const bool one_runs = running != 0;
  const bool right = policy == group_errors::all ? errors == thrown.size()
                                                 : first == (thrown.empty() ? "" : thrown.front());
  co_await sluice::testing::advance(1s);  // of a fault, members go on
  if (one_runs) refuse("a group is left while one of it runs");
  if (!right) refuse("a group does not say what has failed");
}

/// Under a key one function runs at a time, and who calls gets what it gave while he waited.
task<> flights(simulation& sim, bool planted) {
  struct flight {
    int begin = 0;
    int end = 0;
    int receivers = 0;
  };
  random_numbers random(sim.seed());
  sluice::singleflight<int, std::size_t> shared;
  std::map<int, int> running;
  std::vector<flight> all;
  int now = 0;
  const std::function<task<>()> act = [&]() -> task<> {
    const int key = static_cast<int>(random.below(2));
    const auto f = [&, key]() -> task<std::size_t> {
      const one_inside here(running[key]);
      if (running[key] != 1) refuse("two do the same at the same time");
      const std::size_t number = all.size();
      all.emplace_back().begin = ++now;
      co_await do_nothing_for_a_while(random);
      all[number].end = ++now;
      co_return number;
    };
    const int begin = ++now;
    std::size_t number = 0;
    if (planted) {
      number = co_await f();
    } else {
      const auto result = co_await shared.call(key, f);
      number = result.value();
      if (!result.shared() && all[number].receivers++ != 0)
        refuse("who shares a result is not told so");
    }
    if (all[number].end == 0 || all[number].end < begin) refuse("a result is from before the call");
  };
  co_await run_actors(random, false, act);
  co_await sluice::testing::advance(1s);  // functions go on without their callers
}

/// In no time more is let through than the bucket holds and gets; and no less, if nobody gives up.
task<> rates(simulation& sim, bool planted) {
  constexpr auto interval = 10ms;
  random_numbers random(sim.seed());
  const std::size_t burst = 1 + random.below(3);
  sluice::rate_limiter limiter(interval, burst + planted);
  struct grant {
    clock::time_point at;
    std::size_t n;
  };
  std::vector<grant> all;
  const auto start = sluice::now();
  if (random.below(2) == 0) {
    std::size_t units = 0;
    wait_group waiting;
    const auto take = [&](std::size_t n) -> task<> {
      co_await limiter.acquire(n);
      all.push_back({sluice::now(), n});
      waiting.done();
    };
    for (std::size_t i = 2 + random.below(4); i != 0; --i) {
      const std::size_t n = 1 + random.below(burst);
      units += n;
      waiting.add();
      sluice::go(take, n);
    }
    co_await waiting.wait();
    const auto behind = static_cast<std::ptrdiff_t>(units) - static_cast<std::ptrdiff_t>(burst);
    if (sluice::now() - start != std::max<std::ptrdiff_t>(behind, 0) * interval)
      refuse("the last is let through at another time than its own");
  } else {
    const std::function<task<>()> act = [&]() -> task<> {
      const std::size_t n = 1 + random.below(burst);
      co_await do_nothing_for_a_while(random);
      if (random.below(3) == 0) {
        if (!limiter.try_acquire(n)) co_return;
      } else {
        co_await limiter.acquire(n);
      }
      all.push_back({sluice::now(), n});
    };
    co_await run_actors(random, false, act);
  }
  std::sort(all.begin(), all.end(), [](const grant& a, const grant& b) { return a.at < b.at; });
  for (auto first = all.begin(); first != all.end(); ++first) {
    std::size_t units = 0;
    for (auto last = first; last != all.end(); ++last) {
      units += last->n;
      if (static_cast<std::ptrdiff_t>(units) * interval >
          static_cast<std::ptrdiff_t>(burst) * interval + (last->at - first->at))
        refuse("more is let through than the bucket has");
    }
  }
}

const std::vector<named_program> programs{
    {"mutexes and semaphores", &guards}, {"conditions", &conditions},
    {"wait groups", &wait_groups},       {"once", &onces},
    {"task groups", &task_groups},       {"singleflight", &flights},
    {"rate limiters", &rates},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(programs_in_a_simulation)

BOOST_DATA_TEST_CASE(do_what_their_model_allows, boost::unit_test::data::make(programs), p) {
  try_seeds(rounds(10'000), p.run, false);
}

BOOST_DATA_TEST_CASE(are_refused_with_a_fault, boost::unit_test::data::make(programs), p) {
  BOOST_TEST(search_finds(p.run));
}

BOOST_AUTO_TEST_SUITE_END()
