// What a channel does: sending, receiving, nil, directions, and how it is made.
#include "channel/helpers.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

task<> send_all(sender<int> out, std::vector<int> values) {
  for (const int v : values) co_await out.send(v);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sending_and_receiving)

BOOST_AUTO_TEST_CASE(an_unbuffered_send_waits_until_its_value_is_received) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    log.push_back("sending");
    co_await ch.send(1);
    log.push_back("sent");
  });
  poll(io);
  BOOST_TEST(log == std::vector<std::string>({"sending"}), per_element());
  BOOST_TEST(ch.size() == 0u);

  sluice::go(io, [&]() -> task<> {
    const auto v = co_await ch.receive();
    log.push_back("received " + std::to_string(v.value_or(-1)));
  });
  run(io);
  BOOST_TEST(log.size() == 3u);
}

BOOST_AUTO_TEST_CASE(an_unbuffered_receive_waits_until_a_value_is_sent) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<int> got;
  sluice::go(io, receive_one(ch, 1, got));
  poll(io);
  BOOST_TEST(got.empty());
  sluice::go(io, send_all(ch, {42}));
  run(io);
  BOOST_TEST(got == std::vector<int>({1042}), per_element());
}

BOOST_AUTO_TEST_CASE(a_buffered_send_waits_only_when_the_buffer_is_full) {
  asio::io_context io;
  auto ch = make_channel<int>(3);
  int sent = 0;
  sluice::go(io, [&]() -> task<> {
    for (; sent < 5; ++sent) co_await ch.send(sent);
  });
  poll(io);
  BOOST_TEST(sent == 3);
  BOOST_TEST(ch.size() == 3u);
  BOOST_TEST(ch.try_receive().value_or(-1) == 0);
  BOOST_TEST(ch.size() == 3u);  // the parked value has moved up
  poll(io);
  BOOST_TEST(sent == 4);
  BOOST_TEST(ch.try_receive().value_or(-1) == 1);
  run(io);
  BOOST_TEST(sent == 5);
}

BOOST_AUTO_TEST_CASE(values_come_in_the_order_in_which_one_goroutine_sent_them) {
  for (const std::size_t capacity : {0u, 1u, 2u, 7u, 100u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    std::vector<int> got;
    sluice::go(io, receive_all(ch, got));
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < 1000; ++i) co_await ch.send(i);
      ch.close();
    });
    run(io);
    BOOST_TEST(got == numbers(0, 999), per_element());
  }
}

BOOST_AUTO_TEST_CASE(parked_receivers_are_served_first_come_first_served) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<int> log;
  for (int i = 1; i <= 5; ++i) sluice::go(io, receive_one(ch, i, log));
  poll(io);
  for (int i = 1; i <= 5; ++i) ch.try_send(i);
  run(io);
  BOOST_TEST(log == std::vector<int>({1001, 2002, 3003, 4004, 5005}), per_element());
}

