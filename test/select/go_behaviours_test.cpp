// Go's own tests of select, written anew from what they show: what one select does.
#include "helpers.hpp"

#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Sends one value to each of two channels, whose handle it gives up then; then nothing is left.
class two_offers {
 public:
  task<int> make(channel<unsigned> a, channel<unsigned> b) {
    int sent = 0;
    for (bool more = true; more; ++shift_) {
      co_await select(on(a.send(next()),
                         [&] {
                           ++sent;
                           a = {};
                         }),
                      on(b.send(next()),
                         [&] {
                           ++sent;
                           b = {};
                         }),
                      otherwise([&] { more = false; }));
    }
    co_return sent;
  }

  int evaluated = 0;

 private:
  unsigned next() {
    ++evaluated;
    return 1U << shift_;
  }
  unsigned shift_ = 0;
};

}  // namespace

// Source: golang test/chan/select.go
BOOST_AUTO_TEST_CASE(operands_are_evaluated_at_every_select_and_a_nil_channel_disables_its_case) {
  run_task([]() -> task<> {
    two_offers offers;
    auto a = make_channel<unsigned>(1);
    auto b = make_channel<unsigned>(1);
    const int to_both = co_await offers.make(a, b);
    BOOST_TEST(to_both == 2);
    BOOST_TEST((*a.try_receive() | *b.try_receive()) == 3u);
    const int to_one = co_await offers.make(a, {});
    BOOST_TEST(to_one == 1);
    BOOST_TEST(offers.evaluated == 10);
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

// Source: golang test/chan/perm.go
BOOST_AUTO_TEST_CASE(a_case_against_the_direction_of_its_channel_does_not_compile) {
  const auto receives = [](auto end) { return requires { select(end.receive()); }; };
  const auto sends = [](auto end) { return requires { select(end.send(1)); }; };
  BOOST_TEST(receives(channel<int>()));
  BOOST_TEST(receives(receiver<int>()));
  BOOST_TEST(!receives(sender<int>()));
  BOOST_TEST(sends(channel<int>()));
  BOOST_TEST(sends(sender<int>()));
  BOOST_TEST(!sends(receiver<int>()));
}

BOOST_AUTO_TEST_SUITE(the_reference_list)  // Source: golang test/chan/select3.go

BOOST_AUTO_TEST_CASE(a_select_without_a_case_that_can_ever_happen_blocks) {
  const channel<int> nil;
  auto empty = make_channel<int>();
  auto full = make_channel<int>(1);
  full.try_send(0);
  BOOST_TEST(blocks([]() -> task<> { co_await select(); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(nil.receive()); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(nil.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(nil.receive(), nil.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(empty.receive()); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(empty.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(full.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(full.send(7), empty.receive()); }));
  BOOST_TEST(full.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_select_with_otherwise_never_blocks) {
  const channel<int> nil;
  auto empty = make_channel<int>();
  BOOST_TEST(!blocks([]() -> task<> { co_await select(otherwise([] {})); }));
  BOOST_TEST(!blocks([&]() -> task<> { co_await select(nil.receive(), otherwise([] {})); }));
  BOOST_TEST(!blocks([&]() -> task<> { co_await select(empty.receive(), otherwise([] {})); }));
  BOOST_TEST(!blocks([&]() -> task<> { co_await select(empty.send(1), otherwise([] {})); }));
}

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

BOOST_AUTO_TEST_CASE(
    a_receive_from_a_closed_channel_never_blocks_and_gives_nothing_again_and_again) {
  run_task([]() -> task<> {
    for (const std::size_t capacity : {0u, 5u}) {
      auto closed_channel = make_channel<int>(capacity);
      auto empty = make_channel<int>();
      closed_channel.close();
      for (int i = 0; i < 10; ++i) {
        auto r = co_await select(empty.receive(), closed_channel.receive());
        BOOST_TEST(r.index() == 1u);
        BOOST_TEST(!r.get<1>());
        const auto alone = co_await select(on(closed_channel.receive(), [] {}), otherwise([] {}));
        BOOST_TEST(alone == 0u);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(a_send_to_a_closed_channel_fails) {
  run_task([]() -> task<> {
    auto shut = make_channel<int>(3);
    shut.close();
    auto empty = make_channel<int>();
    const auto alone = co_await error_of(select(shut.send(7)));
    BOOST_TEST(alone == closed);
    const auto among_others = co_await error_of(select(empty.receive(), shut.send(7)));
    BOOST_TEST(among_others == closed);
  });
}

BOOST_AUTO_TEST_CASE(a_select_on_both_ends_of_a_channel_does_not_meet_itself) {
  auto ch = make_channel<int>();
  BOOST_TEST(blocks([&]() -> task<> { co_await select(ch.receive(), ch.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(ch.send(7), ch.receive()); }));
  BOOST_TEST(blocks(
      [&]() -> task<> { co_await select(ch.send(1), ch.send(2), ch.receive(), ch.receive()); }));
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang test/chan/select4.go
BOOST_AUTO_TEST_CASE(nothing_is_done_with_the_destination_of_a_case_that_loses) {
  run_task([]() -> task<> {
    auto quiet = make_channel<int>();
    auto ready = holding({42});
    int destinations = 0;
    int room = 0;
    const auto destination = [&]() -> int& {
      ++destinations;
      return room;
    };
    co_await select(on(quiet.receive(), [&](std::optional<int> v) { destination() = *v; }),
                    on(ready.receive(), [&](std::optional<int> v) { BOOST_TEST(*v == 42); }));
    BOOST_TEST(destinations == 0);
  });
}

// Source: golang test/chan/select6.go, golang issue 2075
BOOST_AUTO_TEST_CASE(a_losing_case_leaves_the_queue_wherever_it_stands_in_it) {
  constexpr int others = 3;
  for (int position = 0; position <= others; ++position) {
    asio::io_context io;
    auto shared = make_channel<int>();
    auto own = make_channel<int>();
    std::vector<int> got;
    for (int i = 0; i <= others; ++i) {
      if (i == position)
        sluice::go(io, [&]() -> task<> {
          auto r = co_await select(shared.receive(), own.receive());
          got.push_back(r.index() == 1 ? *r.get<1>() : -1);
        });
      else
        sluice::go(io, [&]() -> task<> { got.push_back(*co_await shared.receive()); });
    }
    poll(io);
    own.try_send(100);
    poll(io);
    sluice::go(io, [&]() -> task<> { got.push_back(*co_await shared.receive()); });
    poll(io);
    for (int i = 0; i <= others; ++i) shared.try_send(i);
    BOOST_TEST(!try_send(shared, 9));  // nobody is left
    run(io);
    BOOST_TEST(got == std::vector<int>({100, 0, 1, 2, 3}), per_element());
  }
}

namespace {

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

// Source: golang test/chan/sendstmt.go
BOOST_AUTO_TEST_CASE(an_operand_may_be_received_while_the_select_is_put_together) {
  run_task([]() -> task<> {
    auto channels = make_channel<channel<int>>(1);
    auto inner = make_channel<int>(1);
    channels.try_send(inner);
    auto r = co_await select(channels.try_receive()->send(7), make_channel<int>().receive());
    BOOST_TEST(r.index() == 0u);
    BOOST_TEST(inner.try_receive().value() == 7);

    auto of_channels = make_channel<channel<channel<int>>>(1);
    of_channels.try_send(channels);
    auto s = co_await select((co_await of_channels.receive())->send(inner));
    BOOST_TEST(s.index() == 0u);
    BOOST_CHECK(channels.try_receive().value() == inner);
  });
}

// Source: golang runtime TestSelectDuplicateChannel
BOOST_AUTO_TEST_CASE(a_channel_that_stood_twice_in_a_select_serves_the_next_waiter) {
  asio::io_context io;
  auto twice = make_channel<int>();
  auto other = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(twice.receive(), twice.receive(), other.receive());
    log.push_back("case " + std::to_string(r.index()));
  });
  sluice::go(io, [&]() -> task<> {
    const auto v = co_await twice.receive();
    log.push_back("got " + std::to_string(*v));
  });
  poll(io);
  other.try_send(1);
  poll(io);
  BOOST_TEST(try_send(twice, 5));
  BOOST_TEST(!try_send(twice, 6));
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"case 2", "got 5"}), per_element());
}

// Source: golang runtime TestPseudoRandomSend
BOOST_AUTO_TEST_CASE(of_two_sends_to_one_channel_now_the_one_happens_and_now_the_other) {
  for (const std::size_t capacity : {0u, 100u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    constexpr int n = 100;
    int ones = 0;
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < n; ++i) {
        const auto v = co_await ch.receive();
        ones += *v;
      }
    });
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < n; ++i) co_await select(ch.send(1), ch.send(0));
    });
    run(io);
    BOOST_TEST(ones > n / 10);
    BOOST_TEST(ones < n - n / 10);
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

// Source: golang time testTimerChan
BOOST_AUTO_TEST_CASE(of_two_goroutines_that_select_on_one_timer_one_gets_the_time) {
  asio::io_context io;
  auto quiet = make_channel<int>();
  sluice::timer t(io, 24h);
  int got = 0;
  int told = 0;
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&]() -> task<> {
      const auto c = co_await select(on(quiet.receive(), [&] { ++told; }),
                                     on(t.receive(), [&](auto time) { got += time.has_value(); }));
      if (c == 1) quiet.close();
    });
  poll(io);
  BOOST_TEST(t.reset(1ms));  // while both are parked on it
  run(io);
  BOOST_TEST(got == 1);
  BOOST_TEST(told == 1);
}

// Source: golang time testTimerChan
BOOST_AUTO_TEST_CASE(a_stopped_timer_is_a_case_that_does_not_happen) {
  asio::io_context io;
  sluice::timer t(io, 0s);
  t.stop();
  std::vector<std::size_t> log;
  sluice::go(io, [&]() -> task<> {
    log.push_back(co_await select(on(t.receive(), [] {}), otherwise([] {})));
    log.push_back(co_await select(on(t.receive(), [] {}), on(sluice::sleep_for(5ms), [] {})));
    t.reset(0s);
    log.push_back(co_await select(on(t.receive(), [] {})));
  });
  run(io);
  BOOST_TEST(log == std::vector<std::size_t>({1, 1, 0}), per_element());
}
