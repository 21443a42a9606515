// `try_send` and `try_receive`: what they take, when they succeed, and whom they wake.
#include "helpers.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <any>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

struct base {
  virtual ~base() = default;
};

struct derived : base {};

template <class C, class From>
concept sends_now = requires(const C c, From v, error_code e) {
  c.try_send(std::forward<From>(v));
  c.try_send(std::forward<From>(v), e);
};
static_assert(sends_now<channel<std::string>, const char (&)[5]>);
static_assert(sends_now<channel<long>, int&&>);
static_assert(sends_now<sender<std::any>, int&>);
static_assert(sends_now<channel<std::shared_ptr<base>>, std::shared_ptr<derived>&&>);
static_assert(!sends_now<channel<std::string>, std::string_view>, "explicit, as in send");
static_assert(!sends_now<channel<std::unique_ptr<base>>, std::unique_ptr<derived>&&>,
              "a failure could not give it back");
static_assert(!sends_now<receiver<long>, int&&>);

template <class T>
T value_of_kind() {
  if constexpr (std::is_same_v<T, std::string>)
    return "hello, world, and more than fits into the string itself";
  else if constexpr (std::is_same_v<T, bool>)
    return true;
  else
    return static_cast<T>(0x1234567890);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(never_blocking)

BOOST_AUTO_TEST_CASE(a_failed_try_send_leaves_the_value_alone) {
  auto ch = make_channel<std::unique_ptr<int>>(1);
  auto value = std::make_unique<int>(1);
  error_code e = closed;
  BOOST_TEST(ch.try_send(std::move(value), e));
  BOOST_TEST(e == no_error);
  BOOST_TEST(!value);

  value = std::make_unique<int>(2);
  BOOST_TEST(!ch.try_send(std::move(value), e));
  BOOST_TEST(e == would_block);
  BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), sluice::system_error, has_code(would_block));
  ch.close();
  BOOST_TEST(!ch.try_send(std::move(value), e));
  BOOST_TEST(e == closed);
  BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), sluice::system_error, has_code(closed));
  BOOST_REQUIRE(value);
  BOOST_TEST(*value == 2);
}

BOOST_AUTO_TEST_CASE(try_send_copies_an_lvalue) {
  auto ch = make_channel<std::string>(2);
  std::string value(100, 'x');
  const std::string constant(100, 'y');
  ch.try_send(value);
  ch.try_send(constant);
  BOOST_TEST(value == std::string(100, 'x'));
  BOOST_TEST(ch.try_receive().value_or("") == value);
  BOOST_TEST(ch.try_receive().value_or("") == constant);
}

