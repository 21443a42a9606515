#include "names.hpp"

#include <sluice/received.hpp>

#include <sluice/channel.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <any>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;

using sluice::received;

template <class T>
sluice::channel<T> closed_channel(asio::io_context& io) {
  auto ch = make_channel<T>(io);
  ch.close();
  return ch;
}

void in_goroutine(asio::io_context& io, const std::function<task<>()>& body) {
  sluice::go(io, body);
  io.run();
}

bool says_closed(const sluice::system_error& x) {
  return x.code() == sluice::error::closed;
}

BOOST_AUTO_TEST_SUITE(received_value)

BOOST_AUTO_TEST_CASE(is_read_where_there_is_one) {
  asio::io_context io;
  in_goroutine(io, [&]() -> task<> {
    auto ch = make_channel<std::string>(2);
    co_await ch.send("one");
    co_await ch.send("two");
    auto first = co_await ch.receive();
    BOOST_REQUIRE(first);
    BOOST_TEST(*first == "one");
    BOOST_TEST(first->size() == 3u);
    BOOST_TEST(first.value() == "one");
    const std::string second = *co_await ch.receive();
    BOOST_TEST(second == "two");
  });
}

BOOST_AUTO_TEST_CASE(that_did_not_come_cannot_be_read) {
  asio::io_context io;
  auto ch = closed_channel<std::string>(io);
  int told = 0;
  in_goroutine(io, [&]() -> task<> {
    auto none = co_await ch.receive();
    BOOST_TEST(!none);
    BOOST_CHECK_EXCEPTION(static_cast<void>(*none), sluice::system_error, says_closed);
    BOOST_CHECK_EXCEPTION(static_cast<void>(none->size()), sluice::system_error, says_closed);
    BOOST_CHECK_EXCEPTION(static_cast<void>(none.value()), sluice::system_error, says_closed);
    BOOST_CHECK_EXCEPTION(static_cast<void>(*std::as_const(none)), sluice::system_error,
                          says_closed);
    BOOST_CHECK_EXCEPTION(static_cast<void>(*ch.try_receive()), sluice::system_error, says_closed);
    try {
      const std::string s = *co_await ch.receive();
    } catch (const sluice::system_error& x) {
      told += says_closed(x);
    }
    auto timed = co_await sluice::timeout(ch.receive(), 1h);
    BOOST_CHECK_EXCEPTION(static_cast<void>(*timed), sluice::system_error, says_closed);
    auto either = co_await sluice::select(ch.receive(), ch.receive());
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(either.index() == 0 ? *either.get<0>() : *either.get<1>()),
        sluice::system_error, says_closed);
  });
  BOOST_TEST(told == 1);
}

BOOST_AUTO_TEST_CASE(becomes_an_optional_where_one_is_wanted) {
  asio::io_context io;
  in_goroutine(io, [&]() -> task<> {
    auto numbers = make_channel<int>(2);
    co_await numbers.send(7);
    std::optional<int> plain = co_await numbers.receive();
    BOOST_TEST((plain == 7));
    co_await numbers.send(8);
    plain = co_await numbers.receive();
    BOOST_TEST((plain == 8));
    received<int> changed;
    changed = 5;
    BOOST_TEST(*changed == 5);
    changed = std::nullopt;
    BOOST_TEST(!changed);
    co_await numbers.send(9);
    co_await sluice::select(
        on(numbers.receive(), [](std::optional<int> v) { BOOST_TEST((v == 9)); }));

    // A bool that is false is not mistaken for nothing.
    auto bools = make_channel<bool>(2);
    co_await bools.send(false);
    const std::optional<bool> no = co_await bools.receive();
    BOOST_TEST((no == false));
    co_await bools.send(false);
    co_await sluice::select(
        on(bools.receive(), [](std::optional<bool> v) { BOOST_TEST((v == false)); }));

    auto pointers = make_channel<std::unique_ptr<int>>(1);
    co_await pointers.send(std::make_unique<int>(3));
    const std::optional<std::unique_ptr<int>> moved = co_await pointers.receive();
    BOOST_TEST(**moved == 3);
  });
}

BOOST_AUTO_TEST_CASE(is_compared_as_an_optional) {
  const received<int> none, other_none, one(std::in_place, 1), two(std::in_place, 2);
  const std::optional<int> no_number;
  BOOST_TEST((none == other_none));
  BOOST_TEST((none == no_number && no_number == none));
  BOOST_TEST((!(none != no_number) && !(no_number != none) && !(none != other_none)));
  BOOST_TEST((none == std::nullopt && one != std::nullopt));
  BOOST_TEST((none != one && one != two && one == one));
  BOOST_TEST((one == 1 && 1 == one && one != 2 && none != 0));
  BOOST_TEST((one == std::optional(1) && std::optional(2) != one));
}

BOOST_AUTO_TEST_CASE(is_a_plain_optional_for_a_token_and_for_elements_made_from_anything) {
  asio::io_context io;
  auto ch = make_channel<int>(io, 1);
  ch.try_send(1);
  auto told = ch.async_receive(asio::use_future);
  static_assert(std::is_same_v<decltype(told.get()), std::optional<int>>);
  io.run();
  BOOST_TEST((told.get() == 1));

  auto anything = make_channel<std::any>(io, 1);
  anything.try_send(std::any(5));
  auto got = anything.try_receive();
  static_assert(std::is_same_v<decltype(got), std::optional<std::any>>);
  BOOST_TEST(std::any_cast<int>(*got) == 5);
}

// g++ 12 copies aggregates bitwise that a co_await expression makes.
static_assert(!std::is_aggregate_v<received<std::string>>);
static_assert(sizeof(received<int>) == sizeof(std::optional<int>));
static_assert(std::is_trivially_destructible_v<received<int>>);

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
