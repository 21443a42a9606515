#include <sluice.hpp>

#include "goroutine/helpers.hpp"
#include "manual_executor.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

// Whatever is ready, or due, while its thread goes on with something else is found by another one.

namespace {

using namespace sluice_test;

/// How long anything here waits for what should take milliseconds.
constexpr auto patience = 20s;

/// Holds the thread until `done`, and says whether it came.
bool hold_thread_until(const std::atomic<bool>& done) {
  const auto end = steady::now() + patience;
  while (!done && steady::now() < end) std::this_thread::yield();
  return done;
}

/// A context with two threads that know of each other, or do not yet.
struct two_threads {
  explicit two_threads(bool known) {
    for (int i = 0; i < 2; ++i) threads.emplace_back([this] { io.run(); });
    if (!known) return;
    std::atomic<int> running = 0;
    std::atomic<int> over = 0;
    for (int i = 0; i < 2; ++i)
      sluice::go(io, [&]() -> sluice::task<> {
        ++running;
        while (running < 2) std::this_thread::yield();
        ++over;
        co_return;
      });
    while (over < 2) std::this_thread::yield();
  }
  void end() {
    guard.reset();
    threads.clear();
  }

  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(io);
  std::vector<std::jthread> threads;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(hidden_work)

BOOST_AUTO_TEST_CASE(a_goroutine_woken_by_any_function_that_holds_its_thread_runs_elsewhere) {
  using start = std::function<void(asio::io_context&, std::function<void()>)>;
  const std::vector<start> starts = {
      [](auto& io, auto f) {
        sluice::go(io, [f]() -> sluice::task<> {
          f();
          co_return;
        });
      },
      [](auto& io, auto f) { asio::post(io, f); },
      [](auto& io, auto f) { asio::post(sluice::get_executor(io), f); },
      [](auto& io, auto f) {
        asio::post(asio::strand<sluice::executor>(sluice::get_executor(io)), f);
      },
      [](auto& io, auto f) {
        auto timer = std::make_shared<asio::steady_timer>(io, 1ms);
        timer->async_wait(
            asio::bind_executor(sluice::get_executor(io), [f, timer](sluice::error_code) { f(); }));
      },
      [](auto& io, auto f) {
        auto ch = sluice::make_channel<int>(io);
        ch.async_receive([f](auto...) { f(); });
        ch.close();
      },
  };
  for (const bool known : {false, true})
    for (std::size_t i = 0; i < starts.size(); ++i)
      BOOST_TEST_CONTEXT("start " << i << ", threads " << (known ? "known" : "not known")) {
        two_threads world(known);
        auto ch = sluice::make_channel<int>(world.io, 1);
        std::atomic<bool> ran = false;
        std::atomic<bool> ready = false;
        std::atomic<bool> over = false;
        bool in_time = false;
        sluice::go(world.io, [&]() -> sluice::task<> {
          ready = true;
          static_cast<void>(co_await ch.receive());
          ran = true;
        });
        while (!ready) std::this_thread::yield();
        starts[i](world.io, [&] {
          ch.try_send(1);
          in_time = hold_thread_until(ran);
          over = true;
        });
        while (!over) std::this_thread::yield();
        BOOST_TEST(in_time);
        world.end();
      }
}

BOOST_AUTO_TEST_CASE(a_goroutine_woken_inside_a_dispatch_runs_while_the_caller_goes_on) {
  two_threads world(true);
  auto ch = sluice::make_channel<int>(world.io, 1);
  std::atomic<bool> ran = false;
  std::atomic<bool> over = false;
  bool in_time = false;
  sluice::go(world.io, [&]() -> sluice::task<> {
    static_cast<void>(co_await ch.receive());
    ran = true;
  });
  asio::post(world.io, [&] {
    asio::dispatch(sluice::get_executor(world.io), [&] { ch.try_send(1); });
    in_time = hold_thread_until(ran);
    over = true;
  });
  while (!over) std::this_thread::yield();
  BOOST_TEST(in_time);
  world.end();
}

// On its strand, so it is launched in the step that has made the other one ready.
BOOST_AUTO_TEST_CASE(an_operation_that_completes_at_once_does_not_wait_behind_a_busy_goroutine) {
  using asio::local::stream_protocol;
  for (const bool known : {false, true})
    for (const bool on_strand : {false, true}) {
      two_threads world(known);
      stream_protocol::socket in(world.io);
      stream_protocol::socket out(world.io);
      asio::local::connect_pair(in, out);
      asio::write(out, asio::buffer("x", 1));
      char c = 0;
      std::atomic<bool> read = false;
      std::atomic<bool> over = false;
      bool in_time = false;
      sluice::go(world.io, [&]() -> sluice::task<> {
        if (on_strand) {
          static_cast<void>(co_await asio::this_coro::executor);
          co_await sluice::this_goroutine::yield();
        }
        sluice::go([&]() -> sluice::task<> {
          in_time = hold_thread_until(read);
          over = true;
          co_return;
        });
        co_await in.async_read_some(asio::buffer(&c, 1), asio::deferred);
        read = true;
      });
      while (!over) std::this_thread::yield();
      BOOST_TEST(in_time);
      world.end();
    }
}

BOOST_AUTO_TEST_CASE(a_deadline_set_by_a_goroutine_that_computes_fires_on_an_idle_thread) {
  for (const bool known : {false, true}) {
    two_threads world(known);
    std::atomic<bool> over = false;
    bool received = false;
    sluice::go(world.io, [&]() -> sluice::task<> {
      sluice::timer timer(20ms);
      sluice::error_code e;
      const auto end = steady::now() + patience;
      while (!received && steady::now() < end) {
        received = timer.channel().try_receive(e).has_value();
        std::this_thread::yield();
      }
      over = true;
      co_return;
    });
    while (!over) std::this_thread::yield();
    BOOST_TEST(received);
    world.end();
  }
}

BOOST_AUTO_TEST_CASE(a_sleeper_is_woken_while_the_one_that_ran_behind_it_computes) {
  two_threads world(true);
  std::atomic<bool> woken = false;
  std::atomic<bool> over = false;
  bool in_time = false;
  sluice::go(world.io, [&]() -> sluice::task<> {
    sluice::go([&]() -> sluice::task<> {
      co_await sluice::sleep_for(10ms);
      woken = true;
    });
    sluice::go([&]() -> sluice::task<> {
      in_time = hold_thread_until(woken);
      over = true;
      co_return;
    });
    co_return;
  });
  while (!over) std::this_thread::yield();
  BOOST_TEST(in_time);
  world.end();
}

// The other thread is woken by nothing but a watch, which comes every 3 ms.
BOOST_AUTO_TEST_CASE(is_not_looked_for_behind_a_goroutine_that_yields_alone) {
  two_threads first_ones(true);
  asio::io_context& io = first_ones.io;
  first_ones.end();
  io.restart();
  std::atomic<bool> over = false;
  std::atomic<std::thread::id> runs_on;
  sluice::go(io, [&]() -> sluice::task<> {
    const auto end = steady::now() + 300ms;
    while (steady::now() < end) {
      runs_on = std::this_thread::get_id();
      co_await sluice::this_goroutine::yield();
    }
    over = true;
  });
  std::atomic<int> turns_of_others = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i)
      threads.emplace_back([&] {
        while (!over)
          if (io.run_one_for(100ms) != 0 && runs_on.load() != std::this_thread::get_id())
            ++turns_of_others;
      });
  }
  BOOST_TEST(turns_of_others < 30);
}

