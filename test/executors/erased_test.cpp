// Handlers and executors whose types are erased.
#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"
#include "told_elsewhere.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

namespace {

using namespace sluice_test;

template <class... Args>
using any_handler = asio::any_completion_handler<void(Args...)>;

}  // namespace

BOOST_AUTO_TEST_SUITE(an_erased_handler)

BOOST_AUTO_TEST_CASE(is_called_when_a_channel_operation_has_completed_at_once_or_later) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  int got = 0;
  int sent = 0;
  const auto receive = [&] {
    ch.async_receive(any_handler<error_code, std::optional<int>>(
        [&](error_code e, std::optional<int> v) { got += e ? 0 : v.value_or(0); }));
  };
  const auto send = [&](int v) {
    ch.async_send(v, any_handler<error_code>([&sent, v](error_code e) { sent += e ? 0 : v; }));
  };
  receive();
  send(1);
  BOOST_TEST(got + sent == 0, "never inside the initiating function");
  run(io);
  BOOST_TEST(got == 1);
  BOOST_TEST(sent == 1);
  send(2);
  receive();
  run(io);
  BOOST_TEST(got == 3);
  BOOST_TEST(sent == 3);
}

BOOST_AUTO_TEST_CASE(runs_on_the_executor_that_was_bound_to_what_it_holds) {
  asio::io_context io;
  asio::io_context other;
  const auto ch = make_channel<int>(io, 1);
  int runs = 0;
  const auto there = [&](auto&&...) {
    ++runs;
    BOOST_TEST(other.get_executor().running_in_this_thread());
  };
  ch.async_send(1, any_handler<error_code>(asio::bind_executor(other, there)));
  ch.async_receive(any_handler<error_code, std::optional<int>>(asio::bind_executor(other, there)));
  auto choice = select(ch.receive(), sluice::sleep_for(1us));
  using result = decltype(choice)::value_type;
  std::move(choice)(any_handler<error_code, result>(asio::bind_executor(other, there)));
  sluice::go(
      io, [] { return 1; },
      any_handler<std::exception_ptr, int>(asio::bind_executor(other, there)));
  sluice::worker_pool<int, int> pool(io, {}, [](int n) { return n; });
  pool.submit(1)(any_handler<std::exception_ptr, int>(asio::bind_executor(other, there)));
  while (runs < 5) {
    poll(io);
    poll(other);
  }
  BOOST_TEST(runs == 5);
}

BOOST_AUTO_TEST_CASE(is_told_by_a_channel_that_it_has_no_executor) {
  const auto ch = make_channel<int>();
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([&](auto h) { ch.async_send(1, any_handler<error_code>(h)); }) ==
             none);
  error_code e;
  BOOST_TEST(!ch.try_receive(e).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_strand_over_an_erased_executor)

BOOST_AUTO_TEST_CASE(runs_goroutines_handlers_and_awaitables) {
  asio::io_context io;
  const asio::strand<asio::any_io_executor> strand(io.get_executor());
  const auto ch = make_channel<int>(strand, 1);
  int sum = 0;
  sluice::go(strand, [&]() -> task<> {
    sum += (co_await ch.receive()).value_or(0);
    co_await ch.send(2);
  });
  ch.async_send(1, [&](error_code e) {
    BOOST_TEST(!e);
    BOOST_TEST(strand.running_in_this_thread());
    ch.async_receive(asio::bind_executor(
        strand, [&](error_code, std::optional<int> v) { sum += v.value_or(0); }));
  });
  run(io);
  BOOST_TEST(sum == 3);
}

BOOST_AUTO_TEST_SUITE_END()