BOOST_AUTO_TEST_CASE(parked_senders_are_served_first_come_first_served) {
  for (const std::size_t capacity : {0u, 2u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    std::vector<error_code> results;
    for (int i = 1; i <= 6; ++i) sluice::go(io, send_one(ch, i, results));
    poll(io);
    BOOST_TEST(results.size() == capacity);
    std::vector<int> got;
    for (int i = 1; i <= 6; ++i) got.push_back(ch.try_receive().value_or(-1));
    run(io);
    BOOST_TEST(got == numbers(1, 6), per_element());
    BOOST_TEST(results == std::vector<error_code>(6), per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_value_handed_to_a_parked_receiver_cannot_be_taken_by_another) {
  asio::io_context io;
  auto ch = make_channel<int>(1);
  std::vector<int> log;
  sluice::go(io, receive_one(ch, 1, log));
  poll(io);
  ch.try_send(7);
  BOOST_TEST(ch.size() == 0u);  // it is the receiver's, which has not run yet
  error_code e;
  BOOST_TEST(!ch.try_receive(e));
  BOOST_TEST(e == would_block);
  run(io);
  BOOST_TEST(log == std::vector<int>({1007}), per_element());
}

BOOST_AUTO_TEST_CASE(handles_are_references_to_one_channel) {
  asio::io_context io;
  auto a = make_channel<int>(2);
  const auto b = a;
  const sender<int> in = a;
  const receiver<int> out = b;
  BOOST_CHECK(a == b);
  BOOST_CHECK(in == a);
  BOOST_CHECK(out == b);
  BOOST_CHECK(!(a == make_channel<int>(2)));
  BOOST_CHECK(channel<int>() == channel<int>());
  in.try_send(1);
  BOOST_TEST(a.size() == 1u);
  BOOST_TEST(out.try_receive().value_or(-1) == 1);
  BOOST_TEST(b.size() == 0u);
}

BOOST_AUTO_TEST_CASE(an_operation_on_a_temporary_handle_keeps_the_channel) {
  asio::io_context io;
  std::vector<int> log;
  const auto source = [] {
    auto ch = make_channel<int>(1);
    ch.try_send(5);
    return ch;
  };
  sluice::go(io, [&]() -> task<> {
    const auto v = co_await source().receive();
    log.push_back(v.value_or(-1));
    auto op = make_channel<int>(1).send(6);
    co_await op;
    log.push_back(6);
  });
  run(io);
  BOOST_TEST(log == std::vector<int>({5, 6}), per_element());
}

BOOST_AUTO_TEST_CASE(size_and_capacity_are_those_of_the_buffer) {
  auto ch = make_channel<int>(3);
  BOOST_TEST(ch.capacity() == 3u);
  for (std::size_t n = 0; n <= 3; ++n) {
    BOOST_TEST(ch.size() == n);
    error_code e;
    ch.try_send(1, e);
  }
  BOOST_TEST(ch.size() == 3u);
  const auto unbuffered = make_channel<int>();
  BOOST_TEST(unbuffered.capacity() == 0u);
  BOOST_TEST(unbuffered.size() == 0u);
}

BOOST_AUTO_TEST_CASE(channels_travel_through_channels) {
  asio::io_context io;
  auto requests = make_channel<channel<int>>();
  int answer = 0;
  sluice::go(io, [&]() -> task<> {
    while (auto reply = co_await requests.receive()) co_await reply->send(42);
  });
  sluice::go(io, [&]() -> task<> {
    auto reply = make_channel<int>();
    co_await requests.send(reply);
    answer = (co_await reply.receive()).value_or(-1);
    requests.close();
  });
  run(io);
  BOOST_TEST(answer == 42);
}

BOOST_AUTO_TEST_CASE(a_channel_of_void_carries_signals) {
  asio::io_context io;
  auto ch = make_channel<void>(2);
  ch.try_send();
  BOOST_TEST(ch.size() == 1u);
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    while (co_await ch.receive()) ++got;
  });
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 9; ++i) co_await ch.send();
    ch.close();
  });
  run(io);
  BOOST_TEST(got == 10);
  BOOST_TEST(!ch.try_receive());
  BOOST_CHECK_EXCEPTION(ch.try_send(), sluice::system_error, has_code(closed));
}

