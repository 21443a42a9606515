// Handles as values: what they are made for, handles as keys, and handles that are moved, assigned
// and dropped while somebody waits.
#include "helpers.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

struct abstract {
  virtual ~abstract() = default;
  virtual void f() = 0;
};
struct pinned {
  pinned() = default;
  pinned(const pinned&) = delete;
};

using sluice::detail::can_be_carried;
static_assert(can_be_carried<void> && can_be_carried<int> && can_be_carried<std::unique_ptr<int>>);
static_assert(can_be_carried<std::array<int, 3>> && can_be_carried<void (*)()>);
static_assert(!can_be_carried<int&> && !can_be_carried<int&&>);
static_assert(!can_be_carried<const int> && !can_be_carried<volatile int>);
static_assert(!can_be_carried<int[3]> && !can_be_carried<void()>);
static_assert(!can_be_carried<abstract> && !can_be_carried<pinned>);

}  // namespace

BOOST_AUTO_TEST_SUITE(handles)

BOOST_AUTO_TEST_CASE(of_one_channel_have_one_hash_and_are_one_key) {
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::unordered_map<channel<int>, int> names{{a, 1}, {b, 2}, {channel<int>(), 3}};
  const channel<int> again = a;
  BOOST_TEST(names.at(again) == 1);
  BOOST_TEST(names.at(b) == 2);
  BOOST_TEST(names.at({}) == 3);
  BOOST_TEST(std::hash<sender<int>>()(a) == std::hash<channel<int>>()(a));
  BOOST_TEST(std::hash<receiver<int>>()(a) == std::hash<channel<int>>()(a));
  std::unordered_set<receiver<int>> ends{a, a, b};
  BOOST_TEST(ends.size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: chriskohlhoff/asio#1022
BOOST_AUTO_TEST_CASE(assigning_to_a_handle_does_not_disturb_who_waits_on_the_old_channel) {
  ints got;
  {
    asio::io_context io;
    auto ch = make_channel<int>();
    const sender<int> old = ch;
    for (int i = 0; i < 3; ++i) sluice::go(io, receive_one(ch, got));
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&]() -> task<> { got.push_back((co_await ch.receive()).value_or(-1)); });
    poll(io);
    old.try_send(1);
    old.try_send(2);
    ch = make_channel<int>();
    error_code e;
    BOOST_TEST(!ch.try_send(9, e));  // nobody waits on the new one
    poll(io);
    old.try_send(3);
    old.try_send(4);
    poll(io);
    BOOST_TEST(got == ints({1, 2, 3, 4}), per_element());
  }
  BOOST_TEST(got.size() == 4u);
}

// Source: chriskohlhoff/asio#1752, chriskohlhoff/asio#1654, boostorg/cobalt#66
BOOST_AUTO_TEST_CASE(a_moved_handle_sees_who_waits) {
  asio::io_context io;
  auto first = make_channel<int>();
  std::vector<error_code> results;
  sluice::go(io, send_one(first, 42, results));
  poll(io);
  auto second = std::move(first);
  BOOST_TEST(second.try_receive().value_or(-1) == 42);

  ints got;
  auto overwritten = make_channel<int>();
  const auto other_handle = overwritten;
  sluice::go(io, receive_one(overwritten, got));
  sluice::go(io, send_one(second, 43, results));
  poll(io);
  overwritten = std::move(second);
  BOOST_TEST(overwritten.try_receive().value_or(-1) == 43);
  other_handle.try_send(44);
  run(io);
  BOOST_TEST(got == ints({44}), per_element());
  BOOST_TEST(results == std::vector<error_code>(2), per_element());
}

// Source: chriskohlhoff/asio#1752
BOOST_AUTO_TEST_CASE(a_moved_handle_of_a_channel_of_void_sees_who_waits) {
  asio::io_context io;
  auto first = make_channel<void>();
  bool sent = false;
  sluice::go(io, [ch = first, &sent]() -> task<> {
    co_await ch.send();
    sent = true;
  });
  poll(io);
  auto second = std::move(first);
  auto third = make_channel<void>(2);
  third = std::move(second);
  BOOST_TEST(third.try_receive());
  run(io);
  BOOST_TEST(sent);
}

// Source: PaddlePaddle/Paddle#8197, yyzybb537/libgo#77, faern/oneshot#87
BOOST_AUTO_TEST_CASE(goroutines_that_hold_the_last_handles_stay_parked) {
  int ended = 0;
  auto alive = std::make_shared<int>(0);
  {
    asio::io_context io;
    {
      auto ch = make_channel<int>();
      for (int i = 0; i < 3; ++i)
        sluice::go(io, [ch, alive, &ended]() -> task<> {
          co_await ch.receive();
          ++ended;
        });
      poll(io);
    }
    poll(io);
    BOOST_TEST(ended == 0);
    BOOST_TEST(alive.use_count() == 4);
  }
  BOOST_TEST(ended == 0);
  BOOST_TEST(alive.use_count() == 1);
}

// Source: PaddlePaddle/Paddle#8197
BOOST_AUTO_TEST_CASE(the_last_handle_may_go_while_others_wait_by_reference) {
  counted::corrupt = 0;
  int ended = 0;
  {
    asio::io_context io;
    auto ch = make_channel<counted>(1);
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&ch, &ended, i]() -> task<> {
        co_await ch.send(counted(i));
        ++ended;
      });
    poll(io);
    ch = channel<counted>();
    poll(io);
    BOOST_TEST(ended == 1);  // the one whose value is buffered
  }
  BOOST_TEST(ended == 1);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
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
