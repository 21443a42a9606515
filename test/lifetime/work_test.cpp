#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// How long the event loop of the user's context runs, and what is left when it stops half-way.

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(run)

// cppalliance/capy#134, chriskohlhoff/asio#215. A parked goroutine is work; no guard.
BOOST_AUTO_TEST_CASE(goes_on_until_the_last_parked_goroutine_was_woken_from_outside_and_ended) {
  const watchdog dog;
  auto ch = make_channel<int>();
  sluice::mutex m;
  sluice::semaphore sem(1);
  sluice::wait_group wg;
  wg.add();
  auto held = m.try_lock();
  auto permit = sem.try_acquire();
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  const std::vector<std::pair<std::function<task<>()>, std::function<void()>>> waits = {
      {[&]() -> task<> { static_cast<void>(co_await ch.receive()); }, [&] { ch.try_send(1); }},
      {[&]() -> task<> { co_await ch.send(1); }, [&] { ch.try_receive(); }},
      {[&]() -> task<> { static_cast<void>(co_await m.lock()); }, [&] { held.unlock(); }},
      {[&]() -> task<> { static_cast<void>(co_await sem.acquire()); }, [&] { permit.release(); }},
      {[&]() -> task<> { co_await wg.wait(); }, [&] { wg.done(); }},
      {[&]() -> task<> { co_await sluice::select(ch.receive(), sluice::channel<int>().receive()); },
       [&] { ch.try_send(1); }},
      {[&]() -> task<> { co_await ctx.done(); }, [&] { cancel(); }},
  };
  for (const auto& [wait, wake] : waits) {
    asio::io_context io;
    bool ended = false;
    sluice::go(io, [&]() -> task<> {
      co_await wait();
      ended = true;
    });
    io.poll();
    BOOST_TEST(!io.stopped());
    std::jthread outside([&] {
      std::this_thread::sleep_for(2ms);
      wake();
    });
    io.run();
    BOOST_TEST(ended);
    BOOST_TEST(io.stopped());
    BOOST_TEST(sluice::goroutine_count(io) == 0u);
  }
}

BOOST_AUTO_TEST_CASE(ends_when_a_goroutine_cancelled_a_long_sleep) {
  const watchdog dog;
  const stopwatch watch;
  asio::io_context io;
  auto ch = make_channel<int>(1);
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      co_await ch.send(i);
      co_await sluice::select(ch.receive(), sluice::sleep_for(24h));
    }
  });
  io.run();
  BOOST_TEST((watch.elapsed() < 1h));
  BOOST_TEST(io.stopped());
}

BOOST_AUTO_TEST_CASE(does_not_end_early_while_goroutines_hand_over_to_each_other) {
  for (std::size_t round = 0; round < rounds(200); ++round) {
    asio::io_context io;
    std::atomic<int> ended = 0;
    const std::function<task<>(int)> chain = [&](int left) -> task<> {
      if (left > 0)
        sluice::go(chain(left - 1));
      else
        ++ended;
      co_return;
    };
    for (int i = 0; i < 4; ++i) sluice::go(io, chain(20));
    sluice_test::run(io, 2);
    BOOST_TEST(ended == 4);
    BOOST_TEST(sluice::goroutine_count(io) == 0u);
  }
}

BOOST_AUTO_TEST_SUITE_END()

// "A drain that ends leaves nothing in its thread's list (run_for, run_one, exceptions, nested
// poll)."
BOOST_AUTO_TEST_SUITE(half_way)

