// When `otherwise` is taken: exactly if no case is ready.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

// Source: golang test/chan/select3.go
BOOST_AUTO_TEST_CASE(a_select_with_otherwise_never_blocks) {
  const channel<int> nil;
  auto empty = make_channel<int>();
  BOOST_TEST(!blocks([]() -> task<> { co_await select(otherwise([] {})); }));
  BOOST_TEST(!blocks([&]() -> task<> { co_await select(nil.receive(), otherwise([] {})); }));
  BOOST_TEST(!blocks([&]() -> task<> { co_await select(empty.receive(), otherwise([] {})); }));
  BOOST_TEST(!blocks([&]() -> task<> { co_await select(empty.send(1), otherwise([] {})); }));
}

// Source: golang test/chan/select3.go
BOOST_AUTO_TEST_CASE(a_ready_case_beats_otherwise_and_nil) {
  run_task([]() -> task<> {
    const channel<int> nil;
    auto room = make_channel<int>(10);
    for (int i = 0; i < 10; ++i) {
      const auto sent = co_await select(otherwise([] {}), on(room.send(i), [] {}),
                                        on(nil.receive(), [] {}), on(nil.send(1), [] {}));
      BOOST_TEST(sent == 1u);
    }
    for (int i = 0; i < 10; ++i) {
      int got = -1;
      co_await select(on(nil.receive(), [] {}),
                      on(room.receive(), [&](std::optional<int> v) { got = *v; }),
                      otherwise([] {}));
      BOOST_TEST(got == i);
    }
  });
}

// Source: golang test/chan/nonblock.go
using nonblocking_kinds = std::tuple<int, long long, bool, std::string>;
BOOST_AUTO_TEST_CASE_TEMPLATE(
    a_select_with_otherwise_succeeds_exactly_if_a_partner_waits_or_the_buffer_serves, T,
    nonblocking_kinds) {
  const auto value = [] {
    if constexpr (std::is_same_v<T, std::string>)
      return std::string("hello, world, and more than fits into the string itself");
    else
      return static_cast<T>(1);
  }();
  for (const std::size_t capacity : {0u, 1u}) {
    asio::io_context io;
    auto ch = make_channel<T>(capacity);
    const auto receives = [&] {
      std::optional<T> got;
      sluice::go(io, [&]() -> task<> {
        co_await select(on(ch.receive(), [&](std::optional<T> v) { got = std::move(v); }),
                        otherwise([] {}));
      });
      poll(io);
      return got;
    };
    const auto sends = [&] {
      std::optional<std::size_t> index;
      sluice::go(io, [&]() -> task<> {
        index = co_await select(on(ch.send(value), [] {}), otherwise([] {}));
      });
      poll(io);
      return index == 0u;
    };

    BOOST_TEST(!receives());
    if (capacity == 0) BOOST_TEST(!sends());

    int sent = 0;
    sluice::go(io, [&]() -> task<> {
      co_await ch.send(value);
      ++sent;
    });
    poll(io);
    BOOST_CHECK(receives() == value);
    BOOST_TEST(!receives());
    BOOST_TEST(sent == 1);

    std::optional<T> got;
    sluice::go(io, [&]() -> task<> { got = co_await ch.receive(); });
    poll(io);
    BOOST_TEST(sends());
    BOOST_CHECK(got == value);
    BOOST_TEST(sends() == (capacity == 1));
    BOOST_TEST(!sends());
    BOOST_TEST(receives().has_value() == (capacity == 1));
  }
}

// Source: golang reflect TestSelectNop
BOOST_AUTO_TEST_CASE(a_range_of_nothing_but_otherwise_gives_0) {
  run_task([]() -> task<> {
    std::vector<sluice::select_case> cases;
    cases.emplace_back(otherwise([] {}));
    const std::size_t i = co_await select(cases);
    BOOST_TEST(i == 0u);
  });
}

