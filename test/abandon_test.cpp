#include <sluice/abandon.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include "select/helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_CASE(a_timeout_does_not_wait_for_an_operation_that_ignores_cancellation) {
  asio::io_context io;
  controlled_operation deaf;
  error_code error;
  sluice::go(io, [&]() -> task<> {
    error = co_await error_of(timeout(abandon(deaf.async_wait(asio::deferred)), 1ms));
  });
  run(io);
  BOOST_TEST(error == timed_out);
  BOOST_TEST(deaf.was_cancelled(types::terminal));
  BOOST_TEST(deaf.is_pending());
  deaf.complete({}, 1);
  run(io);
  BOOST_TEST(!deaf.is_pending());
}

BOOST_AUTO_TEST_CASE(a_select_does_not_wait_for_a_loser_that_ignores_cancellation) {
  asio::io_context io;
  controlled_operation deaf;
  controlled_operation quick;
  bool done = false;
  sluice::go(io, [&]() -> task<> {
    const auto r = co_await select(abandon(deaf.async_wait(asio::deferred)),
                                   abandon(quick.async_wait(asio::deferred)));
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(r.get<1>() == 7);
    auto lost = r;
    BOOST_CHECK(lost.lost<0>() == std::tuple(aborted, 0));
    done = true;
  });
  poll(io);
  quick.complete({}, 7);
  poll(io);
  BOOST_TEST(done);
  deaf.complete({}, 1);
  run(io);
}

BOOST_AUTO_TEST_CASE(what_is_not_cancelled_gives_what_it_gives) {
  asio::io_context io;
  controlled_operation operation;
  controlled_operation failing;
  controlled_operation as_a_tuple;
  std::optional<int> value;
  error_code error;
  sluice::go(io, [&]() -> task<> {
    value = co_await abandon(operation.async_wait(asio::deferred));
    error = co_await error_of(abandon(failing.async_wait(sluice::use_task)));
    const auto [e, n] =
        co_await timeout(abandon(as_a_tuple.async_wait(asio::as_tuple(asio::deferred))), 24h);
    BOOST_TEST(e == closed);
    BOOST_TEST(n == 9);
  });
  poll(io);
  operation.complete({}, 5);
  poll(io);
  BOOST_TEST(value.value() == 5);
  failing.complete(closed, 0);
  poll(io);
  BOOST_TEST(error == closed);
  as_a_tuple.complete(closed, 9);
  run(io);
}

BOOST_AUTO_TEST_CASE(a_tuple_says_that_it_was_abandoned) {
  asio::io_context io;
  controlled_operation deaf;
  error_code error;
  sluice::go(io, [&]() -> task<> {
    const auto [e, n] =
        co_await timeout(abandon(deaf.async_wait(asio::as_tuple(asio::deferred))), 1ms);
    error = e;
    BOOST_TEST(n == 0);
  });
  run(io);
  BOOST_TEST(error == timed_out);
}

BOOST_AUTO_TEST_CASE(cancelling_the_goroutine_ends_its_wait) {
  asio::io_context io;
  controlled_operation deaf;
  cancellable_goroutine g(io,
                          [&]() -> task<> { co_await abandon(deaf.async_wait(asio::deferred)); });
  poll(io);
  g.cancel();
  g.cancel();
  poll(io);
  BOOST_TEST(g.ends() == 1);
  BOOST_TEST(g.error() == aborted);
  deaf.complete({}, 1);
  run(io);
  BOOST_TEST(g.ends() == 1);
}

// Only terminal cancellation leaves an operation in a state that nobody may rely on.
BOOST_AUTO_TEST_CASE(weaker_cancellation_is_left_to_the_operation) {
  asio::io_context io;
  controlled_operation operation(types::total);
  asio::cancellation_signal signal;
  std::vector<std::tuple<error_code, int>> told;
  const auto handler = [&](error_code e, int n) { told.emplace_back(e, n); };
  abandon(operation.async_wait(asio::deferred))(
      asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io.get_executor(), handler)));
  signal.emit(types::partial);
  poll(io);
  BOOST_TEST(operation.is_pending());
  BOOST_TEST(told.empty());
  asio::post(io, [&] { signal.emit(types::total); });
  run(io);
  BOOST_TEST(told.size() == 1u);
  BOOST_CHECK(told.at(0) == std::tuple(aborted, -1));
}

