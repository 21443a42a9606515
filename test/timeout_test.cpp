#include <sluice/timeout.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/mutex.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include "timer/helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

// Operations that get a limited time.

namespace {

using namespace sluice_test;

/// An Asio operation that completes when the test says so, and tells what is asked of it.
class controlled {
 public:
  controlled() = default;
  controlled(const controlled&) = delete;
  controlled& operator=(const controlled&) = delete;

  auto start() {
    return asio::async_initiate<const sluice::use_task_t&, void(error_code, int)>(
        [this](auto handler) {
          ++launched;
          auto slot = asio::get_associated_cancellation_slot(handler);
          if (slot.is_connected())
            slot.assign([this](asio::cancellation_type) {
              ++cancelled;
              if (on_cancel) on_cancel();
            });
          const auto ex = asio::get_associated_executor(handler);
          auto shared = std::make_shared<decltype(handler)>(std::move(handler));
          complete_ = [ex, shared](error_code e, int value) {
            asio::post(ex, [shared, e, value] { std::move (*shared)(e, value); });
          };
        },
        sluice::use_task);
  }
  void complete(error_code e, int value) { std::exchange(complete_, nullptr)(e, value); }

  int launched = 0;
  int cancelled = 0;
  std::function<void()> on_cancel;

 private:
  std::function<void(error_code, int)> complete_;
};

asio::awaitable<int> give_late(int value) {
  asio::steady_timer t(co_await asio::this_coro::executor, long_time);
  co_await t.async_wait(asio::use_awaitable);
  co_return value;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(an_operation_of_this_library)

BOOST_AUTO_TEST_CASE(that_is_ready_completes_and_needs_no_timer) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    auto ch = make_channel<int>(1);
    for (const clock::duration d : {clock::duration(1h), clock::duration::zero(),
                                    clock::duration::min(), clock::duration::max()}) {
      co_await timeout(ch.send(3), d);
      BOOST_TEST(has_no_timer(io));
      const auto v = co_await timeout(ch.receive(), d);
      BOOST_TEST(v.value() == 3);
      BOOST_TEST(has_no_timer(io));
    }
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(that_is_not_done_in_time_has_done_nothing) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    auto ch = make_channel<std::unique_ptr<int>>();
    const stopwatch watch;
    BOOST_TEST((co_await error_of(timeout(ch.receive(), 2ms))) == timed_out);
    BOOST_TEST((watch.elapsed() >= 2ms));
    auto op = ch.send(std::make_unique<int>(5));
    BOOST_TEST((co_await error_of(timeout(op, 1ms))) == timed_out);
    BOOST_REQUIRE(op.value());
    BOOST_TEST(has_no_timer(io));
    error_code e;
    BOOST_TEST(!ch.try_receive(e));
    BOOST_TEST(e == would_block);
    sluice::go([&]() -> task<> {
      const auto v = co_await ch.receive();
      BOOST_TEST(**v == 5);
    });
    co_await timeout(op, 1h);
    BOOST_TEST(!op.value());
    BOOST_TEST(has_no_timer(io));
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(that_is_done_in_time_gives_what_it_gives) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::optional<int> got;
  bool closed_in_time = false;
  sluice::go(io, [&]() -> task<> {
    got = co_await timeout(ch.receive(), 1h);
    const auto last = co_await timeout(ch.receive(), 1h);
    closed_in_time = !last;
    BOOST_TEST((co_await error_of(timeout(ch.send(1), 1h))) == closed);
  });
  poll(io);
  ch.try_send(4);
  poll(io);
  BOOST_TEST(got.value() == 4);
  ch.close();
  run(io);
  BOOST_TEST(closed_in_time);
}

BOOST_AUTO_TEST_CASE(that_is_not_ready_and_gets_no_time_is_out_of_time_at_once) {
  run_in_virtual_time([]() -> task<> {
    auto ch = make_channel<int>();
    const sluice::channel<int> nil;
    for (const clock::duration d :
         {clock::duration::zero(), clock::duration(-1), clock::duration::min()}) {
      BOOST_TEST((co_await error_of(timeout(ch.receive(), d))) == timed_out);
      BOOST_TEST((co_await error_of(timeout(ch.send(1), d))) == timed_out);
      BOOST_TEST((co_await error_of(timeout(nil.receive(), d))) == timed_out);
    }
  });
}

BOOST_AUTO_TEST_CASE(may_be_of_any_kind) {
  run_in_virtual_time([]() -> task<> {
    const sluice::channel<int> nil;
    sluice::wait_group group;
    group.add();
    sluice::mutex m;
    auto guard = co_await m.lock();
    sluice::semaphore s(1);
    auto permit = co_await s.acquire();
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    BOOST_TEST((co_await error_of(timeout(nil.receive(), 1ms))) == timed_out);
    BOOST_TEST((co_await error_of(timeout(group.wait(), 1ms))) == timed_out);
    BOOST_TEST((co_await error_of(timeout(m.lock(), 1ms))) == timed_out);
    BOOST_TEST((co_await error_of(timeout(s.acquire(1), 1ms))) == timed_out);
    BOOST_TEST((co_await error_of(timeout(ctx.done(), 1ms))) == timed_out);
    BOOST_TEST((co_await error_of(timeout(sleep_for(1h), 1ms))) == timed_out);
    group.done();
    guard.unlock();
    permit.release();
    cancel();
    co_await timeout(group.wait(), 1h);
    const auto second_guard = co_await timeout(m.lock(), 1h);
    const auto second_permit = co_await timeout(s.acquire(1), 1h);
    co_await timeout(ctx.done(), 1h);
    co_await timeout(sleep_for(1ms), 1h);
  });
}

BOOST_AUTO_TEST_CASE(of_which_two_are_out_of_time_together_leaves_the_other_alone) {
  run_in_virtual_time([]() -> task<> {
    auto ch = make_channel<int>();
    std::array<sluice::wait_group, 2> ended;
    for (std::size_t i = 0; i < 2; ++i) {
      ended[i].add();
      sluice::go([&, i]() -> task<> {
        const auto e = co_await error_of(timeout(ch.receive(), i == 0 ? 1ms : 1h));
        BOOST_TEST(e == (i == 0 ? timed_out : no_error));
        ended[i].done();
      });
    }
    co_await ended[0].wait();
    co_await ch.send(1);
    co_await ended[1].wait();
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(an_asio_operation)

BOOST_AUTO_TEST_CASE(that_completes_in_time_gives_its_value_or_its_error) {
  asio::io_context io;
  controlled op;
  sluice::go(io, [&]() -> task<> {
    BOOST_TEST((co_await timeout(op.start(), 1h)) == 7);
    co_await sluice::this_goroutine::yield();
    BOOST_TEST(has_no_timer(io));
    BOOST_TEST((co_await error_of(timeout(op.start(), 1h))) == asio::error::eof);
    co_await sluice::this_goroutine::yield();
    BOOST_TEST(has_no_timer(io));
    co_await timeout(asio::post(asio::deferred), 1h);
  });
  poll(io);
  op.complete({}, 7);
  poll(io);
  op.complete(asio::error::eof, 0);
  run(io);
  BOOST_TEST(op.cancelled == 0);
}

BOOST_AUTO_TEST_CASE(that_throws_as_it_is_launched_leaves_no_timer) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    co_await asio::post(asio::deferred);
    auto op =
        timeout(asio::async_initiate<const sluice::use_task_t, void(error_code)>(
                    [](auto&&) { throw std::runtime_error("not launched"); }, sluice::use_task),
                1h);
    BOOST_CHECK_THROW(co_await std::move(op), std::runtime_error);
    co_await asio::post(asio::deferred);
    BOOST_TEST(has_no_timer(io));
  });
  run(io);
}

// The timer of the one before, which the step still has, is due earlier or later than it is to be.
BOOST_AUTO_TEST_CASE(that_follows_another_in_one_step_has_a_limit_of_its_own) {
  asio::io_context io;
  controlled op;
  sluice::go(io, [&]() -> task<> {
    for (const bool with_context : {false, true}) {
      asio::steady_timer never(io, long_time);
      const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
      const auto limits = [&]() -> task<> {
        for (const auto first : {clock::duration(1ms), clock::duration(1h)}) {
          co_await timeout(asio::post(asio::deferred), first);
          const stopwatch watch;
          BOOST_TEST((co_await error_of(timeout(never.async_wait(asio::deferred), 4ms))) ==
                     timed_out);
          BOOST_TEST((watch.elapsed() >= 4ms));
          co_await timeout(asio::post(asio::deferred), first);
          co_await timeout(asio::post(asio::deferred), 1h);
          BOOST_TEST((co_await error_of(timeout(never.async_wait(asio::deferred), -1s))) ==
                     timed_out);
        }
      };
      if (with_context)
        co_await sluice::go(ctx, io, limits, sluice::use_task);
      else
        co_await limits();
    }
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(that_another_goroutine_runs_inside_of_leaves_each_its_own_limit) {
  asio::io_context io;
  int limited = 0;
  const auto one = [&](int i) -> task<> {
    asio::steady_timer never(io, long_time);
    for (int n = 0; n < 20; ++n) {
      co_await timeout(asio::post(asio::deferred), 1h);
      co_await timeout(asio::dispatch(asio::deferred), i % 2 == 0 ? 1us : 1h);
    }
    BOOST_TEST((co_await error_of(timeout(never.async_wait(asio::deferred), 1ms))) == timed_out);
    ++limited;
  };
  for (int i = 0; i < 10; ++i) sluice::go(io, one, i);
  run(io);
  BOOST_TEST(limited == 10);
}

BOOST_AUTO_TEST_CASE(that_is_cancelled_by_the_timer_says_timed_out) {
  asio::io_context io;
  controlled op;
  op.on_cancel = [&] { op.complete(aborted, 0); };
  sluice::go(io, [&]() -> task<> {
    const stopwatch watch;
    BOOST_TEST((co_await error_of(timeout(op.start(), 2ms))) == timed_out);
    BOOST_TEST((watch.elapsed() >= 2ms));
    asio::steady_timer never(io, long_time);
    BOOST_TEST((co_await error_of(timeout(never.async_wait(asio::deferred), 1ms))) == timed_out);
    auto [e] = co_await timeout(never.async_wait(asio::as_tuple(sluice::use_task)), 1ms);
    BOOST_TEST(e == timed_out);
  });
  run(io);
  BOOST_TEST(op.cancelled == 1);
}

// Nothing is lost: its own completion is the result.
BOOST_AUTO_TEST_CASE(that_completes_although_it_was_cancelled_keeps_its_value) {
  asio::io_context io;
  controlled op;
  sluice::go(io, [&]() -> task<> {
    op.on_cancel = [&] { op.complete({}, 8); };
    BOOST_TEST((co_await timeout(op.start(), 1ms)) == 8);
    op.on_cancel = [&] { op.complete(asio::error::eof, 0); };
    BOOST_TEST((co_await error_of(timeout(op.start(), 1ms))) == asio::error::eof);
  });
  run(io);
  BOOST_TEST(op.cancelled == 2);
}

BOOST_AUTO_TEST_CASE(that_ignores_cancellation_delays_the_timeout_until_it_ends) {
  asio::io_context io;
  controlled op;
  std::optional<int> got;
  sluice::go(io, [&]() -> task<> { got = co_await timeout(op.start(), 1ms); });
  sluice::go(io, [&]() -> task<> {
    while (op.cancelled == 0) co_await sleep_for(1ms);
    BOOST_TEST(!got);
    op.complete({}, 9);
  });
  run(io);
  BOOST_TEST(got.value() == 9);
}

BOOST_AUTO_TEST_CASE(whose_cancellation_throws_is_waited_for_all_the_same) {
  const watchdog dog;
  asio::io_context io;
  controlled op;
  op.on_cancel = [] { throw std::runtime_error("cannot be cancelled"); };
  std::optional<int> got;
  sluice::go(io, [&]() -> task<> { got = co_await timeout(op.start(), 1ms); });
  BOOST_CHECK_THROW(run(io), std::runtime_error);
  BOOST_TEST(!got);
  op.complete({}, 9);
  io.restart();
  run(io);
  BOOST_TEST(got.value_or(0) == 9);
}

BOOST_AUTO_TEST_CASE(that_gets_no_time_is_not_launched_however_often) {
  asio::io_context io;
  controlled op;
  op.on_cancel = [&] { op.complete(aborted, 0); };
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 100; ++i)
      BOOST_TEST((co_await error_of(timeout(op.start(), i % 2 ? 0s : -1s))) == timed_out);
  });
  run(io);
  BOOST_TEST(op.launched == 0);
}

BOOST_AUTO_TEST_CASE(may_be_an_awaitable) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    const auto e =
        co_await error_of(timeout(asio::co_spawn(io, give_late(1), asio::deferred), 1ms));
    BOOST_TEST(e == timed_out);
    auto quick = []() -> asio::awaitable<int> { co_return 2; };
    BOOST_TEST((co_await timeout(asio::co_spawn(io, quick, asio::deferred), 1h)) == 2);
    auto failing = []() -> asio::awaitable<int> {
      throw std::runtime_error("failed");
      co_return 0;
    };
    bool failed = false;
    try {
      co_await timeout(asio::co_spawn(io, failing, asio::deferred), 1h);
    } catch (const std::runtime_error&) {
      failed = true;
    }
    BOOST_TEST(failed);
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(of_several_in_one_goroutine_has_its_own_time) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer t(io);
    for (int i = 0; i < 20; ++i) {
      t.expires_after(i % 2 ? 0ms : 1h);
      const auto e = co_await error_of(timeout(t.async_wait(asio::deferred), 500us));
      if (i % 2 == 0) BOOST_TEST(e == timed_out);
    }
  });
  run(io);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: boostorg/beast#2952, EOSIO/eos#10252, boostorg/beast#1484
