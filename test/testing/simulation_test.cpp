#include <sluice/testing/explore.hpp>
#include <sluice/testing/simulation.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/offload.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task_group.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/when_all.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <memory>
#include <set>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// What a simulation is by itself. Searches for a failing run are in explore_test.cpp.

namespace {

using namespace sluice_test;
using sluice::testing::advance;
using sluice::testing::always;
using sluice::testing::settle;
using sluice::testing::simulation;
using sluice::testing::simulation_failure;
using reason = simulation_failure::reason;

/// What a simulation of `main` fails with, which it does for `why`.
template <class Main>
std::string failure_of(simulation& sim, Main main, reason why) {
  try {
    sim.run(main);
  } catch (const simulation_failure& x) {
    BOOST_TEST((x.why() == why));
    return x.what();
  }
  BOOST_ERROR("nothing failed");
  return {};
}

template <class Main>
std::string failure_of(Main main, reason why) {
  simulation sim;
  return failure_of(sim, main, why);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(time_in_a_simulation)

BOOST_AUTO_TEST_CASE(jumps_to_the_next_deadline_when_nothing_is_ready) {
  simulation sim;
  const auto real = std::chrono::steady_clock::now();
  sim.run([]() -> task<> {
    const auto begin = sluice::now();
    co_await sluice::sleep_for(1000h);
    BOOST_TEST((sluice::now() - begin == 1000h));
  });
  BOOST_TEST((std::chrono::steady_clock::now() - real < 100s));
}

BOOST_AUTO_TEST_CASE(starts_at_the_same_instant_each_time) {
  BOOST_TEST((simulation(1).now() == simulation(2).now()));
  simulation sim;
  const auto at = sim.run([]() -> task<clock::time_point> { co_return sluice::now(); });
  BOOST_TEST((at == simulation().now()));
}

BOOST_AUTO_TEST_CASE(is_that_of_timers_tickers_timeouts_and_contexts) {
  simulation sim;
  sim.run([]() -> task<> {
    const auto begin = sluice::now();
    const auto passed = [&] { return sluice::now() - begin; };

    sluice::timer t(10s);
    static_cast<void>(co_await t.receive());
    BOOST_TEST((passed() == 10s));

    sluice::ticker every(7s);
    for (int i = 0; i != 3; ++i) static_cast<void>(co_await every.receive());
    BOOST_TEST((passed() == 31s));
    every.stop();

    const auto nobody = sluice::make_channel<int>();
    auto limited = sluice::timeout(nobody.receive(), 9s);
    try {
      static_cast<void>(co_await std::move(limited));
      BOOST_ERROR("nothing was sent");
    } catch (const sluice::system_error& x) {
      BOOST_TEST((x.code() == boost::asio::error::timed_out));
    }
    BOOST_TEST((passed() == 40s));

    const auto [ctx, cancel] = sluice::with_timeout(sluice::context::background(), 5s);
    BOOST_TEST((!ctx.err()));
    co_await ctx.done();
    BOOST_TEST((ctx.err() == sluice::error::deadline_exceeded));
    BOOST_TEST((passed() == 45s));

    int runs = 0;
    const auto later = sluice::after_func(3s, [&] { ++runs; });
    co_await advance(3s);
    BOOST_TEST(runs == 1);

    sluice::rate_limiter slow(1min, 1);
    co_await slow.acquire();
    co_await slow.acquire();
    BOOST_TEST((passed() == 108s));
  });
}

BOOST_AUTO_TEST_CASE(is_that_of_what_was_made_before_the_run) {
  simulation sim;
  sluice::timer t(sim, 1h);
  const auto [ctx, cancel] = sluice::with_timeout(sim, sluice::context::background(), 2h);
  sim.run([&]() -> task<> {
    const auto begin = sluice::now();
    static_cast<void>(co_await t.receive());
    BOOST_TEST((sluice::now() - begin == 1h));
    co_await ctx.done();
    BOOST_TEST((sluice::now() - begin == 2h));
  });
}

BOOST_AUTO_TEST_CASE(stands_still_when_main_has_ended) {
  const std::string text = failure_of(
      []() -> task<> {
        sluice::go([]() -> task<> { co_await sluice::sleep_for(1s); });
        co_return;
      },
      reason::left_over);
  BOOST_TEST(contains(text, "waiting on sleep"));
}

BOOST_AUTO_TEST_CASE(may_pass_for_ever) {
  simulation sim;
  bool woken = false;
  sluice::go(sim, [&]() -> task<> {
    co_await sluice::sleep_for(1s);
    woken = true;
  });
  sim.advance(clock::duration::max());
  BOOST_TEST(woken);
}

BOOST_AUTO_TEST_CASE(is_moved_from_outside_by_advance) {
  simulation sim;
  std::vector<int> seen;
  sluice::go(sim, [&]() -> task<> {
    for (int i = 0;; ++i) {
      seen.push_back(i);
      co_await sluice::sleep_for(10s);
    }
  });
  sim.settle();
  BOOST_TEST(seen == std::vector<int>({0}));
  const auto begin = sim.now();
  sim.advance(25s);
  BOOST_TEST(seen == std::vector<int>({0, 1, 2}));
  BOOST_TEST((sim.now() - begin == 25s));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(settle_and_advance)

BOOST_AUTO_TEST_CASE(return_when_all_others_wait) {
  simulation sim;
  sim.run([]() -> task<> {
    const auto c = sluice::make_channel<int>();
    int done = 0;
    sluice::wait_group all;
    for (int i = 0; i != 5; ++i)
      all.go([&]() -> task<> {
        for (int j = 0; j != 10; ++j) co_await sluice::this_goroutine::yield();
        ++done;
        static_cast<void>(co_await c.receive());
        ++done;
      });
    const auto begin = sluice::now();
    co_await settle();
    BOOST_TEST(done == 5);
    c.close();
    co_await settle();
    BOOST_TEST(done == 10);
    BOOST_TEST((sluice::now() == begin));
    co_await all.wait();
  });
}

BOOST_AUTO_TEST_CASE(let_a_context_end_before_its_deadline_is_looked_at) {
  // As in the documentation of Go's synctest.
  simulation sim;
  sim.run([]() -> task<> {
    const auto [ctx, cancel] = sluice::with_timeout(sluice::context::background(), 5s);
    co_await advance(5s - 1ns);
    BOOST_TEST((!ctx.err()));
    co_await advance(1ns);
    BOOST_TEST((ctx.err() == sluice::error::deadline_exceeded));
  });
}

BOOST_AUTO_TEST_CASE(say_so_where_no_simulation_runs) {
  sluice::run([]() -> task<> { BOOST_CHECK_THROW(co_await settle(), std::logic_error); });
  simulation sim;
  sim.run([&]() -> task<> {
    BOOST_CHECK_EXCEPTION(sim.settle(), std::logic_error, [](const std::logic_error& x) {
      return contains(x.what(), "sluice::testing::settle()");
    });
    co_return;
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_simulation)

BOOST_AUTO_TEST_CASE(gives_what_main_gives) {
  simulation sim;
  BOOST_TEST(sim.run([]() -> task<std::string> { co_return "text"; }) == "text");
  BOOST_TEST(sim.run([] { return 7; }) == 7);
  BOOST_CHECK_EXCEPTION(sim.run([]() -> task<> {
    co_await sluice::sleep_for(1s);
    throw std::out_of_range("far");
  }),
                        std::out_of_range,
                        [](const std::out_of_range& x) { return contains(x.what(), "far"); });
}

BOOST_AUTO_TEST_CASE(is_a_context_for_asio) {
  simulation sim;
  std::vector<int> seen;
  boost::asio::post(sim, [&] { seen.push_back(1); });
  const auto strand = boost::asio::make_strand(sim.get_executor());
  for (int i = 2; i != 5; ++i) boost::asio::post(strand, [&seen, i] { seen.push_back(i); });
  boost::asio::co_spawn(
      sim,
      [&]() -> boost::asio::awaitable<void> {
        co_await boost::asio::post(co_await boost::asio::this_coro::executor,
                                   boost::asio::use_awaitable);
        seen.push_back(5);
      },
      boost::asio::detached);
  const auto c = sluice::make_channel<int>(sim);
  c.receive()(boost::asio::bind_executor(
      sim, [&](sluice::error_code e, std::optional<int> v) { seen.push_back(e ? -1 : *v); }));
  sluice::go(sim, [&]() -> task<> { co_await c.send(6); });
  sluice::sleep_for(1h)(
      boost::asio::bind_executor(sim, [&](sluice::error_code) { seen.push_back(7); }));
  sim.run();
  BOOST_TEST(std::set<int>(seen.begin(), seen.end()) == std::set<int>({1, 2, 3, 4, 5, 6, 7}));
  BOOST_TEST(seen.size() == 7);
  BOOST_TEST(seen.back() == 7);
  std::erase_if(seen, [](int i) { return i < 2 || i > 4; });
  BOOST_TEST(seen == std::vector<int>({2, 3, 4}));  // what is on a strand keeps its order
}

BOOST_AUTO_TEST_CASE(runs_all_that_the_library_has) {
  for (std::uint64_t seed = 0; seed != rounds(50); ++seed) {
    simulation sim(seed);
    sim.run([]() -> task<> {
      int sum = 0;
      const auto job = [&](int i) -> task<> {
        co_await sluice::sleep_for(1s);
        sum += i;
      };
      const sluice::worker_pool_options three{.workers = 3, .queue_capacity = 2};
      sluice::worker_pool<int, void> pool(co_await boost::asio::this_coro::executor, three, job);
      sluice::wait_group all;
      for (int i = 0; i != 6; ++i) all.go([&, i]() -> task<> { co_await pool.submit(i); });
      co_await all.wait();
      BOOST_TEST(sum == 15);
      co_await pool.stop();

      const auto f = [](int i) -> task<int> {
        co_await sluice::sleep_for(std::chrono::seconds(i));
        co_return i;
      };
      const auto [a, b] = co_await sluice::when_all(f(2), f(1));
      BOOST_TEST(a == 2);
      BOOST_TEST(b == 1);

      const auto c = sluice::make_channel<int>();
      const auto d = sluice::make_channel<int>();
      const auto send = [](sluice::channel<int> to, int n) -> task<> {
        for (int i = 0; i != n; ++i) co_await to.send(i);
        to.close();
      };
      sluice::go(send, c, 20);
      sluice::go(send, d, 30);
      int received = 0;
      int closed = 0;
      auto from_c = c;
      auto from_d = d;
      while (closed != 2) {
        const auto count = [&](sluice::channel<int>& from) {
          return [&](std::optional<int> v) {
            if (v) {
              ++received;
            } else {
              ++closed;
              from = {};
            }
          };
        };
        auto when_c = count(from_c);
        auto when_d = count(from_d);
        co_await sluice::select(sluice::on(from_c.receive(), when_c),
                                sluice::on(from_d.receive(), when_d));
      }
      BOOST_TEST(received == 50);
    });
  }
}

BOOST_AUTO_TEST_CASE(takes_the_same_way_for_the_same_seed) {
  const auto way_of = [](std::uint64_t seed) {
    simulation sim(seed);
    std::string way;
    sim.run([&]() -> task<> {
      sluice::wait_group all;
      const auto c = sluice::make_channel<char>(2);
      for (char name = 'a'; name != 'f'; ++name)
        all.go([&, name]() -> task<> {
          for (int i = 0; i != 4; ++i) {
            co_await c.send(name);
            way += static_cast<char>(name - 'a' + 'A');
            auto got = co_await c.receive();
            way += *got;
          }
        });
      co_await all.wait();
    });
    return way;
  };
  std::set<std::string> ways;
  for (std::uint64_t seed = 1; seed != 21; ++seed) {
    const std::string way = way_of(seed);
    BOOST_TEST(way == way_of(seed));
    ways.insert(way);
  }
  BOOST_TEST(ways.size() > 10);
}

BOOST_AUTO_TEST_CASE(destroys_what_is_left) {
  const auto value = std::make_shared<int>();
  {
    simulation sim;
    sim.allow_left_over();
    sim.run([&]() -> task<> {
      const auto c = sluice::make_channel<int>();
      const auto wait = [](sluice::channel<int> on, std::shared_ptr<int>) -> task<> {
        static_cast<void>(co_await on.receive());
      };
      sluice::go(wait, c, value);
      co_return;
    });
    BOOST_TEST(value.use_count() == 2);
    sluice::go(sim, [](std::shared_ptr<int>) -> task<> { co_return; }, value);
    boost::asio::post(sim, [value] {});
  }
  BOOST_TEST(value.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_failure)

BOOST_AUTO_TEST_CASE(is_a_deadlock_and_says_who_waits_on_what) {
  const std::string text = failure_of(
      []() -> task<> {
        sluice::mutex m;
        const auto held = co_await m.lock();
        sluice::this_goroutine::set_name("greedy");
        static_cast<void>(co_await m.lock());
      },
      reason::deadlock);
  BOOST_TEST(contains(text, "goroutine \"greedy\" waiting on mutex at "));
}

BOOST_AUTO_TEST_CASE(is_a_goroutine_that_nobody_has_stopped) {
  const std::string text = failure_of(
      []() -> task<> {
        const auto c = sluice::make_channel<int>();
        const auto wait = [](sluice::channel<int> on) -> task<> {
          static_cast<void>(co_await on.receive());
        };
        sluice::go(wait, c);
        co_return;
      },
      reason::left_over);
  BOOST_TEST(contains(text, "1 goroutine waiting on receive at "));
}

BOOST_AUTO_TEST_CASE(is_one_that_always_goes_on) {
  simulation sim;
  sim.limit_steps(1000);
  const std::string text = failure_of(
      sim,
      []() -> task<> {
        for (;;) co_await sluice::this_goroutine::yield();
      },
      reason::no_progress);
  BOOST_TEST(contains(text, "1000 steps"));
}

BOOST_AUTO_TEST_CASE(is_an_invariant_that_is_broken_for_one_step) {
  const auto body = [](bool looked_at) -> task<> {
    int inside = 0;
    std::optional<sluice::testing::invariant> alone;
    if (looked_at) alone.emplace(always([&] { return inside <= 1; }, "one at a time"));
    sluice::wait_group all;
    for (int i = 0; i != 2; ++i)
      all.go([&]() -> task<> {
        ++inside;
        co_await sluice::sleep_for(1s);
        --inside;
      });
    co_await all.wait();
  };
  simulation().run([&] { return body(false); });
  BOOST_TEST(contains(failure_of([&] { return body(true); }, reason::invariant), "one at a time"));
}

BOOST_AUTO_TEST_CASE(is_an_awaitable_or_a_handler_that_is_left_over) {
  const auto never = sluice::make_channel<int>();
  for (const bool awaitable : {true, false}) {
    simulation sim;
    const auto main = [&]() -> task<> {
      const auto wait = [](sluice::channel<int> from) -> boost::asio::awaitable<void> {
        static_cast<void>(co_await from.async_receive(boost::asio::use_awaitable));
      };
      if (awaitable)
        boost::asio::co_spawn(sim, wait(never), boost::asio::detached);
      else
        never.receive()(boost::asio::bind_executor(
            sim.get_executor(), [](sluice::error_code, const std::optional<int>&) {}));
      co_return;
    };
    BOOST_TEST(contains(failure_of(sim, main, reason::left_over), "asio::co_spawn"));
  }
  simulation sim;
  sim.run([&]() -> task<> {  // stopped in time
    never.receive()(boost::asio::bind_executor(
        sim.get_executor(), [](sluice::error_code, const std::optional<int>&) {}));
    co_await settle();
    never.close();
  });
}

BOOST_AUTO_TEST_CASE(is_an_invariant_that_throws_in_a_run_and_in_a_search) {
  const auto body = []() -> task<> {
    const auto bad =
        always([]() -> bool { throw std::out_of_range("no such cell"); }, "cells are there");
    co_await sluice::sleep_for(1s);
  };
  const auto is_told = [](const simulation_failure& x) {
    if (x.why() != reason::invariant || !contains(x.what(), "cells are there")) return false;
    try {
      std::rethrow_if_nested(x);
    } catch (const std::out_of_range&) {
      return contains(x.what(), "no such cell");
    }
    return false;
  };
  BOOST_CHECK_EXCEPTION(simulation().run(body), simulation_failure, is_told);
  BOOST_CHECK_EXCEPTION(sluice::testing::explore({.seeds = 1}, [&](simulation&) { return body(); }),
                        simulation_failure, is_told);
}

BOOST_AUTO_TEST_CASE(is_an_exception_that_leaves_another_goroutine) {
  simulation sim;
  BOOST_CHECK_EXCEPTION(sim.run([]() -> task<> {
    sluice::go([]() -> task<> {
      co_await sluice::sleep_for(1s);
      throw std::out_of_range("far");
    });
    co_await sluice::sleep_for(2s);
  }),
                        std::out_of_range,
                        [](const std::out_of_range& x) { return contains(x.what(), "far"); });
}

BOOST_AUTO_TEST_CASE(is_a_wait_for_what_the_simulation_does_not_have) {
  const std::string text = failure_of(
      []() -> task<> {
        boost::asio::steady_timer t(co_await boost::asio::this_coro::executor, 1h);
        co_await t.async_wait(sluice::use_task);
      },
      reason::deadlock);
  BOOST_TEST(contains(text, "an Asio operation"));
  BOOST_TEST(contains(text, "use sluice::sleep_for"));
}

BOOST_AUTO_TEST_CASE(is_another_thread_that_wakes_somebody) {
  const std::string text = failure_of(
      []() -> task<> {
        const auto c = sluice::make_channel<int>();
        const auto wait = [](sluice::channel<int> from) -> task<> {
          static_cast<void>(co_await from.receive());
        };
        sluice::go(wait, c);
        co_await settle();
        std::thread other([c] { c.close(); });
        other.join();
        co_await sluice::sleep_for(1s);
      },
      reason::disturbed);
  BOOST_TEST(contains(text, "a thread outside the simulation"));
}

BOOST_AUTO_TEST_CASE(of_one_run_is_none_of_the_next) {
  for (std::uint64_t seed = 0; seed != 100; ++seed) {
    simulation sim(seed);
    sluice::mutex m;
    for (int i = 0; i != 2; ++i)
      sluice::go(sim, [&]() -> task<> {
        const auto held = co_await m.lock();
        throw std::out_of_range("far");
      });
    for (int i = 0; i != 4; ++i) try {
        sim.run();
      } catch (const std::out_of_range&) {
      }
    BOOST_CHECK_NO_THROW(sim.run([]() -> task<> { co_return; }));
  }
}

BOOST_AUTO_TEST_CASE(names_the_line_that_settles_or_lets_time_pass) {
  simulation sim;
  sim.run([]() -> task<> {
    co_await settle();
    co_await advance(1s);
  });
  const std::string steps = sim.describe_steps();
  const std::string here = std::source_location::current().file_name();
  BOOST_TEST(contains(steps, "receive at " + here), steps);
  BOOST_TEST(contains(steps, "sleep at " + here), steps);
  BOOST_TEST(!contains(steps, "src/testing"), steps);
}

BOOST_AUTO_TEST_CASE(leaves_a_trace_of_who_ran) {
  simulation sim;
  sim.run([]() -> task<> {
    sluice::this_goroutine::set_name("main");
    co_await sluice::sleep_for(90s);
    co_await sluice::sleep_for(1s);
  });
  const std::string steps = sim.describe_steps();
  BOOST_TEST(contains(steps, "goroutine 1 \"main\""));
  BOOST_TEST(contains(steps, "at 90s: "));
  BOOST_TEST(contains(steps, "its wait, sleep at "));
  BOOST_TEST(contains(steps, "to its end"));
}

BOOST_AUTO_TEST_SUITE_END()
