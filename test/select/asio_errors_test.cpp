// Asio operations among the cases that fail: with an error, with an exception, or at their launch.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace {

using namespace sluice_test;

asio::awaitable<int> throw_at_once() {
  throw std::runtime_error("at once");
  co_return 0;
}

asio::awaitable<int> give(int value) {
  co_return value;
}

/// Waits until it is cancelled, and throws something of its own then.
asio::awaitable<int> throw_when_cancelled(bool& cancelled) {
  asio::steady_timer timer(co_await asio::this_coro::executor, 24h);
  try {
    co_await timer.async_wait(asio::use_awaitable);
  } catch (const sluice::system_error&) {
    cancelled = true;
  }
  throw std::runtime_error("when cancelled");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(errors)

BOOST_AUTO_TEST_CASE(happen_and_are_thrown) {
  asio::io_context io;
  socket_pair sockets(io);
  const auto quiet = make_channel<int>();
  error_code result;
  sluice::go(io, [&]() -> task<> {
    char data[10];
    result = co_await error_of(
        select(quiet.receive(), sockets.near.async_read_some(asio::buffer(data), asio::deferred)));
  });
  poll(io);
  sockets.far.close();
  run(io);
  BOOST_TEST(result == error_code(asio::error::eof));
  BOOST_TEST(!try_send(quiet, 1));
}

BOOST_AUTO_TEST_CASE(are_given_as_values_to_a_handler_that_takes_them_and_by_as_tuple) {
  asio::io_context io;
  controlled_operation op;
  const auto quiet = make_channel<int>();
  std::vector<std::string> log;
  const auto note = [&](const char* how, error_code e, int n) {
    log.push_back(how + (e == closed ? std::string(" closed ") : " ") + std::to_string(n));
  };
  sluice::go(io, [&]() -> task<> {
    co_await select(on(
                        op.async_wait(asio::deferred),
                        [&](error_code e, int n) { note("handler", e, n); }, sluice::drop_lost),
                    quiet.receive());

    auto r = co_await select(quiet.receive(), op.async_wait(asio::as_tuple(asio::deferred)));
    const auto [e, n] = r.get<1>();
    note("deferred", e, n);

    auto s = co_await select(op.async_wait(asio::as_tuple(sluice::use_task)));
    note("use_task", std::get<0>(s.get<0>()), std::get<1>(s.get<0>()));

    bool called = false;
    const auto thrown = co_await error_of(
        select(on(op.async_wait(asio::deferred), [&](int) { called = true; }, sluice::drop_lost)));
    note("exception", thrown, called);
  });
  for (int i = 1; i <= 4; ++i) {
    poll(io);
    op.complete(closed, i);
  }
  run(io);
  const std::vector<std::string> expected{"handler closed 1", "deferred closed 2",
                                          "use_task closed 3", "exception closed 0"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(of_a_launch_leave_the_select) {
  struct cannot_launch : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  const auto fail = [](auto token) {
    return asio::async_initiate<decltype(token), void(error_code)>(
        [](auto) { throw cannot_launch("no"); }, token);
  };
  for (const bool among_others : {false, true}) {
    asio::io_context io;
    const auto quiet = make_channel<int>();
    controlled_operation before(types::terminal);
    controlled_operation after(types::terminal);
    bool caught = false;
    sluice::go(sluice::untracked(io), [&]() -> task<> {
      try {
        if (among_others)
          co_await select(quiet.receive(), before.async_wait(asio::deferred), fail(asio::deferred),
                          after.async_wait(asio::deferred));
        else
          co_await select(fail(asio::deferred));
      } catch (const cannot_launch&) {
        caught = true;
      }
    });
    poll(io);
    BOOST_TEST(caught);
    BOOST_TEST(!before.is_pending());
    BOOST_TEST(after.launches == 0);
    BOOST_TEST(!try_send(quiet, 1));
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(an_exception_in_a_case)  // Source: chriskohlhoff/asio#1094

BOOST_AUTO_TEST_CASE(reaches_the_caller_and_the_other_is_cancelled) {
  asio::io_context io;
  const auto quiet = make_channel<int>();
  std::string caught;
  bool other_cancelled = false;
  bool loser_cancelled = false;
  sluice::go(io, [&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    try {
      co_await select(sluice::go(
                          ex,
                          [&]() -> task<> {
                            other_cancelled = (co_await error_of(quiet.receive())) == aborted;
                          },
                          asio::deferred),
                      asio::co_spawn(ex, throw_when_cancelled(loser_cancelled), asio::deferred),
                      asio::co_spawn(ex, throw_at_once(), asio::deferred));
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
  });
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_TEST(caught == "at once");
  BOOST_TEST(other_cancelled);
  BOOST_TEST(loser_cancelled);
}

// Source: boostorg/cobalt#168
BOOST_AUTO_TEST_CASE(that_loses_goes_nowhere) {
  asio::io_context io;
  bool cancelled = false;
  int got = 0;
  std::string lost;
  sluice::go(io, [&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    auto r = co_await select(asio::co_spawn(ex, give(7), asio::deferred),
                             asio::co_spawn(ex, throw_when_cancelled(cancelled), asio::deferred));
    got = r.get<0>();
    try {
      if (r.lost<1>()) std::rethrow_exception(std::get<0>(*r.lost<1>()));
    } catch (const std::runtime_error& e) {
      lost = e.what();
    }
  });
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_TEST(got == 7);
  BOOST_TEST(cancelled);
  BOOST_TEST(lost == "when cancelled");
}

BOOST_AUTO_TEST_SUITE_END()