// A function goes on after it has run a goroutine of a user's executor.
BOOST_AUTO_TEST_CASE(a_sleeper_is_woken_while_the_function_that_ran_it_computes) {
  two_threads world(true);
  const sluice_test::manual_executor manual(world.io);
  std::atomic<bool> woken = false;
  std::atomic<bool> over = false;
  bool in_time = false;
  sluice::go(manual, [&]() -> sluice::task<> {
    co_await sluice::sleep_for(10ms);
    woken = true;
  });
  asio::post(sluice::get_executor(world.io), [&] {
    manual.run_one();
    const auto end = steady::now() + patience;
    while (!woken && steady::now() < end) manual.run_one();
    in_time = woken;
    over = true;
  });
  while (!over) std::this_thread::yield();
  BOOST_TEST(in_time);
  world.end();
}

// A watch over what a handler has made ready does not hold up the end of the event loop.
BOOST_AUTO_TEST_CASE(is_not_watched_for_any_longer_than_there_is_work) {
  asio::io_context io;
  const auto run_once = [&] {
    asio::post(io, [&] { sluice::go(io, []() -> sluice::task<> { co_return; }); });
    const auto begin = steady::now();
    io.run();
    io.restart();
    return steady::now() - begin;
  };
  run_once();
  std::jthread(run_once).join();
  std::vector<steady::duration> runs(51);
  for (auto& r : runs) r = run_once();
  std::ranges::nth_element(runs, runs.begin() + 25);
  BOOST_TEST((runs[25] < 2ms));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(nested_event_loop)

namespace {

/// Wakes a goroutine 200 times by `wake`, and runs the event loop after each until it has run.
template <class Start>
int steps_done(bool in_goroutine, bool in_handler, Start run_some) {
  asio::io_context io;
  auto ch = sluice::make_channel<int>(io, 1);
  int got = 0;
  int done = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    while (const auto v = co_await ch.receive()) got = *v;
  });
  const auto body = [&] {
    const auto end = steady::now() + patience;
    for (int i = 1; i <= 200; ++i) {
      if (in_handler)
        asio::post(io, [&, i] { ch.try_send(i); });
      else
        ch.try_send(i);
      while (got != i && steady::now() < end) run_some(io);
      if (got != i) break;
      done = i;
    }
    ch.close();
  };
  if (in_goroutine)
    sluice::go(io, [&]() -> sluice::task<> {
      body();
      co_return;
    });
  else
    asio::post(io, body);
  io.run();
  return done;
}

}  // namespace

