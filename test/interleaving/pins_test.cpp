#include "../names.hpp"
#include "hold.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/detail/base/pin_count.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>

// Who is still using something while another thread ends it.

namespace {

using namespace sluice_test;

/// Whether it ends while somebody is held. A wait that must not end is believed after a while.
bool ends(const std::future<void>& f, std::chrono::milliseconds in) {
  return f.wait_for(in) == std::future_status::ready;
}

using wait_function = std::function<sluice::task<>()>;

wait_function in_select() {
  auto a = sluice::make_channel<int>();
  auto b = sluice::make_channel<int>();
  return [=]() -> sluice::task<> { co_await sluice::select(a.receive(), b.receive()); };
}
wait_function on_nil_channel() {
  return []() -> sluice::task<> {
    const sluice::channel<int> nil;
    co_await nil.receive();
  };
}
wait_function in_receive() {
  auto a = sluice::make_channel<int>();
  return [=]() -> sluice::task<> { co_await a.receive(); };
}

/// A context with one goroutine that waits as `wait` does, under a context that can be cancelled.
void destroy_while_cancelling(wait_function wait) {
  auto io = std::make_unique<asio::io_context>();
  auto cancellable = sluice::with_cancel(sluice::context::background());
  sluice::go(cancellable.ctx, *io, std::move(wait));
  io->poll();
  hold in_cancel("a cancelled wait has ended");
  auto cancel = std::async(std::launch::async, [&] { cancellable.cancel(); });
  in_cancel.wait_until_held();
  auto end = std::async(std::launch::async, [&] { io.reset(); });
  BOOST_TEST(!ends(end, 50ms));
  in_cancel.release();
  cancel.get();
  end.get();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_wait_for_pins_ends_though_others_come_before_they_are_gone) {
  sluice::detail::pin_count pins;
  const auto before = pins.add();
  hold in_wait("the current count of pins has changed");
  auto wait = std::async(std::launch::async, [&] { pins.wait_for_none(); });
  in_wait.wait_until_held();
  const auto meanwhile = pins.add();
  in_wait.release();
  BOOST_TEST(!ends(wait, 50ms));
  pins.remove(before);
  BOOST_TEST(ends(wait, 10s));
  // Who comes now waits for that one too, whichever count it is in.
  auto later = std::async(std::launch::async, [&] { pins.wait_for_none(); });
  BOOST_TEST(!ends(later, 50ms));
  pins.remove(meanwhile);
  BOOST_TEST(ends(later, 10s));
}

BOOST_AUTO_TEST_CASE(a_wait_for_pins_ends_beside_another_one) {
  sluice::detail::pin_count pins;
  for (int round = 0; round < 100; ++round) {
    const auto first = pins.add();
    auto a = std::async(std::launch::async, [&] { pins.wait_for_none(); });
    auto b = std::async(std::launch::async, [&] { pins.wait_for_none(); });
    const auto second = pins.add();
    pins.remove(first);
    pins.remove(second);
    BOOST_REQUIRE(ends(a, 10s));
    BOOST_REQUIRE(ends(b, 10s));
  }
}

BOOST_AUTO_TEST_CASE(a_context_waits_for_who_cancels_a_select_of_it) {
  destroy_while_cancelling(in_select());
}

BOOST_AUTO_TEST_CASE(a_context_waits_for_who_cancels_a_wait_on_a_nil_channel) {
  destroy_while_cancelling(on_nil_channel());
}

BOOST_AUTO_TEST_CASE(a_context_waits_for_who_cancels_a_receive) {
  destroy_while_cancelling(in_receive());
}

namespace {

/// The same, but the end has begun before: it destroys a younger goroutine, whose locals have
/// another thread cancel the older one.
void cancel_while_destroying(wait_function wait) {
  auto io = std::make_unique<asio::io_context>();
  auto cancellable = sluice::with_cancel(sluice::context::background());
  sluice::go(cancellable.ctx, *io, std::move(wait));
  hold in_cancel("a cancelled wait has ended");
  std::future<void> cancel;
  sluice::go(*io, [&]() -> sluice::task<> {
    struct at_end {
      std::function<void()> f;
      ~at_end() { f(); }
    };
    const std::function<void()> have_it_cancelled = [&] {
      cancel = std::async(std::launch::async, [&] { cancellable.cancel(); });
      in_cancel.wait_until_held();
    };
    const at_end local{have_it_cancelled};
    const sluice::channel<int> nil;
    co_await nil.receive();
  });
  io->poll();
  auto end = std::async(std::launch::async, [&] { io.reset(); });
  in_cancel.wait_until_held();
  BOOST_TEST(!ends(end, 50ms));
  in_cancel.release();
  end.get();
  cancel.get();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_context_that_is_ending_waits_for_who_cancels_a_select_of_it) {
  cancel_while_destroying(in_select());
}

BOOST_AUTO_TEST_CASE(a_context_that_is_ending_waits_for_who_cancels_a_wait_on_a_nil_channel) {
  cancel_while_destroying(on_nil_channel());
}

BOOST_AUTO_TEST_CASE(a_context_that_is_ending_waits_for_who_cancels_a_receive) {
  cancel_while_destroying(in_receive());
}

namespace {

/// A goroutine that waits to receive, and a thread that is held while it cancels that.
struct held_withdrawal {
  sluice::channel<int> values = sluice::make_channel<int>();
  asio::io_context io;
  sluice::cancellable_context cancellable = sluice::with_cancel(sluice::context::background());
  std::optional<hold> in_withdrawal;
  std::future<void> cancel;