// Source: goose-lang/goose#105
BOOST_AUTO_TEST_CASE(two_selects_with_otherwise_never_meet) {
  const watchdog dog;
  const auto ch = make_channel<int>();
  asio::io_context io;
  asio::io_context other;
  std::size_t met = 0;
  std::size_t met_by_receiver = 0;
  const auto send = [&] {
    sluice::go(io, [&]() -> task<> {
      const auto i = co_await select(on(ch.send(1), [] {}), otherwise([] {}));
      met += i == 0;
    });
    poll(io);
  };
  const auto receive = [&] {
    sluice::go(other, [&]() -> task<> {
      const auto i = co_await select(on(ch.receive(), [] {}), otherwise([] {}));
      met_by_receiver += i == 0;
    });
    poll(other);
  };
  duel::fight(rounds(20'000), [] {}, send, receive, [] {});
  BOOST_TEST(met == 0u);
  BOOST_TEST(met_by_receiver == 0u);
}

// Source: traefik/yaegi#647, golang/go#48433
BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_because_others_use_the_channels) {
  const watchdog dog;
  const auto full = holding({});
  full.try_send(1);
  const auto unbuffered = make_channel<int>();
  std::atomic<bool> over = false;
  std::size_t not_received = 0;
  std::size_t not_sent = 0;
  std::size_t got = 0;
  const auto n = rounds(10'000);
  on_threads(3, [&](int thread) {
    asio::io_context io;
    if (thread != 0) {  // takes the locks of both without making a case ready or unready
      sluice::go(io, [&]() -> task<> {
        while (!over)
          co_await select(on(full.send(1), [] {}), on(unbuffered.receive(), [] {}),
                          otherwise([] {}));
      });
    } else {
      sluice::go(io, [&]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          co_await select(on(full.receive(), [] {}), otherwise([&] { ++not_received; }));
          try_send(full, 1);
          sluice::go([&]() -> task<> { got += (co_await unbuffered.receive()).has_value(); });
          co_await sluice::sleep_for(0s);
          co_await sluice::this_goroutine::yield();
          co_await select(otherwise([&] { ++not_sent; }), on(unbuffered.send(1), [] {}));
        }
        over = true;
      });
    }
    io.run();
  });
  BOOST_TEST(not_received == 0u);
  BOOST_TEST(not_sent == 0u);
  BOOST_TEST(got == n);
}

BOOST_AUTO_TEST_SUITE(otherwise_is_a_snapshot)

// Source: golang runtime TestNonblockSelectRace, TestNonblockSelectRace2
BOOST_AUTO_TEST_CASE(when_one_channel_becomes_ready_before_the_other_is_emptied) {
  const watchdog dog;
  for (const bool by_close : {false, true}) {
    asio::io_context io;
    channel<int> first, second;
    std::size_t round = 0;
    std::size_t not_ready = 0;
    const auto prepare = [&] {
      first = make_channel<int>(1);
      second = make_channel<int>(1);
      first.try_send(1);
      ++round;
    };
    const auto look = [&] {
      sluice::go(io, [&]() -> task<> {
        const auto& a = round % 2 ? first : second;
        const auto& b = round % 2 ? second : first;
        const auto i =
            co_await select(on(a.receive(), [] {}), on(b.receive(), [] {}), otherwise([] {}));
        not_ready += i == 2;
      });
      poll(io);
    };
    const auto disturb = [&] {
      if (by_close)
        second.close();
      else
        second.try_send(1);
      error_code e;
      first.try_receive(e);
    };
    duel::fight(rounds(20'000), prepare, look, disturb, [] {});
    BOOST_TEST(not_ready == 0u);
  }
}

// Source: golang runtime TestNonblockSelectRace
BOOST_AUTO_TEST_CASE(when_both_sides_are_selects) {
  const watchdog dog;
  asio::io_context io;
  asio::io_context other;
  channel<int> first, second;
  std::size_t not_ready = 0;
  std::size_t not_sent = 0;
  const auto prepare = [&] {
    first = make_channel<int>(1);
    second = make_channel<int>(1);
    first.try_send(1);
  };
  const auto look = [&] {
    sluice::go(io, [&]() -> task<> {
      const auto i = co_await select(on(first.receive(), [] {}), on(second.receive(), [] {}),
                                     otherwise([] {}));
      not_ready += i == 2;
    });
    poll(io);
  };
  const auto disturb = [&] {
    sluice::go(other, [&]() -> task<> {
      const auto i = co_await select(on(second.send(1), [] {}), otherwise([] {}));
      not_sent += i == 1;
      co_await select(on(first.receive(), [] {}), otherwise([] {}));
    });
    poll(other);
  };
  duel::fight(rounds(20'000), prepare, look, disturb, [] {});
  BOOST_TEST(not_ready == 0u);
  BOOST_TEST(not_sent == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