BOOST_AUTO_TEST_CASE(serves_what_was_woken_before_it_or_by_its_handlers) {
  for (const bool in_goroutine : {false, true})
    for (const bool in_handler : {false, true})
      BOOST_TEST_CONTEXT("goroutine " << in_goroutine << ", handler " << in_handler) {
        BOOST_TEST(steps_done(in_goroutine, in_handler, [](auto& io) { io.poll(); }) == 200);
        BOOST_TEST(steps_done(in_goroutine, in_handler,
                              [](auto& io) { io.run_one_for(std::chrono::seconds(1)); }) == 200);
      }
}

BOOST_AUTO_TEST_SUITE_END()

// A context whose deadline passes calls functions of the user's, who knows nothing of the timers'
// wake-up timer that has woken them.
BOOST_AUTO_TEST_SUITE(a_function_that_a_deadline_calls)

namespace {

/// Has the deadline of a context that nothing else is bound to call a function.
class called_at_deadline {
 public:
  called_at_deadline(asio::io_context& io, steady::time_point deadline, std::function<void()> f) {
    sluice::go(io, [this, deadline, f]() -> sluice::task<> {
      context_.emplace(sluice::with_deadline(sluice::context::background(), deadline));
      callback_.emplace(sluice::stop_token_of(context_->ctx), f);
      co_return;
    });
  }

