// In which order values come, and how many a channel holds: for every capacity, and without one.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace sluice_test;

/// Receives once it is told to, expects the next number, and tells the following receiver.
task<> receive_in_turn(receiver<int> values, int expected, receiver<void> my_turn,
                       sender<void> next_turn, int& right) {
  co_await my_turn.receive();
  const auto v = co_await values.receive();
  if (v == expected) ++right;
  co_await next_turn.send();
}

}  // namespace

// Source: golang test/chan/fifo.go
BOOST_AUTO_TEST_CASE(buffered_values_come_out_in_the_order_of_sending) {
  asio::io_context io;
  auto ch = make_channel<int>(10);
  int right = 0;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 10; ++i) co_await ch.send(i);
    for (int i = 0; i < 10; ++i) {
      const auto v = co_await ch.receive();
      if (v == i) ++right;
    }
  });
  run(io);
  BOOST_TEST(right == 10);
}

// Source: golang test/chan/fifo.go
BOOST_AUTO_TEST_CASE(receivers_released_one_by_one_meet_an_unbuffered_sender_in_order) {
  asio::io_context io;
  auto values = make_channel<int>();
  auto turn = make_channel<void>();
  const auto first_turn = turn;
  int right = 0;
  for (int i = 0; i < 10; ++i) {
    auto next = make_channel<void>();
    sluice::go(io, receive_in_turn(values, i, turn, next, right));
    turn = next;
  }
  sluice::go(io, [&]() -> task<> {
    co_await first_turn.send();
    for (int i = 0; i < 10; ++i) co_await values.send(i);
    co_await turn.receive();
  });
  run(io);
  BOOST_TEST(right == 10);
}

// Source: true-async/php-async#113, async-rs/async-std#436, yyzybb537/libgo#187
BOOST_AUTO_TEST_CASE(without_capacity_a_send_ends_only_together_with_a_receive) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 2; ++i) {
      co_await ch.send(i);
      log.push_back("sent");
    }
  });
  poll(io);
  BOOST_TEST(log.empty());
  log.push_back("receiving");
  BOOST_TEST(ch.try_receive().value_or(-1) == 0);
  poll(io);
  BOOST_TEST(log == std::vector<std::string>({"receiving", "sent"}), per_element());
  BOOST_TEST(ch.try_receive().value_or(-1) == 1);
  run(io);
  BOOST_TEST(log.size() == 3u);
}

// Source: true-async/php-async#113
BOOST_AUTO_TEST_CASE(rendezvous_go_on_for_ever_whoever_is_faster) {
  for (const bool slow_sender : {false, true}) {
    asio::io_context io;
    auto ch = make_channel<std::size_t>();
    auto pause = make_channel<void>();  // costs the slower side a turn
    const auto n = rounds(100'000);
    std::size_t right = 0;
    const auto be_slow = [&]() -> task<> {
      sluice::go([&]() -> task<> { co_await pause.send(); });
      co_await pause.receive();
    };
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        if (slow_sender) co_await be_slow();
        co_await ch.send(i);
      }
    });
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        if (!slow_sender) co_await be_slow();
        const auto v = co_await ch.receive();
        if (v == i) ++right;
      }
    });
    run(io, 2);
    BOOST_TEST(right == n);
  }
}

// Source: boostorg/fiber#111
BOOST_AUTO_TEST_CASE(small_rings_wrap_around) {
  for (const std::size_t capacity : {0u, 1u, 2u, 3u}) {
    auto ch = make_channel<std::size_t>(capacity);
    error_code e;
    std::size_t sent = 0;
    std::size_t received = 0;
    std::size_t wrong = 0;
    for (std::size_t i = 0, n = rounds(200'000); i < n; ++i) {
      const auto burst = i % (capacity + 2);  // from none to one too many
      for (std::size_t k = 0; k < burst; ++k)
        if (ch.try_send(sent, e)) ++sent;
      if (ch.size() != std::min(burst, capacity)) ++wrong;
      for (std::size_t k = 0; k < burst; ++k)
        if (const auto v = ch.try_receive(e)) wrong += *v != received++;
      if (ch.size() != 0 || ch.try_receive(e) || e != would_block) ++wrong;
    }
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(received == sent);
  }
}

// Source: golang test/chancap.go
BOOST_AUTO_TEST_CASE(length_and_capacity_are_known_for_every_kind) {
  auto ch = make_channel<int>(10);
  BOOST_TEST(ch.size() == 0u);
  BOOST_TEST(ch.capacity() == 10u);
  for (int i = 0; i < 3; ++i) ch.try_send(i);
  BOOST_TEST(ch.size() == 3u);
  BOOST_TEST(ch.capacity() == 10u);
  BOOST_TEST(make_channel<int>().capacity() == 0u);
  using wide = std::array<std::int64_t, 4096>;
  constexpr auto most = std::numeric_limits<std::size_t>::max();
  BOOST_CHECK_THROW(static_cast<void>(make_channel<wide>(most / sizeof(wide))), std::length_error);
  BOOST_CHECK_THROW(static_cast<void>(make_channel<char>(most)), std::length_error);
}

BOOST_AUTO_TEST_SUITE(for_every_capacity)  // Source: golang runtime TestChan

constexpr std::size_t capacities = 200;

BOOST_AUTO_TEST_CASE(receiving_from_an_empty_channel_blocks_and_sending_ends_it) {
  for (std::size_t capacity = 0; capacity < capacities; ++capacity) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    std::vector<int> got;
    for (int i = 0; i < 2; ++i)
      sluice::go(io, [&]() -> task<> { got.push_back((co_await ch.receive()).value_or(-1)); });
    poll(io);
    BOOST_REQUIRE(got.empty());
    error_code e;
    BOOST_REQUIRE(!ch.try_receive(e).has_value());
    BOOST_REQUIRE(e == would_block);
    ch.try_send(1);
    ch.try_send(2);
    run(io);
    BOOST_TEST(got == std::vector<int>({1, 2}), per_element());
  }
}

