// The slot of `co_await asio::this_coro::cancellation_state`: what a goroutine starts and does not
// await is told of requests through it.
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "../support.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <exception>
#include <memory>
#include <utility>

namespace {

using namespace sluice_test;

// As Asio's own type of that name.
template <class State>
concept like_asios = requires(const State s) {
  { s.slot() } -> std::same_as<asio::cancellation_slot>;
  { s.cancelled() } -> std::same_as<types>;
};
static_assert(like_asios<asio::cancellation_state>);
static_assert(like_asios<sluice::cancellation_state>);

}  // namespace

BOOST_AUTO_TEST_SUITE(the_slot_of_a_goroutines_cancellation_state)

BOOST_AUTO_TEST_CASE(cancels_an_operation_that_the_goroutine_does_not_await) {
  asio::io_context io;
  asio::steady_timer timer(io, 24h);
  error_code of_timer, of_wait;
  cancellable_goroutine g(io, [&]() -> task<> {
    const auto state = co_await asio::this_coro::cancellation_state;
    const asio::any_io_executor strand = co_await asio::this_coro::executor;
    timer.async_wait(asio::bind_executor(
        strand, asio::bind_cancellation_slot(state.slot(), [&](error_code e) { of_timer = e; })));
    of_wait = co_await error_of(sluice::sleep_for(24h));
    BOOST_TEST(of_timer == no_error);
    BOOST_TEST((state.cancelled() == types::terminal));
    // Stays until the timer's handler has been called.
    co_await asio::this_coro::reset_cancellation_state();
    co_await sluice::sleep_for(1ms);
  });
  poll(io);
  g.cancel(types::total);
  poll(io);
  BOOST_TEST(of_wait == no_error, "terminal only, at first");
  g.cancel();
  run(io);
  BOOST_TEST(of_timer == aborted);
  BOOST_TEST(of_wait == aborted);
}

BOOST_AUTO_TEST_CASE(is_not_connected_if_nothing_can_cancel_the_goroutine) {
  asio::io_context io;
  bool connected = true;
  sluice::go(io, [&]() -> task<> {
    connected = (co_await asio::this_coro::cancellation_state).slot().is_connected();
  });
  run(io);
  BOOST_TEST(!connected);
}

BOOST_AUTO_TEST_CASE(is_told_when_a_mask_ends_of_a_context_that_is_done) {
  asio::io_context io;
  const auto tree = sluice::with_cancel(sluice::context::background());
  int told = 0;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    auto slot = (co_await asio::this_coro::cancellation_state).slot();
    slot.assign([&](types) { ++told; });
    co_await sluice::sleep_for(1ms);
    BOOST_TEST(told == 0);
    co_await asio::this_coro::reset_cancellation_state();
    static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
    co_await sluice::this_goroutine::yield();
    BOOST_TEST(told == 1);
  });
  poll(io);
  tree.cancel();
  run(io);
  BOOST_TEST(told == 1);
}

BOOST_AUTO_TEST_CASE(is_told_nothing_when_the_goroutine_has_ended) {
  asio::io_context io;
  const auto tree = sluice::with_cancel(sluice::context::background());
  std::weak_ptr<int> handler;
  bool told = false;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    auto held = std::make_shared<int>();
    handler = held;
    auto slot = (co_await asio::this_coro::cancellation_state).slot();
    slot.assign([&told, held](types) { told = true; });
  });
  run(io);
  BOOST_TEST(handler.expired());
  tree.cancel();
  run(io);
  BOOST_TEST(!told);
}

BOOST_AUTO_TEST_CASE(is_told_on_the_goroutines_strand_unless_the_goroutine_saw_the_request_before) {
  const std::size_t n = rounds(2'000);
  asio::io_context io;
  std::atomic<std::size_t> missed = 0, elsewhere = 0, ended = 0;
  for (std::size_t i = 0; i < n; ++i) {
    auto tree = std::make_shared<sluice::cancellable_context>(
        sluice::with_cancel(sluice::context::background()));
    sluice::go(tree->ctx, io, [&]() -> task<> {
      const auto state = co_await asio::this_coro::cancellation_state;
      bool told = false;
      if (state.cancelled() == types::none) {
        const asio::any_io_executor ex = co_await asio::this_coro::executor;
        const auto strand = *ex.target<sluice::executor>();
        state.slot().assign([&, strand](types) {
          told = true;
          if (!strand.running_in_this_thread()) ++elsewhere;
        });
        static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
        // A request that came before the sleep has ended that at once, and is behind this step.
        if (!told) co_await sluice::this_goroutine::yield();
        if (!told) ++missed;
      }
      ++ended;
    });
    asio::post(io, [tree] { tree->cancel(); });
  }
  run(io, 4);
  BOOST_TEST(ended == n);
  BOOST_TEST(missed == 0U);
  BOOST_TEST(elsewhere == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
