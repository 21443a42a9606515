// Elements whose moves throw: nothing is lost and nobody is left waiting.
#include "../support.hpp"
#include "fragile.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

bool is_fragile(const std::runtime_error& e) {
  return e.what() == std::string("fragile");
}

/// Sends and notes how it went: the value if sent, its negative if moving it threw.
task<> send_fragile(channel<fragile> ch, int n, std::vector<int>& log) {
  try {
    co_await ch.send(fragile(n));
    log.push_back(n);
  } catch (const std::runtime_error&) {
    log.push_back(-n);
  }
}

/// Receives and notes the value, or 0 if moving it threw.
task<> receive_fragile(channel<fragile> ch, std::vector<int>& log) {
  try {
    const auto v = co_await ch.receive();
    log.push_back(v ? v->number : -1000);
  } catch (const std::runtime_error&) {
    log.push_back(0);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_move_that_throws)

BOOST_AUTO_TEST_CASE(into_the_buffer_leaves_the_value_with_its_sender) {
  auto ch = make_channel<fragile>(1);
  fragile value(1);
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), std::runtime_error, is_fragile);
  }
  BOOST_TEST(value.number == 1);
  BOOST_TEST(ch.size() == 0u);
  ch.try_send(std::move(value));
  BOOST_TEST(ch.try_receive()->number == 1);
}

BOOST_AUTO_TEST_CASE(to_a_parked_receiver_leaves_it_the_first_in_line) {
  asio::io_context io;
  auto ch = make_channel<fragile>();
  ints first;
  ints second;
  sluice::go(io, receive_fragile(ch, first));
  sluice::go(io, receive_fragile(ch, second));
  poll(io);
  fragile value(1);
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), std::runtime_error, is_fragile);
  }
  BOOST_TEST(value.number == 1);
  ch.try_send(std::move(value));
  ch.try_send(fragile(2));
  run(io);
  BOOST_TEST(first == ints({1}), per_element());
  BOOST_TEST(second == ints({2}), per_element());
}

BOOST_AUTO_TEST_CASE(out_of_the_buffer_leaves_the_value_in_it) {
  auto ch = make_channel<fragile>(2);
  ch.try_send(fragile(1));
  ch.try_send(fragile(2));
  for (int n = 1;; ++n) {
    const lit_fuse fuse(n);
    try {
      BOOST_TEST(ch.try_receive()->number == 1);
      break;
    } catch (const std::runtime_error&) {
      BOOST_REQUIRE(ch.size() == 2u);
    }
  }
  BOOST_TEST(ch.try_receive()->number == 2);
}

BOOST_AUTO_TEST_CASE(from_a_parked_sender_leaves_the_value_the_next_to_be_received) {
  asio::io_context io;
  auto ch = make_channel<fragile>();
  ints log;
  sluice::go(io, send_fragile(ch, 1, log));
  sluice::go(io, send_fragile(ch, 2, log));
  poll(io);
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(static_cast<void>(ch.try_receive()), std::runtime_error, is_fragile);
  }
  BOOST_TEST(ch.size() == 1u);
  BOOST_TEST(ch.try_receive()->number == 1);
  BOOST_TEST(ch.try_receive()->number == 2);
  run(io);
  BOOST_TEST(log == ints({1, 2}), per_element());
}

BOOST_AUTO_TEST_CASE(puts_a_value_back_before_those_that_fill_the_buffer) {
  asio::io_context io;
  auto ch = make_channel<fragile>(1);
  ints log;
  for (int i = 1; i <= 3; ++i) sluice::go(io, send_fragile(ch, i, log));
  poll(io);
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(static_cast<void>(ch.try_receive()), std::runtime_error, is_fragile);
  }
  poll(io);
  BOOST_TEST(log == ints({1, 2}), per_element());  // 2 had its room when 1 left
  BOOST_TEST(ch.size() == 2u);
  fragile four(4);
  error_code e;
  BOOST_TEST(!ch.try_send(std::move(four), e));
  for (int i = 1; i <= 3; ++i) BOOST_TEST(ch.try_receive()->number == i);
  run(io);
  BOOST_TEST(log == ints({1, 2, 3}), per_element());
}

