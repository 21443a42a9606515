// The first use of this library on a context, through whatever executor: the scheduler that is made
// then waits for timers and ends after Asio's strands.
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include "goroutine/own_context.hpp"
#include "manual_executor.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;

using asio::any_io_executor;

/// Sleeps first of all with a handler on the executor that `make` gives of `context`.
template <class Context, class Make>
bool sleeps_on(Context& context, Make make) {
  std::promise<error_code> end;
  sluice::sleep_for(1ms)(
      asio::bind_executor(make(context), [&](error_code e) { end.set_value(e); }));
  if constexpr (std::is_same_v<Context, asio::io_context>) run(context);
  return !end.get_future().get();
}

const auto own = [](auto& c) { return c.get_executor(); };
const auto erased = [](auto& c) { return any_io_executor(c.get_executor()); };
const auto working = [](auto& c) {
  return any_io_executor(
      asio::require(c.get_executor(), asio::execution::outstanding_work.tracked));
};
const auto strand = [](auto& c) { return asio::make_strand(c.get_executor()); };
const auto erased_strand = [](auto& c) {
  return any_io_executor(asio::make_strand(c.get_executor()));
};
const auto strand_of_erased = [](auto& c) {
  return asio::make_strand(any_io_executor(c.get_executor()));
};
const auto erased_twice = [](auto& c) {
  return any_io_executor(asio::make_strand(any_io_executor(c.get_executor())));
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_sleep_that_is_the_first_use_of_a_context)

BOOST_AUTO_TEST_CASE(ends_on_whatever_executor_its_handler_has) {
  const watchdog dog;
  const auto check = [](auto make) {
    asio::io_context io;
    BOOST_TEST(sleeps_on(io, make));
    asio::thread_pool pool(1);
    BOOST_TEST(sleeps_on(pool, make));
    pool.join();
  };
  check(own);
  check(erased);
  check(working);
  check(strand);
  check(erased_strand);
  check(strand_of_erased);
  check(erased_twice);
}

BOOST_AUTO_TEST_CASE(ends_on_an_executor_of_the_users_own) {
  const watchdog dog;
  own_context context;
  BOOST_TEST(sleeps_on(context, own));
}

BOOST_AUTO_TEST_CASE(ends_in_an_awaitable) {
  asio::io_context io;
  bool slept = false;
  asio::co_spawn(
      asio::make_strand(io),
      [&]() -> asio::awaitable<void> {
        co_await sluice::sleep_for(1ms)(asio::use_awaitable);
        slept = true;
      },
      asio::detached);
  run(io);
  BOOST_TEST(slept);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_context_that_was_first_used_through_an_erased_executor)

// Its scheduler knows the context's own executor: what is made ready is drained, not posted one by
// one.
BOOST_AUTO_TEST_CASE(counts_the_work_of_goroutines_and_runs_them) {
  asio::io_context io;
  sluice::sleep_for(1ms)(
      asio::bind_executor(any_io_executor(io.get_executor()), [](error_code) {}));
  int ran = 0;
  for (int i = 0; i < 10; ++i)
    sluice::go(any_io_executor(io.get_executor()), [&]() -> task<> {
      co_await sluice::sleep_for(1ms);
      ++ran;
    });
  run(io);
  BOOST_TEST(ran == 10);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

// Services shut down in the opposite order of their making. A goroutine's frame sees in its
// destructor whether the service of strands still takes what is posted to it.
BOOST_AUTO_TEST_CASE(ends_before_asios_strands) {
  bool taken = false;
  {
    asio::io_context io;
    const auto ch = sluice::make_channel<int>();
    ch.async_receive(asio::bind_executor(any_io_executor(io.get_executor()),
                                         [](error_code, std::optional<int>) {}));
    const auto s = asio::make_strand(io);
    sluice::go(io, [&]() -> task<> {
      struct at_end {
        bool& in_time;
        asio::strand<asio::io_context::executor_type> where;
        ~at_end() {
          const auto gone = std::make_shared<bool>(true);
          asio::post(where, [gone] {});
          // A strand that has been shut down destroys at once what is posted to it.
          in_time = gone.use_count() == 2;
        }
      } guard{taken, s};
      co_await sluice::channel<int>().receive();
    });
    poll(io);
  }
  BOOST_TEST(taken);
}

BOOST_AUTO_TEST_SUITE_END()

// Where a context is known by executors of users' only, each of them runs what is its own.
BOOST_AUTO_TEST_SUITE(a_context_whose_first_executor_is_not_run_any_more)

namespace {

/// A context that threads run, and two executors of it; the first has been used for a sleep, is
/// never run again, and is never run by any of its goroutines.
struct two_executors {
  two_executors() {
    sluice::sleep_for(1ms)(asio::bind_executor(first, [](error_code) {}));
  }
  two_executors(const two_executors&) = delete;
  two_executors& operator=(const two_executors&) = delete;
  ~two_executors() {
    running.io.stop();
    running.join();
    first.drop_all();
    second.drop_all();
  }

  /// Runs what the second one has until `done`, and says whether it came.
  bool run_second_until(const std::atomic<bool>& done) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!done && std::chrono::steady_clock::now() < end)
      if (!second.run_one()) std::this_thread::yield();
    return done;
  }

  running_context running{1};
  manual_executor first{running.io};
  manual_executor second{running.io};
};

}  // namespace

