// What contexts allocate, what they leave behind, and what they outlive.
#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include "allocation_counts.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace {

using namespace sluice_test;

const sluice::context_key<int> number;

/// How many allocations `f` makes when it is called for the second time.
template <class F>
std::size_t allocations_of(F f) {
  f();
  const std::size_t before = allocations;
  f();
  return allocations - before;
}

/// How many allocations are left by many calls of `f`; a sanitizer may see more of what is given
/// back than of what was allocated.
template <class F>
std::ptrdiff_t growth_of(F f) {
  for (int i = 0; i < 100; ++i) f();
  const std::ptrdiff_t before = live_allocations;
  for (std::size_t i = 0; i < rounds(20'000); ++i) f();
  return live_allocations - before;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memory)

// Source: TestAllocs, with its ceilings
BOOST_AUTO_TEST_CASE(is_allocated_as_rarely_as_by_go) {
  asio::io_context io;
  BOOST_TEST(allocations_of([] { static_cast<void>(context::background()); }) == 0u);
  BOOST_TEST(allocations_of(
                 [] { static_cast<void>(with_value(context::background(), number, 1)); }) <= 3u);
  BOOST_TEST(allocations_of([] {
               const auto tree = with_cancel(context::background());
               tree.cancel();
             }) <= 5u);
  BOOST_TEST(allocations_of([&] {
               const auto tree = with_timeout(io, context::background(), 1h);
               tree.cancel();
             }) <= 8u);
}

// Source: cockroachdb/cockroach#149658, wandb/parallel#7, vanadium/core#214
BOOST_AUTO_TEST_CASE(of_children_is_not_kept_by_a_parent_that_lives_on) {
  asio::io_context io;
  const auto root = with_cancel(context::background());
  BOOST_TEST(growth_of([&] {
               const auto child = with_cancel(root.ctx);
               child.cancel();
             }) <= 0);
  BOOST_TEST(growth_of([&] { static_cast<void>(with_cancel(root.ctx)); }) <= 0);
  BOOST_TEST(growth_of([&] {
               const auto child = with_timeout(io, with_value(root.ctx, number, 1), 1h);
               const auto grandchild = with_cancel(child.ctx);
               child.cancel();
               poll(io);
             }) <= 0);
  BOOST_TEST(growth_of([&] {
               static_cast<void>(with_timeout(io, root.ctx, 1h));
               poll(io);
             }) <= 0);
  BOOST_TEST(growth_of([&] { static_cast<void>(sluice::merge_contexts({root.ctx, root.ctx})); }) <=
             0);
  BOOST_TEST(growth_of([&] {
               auto registered = sluice::after_func(io, root.ctx, [] {});
               registered.stop();
             }) <= 0);
  std::stop_source source;
  BOOST_TEST(growth_of([&] {
               const auto child = sluice::with_stop_token(root.ctx, source.get_token());
               static_cast<void>(sluice::stop_token_of(child.ctx));
             }) <= 0);
  BOOST_TEST(root.ctx.child_count() == 0u);
}

BOOST_AUTO_TEST_CASE(of_stop_tokens_is_not_kept_by_their_context) {
  const auto root = with_cancel(context::background());
  BOOST_TEST(growth_of([&] { static_cast<void>(sluice::stop_token_of(root.ctx)); }) <= 0);
  BOOST_TEST(
      growth_of([&] { static_cast<void>(sluice::stop_token_of(with_cancel(root.ctx).ctx)); }) <= 0);
  const auto token = sluice::stop_token_of(root.ctx);
  BOOST_TEST(token.stop_possible());
  root.cancel();
  BOOST_TEST(token.stop_requested());
  BOOST_TEST(sluice::stop_token_of(root.ctx).stop_requested());
}

BOOST_AUTO_TEST_CASE(of_goroutines_that_have_ended_is_not_kept_by_their_context) {
  asio::io_context io;
  const auto root = with_cancel(context::background());
  BOOST_TEST(growth_of([&] {
               sluice::go(root.ctx, io, []() -> task<> { co_await sluice::sleep_for(0s); });
               poll(io);
             }) == 0);
}

// A server whose connections can be told to stop, and that limits each read and each write.
BOOST_AUTO_TEST_CASE(is_not_allocated_for_each_wait_of_a_goroutine_with_a_context_and_limits) {
  asio::io_context io;
  const auto root = with_cancel(context::background());
  asio::local::stream_protocol::socket client(io);
  asio::local::stream_protocol::socket server(io);
  asio::local::connect_pair(client, server);
  sluice::go(root.ctx, io, [&]() -> task<> {
    char byte = 0;
    for (;;) {
      co_await sluice::timeout(server.async_read_some(asio::buffer(&byte, 1), asio::deferred), 1h);
      co_await sluice::timeout(asio::async_write(server, asio::buffer(&byte, 1), asio::deferred),
                               1min);
    }
  });
  std::size_t before = 0;
  std::size_t after = 0;
  sluice::go(root.ctx, io, [&]() -> task<> {
    char byte = 0;
    for (int i = 0; i < 200; ++i) {
      if (i == 100) before = allocations;
      co_await asio::async_write(client, asio::buffer(&byte, 1), asio::deferred);
      co_await client.async_read_some(asio::buffer(&byte, 1), asio::deferred);
    }
    after = allocations;
    root.cancel();
  });
  run(io);
  // Under the address sanitizer memory is not kept for the next who needs some.
  BOOST_TEST(after - before <= (sanitized ? 400u : 0u));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_context_that_outlives_its_io_context)

// Nobody else could tell those who wait for it when the deadline has come.
BOOST_AUTO_TEST_CASE(and_had_its_deadline_there_is_cancelled) {
  asio::io_context elsewhere;
  std::optional<asio::io_context> io(std::in_place);
  auto ends = with_timeout(*io, context::background(), 1h);
  const auto child = with_timeout(elsewhere, ends.ctx, 1h);
  auto dropped = std::make_optional(with_timeout(*io, context::background(), 1h));
  auto waited = child.ctx.done()(asio::bind_executor(elsewhere, asio::use_future));
  poll(*io);
  io.reset();
  BOOST_TEST(ends.ctx.err() == aborted);
  BOOST_TEST(child.ctx.err() == aborted);
  dropped.reset();
  ends.cancel();
  run(elsewhere);
  waited.get();
}

BOOST_AUTO_TEST_CASE(and_whose_deadline_has_passed_there_unseen_says_so) {
  std::optional<asio::io_context> io(std::in_place);
  const auto passed = with_timeout(*io, context::background(), 1us);
  while (sluice::clock::now() < *passed.ctx.deadline()) continue;
  io.reset();
  const error_code too_late = sluice::error::deadline_exceeded;
  BOOST_TEST(passed.ctx.err() == too_late);
}

BOOST_AUTO_TEST_CASE(and_is_given_a_deadline_while_that_ends_is_cancelled) {
  std::optional<sluice::cancellable_context> made;
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      struct at_end {
        at_end(asio::io_context& i, std::optional<sluice::cancellable_context>& m)
            : io(i), made(m) {}
        ~at_end() { made.emplace(with_timeout(io, context::background(), 1h)); }
        asio::io_context& io;
        std::optional<sluice::cancellable_context>& made;
      };
      const at_end makes(io, made);
      co_await sluice::sleep_for(1h);
    });
    poll(io);
  }
  BOOST_TEST(made->ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(may_have_goroutines_there_that_waited_and_were_destroyed) {
  const auto shared = std::make_shared<int>();
  const auto tree = with_cancel(context::background());
  {
    asio::io_context io;
    sluice::go(tree.ctx, io, [shared]() -> task<> { co_await sluice::sleep_for(1h); });
    sluice::go(tree.ctx, io, [shared, ctx = tree.ctx]() -> task<> { co_await ctx.done(); });
    sluice::go(io, [shared, ctx = tree.ctx]() -> task<> { co_await ctx.done(); });
    poll(io);
    BOOST_TEST(shared.use_count() == 4);
  }
  BOOST_TEST(shared.use_count() == 1);
  tree.cancel();
}

BOOST_AUTO_TEST_CASE(may_be_cancelled_while_that_is_destroyed) {
  const auto tree = with_cancel(context::background());
  const auto shared = std::make_shared<int>();
  {
    asio::io_context io;
    sluice::go(tree.ctx, io, [shared]() -> task<> { co_await sluice::sleep_for(1h); });
    sluice::go(io, [&]() -> task<> {
      const struct canceller {
        ~canceller() { cancel(); }
        const sluice::cancel_function& cancel;
      } at_end{tree.cancel};
      co_await sluice::sleep_for(1h);
    });
    poll(io);
  }
  BOOST_TEST(tree.ctx.err() == aborted);
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
