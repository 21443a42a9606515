// Timeouts with completion tokens, inside each other and in selects, and cancelled from outside.
#include <sluice/timeout.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/use_task.hpp>

#include "../timer/helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(with_a_token)

BOOST_AUTO_TEST_CASE(it_gives_the_value_or_the_error) {
  asio::io_context io;
  auto ch = make_channel<int>(io, 1);
  std::vector<std::string> log;
  ch.try_send(1);
  timeout(ch.receive(), 1h)([&](error_code e, std::optional<int> v) {
    log.push_back(e ? e.message() : "got " + std::to_string(*v));
  });
  BOOST_TEST(log.empty());
  run(io);
  timeout(ch.receive(), 1ms)([&](error_code e, std::optional<int> v) {
    log.push_back(e == timed_out && !v ? "timed out" : "wrong");
  });
  run(io);
  timeout(ch.send(1), 1ms)([&](error_code e) { log.push_back(e ? "not sent" : "sent"); });
  run(io);
  timeout(ch.send(2),
          1ms)([&](error_code e) { log.push_back(e == timed_out ? "not sent" : "sent"); });
  run(io);
  const std::vector<std::string> expected{"got 1", "timed out", "sent", "not sent"};
  BOOST_TEST(log == expected, per_element());
  BOOST_TEST(has_no_timer(io));
}

BOOST_AUTO_TEST_CASE(futures_and_awaitables_wait_for_it) {
  asio::io_context io;
  auto ch = make_channel<int>(io);
  std::future<std::optional<int>> future = timeout(ch.receive(), 1ms)(asio::use_future);
  error_code e;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        try {
          co_await timeout(ch.receive(), 1ms)(asio::use_awaitable);
        } catch (const boost::system::system_error& x) {
          e = x.code();
        }
      },
      asio::detached);
  run(io);
  BOOST_CHECK_EXCEPTION(future.get(), boost::system::system_error, has_code(timed_out));
  BOOST_TEST(e == timed_out);
}

// As the operation itself would have told it.
BOOST_AUTO_TEST_CASE(an_asio_operation_tells_what_it_did_before_its_time_was_over) {
  asio::io_context io;
  socket_pair sockets(io);
  std::array<char, 10> data;
  asio::write(sockets.far, asio::buffer("abcd", 4));
  error_code error;
  std::size_t read = 0;
  timeout(asio::async_read(sockets.near, asio::buffer(data), asio::deferred),
          5ms)(asio::bind_executor(io.get_executor(), [&](error_code e, std::size_t n) {
    error = e;
    read = n;
  }));
  run(io);
  BOOST_TEST(error == timed_out);
  BOOST_TEST(read == 4u);
}

BOOST_AUTO_TEST_CASE(it_is_cancelled_through_the_tokens_slot) {
  asio::io_context io;
  auto ch = make_channel<int>(io);
  asio::cancellation_signal signal;
  error_code error;
  timeout(ch.receive(), 1h)(asio::bind_cancellation_slot(
      signal.slot(), [&](error_code e, std::optional<int>) { error = e; }));
  poll(io);
  signal.emit(asio::cancellation_type::partial);
  run(io);
  BOOST_TEST(error == aborted);
}