BOOST_AUTO_TEST_CASE(puts_a_value_back_to_whoever_has_come_to_wait_for_it) {
  asio::io_context io;
  auto ch = make_channel<fragile>();
  ints first;
  ints second;
  sluice::go(io, receive_fragile(ch, first));
  poll(io);
  ch.try_send(fragile(1));  // on its way to the first, which does not run yet
  sluice::go(io, receive_fragile(ch, second));
  {
    const lit_fuse fuse(1);
    run(io);
  }
  BOOST_TEST(first == ints({0}), per_element());
  BOOST_TEST(second == ints({1}), per_element());
}

BOOST_AUTO_TEST_CASE(puts_a_value_back_into_a_channel_that_was_closed) {
  asio::io_context io;
  auto ch = make_channel<fragile>(1);
  ints log;
  ch.try_send(fragile(1));
  ch.close();
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(static_cast<void>(ch.try_receive()), std::runtime_error, is_fragile);
  }
  BOOST_TEST(ch.try_receive()->number == 1);
  error_code e;
  BOOST_TEST(!ch.try_receive(e));
  BOOST_TEST(e == no_error);
}

BOOST_AUTO_TEST_CASE(with_a_channel_that_has_lost_its_handles_ends_the_value_once) {
  asio::io_context io;
  int told = 0;
  const auto receive = [&told](channel<fragile> own) -> task<> {
    auto op = own.receive();
    own = {};
    try {
      static_cast<void>(co_await op);
    } catch (const std::runtime_error&) {
      ++told;
    }
  };
  {
    auto ch = make_channel<fragile>();
    sluice::go(io, receive(ch));
    poll(io);
    ch.try_send(fragile(1));
  }
  const lit_fuse fuse(1);
  run(io);
  BOOST_TEST(told == 1);
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_CASE(leaves_send_before_anybody_is_disturbed) {
  asio::io_context io;
  auto ch = make_channel<fragile>();
  ints log;
  sluice::go(io, receive_fragile(ch, log));
  poll(io);
  fragile value(1);
  {
    const lit_fuse fuse(2);  // the parameter, then the operation
    BOOST_CHECK_EXCEPTION(static_cast<void>(ch.send(std::move(value))), std::runtime_error,
                          is_fragile);
  }
  sluice::go(io, send_fragile(ch, 2, log));
  run(io);
  std::sort(log.begin(), log.end());
  BOOST_TEST(log == ints({2, 2}), per_element());
}

BOOST_AUTO_TEST_CASE(is_told_to_a_receiving_handler_as_move_failed_and_leaves_the_value) {
  asio::io_context io;
  auto ch = make_channel<fragile>(io, 1);
  ch.try_send(fragile(1));
  std::vector<error_code> results;
  const lit_fuse fuse(1);
  BOOST_CHECK_NO_THROW(ch.async_receive([&](error_code e, const std::optional<fragile>& v) {
    results.push_back(e);
    BOOST_TEST(!v);
  }));
  run(io);
  BOOST_TEST(results == std::vector<error_code>({sluice::error::move_failed}), per_element());
  BOOST_TEST(ch.try_receive()->number == 1);
}

/// Parks a select of two receives, then has `other` send on the first channel while a move throws.
/** @return What became of the select: the number received, 0 if the move was its own failure. */
template <class Other>
int select_beside(Other other) {
  asio::io_context io;
  auto ch = make_channel<fragile>(io);
  auto never = make_channel<int>(io);
  int got = -1;
  sluice::go(io, [&]() -> task<> {
    try {
      auto r = co_await sluice::select(ch.receive(), never.receive());
      got = r.template get<0>()->number;
    } catch (const std::runtime_error&) {
      got = 0;
    }
  });
  poll(io);
  {
    const lit_fuse fuse(0);
    other(io, ch);
    poll(io);
  }
  error_code e;
  if (got == 0)
    if (auto v = ch.try_receive(e)) return v->number;
  return got;
}

BOOST_AUTO_TEST_CASE(wakes_a_parked_select_whoever_the_other_party_is) {
  const auto callback = [](asio::io_context&, channel<fragile>& ch) {
    auto op = ch.send(fragile(1));
    fragile::fuse = 1;
    std::move(op)([](error_code e) { BOOST_TEST(e == no_error); });
  };
  BOOST_TEST(select_beside(callback) == 1);
  const auto goroutine_with_context = [](asio::io_context& io, channel<fragile>& ch) {
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    sluice::go(ctx, io, [&ch]() -> task<> {
      auto op = ch.send(fragile(1));
      fragile::fuse = 1;
      co_await op;
    });
    poll(io);
  };
  BOOST_TEST(select_beside(goroutine_with_context) == 1);
  // A select that was chosen cannot be parked again: it fails as well, and the value stays where it
  // was.
  fragile value(1);
  const auto try_send = [&value](asio::io_context&, channel<fragile>& ch) {
    fragile::fuse = 1;
    BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), std::runtime_error, is_fragile);
  };
  BOOST_TEST(select_beside(try_send) == 0);
  BOOST_TEST(value.number == 1);
}

