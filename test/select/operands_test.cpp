// What the cases are made of: when operands are evaluated, what lvalues keep, and what a direction
// allows.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>

#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>

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

BOOST_AUTO_TEST_SUITE(operands)

BOOST_AUTO_TEST_CASE(operands_are_evaluated_once_chosen_or_not_nil_or_not) {
  run_task([]() -> task<> {
    int evaluated = 0;
    const auto value = [&] { return ++evaluated; };
    const auto handle = [&](channel<int> ch) {
      ++evaluated;
      return ch;
    };
    auto room = make_channel<int>(1);
    auto quiet = make_channel<int>();
    const channel<int> nil;
    co_await select(room.send(value()), quiet.send(value()), nil.send(value()),
                    handle(quiet).receive(), handle(nil).receive());
    BOOST_TEST(evaluated == 5);
    BOOST_TEST(room.size() == 1u);
  });
}

BOOST_AUTO_TEST_CASE(an_lvalue_send_that_lost_keeps_its_value_for_the_next_select) {
  run_task([]() -> task<> {
    auto a = make_channel<std::unique_ptr<int>>();
    auto b = make_channel<std::unique_ptr<int>>();
    auto ready = holding({1, 2, 3});
    auto op = a.send(std::make_unique<int>(9));
    auto other = b.send(std::make_unique<int>(10));
    for (int i = 0; i < 3; ++i) {
      auto r = co_await select(op, ready.receive(), other);
      BOOST_TEST(r.index() == 1u);
      BOOST_REQUIRE(op.value());
      BOOST_TEST(*op.value() == 9);
    }
    sluice::go([a]() -> task<> {
      const auto v = co_await a.receive();
      BOOST_TEST(**v == 9);
    });
    auto r = co_await select(other, op);
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(!op.value());
    BOOST_TEST(*other.value() == 10);
  });
}

BOOST_AUTO_TEST_CASE(an_lvalue_receive_can_be_used_again_and_again) {
  run_task([]() -> task<> {
    auto ch = holding({1, 2, 3});
    auto quiet = make_channel<int>();
    auto op = ch.receive();
    auto idle = quiet.receive();
    int sum = 0;
    for (int i = 0; i < 3; ++i) {
      auto r = co_await select(idle, op);
      sum += *r.get<1>();
    }
    BOOST_TEST(sum == 6);
    quiet.close();
    const auto last = co_await select(on(idle, [&](std::optional<int> v) { sum = v ? -1 : 0; }));
    BOOST_TEST(last == 0u);
    BOOST_TEST(sum == 0);
  });
}

BOOST_AUTO_TEST_CASE(a_nil_channel_is_never_chosen) {
  run_task([]() -> task<> {
    const channel<int> nil;
    auto ready = holding({1});
    auto r = co_await select(nil.receive(), nil.send(2), ready.receive());
    BOOST_TEST(r.index() == 2u);
    BOOST_TEST(r.lost<1>().value() == 2);
    const auto i = co_await select(on(nil.receive(), [] {}), otherwise([] {}));
    BOOST_TEST(i == 1u);
  });
}

BOOST_AUTO_TEST_CASE(a_select_keeps_the_channels_of_temporary_handles) {
  asio::io_context io;
  std::optional<sender<int>> in;
  const auto make = [&]() -> receiver<int> {
    auto ch = make_channel<int>();
    in = ch;
    return ch;
  };
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(make().receive(), make_channel<int>().receive());
    got = *r.get<0>();
  });
  poll(io);
  in->try_send(6);
  in.reset();
  run(io);
  BOOST_TEST(got == 6);
}

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

BOOST_AUTO_TEST_SUITE_END()