BOOST_AUTO_TEST_CASE(the_handler_may_own_the_operation) {
  asio::io_context io;
  auto ch = make_channel<int>(io);
  auto op = std::make_unique<sluice::send_operation<int>>(ch.send(6));
  auto& operation = *op;
  std::optional<int> kept;
  timeout(operation, 1ms)([&kept, op = std::move(op)](error_code e) mutable {
    if (e == timed_out) kept = op->value();
    op.reset();
  });
  run(io);
  BOOST_TEST(kept.value() == 6);

  auto parked = std::make_unique<sluice::send_operation<int>>(ch.send(7));
  auto& second = *parked;
  timeout(second, 1h)([parked = std::move(parked)](error_code) {});
  poll(io);  // the context is destroyed while it is parked
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(inside_another)

BOOST_AUTO_TEST_CASE(timeout_the_shorter_prevails) {
  run_in_virtual_time([]() -> task<> {
    auto ch = make_channel<int>(1);
    const auto within = [&](clock::duration inner, clock::duration outer) {
      return timeout(timeout(ch.receive(), inner)(sluice::use_task), outer);
    };
    for (const bool inner_first : {true, false}) {
      const stopwatch watch;
      const auto e = co_await error_of(within(inner_first ? 1ms : 1h, inner_first ? 1h : 1ms));
      BOOST_TEST(e == timed_out);
      BOOST_TEST((watch.elapsed() >= 1ms));
    }
    ch.try_send(5);
    const auto v = co_await within(1h, 1h);
    BOOST_TEST(v.value() == 5);
    BOOST_TEST((co_await error_of(within(1ms, 1ms))) == timed_out);
  });
}

BOOST_AUTO_TEST_CASE(timeout_of_a_goroutine_that_has_its_own_timeouts) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    auto ch = make_channel<int>();
    int timeouts = 0;
    auto patient = [&]() -> task<int> {
      for (;;) {
        const auto e = co_await error_of(timeout(ch.receive(), 500us));
        if (e != timed_out) co_return timeouts;
        ++timeouts;
      }
    };
    // On a busy machine the long one may be over before a short one has been looked at.
    auto longer = 5ms;
    do {
      const auto e = co_await error_of(timeout(sluice::go(io, patient, asio::deferred), longer));
      BOOST_REQUIRE(e == no_error);  // it ended because it was cancelled, and gave its number
      longer *= 2;
    } while (timeouts == 0);
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(select_it_is_a_case) {
  run_in_virtual_time([]() -> task<> {
    auto quiet = make_channel<int>();
    auto ready = make_channel<int>(1);
    ready.try_send(1);
    auto r = co_await select(timeout(quiet.receive(), 1h)(sluice::use_task), ready.receive());
    BOOST_TEST(r.index() == 1u);
    error_code e;
    try {
      co_await select(timeout(quiet.receive(), 1ms)(sluice::use_task), ready.receive());
    } catch (const sluice::system_error& x) {
      e = x.code();
    }
    BOOST_TEST(e == timed_out);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelled_from_outside)

BOOST_AUTO_TEST_CASE(an_operation_of_this_library_is_aborted_and_has_done_nothing) {
  asio::io_context io;
  auto ch = make_channel<int>();
  auto op = ch.send(3);
  cancellable_goroutine receiver(io, [&]() -> task<> { co_await timeout(ch.receive(), 1h); });
  poll(io);
  receiver.cancel();
  poll(io);
  cancellable_goroutine sender(io, [&]() -> task<> { co_await timeout(op, 1h); });
  poll(io);
  sender.cancel();
  run(io);
  BOOST_TEST(receiver.error() == aborted);
  BOOST_TEST(sender.error() == aborted);
  BOOST_TEST(op.value() == 3);
  error_code e;
  BOOST_TEST(!ch.try_receive(e));
  BOOST_TEST(e == would_block);
  BOOST_TEST(has_no_timer(io));
}

BOOST_AUTO_TEST_CASE(an_asio_operation_is_aborted) {
  asio::io_context io;
  asio::steady_timer t(io, long_time);
  cancellable_goroutine waiter(
      io, [&]() -> task<> { co_await timeout(t.async_wait(asio::deferred), 1h); });
  poll(io);
  waiter.cancel();
  run(io);
  BOOST_TEST(waiter.error() == aborted);
}

// Its own completion is the result also then: bytes that were read are not lost.
BOOST_AUTO_TEST_CASE(an_asio_operation_tells_what_it_did) {
  asio::io_context io;
  socket_pair sockets(io);
  asio::write(sockets.far, asio::buffer("abcd", 4));
  std::array<char, 10> data;
  error_code error;
  std::size_t read = 0;
  cancellable_goroutine waiter(io, [&]() -> task<> {
    auto [e, n] = co_await timeout(
        asio::async_read(sockets.near, asio::buffer(data), asio::as_tuple(sluice::use_task)), 1h);
    error = e;
    read = n;
  });
  poll(io);
  waiter.cancel();
  run(io);
  BOOST_TEST(waiter.error() == no_error);
  BOOST_TEST(error == aborted);
  BOOST_TEST(read == 4u);
}

BOOST_AUTO_TEST_CASE(before_it_began_it_launches_nothing) {
  asio::io_context io;
  asio::steady_timer t(io, 0s);
  error_code first;
  error_code second;
  cancellable_goroutine waiter(io, [&]() -> task<> {
    first = co_await error_of(sleep_for(1h));
    second = co_await error_of(timeout(t.async_wait(asio::deferred), 1h));
  });
  poll(io);
  waiter.cancel();
  run(io);
  BOOST_TEST(first == aborted);
  BOOST_TEST(second == aborted);
}

BOOST_AUTO_TEST_CASE(by_a_context_it_says_why) {
  for (const bool asio_operation : {false, true})
    for (const bool by_deadline : {false, true}) {
      asio::io_context io;
      auto ch = make_channel<int>();
      asio::steady_timer t(io, long_time);
      auto limited = sluice::with_timeout(io, sluice::context::background(),
                                          by_deadline ? clock::duration(2ms) : long_time);
      error_code e;
      sluice::go(limited.ctx, io, [&]() -> task<> {
        if (asio_operation)
          e = co_await error_of(timeout(t.async_wait(asio::deferred), 1h));
        else
          e = co_await error_of(timeout(ch.receive(), 1h));
      });
      poll(io);
      if (!by_deadline) limited.cancel();
      run(io);
      BOOST_TEST(e == (by_deadline ? deadline_exceeded : aborted));
    }
}

BOOST_AUTO_TEST_SUITE_END()