namespace {

constexpr int many = 500;

/// Starts goroutines that take many turns.
void start_many(asio::io_context& io, std::atomic<int>& ended) {
  for (int i = 0; i < many; ++i)
    sluice::go(io, [&ended]() -> task<> {
      for (int k = 0; k < 10; ++k) co_await yield();
      ++ended;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(run_one_leaves_the_rest_to_any_other_thread) {
  const watchdog dog;
  asio::io_context io;
  std::atomic<int> ended = 0;
  sluice::go(io, [] { std::this_thread::sleep_for(1ms); });  // as long as a drain may take
  start_many(io, ended);
  BOOST_TEST(io.run_one() == 1u);
  const int here = ended;
  std::thread([&] { io.run(); }).join();
  BOOST_TEST(ended == many);
  BOOST_TEST(here < many);
}

BOOST_AUTO_TEST_CASE(run_for_and_poll_leave_the_rest_to_any_other_thread) {
  const watchdog dog;
  asio::io_context io;
  std::atomic<int> ended = 0;
  auto ch = make_channel<int>();
  sluice::go(io, [&]() -> task<> {
    start_many(io, ended);
    static_cast<void>(co_await ch.receive());
    start_many(io, ended);
  });
  io.run_for(1us);
  std::thread([&] { io.poll(); }).join();
  BOOST_TEST(ended == many);
  ch.close();
  std::thread([&] { io.run(); }).join();
  BOOST_TEST(ended == 2 * many);
}

BOOST_AUTO_TEST_CASE(a_nested_poll_serves_those_that_wait_behind_the_goroutine_that_calls_it) {
  asio::io_context io;
  std::atomic<int> ended = 0;
  int seen = 0;
  sluice::go(io, [&]() -> task<> {
    start_many(io, ended);
    for (const stopwatch watch; ended < many && watch.elapsed() < 2s;) io.poll();
    seen = ended;
    co_await yield();
  });
  sluice_test::run(io);
  BOOST_TEST(seen == many);
  BOOST_TEST(ended == many);
}

BOOST_AUTO_TEST_CASE(a_nested_run_of_another_context_is_that_contexts_own_affair) {
  asio::io_context io;
  asio::io_context other;
  std::atomic<int> ended = 0;
  bool seen_before = false;
  sluice::go(other, [&]() -> task<> {
    start_many(other, ended);
    co_return;
  });
  sluice::go(io, [&]() -> task<> {
    bool ran = false;
    sluice::go([&] { ran = true; });  // on `io`, which does not run meanwhile
    other.run();
    seen_before = ran;
    co_await yield();
  });
  sluice_test::run(io);
  BOOST_TEST(ended == many);
  BOOST_TEST(!seen_before);
}

BOOST_AUTO_TEST_SUITE_END()

// erigontech/silkworm#1530. What goes on when an exception has left run() is in go/token_test.cpp.
BOOST_AUTO_TEST_SUITE(exception)

BOOST_AUTO_TEST_CASE(leaves_run_when_the_frame_and_the_closure_are_gone) {
  std::atomic<int> alive = 0;
  asio::io_context io;
  sluice::go(io, [&alive, closure = witness(alive)]() -> task<> {
    const witness local(alive);
    const auto inner = [](std::atomic<int>& a) -> task<> {
      const witness here(a);
      co_await yield();
      throw std::runtime_error("inner");
    };
    co_await inner(alive);
  });
  try {
    io.run();
    BOOST_ERROR("nothing was thrown");
  } catch (const std::runtime_error&) {
    BOOST_TEST(alive == 0);
    BOOST_TEST(sluice::goroutine_count(io) == 0u);
  }
}

// What was ready, sleeping or waiting for an Asio operation then goes on in the next run.
BOOST_AUTO_TEST_CASE(delays_nobody_for_ever) {
  const watchdog dog;
  asio::io_context io;
  std::vector<std::string> log;
  auto ch = make_channel<int>();
  sluice::go(io, [&]() -> task<> {
    co_await sluice::sleep_for(2ms);
    log.emplace_back("slept");
  });
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer timer(io, 4ms);
    co_await timer.async_wait(asio::deferred);
    log.emplace_back("timed");
  });
  sluice::go(io, [&]() -> task<> {
    static_cast<void>(co_await ch.receive());
    log.emplace_back("received");
  });
  sluice::go(io, [&]() -> task<> {
    co_await ch.send(1);
    throw std::runtime_error("with others behind");
  });
  sluice::go(io, [&]() -> task<> {
    co_await yield();
    log.emplace_back("yielded");
  });
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  BOOST_TEST(!io.stopped());
  io.run();
  std::ranges::sort(log);
  BOOST_TEST(log == (std::vector<std::string>{"received", "slept", "timed", "yielded"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(leaves_every_function_that_runs_the_event_loop) {
  const watchdog dog;
  asio::io_context io;
  const auto throw_in = [&](auto function) {
    sluice::go(io, []() -> task<> {
      throw 1;
      co_return;
    });
    try {
      function();
    } catch (int n) {
      return n;
    }
    return 0;
  };
  const auto guard = asio::make_work_guard(io);
  BOOST_TEST(throw_in([&] { io.run(); }) == 1);
  BOOST_TEST(throw_in([&] { io.run_one(); }) == 1);
  BOOST_TEST(throw_in([&] { io.poll(); }) == 1);
  BOOST_TEST(throw_in([&] { io.poll_one(); }) == 1);
  BOOST_TEST(throw_in([&] { io.run_for(1h); }) == 1);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(end_of_a_program)

namespace {

/// Waits for a signal, which it sends to this process itself.
task<> wait_for_signal() {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGUSR1);
  sluice::go([] { static_cast<void>(std::raise(SIGUSR1)); });
  static_cast<void>(co_await signals.async_wait(asio::deferred));
}

}  // namespace

// boostorg/cobalt#209. A worker with a context of its own ends if the channel that it waits
// on is closed, or if its Go context is cancelled; here by the destructors of what main owns.
BOOST_AUTO_TEST_CASE(by_a_signal_reaches_workers_through_their_channel) {
  const watchdog dog;
  auto jobs = make_channel<int>();
  int done = 0;
  std::jthread worker([&, jobs] {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      while (const auto job = co_await jobs.receive()) done += *job;
    });
    io.run();
  });
  sluice::run([&, jobs]() -> task<> {
    const sluice::work_guard woken_by_the_worker;
    co_await jobs.send(1);
    co_await jobs.send(2);
    co_await wait_for_signal();
    jobs.close();
  });
  worker.join();
  BOOST_TEST(done == 3);
}

BOOST_AUTO_TEST_CASE(by_a_signal_reaches_workers_through_their_context) {
  const watchdog dog;
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  error_code end;
  std::jthread worker([&end, c = ctx] {
    asio::io_context io;
    sluice::go(c, io, [&]() -> task<> {
      const auto e = co_await error_of(sluice::channel<int>().receive());
      end = e;
    });
    io.run();
  });
  sluice::run([&, &stop = cancel]() -> task<> {
    const at_exit stop_worker([&] { stop(); });
    co_await wait_for_signal();
  });
  worker.join();
  BOOST_TEST(end == aborted);
}

BOOST_AUTO_TEST_SUITE_END()
