// Both ends of one channel: in one select, in two that meet, and every kind of sender with every
// kind of receiver.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>

namespace {

using namespace sluice_test;

using party = task<> (*)(channel<int>);

constexpr std::array<party, 3> senders{
    [](channel<int> ch) -> task<> { co_await ch.send(1); },
    [](channel<int> ch) -> task<> { co_await select(ch.send(1)); },
    [](channel<int> ch) -> task<> {
      const channel<int> nil;
      co_await select(ch.send(1), nil.receive());
    }};

constexpr std::array<party, 3> discarding_receivers{
    [](channel<int> ch) -> task<> { co_await ch.receive(); },
    [](channel<int> ch) -> task<> { co_await select(on(ch.receive(), [] {})); },
    [](channel<int> ch) -> task<> {
      const channel<int> nil;
      co_await select(nil.receive(), on(ch.receive(), [] {}));
    }};

}  // namespace

BOOST_AUTO_TEST_SUITE(both_ends_of_one_channel)  // Source: Kotlin/kotlinx.coroutines#1411

BOOST_AUTO_TEST_CASE(park_until_somebody_else_comes) {
  for (const bool other_receives : {true, false}) {
    asio::io_context io;
    const auto ch = make_channel<int>();
    std::optional<std::size_t> index;
    int got = 0;
    sluice::go(io, [&]() -> task<> {
      index = co_await select(on(ch.send(42), [] {}),
                              on(ch.receive(), [&](std::optional<int> v) { got = *v; }));
    });
    poll(io);
    BOOST_TEST(!index.has_value());
    if (other_receives)
      BOOST_TEST(ch.try_receive().value() == 42);
    else
      ch.try_send(43);
    run(io);
    BOOST_TEST(index.value() == (other_receives ? 0u : 1u));
    BOOST_TEST(got == (other_receives ? 0 : 43));
    error_code e;
    BOOST_TEST(!ch.try_receive(e).has_value());
    BOOST_TEST(!ch.try_send(1, e));
  }
}

BOOST_AUTO_TEST_CASE(of_two_goroutines_meet_each_other) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  ints got;
  int sent = 0;
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&, i]() -> task<> {
      co_await select(on(ch.send(i), [&] { ++sent; }), on(ch.receive(), [&](std::optional<int> v) {
                        got.push_back(*v);
                        BOOST_TEST(*v == 1 - i);
                      }));
    });
  run(io);
  BOOST_TEST(sent == 1);
  BOOST_TEST(got.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_channel_that_stands_twice_gives_one_value) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  ints got;
  const auto take = [&](std::optional<int> v) { got.push_back(*v); };
  sluice::go(io,
             [&]() -> task<> { co_await select(on(ch.receive(), take), on(ch.receive(), take)); });
  poll(io);
  BOOST_TEST(try_send(ch, 1));
  BOOST_TEST(!try_send(ch, 2));
  run(io);
  BOOST_TEST(got == ints({1}), per_element());
}

// Source: golang test/chan/select3.go
BOOST_AUTO_TEST_CASE(of_a_channel_in_one_select_do_not_meet) {
  auto ch = make_channel<int>();
  BOOST_TEST(blocks([&]() -> task<> { co_await select(ch.receive(), ch.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(ch.send(7), ch.receive()); }));
  BOOST_TEST(blocks(
      [&]() -> task<> { co_await select(ch.send(1), ch.send(2), ch.receive(), ch.receive()); }));
}

// Source: golang runtime TestSelfSelect
BOOST_AUTO_TEST_CASE(in_two_selects_meet_each_other_and_not_themselves) {
  for (const std::size_t capacity : {0u, 10u}) {
    two_contexts contexts;
    const auto ch = make_channel<int>(capacity);
    const auto n = rounds(10'000);
    std::atomic<std::size_t> own_values = 0;
    std::array<std::atomic<std::size_t>, 2> sent{}, received{};
    for (int p = 0; p < 2; ++p)
      sluice::go(p == 0 ? contexts.first : contexts.second, [&, p]() -> task<> {
        const auto me = static_cast<std::size_t>(p);
        const auto got = [&](std::optional<int> v) {
          ++received[me];
          if (v == p) ++own_values;
        };
        const auto gave = [&] { ++sent[me]; };
        for (std::size_t i = 0; i < n; ++i) {
          if (p == 0 || i % 2 == 0)
            co_await select(on(ch.send(p), gave), on(ch.receive(), got));
          else
            co_await select(on(ch.receive(), got), on(ch.send(p), gave));
        }
      });
    contexts.run();
    BOOST_TEST(sent[0] + received[0] == n);
    BOOST_TEST(sent[1] + received[1] == n);
    BOOST_TEST(sent[0] + sent[1] == received[0] + received[1] + ch.size());
    if (capacity == 0) BOOST_TEST(own_values == 0u);
  }
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang test/chan/select7.go
BOOST_AUTO_TEST_CASE(every_kind_of_sender_meets_every_kind_of_receiver_that_discards_the_value) {
  for (const party send : senders)
    for (const party receive : discarding_receivers)
      for (const bool sender_first : {false, true}) {
        asio::io_context io;
        auto ch = make_channel<int>();
        int ended = 0;
        const auto start = [&](party p) {
          sluice::go(io, [&, p]() -> task<> {
            co_await p(ch);
            ++ended;
          });
          poll(io);
        };
        start(sender_first ? send : receive);
        BOOST_TEST(ended == 0);
        start(sender_first ? receive : send);
        BOOST_TEST(ended == 2);
      }
}
