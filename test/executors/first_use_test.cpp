// The first use of this library on a context, through whatever executor: the scheduler that is made
// then waits for timers and ends after Asio's strands.
#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include "goroutine/own_context.hpp"
#include "support.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;
using namespace std::chrono_literals;
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
