// What closing does to those who wait, to what is buffered, and to those who come later.
#include "helpers.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <source_location>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(closing)

BOOST_AUTO_TEST_CASE(a_closed_channel_gives_what_is_buffered_and_then_nothing_for_ever) {
  asio::io_context io;
  auto ch = make_channel<int>(3);
  for (int i = 1; i <= 3; ++i) ch.try_send(i);
  ch.close();
  ints got;
  int closed_receives = 0;
  sluice::go(io, [&]() -> task<> {
    co_await receive_all(ch, got);
    for (; closed_receives < 1000; ++closed_receives)
      if (co_await ch.receive()) co_return;
  });
  run(io);
  BOOST_TEST(got == numbers(1, 3), per_element());
  BOOST_TEST(closed_receives == 1000);
  error_code e = would_block;
  BOOST_TEST(!ch.try_receive(e));
  BOOST_TEST(e == no_error);
  BOOST_TEST(!ch.try_receive());
}

BOOST_AUTO_TEST_CASE(closing_wakes_every_parked_receiver_in_order) {
  asio::io_context io;
  auto ch = make_channel<int>(1);
  ints log;
  for (int i = 1; i <= 4; ++i) sluice::go(io, receive_one(ch, i, log));
  poll(io);
  ch.close();
  run(io);
  BOOST_TEST(log == ints({1000, 2000, 3000, 4000}), per_element());
}

