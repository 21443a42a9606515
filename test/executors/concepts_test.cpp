// What Asio's concepts say about the operations and the initiating functions of this library.
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <type_traits>

namespace {

using namespace sluice_test;

using receive = sluice::receive_operation<int>;
using send = sluice::send_operation<int>;
using sleep = sluice::sleep_operation;
using selecting = decltype(sluice::select(std::declval<receive>(), std::declval<sleep>()));
using limited = decltype(sluice::timeout(std::declval<receive>(), 1s));
using handled = decltype(sluice::select(sluice::on(std::declval<receive>(), [] {})));

static_assert(asio::is_async_operation<receive>::value);
static_assert(asio::is_async_operation<send>::value);
static_assert(asio::is_async_operation<sleep>::value);
static_assert(asio::is_async_operation<selecting>::value);
static_assert(asio::is_async_operation<limited>::value);
static_assert(asio::is_async_operation<handled>::value);

template <class Operation, class Signature>
inline constexpr bool completes_as =
    std::is_same_v<typename asio::completion_signature_of<Operation>::type, Signature>;

static_assert(completes_as<receive, void(error_code, std::optional<int>)>);
static_assert(completes_as<send, void(error_code)>);
static_assert(completes_as<limited, void(error_code, std::optional<int>)>);
static_assert(completes_as<selecting, void(error_code, selecting::value_type)>);
static_assert(completes_as<handled, void(std::exception_ptr, std::size_t)>);

/// What can be called with a token, and takes nothing else for one.
template <template <class> class Call>
inline constexpr bool takes_tokens_only =
    Call<decltype([](auto&&...) {})>::works && Call<asio::deferred_t>::works && !Call<int>::works &&
    !Call<decltype([](std::nullptr_t, int*) {})>::works;

template <class Operation>
struct call {
  template <class Token>
  struct of {
    static constexpr bool works = requires(Operation op, Token t) { std::move(op)(t); };
  };
};
static_assert(takes_tokens_only<call<receive>::of>);
static_assert(takes_tokens_only<call<send>::of>);
static_assert(takes_tokens_only<call<sleep>::of>);
static_assert(takes_tokens_only<call<selecting>::of>);
static_assert(takes_tokens_only<call<limited>::of>);
static_assert(takes_tokens_only<call<handled>::of>);
static_assert(takes_tokens_only<call<decltype(sluice::mutex().lock())>::of>);

template <class Token>
struct async_receive {
  static constexpr bool works = requires(sluice::channel<int> ch, Token t) { ch.async_receive(t); };
};
template <class Token>
struct async_send {
  static constexpr bool works = requires(sluice::sender<int> ch, Token t) { ch.async_send(1, t); };
};
template <class Token>
struct go_with {
  static constexpr bool works =
      requires(asio::io_context& io, Token t) { sluice::go(io, [] { return 1; }, t); };
};
template <class Token>
struct go_under {
  static constexpr bool works = requires(asio::io_context& io, sluice::context ctx, Token t) {
    sluice::go(ctx, io, [] { return 1; }, t);
  };
};
template <class Token>
struct submit {
  static constexpr bool works =
      requires(sluice::worker_pool<int, int>& pool, Token t) { pool.try_submit(1, t); };
};
static_assert(takes_tokens_only<async_receive>);
static_assert(takes_tokens_only<async_send>);
static_assert(takes_tokens_only<go_with>);
static_assert(takes_tokens_only<go_under>);
static_assert(submit<decltype([](auto&&...) {})>::works && !submit<int>::works);

}  // namespace

BOOST_AUTO_TEST_SUITE(an_operation)

BOOST_AUTO_TEST_CASE(is_awaited_as_it_is_by_an_awaitable) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  const auto quiet = make_channel<int>(io);
  int got = 0;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        co_await ch.send(7);
        got = (co_await ch.receive()).value();
        co_await sluice::sleep_for(1us);
        ch.try_send(8);
        auto r = co_await sluice::select(quiet.receive(), ch.receive());
        got += r.get<1>().value();
        ch.try_send(9);
        got += (co_await sluice::timeout(ch.receive(), 1h)).value();
      },
      asio::detached);
  run(io);
  BOOST_TEST(got == 24);
}

// The handle is gone before the operation begins.
BOOST_AUTO_TEST_CASE(made_of_a_temporary_keeps_its_channel) {
  asio::io_context io;
  const auto closed_channel = [&] {
    const auto ch = make_channel<int>(io, 1);
    ch.close();
    return ch;
  };
  int calls = 0;
  error_code told;
  auto receiving = closed_channel().async_receive(asio::deferred);
  auto sending = closed_channel().async_send(1, asio::deferred);
  std::move(receiving)([&](error_code e, std::optional<int> v) { calls += !e && !v; });
  std::move(sending)([&](error_code e) { told = e; });
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(told == error_code(sluice::error::closed));
}

BOOST_AUTO_TEST_SUITE_END()