BOOST_AUTO_TEST_CASE(goroutines_that_stay_parked_are_destroyed_with_their_context) {
  auto ch = make_channel<int>();
  auto alive = std::make_shared<int>(0);
  {
    asio::io_context io;
    sluice::go(io, [&ch, alive]() -> task<> { co_await ch.receive(); });
    sluice::go(io, [&ch, alive]() -> task<> { co_await ch.receive(); });
    poll(io);
    BOOST_TEST(alive.use_count() == 3);
  }
  BOOST_TEST(alive.use_count() == 1);
  error_code e;
  BOOST_TEST(!ch.try_send(1, e));  // nobody waits any more
  BOOST_TEST(e == would_block);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(nil)

BOOST_AUTO_TEST_CASE(operations_on_a_nil_channel_wait_for_ever) {
  int resumed = 0;
  auto alive = std::make_shared<int>(0);
  {
    asio::io_context io;
    sluice::go(io, [&resumed, alive]() -> task<> {
      channel<int> nil;
      co_await nil.send(1);
      ++resumed;
    });
    sluice::go(io, [&resumed, alive]() -> task<> {
      receiver<int> nil;
      co_await nil.receive();
      ++resumed;
    });
    sluice::go(io, [&resumed, alive]() -> task<> {
      co_await channel<void>().receive();
      ++resumed;
    });
    poll(io);
    BOOST_TEST(!io.stopped());  // they are outstanding work
  }
  BOOST_TEST(resumed == 0);
  BOOST_TEST(alive.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(a_nil_channel_never_has_a_value_nor_room) {
  const channel<int> nil;
  BOOST_TEST(!nil);
  BOOST_TEST(nil.size() == 0u);
  BOOST_TEST(nil.capacity() == 0u);
  error_code e;
  BOOST_TEST(!nil.try_send(1, e));
  BOOST_TEST(e == would_block);
  e.clear();
  BOOST_TEST(!nil.try_receive(e));
  BOOST_TEST(e == would_block);
  BOOST_CHECK_EXCEPTION(nil.try_send(1), sluice::system_error, has_code(would_block));
  BOOST_CHECK_EXCEPTION(nil.try_receive(), sluice::system_error, has_code(would_block));
}

BOOST_AUTO_TEST_CASE(closing_a_nil_channel_is_an_error) {
  const error_code nil = sluice::error::nil_channel;
  BOOST_CHECK_EXCEPTION(channel<int>().close(), sluice::system_error, has_code(nil));
  BOOST_CHECK_EXCEPTION(sender<int>().close(), sluice::system_error, has_code(nil));
  BOOST_CHECK_EXCEPTION(static_cast<void>(channel<int>().get_executor()), sluice::system_error,
                        has_code(nil));
}

BOOST_AUTO_TEST_CASE(a_moved_from_handle_is_nil) {
  auto ch = make_channel<int>(1);
  BOOST_TEST(static_cast<bool>(ch));
  const auto other = std::move(ch);
  BOOST_TEST(!ch);
  BOOST_CHECK(ch == channel<int>());
  error_code e;
  BOOST_TEST(!ch.try_send(1, e));
  BOOST_TEST(e == would_block);
  BOOST_CHECK_EXCEPTION(ch.close(), sluice::system_error, has_code(sluice::error::nil_channel));
  ch = other;
  BOOST_TEST(ch.try_send(1, e));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(making)

// Source: golang test/chancap.go
BOOST_AUTO_TEST_CASE(a_capacity_that_cannot_be_addressed_is_a_length_error) {
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  BOOST_CHECK_THROW(static_cast<void>(make_channel<int>(std::numeric_limits<std::size_t>::max())),
                    std::length_error);
  BOOST_CHECK_THROW(static_cast<void>(make_channel<char>(most)), std::length_error);
  BOOST_CHECK_THROW(static_cast<void>(make_channel<int>(most / sizeof(int))), std::length_error);
  BOOST_CHECK_THROW(static_cast<void>(make_channel<std::string>(most / 2)), std::length_error);
  BOOST_CHECK_THROW(static_cast<void>(make_channel<void>(most + 1)), std::length_error);
  const int negative = -1;
  BOOST_CHECK_THROW(static_cast<void>(make_channel<int>(static_cast<std::size_t>(negative))),
                    std::length_error);
  asio::io_context io;
  BOOST_CHECK_THROW(static_cast<void>(make_channel<int>(io, most)), std::length_error);
}

BOOST_AUTO_TEST_CASE(a_capacity_that_cannot_be_allocated_is_bad_alloc) {
  if constexpr (!sanitized) {  // they end the program instead
    BOOST_CHECK_THROW(static_cast<void>(make_channel<std::uint64_t>(std::size_t{1} << 58)),
                      std::bad_alloc);
  }
}

BOOST_AUTO_TEST_CASE(elements_without_a_value_need_no_room) {
  auto ch = make_channel<void>(std::size_t{1} << 50);
  BOOST_TEST(ch.capacity() == std::size_t{1} << 50);
  for (int i = 0; i < 1000; ++i) ch.try_send();
  BOOST_TEST(ch.size() == 1000u);
}

BOOST_AUTO_TEST_CASE(a_channel_has_the_executor_that_it_was_made_with) {
  asio::io_context io;
  asio::io_context elsewhere;
  BOOST_CHECK(make_channel<int>(io).get_executor() == sluice::get_executor(io));
  BOOST_CHECK(make_channel<int>(elsewhere.get_executor(), 1).get_executor() ==
              sluice::get_executor(elsewhere));
  BOOST_CHECK_EXCEPTION(static_cast<void>(make_channel<int>().get_executor()), sluice::system_error,
                        has_code(sluice::error::no_executor));
  bool same = false;
  sluice::go(io, [&]() -> task<> {
    same = make_channel<int>().get_executor() == sluice::get_executor(io);
    co_return;
  });
  run(io);
  BOOST_TEST(same);
}

BOOST_AUTO_TEST_SUITE_END()