BOOST_AUTO_TEST_CASE(closing_fails_every_parked_sender) {
  for (const std::size_t capacity : {0u, 2u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    std::vector<error_code> results;
    for (int i = 1; i <= 5; ++i) sluice::go(io, send_one(ch, i, results));
    poll(io);
    ch.close();
    run(io);
    std::vector<error_code> expected(capacity);
    expected.resize(5, closed);
    BOOST_TEST(results == expected, per_element());
    BOOST_TEST(ch.size() == capacity);
  }
}

BOOST_AUTO_TEST_CASE(sending_on_a_closed_channel_fails_at_once) {
  asio::io_context io;
  auto ch = make_channel<int>(1);
  ch.close();
  std::vector<error_code> results;
  sluice::go(io, send_one(ch, 1, results));
  run(io);
  BOOST_TEST(results == std::vector<error_code>({closed}), per_element());
  error_code e;
  BOOST_TEST(!ch.try_send(1, e));
  BOOST_TEST(e == closed);
  BOOST_CHECK_EXCEPTION(ch.try_send(1), sluice::system_error, has_code(closed));
  BOOST_TEST(ch.size() == 0u);
}

BOOST_AUTO_TEST_CASE(a_send_that_failed_still_has_its_value) {
  asio::io_context io;
  auto ch = make_channel<std::unique_ptr<int>>();
  int kept = 0;
  sluice::go(io, [&]() -> task<> {
    auto parked = ch.send(std::make_unique<int>(3));
    try {
      co_await parked;
    } catch (const sluice::system_error&) {
      kept += *parked.value();
    }
    auto on_entry = ch.send(std::make_unique<int>(4));
    try {
      co_await on_entry;
    } catch (const sluice::system_error&) {
      kept += *on_entry.value();
    }
  });
  poll(io);
  ch.close();
  run(io);
  BOOST_TEST(kept == 7);
}

BOOST_AUTO_TEST_CASE(closing_twice_is_an_error) {
  auto ch = make_channel<int>();
  ch.close();
  BOOST_CHECK_EXCEPTION(ch.close(), sluice::system_error, has_code(closed));
  BOOST_CHECK_EXCEPTION(sender<int>(ch).close(), sluice::system_error, has_code(closed));
}

BOOST_AUTO_TEST_CASE(the_error_says_where_the_channel_was_made_and_closed) {
  using std::source_location;
  const unsigned made = source_location::current().line() + 1;
  auto ch = make_channel<int>();
  const unsigned at = source_location::current().line() + 1;
  ch.close();
  const auto says_both = [&](const sluice::system_error& x) {
    return x.code() == closed && contains(x.what(), "the channel that was made at ") &&
           contains(x.what(), "closing_test.cpp:" + std::to_string(made) + " was closed at ") &&
           contains(x.what(), "closing_test.cpp:" + std::to_string(at) + ": ");
  };
  BOOST_CHECK_EXCEPTION(ch.close(), sluice::system_error, says_both);
  BOOST_CHECK_EXCEPTION(ch.try_send(1), sluice::system_error, says_both);
}

BOOST_AUTO_TEST_CASE(try_close_says_whether_it_has_closed) {
  auto ch = make_channel<int>();
  BOOST_TEST(sender<int>(ch).try_close());
  BOOST_TEST(!ch.is_open());
  BOOST_TEST(!ch.try_close());
  BOOST_TEST(!channel<int>().try_close());
}

BOOST_AUTO_TEST_CASE(errors_say_what_was_wrong) {
  BOOST_TEST(closed.category().name() == std::string("sluice"));
  BOOST_TEST(closed.message().find("closed") != std::string::npos);
  const error_code nil = sluice::error::nil_channel;
  BOOST_TEST(nil.message() != closed.message());
  BOOST_TEST(nil.message().find("nil") != std::string::npos);
}

// Source: chriskohlhoff/asio#1318, chriskohlhoff/asio#1575, boostorg/fiber#181
BOOST_AUTO_TEST_CASE(closing_releases_every_blocked_sender_with_an_error) {
  for (const std::size_t capacity : {0u, 1u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    for (std::size_t i = 0; i < capacity; ++i) ch.try_send(-1);
    std::atomic<int> told_closed = 0;
    std::atomic<int> told_otherwise = 0;
    for (int i = 0; i < 50; ++i)
      sluice::go(io, [&, i]() -> task<> {
        const auto e = co_await error_of(ch.send(i));
        ++(e == closed ? told_closed : told_otherwise);
      });
    poll(io);
    BOOST_TEST(told_closed + told_otherwise == 0);
    std::thread closer([&] { ch.close(); });
    run(io, 4);
    closer.join();
    BOOST_TEST(told_closed == 50);
    BOOST_TEST(told_otherwise == 0);
    for (std::size_t i = 0; i < capacity; ++i) BOOST_TEST(ch.try_receive().value_or(0) == -1);
    BOOST_TEST(!ch.try_receive().has_value());
  }
}

// Source: chriskohlhoff/asio#1236
BOOST_AUTO_TEST_CASE(closing_does_not_discard_what_is_buffered) {
  for (const bool consumer_first : {false, true}) {
    asio::io_context io;
    auto ch = make_channel<int>(100);
    ints got;
    int closed_receives = 0;
    const auto consume = [&]() -> task<> {
      while (const auto v = co_await ch.receive()) got.push_back(*v);
      for (int i = 0; i < 10; ++i)
        if (!co_await ch.receive()) ++closed_receives;
    };
    if (consumer_first) sluice::go(io, consume);
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < 100; ++i) co_await ch.send(i);
      ch.close();
    });
    poll(io);
    if (!consumer_first) sluice::go(io, consume);
    run(io);
    BOOST_TEST(got == numbers(0, 99), per_element());
    BOOST_TEST(closed_receives == 10);
  }
}

// Source: chriskohlhoff/asio#1022, nim-lang/Nim#26230
BOOST_AUTO_TEST_CASE(a_closed_channel_cannot_be_opened_again) {
  const auto opens = [](auto ch) {
    return requires { ch.reset(); } || requires { ch.open(); } || requires { ch.reopen(); } ||
           requires { ch.clear(); };
  };
  BOOST_TEST(!opens(channel<int>()));
  BOOST_TEST(!opens(sender<int>()));
  BOOST_TEST(!opens(receiver<int>()));
}

// Source: crystal-lang/crystal#6948
BOOST_AUTO_TEST_CASE(a_send_ended_by_close_is_no_success) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<error_code> results;
  sluice::go(io, send_one(ch, 1, results));
  poll(io);
  ch.close();
  run(io);
  BOOST_TEST(results == std::vector<error_code>({closed}), per_element());
  BOOST_TEST(!ch.try_receive().has_value());
}

BOOST_AUTO_TEST_SUITE_END()