BOOST_AUTO_TEST_CASE(wakes_sleepers_on_another_one) {
  two_executors world;
  std::atomic<bool> slept = false;
  sluice::go(world.second, [&]() -> task<> {
    co_await sluice::sleep_for(1ms);
    slept = true;
  });
  BOOST_TEST(world.run_second_until(slept));
}

BOOST_AUTO_TEST_CASE(wakes_sleepers_on_its_own_one) {
  two_executors world;
  std::promise<void> slept;
  sluice::go(world.running.io, [&]() -> task<> {
    co_await sluice::sleep_for(1ms);
    slept.set_value();
  });
  BOOST_TEST((slept.get_future().wait_for(20s) == std::future_status::ready));
}

BOOST_AUTO_TEST_CASE(has_deadlines_and_timers_go_off_on_the_executor_where_they_were_set) {
  two_executors world;
  const auto self = std::this_thread::get_id();
  std::atomic<bool> over = false;
  bool called_here = false;
  bool started_here = false;
  sluice::go(world.second, [&]() -> task<> {
    const auto [ctx, cancel] = sluice::with_timeout(sluice::context::background(), 1ms);
    const std::stop_callback note(sluice::stop_token_of(ctx),
                                  [&] { called_here = std::this_thread::get_id() == self; });
    auto started = sluice::make_channel<int>(1);
    sluice::after_func(1ms, [&] {
      started_here = std::this_thread::get_id() == self;
      started.try_send(1);
    });
    sluice::ticker ticks(1ms);
    for (int i = 0; i < 3; ++i) static_cast<void>(co_await ticks.receive());
    static_cast<void>(co_await started.receive());
    co_await ctx.done();
    over = true;
  });
  BOOST_TEST(world.run_second_until(over));
  BOOST_TEST(called_here);
  BOOST_TEST(started_here);
}

BOOST_AUTO_TEST_CASE(gives_asio_cases_their_turn) {
  two_executors world;
  std::atomic<bool> over = false;
  sluice::go(world.second, [&]() -> task<> {
    auto ch = sluice::make_channel<int>(1);
    asio::steady_timer never(world.running.io, 1h);
    for (int i = 0; i < 100; ++i) {
      ch.try_send(i);
      co_await sluice::select(sluice::on(ch.receive(), [](auto) {}),
                              sluice::on(never.async_wait(asio::deferred), [](error_code) {}));
    }
    over = true;
  });
  BOOST_TEST(world.run_second_until(over));
}

BOOST_AUTO_TEST_CASE(does_not_keep_it) {
  running_context running(1);
  std::weak_ptr<const void> lifetime;
  {
    const manual_executor first(running.io);
    lifetime = first.lifetime();
    std::atomic<bool> over = false;
    sluice::go(first, [&]() -> task<> {
      co_await sluice::sleep_for(1ms);
      over = true;
    });
    while (!over)
      if (!first.run_one()) std::this_thread::yield();
    while (first.run_one()) {
    }
  }
  BOOST_TEST(lifetime.expired());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_context_that_has_nothing_in_common_with_asios)

// Asio runs its timers on a thread of its own, which the end of the context does not wait for
// before it begins.
BOOST_AUTO_TEST_CASE(ends_while_timers_go_off) {
  for (std::size_t i = 0; i < rounds(200); ++i) {
    own_context context;
    for (int n = 0; n < 20; ++n) {
      const auto at = std::chrono::steady_clock::now() + n * 10us;
      sluice::sleep_until(at)(asio::bind_executor(context.get_executor(), [](error_code) {}));
      sluice::go(context.get_executor(), [at]() -> task<> { co_await sluice::sleep_until(at); });
      sluice::after_func(context.get_executor(), n * 10us, [] {});
    }
  }
  BOOST_TEST(true);
}

BOOST_AUTO_TEST_SUITE_END()