 private:
  std::optional<sluice::cancellable_context> context_;
  std::optional<std::stop_callback<std::function<void()>>> callback_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(does_not_hold_up_later_timers) {
  two_threads world(true);
  std::atomic<bool> slept = false;
  std::atomic<bool> over = false;
  bool in_time = false;
  const auto start = steady::now();
  const called_at_deadline caller(world.io, start + 10ms, [&] {
    in_time = hold_thread_until(slept);
    over = true;
  });
  sluice::go(world.io, [&]() -> sluice::task<> {
    co_await sluice::sleep_until(start + 50ms);
    slept = true;
  });
  while (!over) std::this_thread::yield();
  BOOST_TEST(in_time);
  world.end();
}

BOOST_AUTO_TEST_CASE(does_not_hide_what_is_due_at_the_same_time) {
  for (const bool known : {false, true})
    for (const bool first : {false, true})
      BOOST_TEST_CONTEXT("threads known " << known << ", sleeper first " << first) {
        two_threads world(known);
        std::atomic<int> slept = 0;
        std::atomic<bool> all_slept = false;
        std::atomic<bool> over = false;
        bool in_time = false;
        const auto at = steady::now() + 20ms;
        const auto sleep = [&] {
          sluice::go(world.io, [&]() -> sluice::task<> {
            co_await sluice::sleep_until(at);
            all_slept = ++slept == 3;
          });
        };
        for (int i = 0; first && i < 3; ++i) sleep();
        const called_at_deadline caller(world.io, at, [&] {
          in_time = hold_thread_until(all_slept);
          over = true;
        });
        for (int i = 0; !first && i < 3; ++i) sleep();
        while (!over) std::this_thread::yield();
        BOOST_TEST(in_time);
        world.end();
      }
}

// What a context with one thread is given by a handler waits in a list of that handler's.
BOOST_AUTO_TEST_CASE(may_be_the_first_of_its_context_in_a_handler_that_runs_the_event_loop) {
  asio::io_context io(1);
  bool woke = false;
  asio::post(io, [&] {
    sluice::sleep_for(1ms)(asio::bind_executor(io, [&](auto) { woke = true; }));
    while (!woke && io.run_one_for(20s) != 0) continue;
    BOOST_TEST(woke);
  });
  io.run();
}

BOOST_AUTO_TEST_CASE(may_run_the_event_loop_until_a_sleep_ends) {
  for (const bool others_run : {false, true})
    for (const bool at_once : {false, true})
      BOOST_TEST_CONTEXT("others run " << others_run << ", at once " << at_once) {
        asio::io_context io;
        bool slept = false;
        bool called = false;
        bool in_time = false;
        const auto start = steady::now();
        const called_at_deadline caller(io, start + 10ms, [&] {
          called = true;
          const auto end = steady::now() + patience;
          while (!slept && steady::now() < end) io.run_one_for(10ms);
          in_time = slept;
        });
        sluice::go(io, [&]() -> sluice::task<> {
          co_await sluice::sleep_until(start + (at_once ? 10ms : 30ms));
          slept = true;
        });
        for (int i = 0; others_run && i < 2; ++i)
          sluice::go(io, [&]() -> sluice::task<> {
            while (!called) co_await sluice::this_goroutine::yield();
          });
        io.run();
        BOOST_TEST(in_time);
      }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(turns_of_the_event_loop)

// A timer of Asio and a ticker beside goroutines that compute in every step: as late as a few
// steps, not as many as a drain makes between two looks at the clock.
BOOST_AUTO_TEST_CASE(come_after_every_step_that_is_longer_than_a_drain_may_be) {
  for (const int goroutines : {1, 4}) {
    asio::io_context io;
    bool stop = false;
    int steps = 0;
    int steps_at_expiry = -1;
    asio::steady_timer timer(io);
    for (int i = 0; i < goroutines; ++i)
      sluice::go(io, [&]() -> sluice::task<> {
        while (!stop) {
          keep_busy(5ms);
          if (++steps == 8) timer.expires_after(0s);
          if (steps == 8)
            timer.async_wait([&](sluice::error_code) {
              steps_at_expiry = steps;
              stop = true;
            });
          if (steps > 200) stop = true;
          co_await sluice::this_goroutine::yield();
        }
      });
    io.run();
    BOOST_TEST(steps_at_expiry >= 8);
    BOOST_TEST(steps_at_expiry <= 10);
  }
}

BOOST_AUTO_TEST_SUITE_END()