BOOST_AUTO_TEST_SUITE(a_timeout_belongs_to_one_operation)

BOOST_AUTO_TEST_CASE(the_read_after_one_that_timed_out_works_and_no_byte_is_lost) {
  asio::io_context io;
  socket_pair sockets(io);
  std::string got;
  sluice::go(io, [&]() -> task<> {
    std::array<char, 8> data;
    const auto read = [&](clock::duration d) {
      return timeout(sockets.near.async_read_some(asio::buffer(data), asio::deferred), d);
    };
    BOOST_TEST((co_await error_of(read(1ms))) == timed_out);
    sluice::go([&]() -> task<> {
      co_await sleep_for(2ms);
      co_await asio::async_write(sockets.far, asio::buffer("ab", 2), asio::deferred);
      sockets.far.close();
    });
    while (got.size() < 2) got.append(data.data(), co_await read(1h));
    BOOST_TEST((co_await error_of(read(1h))) == asio::error::eof);
  });
  run(io);
  BOOST_TEST(got == "ab");
}

BOOST_AUTO_TEST_CASE(what_was_read_before_the_time_was_over_is_told) {
  asio::io_context io;
  socket_pair sockets(io);
  asio::write(sockets.far, asio::buffer("abcd", 4));
  sluice::go(io, [&]() -> task<> {
    std::array<char, 10> data;
    auto [e, n] = co_await timeout(
        asio::async_read(sockets.near, asio::buffer(data), asio::as_tuple(sluice::use_task)), 5ms);
    BOOST_TEST(e == timed_out);
    BOOST_TEST(std::string_view(data.data(), n) == "abcd");
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(a_read_and_a_write_on_one_socket_have_their_own) {
  asio::io_context io;
  socket_pair sockets(io);
  bool written = false;
  sluice::go(io, [&]() -> task<> {
    char byte = 0;
    const auto e = co_await error_of(
        timeout(sockets.near.async_read_some(asio::buffer(&byte, 1), asio::deferred), 1ms));
    BOOST_TEST(e == timed_out);
  });
  sluice::go(io, [&]() -> task<> {
    const std::string data(8 << 20, 'x');
    const auto n =
        co_await timeout(asio::async_write(sockets.near, asio::buffer(data), asio::deferred), 1h);
    written = n == data.size();
  });
  sluice::go(io, [&]() -> task<> {
    co_await sleep_for(3ms);
    std::string data(8 << 20, ' ');
    co_await timeout(asio::async_read(sockets.far, asio::buffer(data), asio::deferred), 1h);
  });
  run(io);
  BOOST_TEST(written);
}

BOOST_AUTO_TEST_SUITE_END()
