// What a task awaits besides operations of this library and of Asio: all that is called with a
// token.
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
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
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace sluice_test;

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

/// One that completes in either of two ways, or fails.
struct either {
  int n;

  template <class Token>
  auto operator()(Token&& token) const {
    return asio::async_initiate<Token, void(error_code, int), void(error_code, std::string, int),
                                void(error_code)>(
        [n = n](auto handler) {
          if (n == 0) asio::post(asio::append(std::move(handler), error_code(), 7));
          if (n == 1)
            asio::post(asio::append(std::move(handler), error_code(), std::string("word"), 8));
          if (n == 2) asio::post(asio::append(std::move(handler), error_code()));
          if (n == 3)
            asio::post(asio::append(std::move(handler), error_code(asio::error::access_denied)));
        },
        token);
  }
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

BOOST_AUTO_TEST_CASE(an_operation_with_several_signatures) {
  asio::io_context io;
  std::vector<std::size_t> seen;
  std::string text;
  error_code told;
  sluice::go(io, [&]() -> task<> {
    auto first = co_await either{0};
    seen.push_back(first.index());
    text += std::to_string(std::get<0>(first));
    auto second = co_await sluice::timeout(either{1}, 1h);
    seen.push_back(second.index());
    text += std::get<0>(std::get<1>(second)) + std::to_string(std::get<1>(std::get<1>(second)));
    auto third = co_await sluice::select(either{2});
    seen.push_back(third.get<0>().index());
    try {
      co_await either{3};
    } catch (const sluice::system_error& e) {
      told = e.code();
    }
  });
  run(io);
  BOOST_TEST(seen == std::vector<std::size_t>({0, 1, 2}), per_element());
  BOOST_TEST(text == "7word8");
  BOOST_TEST(told == error_code(asio::error::access_denied));
}

/// Its values cannot be moved into what waits for them.
struct unmovable {
  unmovable() = default;
  unmovable(unmovable&&) { throw std::runtime_error("a move"); }
};

BOOST_AUTO_TEST_CASE(an_operation_with_several_signatures_whose_value_cannot_be_moved) {
  asio::io_context io;
  std::string told;
  sluice::go(io, [&]() -> task<> {
    const auto operation = [&](auto&& token) {
      return asio::async_initiate<decltype(token), void(error_code), void(error_code, unmovable)>(
          [&](auto handler) {
            asio::post(io, [handler = std::move(handler)]() mutable {
              unmovable value;
              std::move(handler)(error_code(), std::move(value));
            });
          },
          token);
    };
    try {
      co_await operation(sluice::use_task);
    } catch (const std::runtime_error& e) {
      told = e.what();
    }
  });
  run(io);
  BOOST_TEST(told == "a move");
}

BOOST_AUTO_TEST_CASE(an_operation_one_of_whose_signatures_gives_an_exception) {
  asio::io_context io;
  const auto operation = [&](auto&& token) {
    return asio::async_initiate<decltype(token), void(std::exception_ptr), void(error_code, int)>(
        [&](auto handler) {
          asio::post(io, [handler = std::move(handler)]() mutable {
            std::move(handler)(std::make_exception_ptr(std::runtime_error("refused")));
          });
        },
        token);
  };
  const auto quiet = sluice::make_channel<int>(io);
  std::string told;
  sluice::select(quiet.receive(),
                 operation(sluice::use_task))([&](const std::exception_ptr& e, auto&&) {
    try {
      if (e) std::rethrow_exception(e);
    } catch (const std::runtime_error& x) {
      told = x.what();
    }
  });
  run(io);
  BOOST_TEST(told == "refused");
  using one = std::tuple<sluice::detail::one_of_several<std::tuple<error_code>, std::tuple<>>>;
  static_assert(sluice::detail::only_an_error<one>);
}

BOOST_AUTO_TEST_CASE(one_of_several_of_a_users_own) {
  asio::io_context io;
  int sum = 0;
  error_code told;
  sluice::go(io, [&]() -> task<> {
    const auto quiet = sluice::make_channel<int>();
    const doubled kept{1};
    auto r = co_await sluice::select(quiet.receive(), kept);
    sum += r.get<1>();
    const auto add = [&](error_code, int n) { sum += n; };
    co_await sluice::select(sluice::on(doubled{2}, add, sluice::drop_lost));
    sum += co_await sluice::timeout(doubled{4}, 1h);
    try {
      co_await sluice::timeout(refused(), 1h);
    } catch (const sluice::system_error& e) {
      told = e.code();
    }
  });
  run(io);
  BOOST_TEST(sum == 14);
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