BOOST_AUTO_TEST_CASE(try_receive_tells_empty_from_closed) {
  auto ch = make_channel<int>(1);
  error_code e;
  BOOST_TEST(!ch.try_receive(e));
  BOOST_TEST(e == would_block);
  BOOST_CHECK_EXCEPTION(ch.try_receive(), sluice::system_error, has_code(would_block));
  ch.try_send(9);
  BOOST_TEST(ch.try_receive(e).value_or(-1) == 9);
  BOOST_TEST(e == no_error);
  ch.close();
  e = would_block;
  BOOST_TEST(!ch.try_receive(e));
  BOOST_TEST(e == no_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(try_send)

BOOST_AUTO_TEST_CASE(converts_as_send_does) {
  const auto texts = make_channel<std::string>(2);
  texts.try_send("one");
  error_code e;
  BOOST_TEST(texts.try_send({'t', 'w', 'o'}, e));
  BOOST_TEST(!texts.try_send("three", e));
  BOOST_TEST(e == asio::error::would_block);
  BOOST_TEST(texts.try_receive().value() == "one");
  BOOST_TEST(texts.try_receive().value() == "two");

  const auto numbers = make_channel<long>(1);
  numbers.try_send(1);
  BOOST_TEST(numbers.try_receive().value() == 1);
  texts.close();
  BOOST_TEST(!texts.try_send("four", e));
  BOOST_TEST((e == sluice::error::closed));
}

BOOST_AUTO_TEST_CASE(leaves_what_it_converts_as_it_is) {
  const auto ch = make_channel<std::shared_ptr<base>>(1);
  auto value = std::make_shared<derived>();
  ch.try_send(std::move(value));
  error_code e;
  BOOST_TEST(!ch.try_send(std::move(value), e));
  BOOST_TEST((value != nullptr));
  BOOST_TEST((ch.try_receive().value() == value));
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang test/chan/nonblock.go
using nonblocking_kinds = std::tuple<std::int32_t, std::int64_t, bool, std::string>;
BOOST_AUTO_TEST_CASE_TEMPLATE(a_try_succeeds_exactly_if_a_partner_waits_or_the_buffer_serves, T,
                              nonblocking_kinds) {
  const auto value = value_of_kind<T>();
  for (const std::size_t capacity : {0u, 1u}) {
    asio::io_context io;
    auto ch = make_channel<T>(capacity);
    auto done = make_channel<void>();
    error_code e;

    BOOST_TEST(!ch.try_receive(e).has_value());
    BOOST_TEST(e == would_block);
    if (capacity == 0) {
      BOOST_TEST(!ch.try_send(value, e));
      BOOST_TEST(e == would_block);
    }

    sluice::go(io, [&]() -> task<> {
      co_await ch.send(value);
      co_await done.send();
    });
    poll(io);
    BOOST_CHECK(ch.try_receive(e) == value);
    BOOST_TEST(!ch.try_receive(e).has_value());
    poll(io);
    BOOST_TEST(done.try_receive());

    bool intact = false;
    sluice::go(io, [&]() -> task<> {
      const auto v = co_await ch.receive();
      intact = v == value;
    });
    poll(io);
    BOOST_TEST(ch.try_send(value, e));
    BOOST_TEST(ch.try_send(value, e) == (capacity == 1));
    BOOST_TEST(!ch.try_send(value, e));
    run(io);
    BOOST_TEST(intact);
    BOOST_TEST(ch.try_receive(e).has_value() == (capacity == 1));
  }
}

// Source: boostorg/fiber#114
BOOST_AUTO_TEST_CASE(a_try_from_another_thread_wakes_the_parked_partner) {
  asio::io_context io;
  auto in = make_channel<int>(16);
  auto out = make_channel<int>(1);
  out.try_send(1);
  ints got;
  bool sent = false;
  sluice::go(io, receive_one(in, got));
  sluice::go(io, [&]() -> task<> {
    co_await out.send(2);
    sent = true;
  });
  poll(io);
  BOOST_TEST(got.empty());
  BOOST_TEST(!sent);
  int first = 0;
  std::thread outsider([&] {
    in.try_send(7);
    first = out.try_receive().value_or(-1);
  });
  run(io);  // returns when both have ended
  outsider.join();
  BOOST_TEST(got == ints({7}), per_element());
  BOOST_TEST(sent);
  BOOST_TEST(first == 1);
}

// Source: golang runtime TestNonblockRecvRace
BOOST_AUTO_TEST_CASE(a_channel_that_is_closed_before_it_is_emptied_is_always_ready) {
  const watchdog dog;
  const auto n = rounds(20'000);
  std::atomic<std::size_t> not_ready = 0;
  std::vector<channel<int>> channels;
  for (std::size_t i = 0; i < n; ++i) channels.push_back(make_channel<int>(1));
  for (auto& ch : channels) ch.try_send(1);
  std::atomic<std::size_t> at = 0;
  on_threads(2, [&](int i) {
    for (std::size_t k = 0; k < n; ++k) {
      at.fetch_add(1);  // both are here before either goes on
      while (at.load() < 2 * k + 2) std::this_thread::yield();
      error_code e;
      if (i == 0) {
        channels[k].try_receive(e);
        if (e) ++not_ready;
      } else {
        channels[k].close();
        channels[k].try_receive(e);
      }
    }
  });
  BOOST_TEST(not_ready == 0u);
}