BOOST_AUTO_TEST_CASE(sending_to_a_full_channel_blocks_and_receiving_ends_it) {
  for (std::size_t capacity = 0; capacity < capacities; ++capacity) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    for (std::size_t i = 0; i < capacity; ++i) ch.try_send(static_cast<int>(i));
    BOOST_REQUIRE(ch.size() == capacity);
    BOOST_REQUIRE(ch.capacity() == capacity);
    bool sent = false;
    sluice::go(io, [&]() -> task<> {
      co_await ch.send(static_cast<int>(capacity));
      sent = true;
    });
    poll(io);
    BOOST_REQUIRE(!sent);
    error_code e;
    BOOST_REQUIRE(!ch.try_send(-1, e));
    BOOST_REQUIRE(e == would_block);
    for (std::size_t i = 0; i <= capacity; ++i)
      BOOST_REQUIRE(ch.try_receive().value_or(-1) == static_cast<int>(i));
    run(io);
    BOOST_REQUIRE(sent);
    BOOST_REQUIRE(ch.size() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_closed_channel_drains_in_order_and_then_gives_nothing) {
  for (std::size_t capacity = 0; capacity < capacities; ++capacity) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    for (std::size_t i = 0; i < capacity; ++i) ch.try_send(static_cast<int>(i));
    ch.close();
    int right = 0;
    int empty = 0;
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < capacity; ++i) {
        const auto v = co_await ch.receive();
        if (v == static_cast<int>(i)) ++right;
      }
      for (int i = 0; i < 2; ++i)
        if (!co_await ch.receive()) ++empty;
    });
    run(io);
    BOOST_REQUIRE(right == static_cast<int>(capacity));
    BOOST_REQUIRE(empty == 2);
  }
}

BOOST_AUTO_TEST_CASE(closing_releases_a_blocked_receiver) {
  for (std::size_t capacity = 0; capacity < capacities; ++capacity) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    bool released = false;
    sluice::go(io, [&]() -> task<> { released = !co_await ch.receive(); });
    poll(io);
    BOOST_REQUIRE(!released);
    ch.close();
    run(io);
    BOOST_REQUIRE(released);
  }
}

BOOST_AUTO_TEST_CASE(a_hundred_values_arrive_in_order) {
  for (std::size_t capacity = 0; capacity < capacities; ++capacity) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    int right = 0;
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < 100; ++i) co_await ch.send(i);
    });
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < 100; ++i) {
        const auto v = co_await ch.receive();
        if (v == i) ++right;
      }
    });
    run(io);
    BOOST_REQUIRE(right == 100);
  }
}

BOOST_AUTO_TEST_CASE(four_senders_and_four_receivers_exchange_every_value) {
  constexpr std::size_t parties = 4;
  const auto length = rounds(1000);
  for (std::size_t capacity = 0; capacity < capacities; capacity += sanitized ? 20 : 1) {
    asio::io_context io;
    auto ch = make_channel<std::size_t>(capacity);
    std::array<std::vector<std::size_t>, parties> seen;
    for (auto& mine : seen) {
      sluice::go(io, [&]() -> task<> {
        for (std::size_t i = 0; i < length; ++i) co_await ch.send(i);
      });
      sluice::go(io, [&]() -> task<> {
        mine.resize(length);
        for (std::size_t i = 0; i < length; ++i) ++mine.at((co_await ch.receive()).value());
      });
    }
    run(io, 2);
    for (std::size_t i = 0; i < length; ++i)
      BOOST_REQUIRE(seen[0][i] + seen[1][i] + seen[2][i] + seen[3][i] == parties);
  }
}

BOOST_AUTO_TEST_SUITE_END()