BOOST_AUTO_TEST_CASE(the_handler_is_never_called_inside_the_emission) {
  asio::io_context io;
  controlled_operation deaf;
  asio::cancellation_signal signal;
  int calls = 0;
  abandon(deaf.async_wait(asio::deferred))(asio::bind_cancellation_slot(
      signal.slot(), asio::bind_executor(io.get_executor(), [&](error_code e, int) {
        BOOST_TEST(e == aborted);
        BOOST_TEST(!signal.slot().has_handler());
        ++calls;
      })));
  asio::post(io, [&] {
    signal.emit(types::terminal);
    BOOST_TEST(calls == 0);
  });
  run(io);
  BOOST_TEST(calls == 1);
  deaf.complete({}, 1);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(a_spawned_awaitable_can_be_abandoned) {
  asio::io_context io;
  const auto never =
      std::make_shared<asio::steady_timer>(io, asio::steady_timer::time_point::max());
  const auto deaf = [never]() -> asio::awaitable<int> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    asio::steady_timer timer(co_await asio::this_coro::executor, 20ms);
    co_await timer.async_wait(asio::use_awaitable);
    never->cancel();
    co_return 1;
  };
  error_code error;
  bool ended_first = false;
  sluice::go(io, [&]() -> task<> {
    error = co_await error_of(timeout(abandon(asio::co_spawn(io, deaf(), asio::deferred)), 1ms));
    ended_first = true;
  });
  never->async_wait([&](error_code) { BOOST_TEST(ended_first); });
  run(io);
  BOOST_TEST(error == timed_out);
}

BOOST_AUTO_TEST_CASE(an_operation_that_drops_its_handler_ends_the_goroutine) {
  asio::io_context io;
  controlled_operation operation;
  auto alive = std::make_shared<int>();
  const std::weak_ptr<int> seen = alive;
  sluice::go(io, [&operation, held = std::move(alive)]() -> task<> {
    co_await timeout(abandon(operation.async_wait(asio::deferred)), 24h);
  });
  poll(io);
  BOOST_TEST(!seen.expired());
  operation.drop();
  run(io);
  BOOST_TEST(seen.expired());
}

BOOST_AUTO_TEST_CASE(a_context_may_end_before_what_was_abandoned) {
  std::weak_ptr<int> seen;
  controlled_operation deaf;
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      const auto held = std::make_shared<int>();
      seen = held;
      co_await error_of(timeout(abandon(deaf.async_wait(asio::deferred)), 1ms));
      co_await abandon(asio::steady_timer(io, 24h).async_wait(asio::deferred));
    });
    io.run_for(20ms);
    deaf.drop();
  }
  BOOST_TEST(seen.expired());
}

BOOST_AUTO_TEST_CASE(futures_take_it) {
  asio::io_context io;
  controlled_operation operation;
  std::future<int> future = abandon(operation.async_wait(asio::deferred))(asio::use_future);
  operation.complete({}, 3);
  run(io);
  BOOST_TEST(future.get() == 3);
}

// getaddrinfo cannot be interrupted: Asio's resolver has no cancellation of its own.
BOOST_AUTO_TEST_CASE(a_name_lookup_under_a_timeout_gives_its_endpoints) {
  asio::io_context io;
  std::size_t found = 0;
  sluice::go(io, [&]() -> task<> {
    asio::ip::tcp::resolver resolver(io);
    const auto endpoints =
        co_await timeout(abandon(resolver.async_resolve("127.0.0.1", "80", asio::deferred)), 24h);
    found = endpoints.size();
  });
  run(io);
  BOOST_TEST(found == 1u);
}
