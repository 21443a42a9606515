// Go's own channel tests that need no select, written anew from what they show.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <any>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

constexpr int threads = 4;

/// Receives once it is told to, expects the next number, and tells the following receiver.
task<> receive_in_turn(receiver<int> values, int expected, receiver<void> my_turn,
                       sender<void> next_turn, int& right) {
  co_await my_turn.receive();
  const auto v = co_await values.receive();
  if (v == expected) ++right;
  co_await next_turn.send();
}

task<> pass_on(sender<int> left, receiver<int> right) {
  const auto v = co_await right.receive();
  co_await left.send(v.value_or(-1));
}

task<> count_up(sender<int> out) {
  for (int i = 2;; ++i) co_await out.send(i);
}

task<> drop_multiples(receiver<int> in, sender<int> out, int prime) {
  while (const auto v = co_await in.receive())
    if (*v % prime != 0) co_await out.send(*v);
}

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

// Source: golang test/chan/goroutines.go
BOOST_AUTO_TEST_CASE(a_value_ripples_through_ten_thousand_goroutines) {
  const char* const wanted = std::getenv("SLUICE_GOROUTINES");
  const int count = wanted ? std::atoi(wanted) : 10'000;
  asio::io_context io;
  const auto leftmost = make_channel<int>();
  auto left = leftmost;
  for (int i = 0; i < count; ++i) {
    auto right = make_channel<int>();
    sluice::go(io, pass_on(left, right));
    left = right;
  }
  int got = 0;
  sluice::go(io, [&]() -> task<> { co_await left.send(42); });
  sluice::go(io, [&]() -> task<> { got = (co_await leftmost.receive()).value_or(-1); });
  run(io, threads);
  BOOST_TEST(got == 42);
}

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

// Source: golang runtime TestMultiConsumer
BOOST_AUTO_TEST_CASE(many_consumers_of_one_queue_lose_nothing) {
  constexpr int workers = 23;
  const auto items = rounds(271'828);
  const std::array primes{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31};
  asio::io_context io;
  auto queue = make_channel<int>(5);
  auto results = make_channel<int>(5);
  std::atomic<int> running = workers;
  for (int w = 0; w < workers; ++w)
    sluice::go(io, [&]() -> task<> {
      while (const auto v = co_await queue.receive()) {
        if (*v % 7 == 0) sluice::go([results]() -> task<> { co_return; });  // and some noise
        co_await results.send(*v);
      }
      if (--running == 0) results.close();
    });
  std::int64_t expected = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < items; ++i) {
      const int p = primes[i % primes.size()];
      expected += p;
      co_await queue.send(p);
    }
    queue.close();
  });
  std::size_t count = 0;
  std::int64_t sum = 0;
  sluice::go(io, [&]() -> task<> {
    while (const auto v = co_await results.receive()) {
      ++count;
      sum += *v;
    }
  });
  run(io, threads);
  BOOST_TEST(count == items);
  BOOST_TEST(sum == expected);
}

// Source: golang test/chan/sendstmt.go
BOOST_AUTO_TEST_CASE(a_channel_just_received_can_be_sent_on) {
  asio::io_context io;
  auto outer = make_channel<channel<channel<int>>>(1);
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    auto middle = make_channel<channel<int>>(1);
    auto inner = make_channel<int>(1);
    co_await outer.send(middle);
    const auto m = co_await outer.receive();
    co_await m->send(inner);
    const auto i = co_await m->receive();
    co_await i->send(7);
    got = (co_await inner.receive()).value_or(-1);
  });
  run(io);
  BOOST_TEST(got == 7);
}

// Source: golang test/chan/sieve1.go
BOOST_AUTO_TEST_CASE(a_chain_of_filters_sieves_primes) {
  const std::vector<int> expected{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                  43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
  for (const int n : {1, threads}) {
    std::vector<int> primes;
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      receiver<int> candidates;
      {
        auto numbers = make_channel<int>();
        sluice::go(count_up(numbers));
        candidates = numbers;
      }
      while (primes.size() < expected.size()) {
        const int prime = (co_await candidates.receive()).value();
        primes.push_back(prime);
        auto filtered = make_channel<int>();
        sluice::go(drop_multiples(candidates, filtered, prime));
        candidates = filtered;
      }
      io.stop();  // the filters stay parked
    });
    run(io, n);
    BOOST_TEST(primes == expected, per_element());
  }
}

// Source: golang test/chan/zerosize.go
BOOST_AUTO_TEST_CASE(elements_may_have_no_size) {
  struct nothing {};
  static_cast<void>(make_channel<nothing>());
  auto ch = make_channel<nothing>(2);
  ch.try_send(nothing());
  ch.try_send(nothing());
  error_code e;
  BOOST_TEST(!ch.try_send(nothing(), e));
  BOOST_TEST(ch.try_receive().has_value());
  BOOST_TEST(ch.size() == 1u);
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

// Source: golang runtime TestChanSendInterface
BOOST_AUTO_TEST_CASE(values_of_any_type_go_through_one_channel) {
  auto ch = make_channel<std::any>(3);
  error_code e;
  auto shared = std::make_shared<int>(1);
  for (int i = 0; i < 5; ++i) ch.try_send(std::any(shared), e);
  BOOST_TEST(shared.use_count() == 4);
  const auto v = ch.try_receive();
  BOOST_TEST(*std::any_cast<std::shared_ptr<int>>(*v) == 1);
}

// Source: golang runtime TestChanSendBarrier
BOOST_AUTO_TEST_CASE(direct_handoffs_neither_leak_nor_double_an_element) {
  counted::corrupt = 0;
  const auto n = rounds(2000);
  asio::io_context io;
  std::atomic<std::size_t> intact = 0;
  for (int pair = 0; pair < 20; ++pair) {
    const auto ch = make_channel<counted>();
    sluice::go(io, [ch, n]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) co_await ch.send(counted(static_cast<int>(i)));
    });
    sluice::go(io, [ch, n, &intact]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        const auto v = co_await ch.receive();
        if (v && v->value == static_cast<int>(i)) ++intact;
      }
    });
  }
  run(io, threads);
  BOOST_TEST(intact == 20 * n);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}