  held_withdrawal() {
    sluice::go(cancellable.ctx, io, [ch = &values]() -> sluice::task<> { co_await ch->receive(); });
    io.poll();
    in_withdrawal.emplace("a withdrawal from a channel");
    cancel = std::async(std::launch::async, [this] { cancellable.cancel(); });
    in_withdrawal->wait_until_held();
  }
  void go_on() {
    in_withdrawal->release();
    cancel.get();
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_channel_does_not_wait_for_who_withdraws_from_another_one) {
  held_withdrawal held;
  auto other = sluice::make_channel<int>();
  auto drop = std::async(std::launch::async, [&] { other = {}; });
  BOOST_TEST(ends(drop, 10s));
  held.go_on();
}

BOOST_AUTO_TEST_CASE(a_channel_waits_for_who_withdraws_from_it) {
  held_withdrawal held;
  sluice::error_code e;
  BOOST_TEST(held.values.try_send(1, e));
  auto drop = std::async(std::launch::async, [&] { held.values = {}; });
  BOOST_TEST(!ends(drop, 50ms));
  held.go_on();
  drop.get();
}

// A select that was decided elsewhere still stands in the channel's line, and has no reference.
// What drops it from there gives it one, when another thread has just given up the last.
BOOST_AUTO_TEST_CASE(a_channel_stays_for_a_case_that_is_dropped_while_its_last_reference_goes) {
  asio::io_context io;
  asio::io_context of_timer;
  auto other = sluice::make_channel<int>();
  auto at = sluice::after(of_timer, 1ms);
  bool done = false;
  sluice::go(io, [&]() -> sluice::task<> {
    auto first = at.receive();
    co_await sluice::select(sluice::on(first, [] {}), sluice::on(other.receive(), [] {}));
    done = true;
  });
  io.poll();
  sluice::error_code e;
  BOOST_TEST(other.try_send(1, e));
  hold in_release("a channel's last reference is gone");
  auto release = std::async(std::launch::async, [&] { at = {}; });
  in_release.wait_until_held();
  of_timer.run();
  in_release.release();
  release.get();
  BOOST_TEST(!done);
  io.poll();
  BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(who_sees_a_wait_group_at_zero_may_destroy_it) {
  auto group = std::make_unique<sluice::wait_group>();
  group->add();
  hold in_done("a wait group has counted");
  auto done = std::async(std::launch::async, [&] { group->done(); });
  in_done.wait_until_held();
  auto poll = std::async(std::launch::async, [&] {
    while (group->count() != 0) {
    }
  });
  BOOST_TEST(!ends(poll, 50ms));
  in_done.release();
  poll.get();
  group.reset();
  done.get();
}
