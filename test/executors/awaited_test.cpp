// What a task awaits besides operations of this library and of Asio: all that is called with a
// token.
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>

#include "support.hpp"

#include <boost/asio/append.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/experimental/promise.hpp>
#include <boost/asio/experimental/use_promise.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

namespace {

using namespace sluice_test;
using namespace std::chrono_literals;

/// An operation of a user's own.
struct doubled {
  int n;

  template <class Token>
  auto operator()(Token&& token) const {
    return asio::async_initiate<Token, void(error_code, int)>(
        [](auto handler, int twice) {
          asio::post(asio::append(std::move(handler), error_code(), twice));
        },
        token, 2 * n);
  }
};

/// One that can be started once, and fails.
class refused {
 public:
  template <class Token>
  auto operator()(Token&& token) && {
    return asio::async_initiate<Token, void(error_code)>(
        [](auto handler, const std::unique_ptr<int>&) {
          asio::post(asio::append(std::move(handler), error_code(asio::error::access_denied)));
        },
        token, std::move(once_));
  }

 private:
  std::unique_ptr<int> once_;
};

static_assert(asio::is_async_operation<doubled>::value);
static_assert(asio::is_async_operation<const doubled&>::value);
static_assert(asio::is_async_operation<refused>::value);

}  // namespace

BOOST_AUTO_TEST_SUITE(a_task_awaits)

BOOST_AUTO_TEST_CASE(an_operation_of_a_users_own) {
  asio::io_context io;
  int sum = 0;
  error_code told;
  sluice::go(io, [&]() -> task<> {
    const doubled kept{1};
    sum += co_await kept;
    sum += co_await doubled{2};
    try {
      co_await refused();
    } catch (const sluice::system_error& e) {
      told = e.code();
    }
  });
  run(io);
  BOOST_TEST(sum == 6);
  BOOST_TEST(told == error_code(asio::error::access_denied));
}

BOOST_AUTO_TEST_CASE(a_promise_that_runs_beside_it) {
  asio::io_context io;
  const auto ch = sluice::make_channel<int>(io, 1);
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    auto first = ch.async_receive(asio::experimental::use_promise);
    ch.try_send(8);
    got = *co_await std::move(first);
    auto second = ch.async_receive(asio::experimental::use_promise);
    sluice::go([](sluice::channel<int> to) -> task<> { co_await to.send(9); }(ch));
    got += *co_await std::move(second);
  });
  run(io);
  BOOST_TEST(got == 17);
}

BOOST_AUTO_TEST_CASE(a_promise_that_ends_with_its_context) {
  asio::io_context io;
  asio::steady_timer timer(io, 1h);
  error_code told;
  const auto [ctx, cancel] = sluice::with_timeout(io, sluice::context::background(), 1ms);
  sluice::go(ctx, io, [&]() -> task<> {
    auto p = timer.async_wait(asio::experimental::use_promise);
    try {
      co_await std::move(p);
    } catch (const sluice::system_error& e) {
      told = e.code();
    }
  });
  run(io);
  BOOST_TEST(told == error_code(sluice::error::deadline_exceeded));
}

BOOST_AUTO_TEST_SUITE_END()