/// An element whose first move waits, under the channel's lock, and then fails.
struct slow {
  explicit slow(int n) : number(n) {}
  slow(slow&& other) : number(other.number) {
    if (!armed.exchange(false)) return;
    moving = true;
    // A cancellation that must wait for the move cannot be waited for.
    for (int i = 0; !cancelled && i < 100; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    throw std::runtime_error("slow");
  }

  int number;
  static inline std::atomic<bool> armed, moving, cancelled;
};

/// Cancels a parked receiver while a move towards it runs that fails.
template <class Cancel>
void cancel_while_moving(asio::io_context& io, channel<slow>& ch, Cancel cancel) {
  slow value(1);
  slow::moving = slow::cancelled = false;
  slow::armed = true;
  std::thread canceller([&] {
    while (!slow::moving) std::this_thread::yield();
    cancel();
    slow::cancelled = true;
  });
  BOOST_CHECK_THROW(ch.try_send(std::move(value)), std::runtime_error);
  canceller.join();
  poll(io);
}

BOOST_AUTO_TEST_CASE(loses_no_cancellation_of_a_goroutine) {
  asio::io_context io;
  auto ch = make_channel<slow>();
  error_code ended;
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  sluice::go(ctx, io, [&]() -> task<> { ended = co_await error_of(ch.receive()); });
  poll(io);
  cancel_while_moving(io, ch, [&stop = cancel] { stop(); });
  BOOST_TEST(ended == aborted);
}

BOOST_AUTO_TEST_CASE(loses_no_cancellation_of_a_handler) {
  asio::io_context io;
  auto ch = make_channel<slow>(io);
  error_code ended;
  asio::cancellation_signal signal;
  ch.async_receive(asio::bind_cancellation_slot(
      signal.slot(), [&](error_code e, const std::optional<slow>&) { ended = e; }));
  cancel_while_moving(io, ch, [&] { signal.emit(asio::cancellation_type::all); });
  BOOST_TEST(ended == aborted);
}

BOOST_AUTO_TEST_CASE(still_lets_a_receiving_handler_be_called) {
  for (int n = 1; n < 8; ++n) {
    asio::io_context io;
    auto ch = make_channel<fragile>(io);
    int called = 0;
    ch.async_receive([&](error_code e, const std::optional<fragile>& v) {
      ++called;
      BOOST_TEST((v.has_value() ? e == no_error : e == sluice::error::move_failed));
    });
    fragile value(1);
    const lit_fuse fuse(n);
    try {
      ch.try_send(std::move(value));
    } catch (const std::runtime_error&) {
      BOOST_TEST(called == 0);
      ch.try_send(std::move(value));  // it still waits
    }
    BOOST_CHECK_NO_THROW(poll(io));
    BOOST_TEST(called == 1);
  }
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_CASE(anywhere_is_told_to_one_party_and_strands_nobody) {
  for (const std::size_t capacity : {0u, 1u, 2u}) {
    for (int n = 1; n < 60; ++n) {
      asio::io_context io;
      auto ch = make_channel<fragile>(capacity);
      ints sent;
      ints got;
      {
        const lit_fuse fuse(n);
        for (int i = 1; i <= 6; ++i) sluice::go(io, send_fragile(ch, i, sent));
        for (int i = 1; i <= 6; ++i) sluice::go(io, receive_fragile(ch, got));
        poll(io);
      }
      const auto failed_sends = std::erase_if(sent, [](int v) { return v < 0; });
      const auto failed_receives = std::erase(got, 0);
      BOOST_TEST(failed_sends + failed_receives <= 1u);
      if (failed_sends != 0) sluice::go(io, send_fragile(ch, 7, sent));
      if (got.size() < 6) sluice::go(io, receive_fragile(ch, got));
      poll(io);
      BOOST_TEST(sent.size() == 6u);
      std::sort(sent.begin(), sent.end());
      std::sort(got.begin(), got.end());
      BOOST_TEST(sent == got, per_element());
    }
  }
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
