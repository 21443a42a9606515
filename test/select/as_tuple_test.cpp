// as_tuple over an operation that completes with an exception_ptr, wherever one is awaited.
#include <sluice/abandon.hpp>
#include <sluice/bind_context.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include "helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/test/unit_test.hpp>

#include <exception>
#include <tuple>

namespace {

using namespace sluice_test;

constexpr auto as_value = asio::as_tuple(sluice::use_task);

task<> long_work() {
  co_await sluice::sleep_for(1h);
}
task<int> long_sum() {
  co_await sluice::sleep_for(1h);
  co_return 7;
}

/// What `body` gives in a goroutine whose context is cancelled while it waits, or before.
template <class Body>
error_code when_cancelled(Body body) {
  asio::io_context io;
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  error_code result;
  const auto work = [&]() -> task<> { result = co_await body(io); };
  sluice::go(ctx, io, work);
  io.poll();
  cancel();
  run(io);
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(as_tuple_over_an_exception_ptr)

BOOST_AUTO_TEST_CASE(does_not_rescue_a_select_that_was_cancelled) {
  const auto e = when_cancelled([](asio::io_context& io) -> task<error_code> {
    co_return co_await error_of(
        select(sluice::go(io, long_work(), as_value), sluice::sleep_for(2h)));
  });
  BOOST_TEST(e == aborted);
}

BOOST_AUTO_TEST_CASE(gives_the_error_of_a_timeout) {
  run_in_virtual_time([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    auto [e] = co_await timeout(sluice::go(ex, long_work(), as_value), 1ms);
    BOOST_TEST(code_of(e) == timed_out);
    auto [f, n] = co_await timeout(sluice::go(ex, long_sum(), as_value), 1ms);
    BOOST_TEST(code_of(f) == timed_out);
    BOOST_TEST(n == 0);
  });
}

BOOST_AUTO_TEST_CASE(gives_the_error_of_a_timeout_that_had_no_time) {
  run_in_virtual_time([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    auto [e] = co_await timeout(sluice::go(ex, long_work(), as_value), 0ms);
    BOOST_TEST(code_of(e) == timed_out);
  });
}

BOOST_AUTO_TEST_CASE(gives_the_error_of_an_operation_that_was_not_launched) {
  asio::io_context io;
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  error_code result;
  const auto work = [&]() -> task<> {
    cancel();
    auto [e] = co_await sluice::go(io, long_work(), as_value);
    result = code_of(e);
  };
  sluice::go(ctx, io, work);
  run(io);
  BOOST_TEST(result == aborted);
}

BOOST_AUTO_TEST_CASE(gives_the_error_of_an_abandoned_operation) {
  run_in_virtual_time([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    auto [e] = co_await timeout(sluice::abandon(sluice::go(ex, long_work(), as_value)), 1ms);
    BOOST_TEST(code_of(e) == timed_out);
  });
}

BOOST_AUTO_TEST_CASE(says_that_a_deadline_ended_a_bound_operation) {
  run_in_virtual_time([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    const auto [ctx, cancel] = sluice::with_timeout(sluice::context::background(), 1ms);
    auto [e] = co_await sluice::go(ex, long_work(), sluice::bind_context(ctx, as_value));
    BOOST_TEST(code_of(e) == error_code(sluice::error::deadline_exceeded));
  });
}

BOOST_AUTO_TEST_SUITE_END()
