#include <sluice/wait_group.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>

#include "goroutine/helpers.hpp"
#include "sync_helpers.hpp"
#include "told_elsewhere.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <thread>
#include <vector>

// Waiting for a group: cancellation, tokens, select, and groups that end before their waiters.

namespace {

using namespace sluice_test;

/// Counts a wait that has ended.
task<> wait_and_count(wait_group& wg, int& ended) {
  co_await wg.wait();
  ++ended;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(wait)

// apache/asyncband#10: one of three is cancelled.
BOOST_AUTO_TEST_CASE(that_is_cancelled_leaves_the_others_waiting) {
  asio::io_context io;
  wait_group wg;
  int ended = 0;
  wg.add();
  sluice::go(io, wait_and_count(wg, ended));
  cancellable_goroutine victim(io, [&]() -> task<> { co_await wg.wait(); });
  sluice::go(io, wait_and_count(wg, ended));
  poll(io);
  victim.cancel();
  poll(io);
  BOOST_TEST(victim.ended());
  BOOST_TEST(victim.error() == aborted);
  BOOST_TEST(ended == 0);
  wg.done();
  run(io);
  BOOST_TEST(ended == 2);

  wg.add();  // and the next round
  sluice::go(io, wait_and_count(wg, ended));
  poll(io);
  wg.done();
  run(io);
  BOOST_TEST(ended == 3);
}

BOOST_AUTO_TEST_CASE(begun_by_a_cancelled_goroutine_ends_at_once) {
  asio::io_context io;
  wait_group wg;
  wg.add();
  cancellable_goroutine victim(io, [&]() -> task<> { co_await wg.wait(); });
  victim.cancel();
  run(io);
  BOOST_TEST(victim.error() == aborted);
  wg.done();
}

BOOST_AUTO_TEST_CASE(that_is_over_when_it_is_cancelled_is_a_success) {
  asio::io_context io;
  wait_group wg;
  wg.add();
  int ended = 0;
  cancellable_goroutine g(io, wait_and_count(wg, ended));
  poll(io);
  wg.done();
  g.cancel();
  run(io);
  BOOST_TEST(ended == 1);
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_CASE(races_with_its_cancellation_and_ends_once) {
  const watchdog dog;
  std::size_t wrong = 0;
  for (std::size_t round = 0; round < rounds(1'000); ++round) {
    asio::io_context io;
    wait_group wg;
    wg.add();
    const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    std::atomic<int> ends = 0;
    sluice::go(ctx, io, [&]() -> task<> {
      const auto e = co_await error_of(wg.wait());
      if (e == no_error || e == aborted) ++ends;
    });
    std::thread other([&, &c = cancel] {
      for (std::size_t k = round % 64; k != 0; --k) static_cast<void>(ends.load());
      c();
    });
    io.poll();
    wg.done();
    io.run();
    other.join();
    wrong += ends != 1;
  }
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(with_a_token_tells_a_handler_a_future_and_every_coroutine) {
  asio::io_context io;
  wait_group wg;
  wg.add();
  int calls = 0;
  bool inside = true;
  wg.wait()(asio::bind_executor(io, [&](error_code e) { calls += !e && !inside; }));
  auto future = wg.wait()(asio::use_future);
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        co_await wg.wait()(asio::use_awaitable);
        ++calls;
      },
      asio::detached);
  sluice::go(io, [&]() -> task<> {
    co_await wg.wait()(asio::deferred);
    const auto [e] = co_await wg.wait()(asio::as_tuple(asio::deferred));
    calls += !e;
  });
  poll(io);
  BOOST_TEST(calls == 0);
  BOOST_TEST((future.wait_for(0s) == std::future_status::timeout));
  wg.done();
  BOOST_TEST((future.wait_for(0s) == std::future_status::ready));
  BOOST_TEST(calls == 0);  // never inside `done`
  inside = false;
  run(io);
  BOOST_TEST(calls == 3);
  inside = true;
  wg.wait()(asio::bind_executor(io, [&](error_code e) { calls += !e && !inside; }));
  inside = false;
  run(io);
  BOOST_TEST(calls == 4);
  BOOST_CHECK_NO_THROW(wg.wait()(asio::use_future).get());
}

BOOST_AUTO_TEST_CASE(of_a_handler_without_an_executor_tells_it_so) {
  wait_group wg;
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([&](auto h) { wg.wait()(h); }) == none);
}

BOOST_AUTO_TEST_CASE(of_a_handler_is_cancelled_through_its_slot) {
  asio::io_context io;
  asio::cancellation_signal signal;
  wait_group wg;
  wg.add();
  error_code told;
  wg.wait()(asio::bind_cancellation_slot(signal.slot(),
                                         asio::bind_executor(io, [&](error_code e) { told = e; })));
  signal.emit(asio::cancellation_type::total);
  run(io);
  BOOST_TEST(told == aborted);
  wg.done();
}

BOOST_AUTO_TEST_CASE(as_a_case_of_a_select_leaves_no_trace_if_it_loses) {
  asio::io_context io;
  wait_group wg;
  wg.add();
  std::vector<std::size_t> cases;
  auto ch = make_channel<int>();
  const auto select_once = [&]() -> task<> {
    const auto r = co_await sluice::select(wg.wait(), ch.receive());
    cases.push_back(r.index());
  };
  sluice::go(io, select_once);
  poll(io);
  ch.try_send(1);
  poll(io);
  sluice::go(io, select_once);
  poll(io);
  wg.done();
  run(io);
  BOOST_TEST(cases == (std::vector<std::size_t>{1, 0}));
}

BOOST_AUTO_TEST_SUITE_END()

// "A mutex or wait_group destroyed with waiters parked detaches them."
BOOST_AUTO_TEST_SUITE(destroyed_group)

BOOST_AUTO_TEST_CASE(leaves_its_waiters_parked_and_they_can_be_cancelled) {
  asio::io_context io;
  auto wg = std::make_unique<wait_group>();
  wg->add();
  int ended = 0;
  cancellable_goroutine victim(io, [&]() -> task<> { co_await wg->wait(); });
  sluice::go(io, wait_and_count(*wg, ended));
  poll(io);
  wg.reset();
  poll(io);
  BOOST_TEST(!victim.ended());
  victim.cancel();
  poll(io);
  BOOST_TEST(victim.error() == aborted);
  BOOST_TEST(ended == 0);
  BOOST_TEST(sluice::goroutine_count(io) == 1u);
}

BOOST_AUTO_TEST_CASE(leaves_its_handlers_parked_and_they_can_be_cancelled) {
  std::atomic<int> alive = 0;
  error_code told;
  {
    asio::io_context io;
    asio::cancellation_signal signal;
    auto wg = std::make_unique<wait_group>();
    wg->add();
    wg->wait()(asio::bind_cancellation_slot(
        signal.slot(),
        asio::bind_executor(io, [&told, here = witness(alive)](error_code e) { told = e; })));
    wg->wait()(asio::bind_executor(io, [&told, here = witness(alive)](error_code e) { told = e; }));
    wg.reset();
    poll(io);
    BOOST_TEST(alive == 2);
    signal.emit(asio::cancellation_type::terminal);
    poll(io);
    BOOST_TEST(told == aborted);
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(leaves_the_other_cases_of_a_select_alone) {
  asio::io_context io;
  auto wg = std::make_unique<wait_group>();
  wg->add();
  auto ch = make_channel<int>();
  std::size_t index = 9;
  sluice::go(io, [&]() -> task<> {
    const auto r = co_await sluice::select(wg->wait(), ch.receive());
    index = r.index();
  });
  poll(io);
  wg.reset();
  poll(io);
  BOOST_TEST(index == 9u);
  ch.try_send(1);
  run(io);
  BOOST_TEST(index == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
