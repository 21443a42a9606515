#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

// A context is a state: done is done, whoever looks and whenever; and what its deadline says is not
// what another limit says.

namespace {

using namespace sluice_test;

constexpr auto a_day = clock::duration(24h);

}  // namespace

BOOST_AUTO_TEST_SUITE(a_bound_context_that_is_done)

BOOST_AUTO_TEST_CASE(while_cancellation_is_masked_ends_no_wait_before_that_is_unmasked) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  error_code masked = aborted, unmasked;
  asio::cancellation_type seen{};
  sluice::go(tree.ctx, io, [&]() -> task<> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    masked = co_await error_of(sluice::sleep_for(1ms));
    masked = co_await error_of(sluice::sleep_for(1ms));
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    seen = (co_await asio::this_coro::cancellation_state).cancelled();
    unmasked = co_await error_of(sluice::sleep_for(a_day));
  });
  poll(io);
  tree.cancel();
  run(io);
  BOOST_TEST(masked == no_error);
  BOOST_TEST(unmasked == aborted);
  BOOST_TEST((seen == asio::cancellation_type::terminal));
}

BOOST_AUTO_TEST_CASE(before_the_goroutine_began_is_not_forgotten_by_a_reset) {
  for (const bool by_deadline : {false, true}) {
    asio::io_context io;
    const auto tree =
        with_timeout(io, context::background(), by_deadline ? clock::duration(0) : a_day);
    if (!by_deadline) tree.cancel();
    error_code plain, of_asio;
    sluice::go(tree.ctx, io, [&]() -> task<> {
      co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
      plain = co_await error_of(sluice::sleep_for(a_day));
      co_await asio::this_coro::reset_cancellation_state();
      asio::steady_timer t(io, a_day);
      of_asio = co_await error_of(t.async_wait(sluice::use_task));
    });
    run(io);
    BOOST_TEST(plain == (by_deadline ? deadline_exceeded : aborted));
    BOOST_TEST(of_asio == (by_deadline ? deadline_exceeded : aborted));
  }
}

// A slot's request is an event, as in Asio.
BOOST_AUTO_TEST_CASE(is_unlike_a_request_of_a_slot_which_a_reset_forgets) {
  asio::io_context io;
  error_code after;
  const auto asked = sluice::make_channel<void>();
  cancellable_goroutine g(io, [&]() -> task<> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await asked.receive();
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    after = co_await error_of(sluice::sleep_for(1ms));
  });
  poll(io);
  g.cancel();
  asked.close();
  run(io);
  BOOST_TEST(after == no_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(the_deadline_of_a_context)

BOOST_AUTO_TEST_CASE(says_what_equals_the_standards_timed_out_but_not_a_timeouts_own_limit) {
  BOOST_TEST((deadline_exceeded == std::errc::timed_out));
  BOOST_TEST((deadline_exceeded == boost::system::errc::timed_out));
  BOOST_TEST(deadline_exceeded != timed_out);
  BOOST_TEST((closed != boost::system::errc::timed_out));
  BOOST_TEST(deadline_exceeded.message() == "context deadline exceeded");
}

// On a busy machine the first turn may take as long as the deadline is away: then with more time.
BOOST_AUTO_TEST_CASE(ends_a_loop_that_tries_again_on_its_own_limit) {
  int turns = 0;
  for (auto limit = 20ms; turns <= 1; limit *= 2) {
    asio::io_context io;
    const auto tree = with_timeout(io, context::background(), limit);
    const auto quiet = sluice::make_channel<int>();
    asio::steady_timer never(io, a_day);
    error_code ours, of_asio;
    turns = 0;
    sluice::go(tree.ctx, io, [&]() -> task<> {
      do {
        ++turns;
        ours = co_await error_of(sluice::timeout(quiet.receive(), 3ms));
      } while (ours == timed_out);
    });
    sluice::go(tree.ctx, io, [&]() -> task<> {
      do {
        of_asio = co_await error_of(sluice::timeout(never.async_wait(asio::deferred), 3ms));
      } while (of_asio == timed_out);
    });
    run(io);
    BOOST_REQUIRE(ours == deadline_exceeded);
    BOOST_REQUIRE(of_asio == deadline_exceeded);
  }
}

BOOST_AUTO_TEST_CASE(is_seen_by_err_although_no_thread_runs_its_timer) {
  asio::io_context io;
  const auto why = std::make_exception_ptr(std::runtime_error("too slow"));
  const auto tree = with_timeout(io, context::background(), 1ms, why);
  const auto other = with_cancel(context::background());
  const auto merged = sluice::merge_contexts({other.ctx, tree.ctx});
  const auto child = with_timeout(io, merged.ctx, a_day);
  const watchdog dog;
  while (!child.ctx.err()) continue;
  BOOST_TEST((clock::now() >= tree.ctx.deadline().value()));
  BOOST_TEST(child.ctx.err() == deadline_exceeded);
  BOOST_TEST(tree.ctx.err() == deadline_exceeded);
  BOOST_TEST(text_of(child.ctx.cause()) == "too slow");
  BOOST_TEST(text_of(tree.ctx.cause()) == "too slow");
  BOOST_TEST(!other.ctx.err());
  run(io);
}

BOOST_AUTO_TEST_CASE(may_have_a_cause) {
  asio::io_context io;
  const auto why = std::make_exception_ptr(std::runtime_error("too slow"));
  const auto by_timer = with_timeout(io, context::background(), 1ms, why);
  const auto passed = sluice::with_deadline(io, context::background(), clock::now(), why);
  const auto without = with_timeout(io, context::background(), 1ms);
  const auto cancelled = with_timeout(io, context::background(), a_day, why);
  cancelled.cancel();
  run(io);
  BOOST_TEST(text_of(by_timer.ctx.cause()) == "too slow");
  BOOST_TEST(text_of(passed.ctx.cause()) == "too slow");
  BOOST_TEST(without.ctx.err() == deadline_exceeded);
  BOOST_TEST(text_of(without.ctx.cause()).find("deadline exceeded") != std::string::npos);
  BOOST_TEST(cancelled.ctx.err() == aborted);
  BOOST_TEST(text_of(cancelled.ctx.cause()) != "too slow");
  std::string in_goroutine;
  run_task([&]() -> task<> {
    const auto tree = with_timeout(context::background(), 1ms, why);
    co_await tree.ctx.done();
    in_goroutine = text_of(tree.ctx.cause());
  });
  BOOST_TEST(in_goroutine == "too slow");
}

BOOST_AUTO_TEST_CASE(of_a_merged_context_is_the_earliest_of_its_parents) {
  asio::io_context io;
  const auto late = with_timeout(io, context::background(), 2 * a_day);
  const auto early = with_timeout(io, context::background(), a_day);
  const auto expected = early.ctx.deadline().value();
  BOOST_TEST((sluice::merge_contexts({late.ctx, early.ctx}).ctx.deadline().value() == expected));
  BOOST_TEST((sluice::merge_contexts({early.ctx, late.ctx}).ctx.deadline().value() == expected));
  BOOST_TEST((sluice::merge_contexts({context::background(), early.ctx}).ctx.deadline().value() ==
              expected));
  const auto none = with_cancel(context::background());
  BOOST_TEST(
      (sluice::merge_contexts({none.ctx, late.ctx, early.ctx}).ctx.deadline().value() == expected));
  BOOST_TEST(!sluice::merge_contexts({none.ctx, context::background()}).ctx.deadline().has_value());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelling)

BOOST_AUTO_TEST_CASE(a_long_chain_of_merged_contexts_takes_constant_stack) {
  const auto other = with_cancel(context::background());
  const auto root = with_cancel(context::background());
  std::vector<sluice::cancellable_context> chain;
  chain.push_back(sluice::merge_contexts({other.ctx, root.ctx}));
  for (std::size_t i = 1; i < rounds(200'000); ++i)
    chain.push_back(sluice::merge_contexts({other.ctx, chain.back().ctx}));
  root.cancel(std::make_exception_ptr(std::runtime_error("why")));
  BOOST_TEST(chain.back().ctx.err() == aborted);
  BOOST_TEST(text_of(chain.back().ctx.cause()) == "why");
  BOOST_TEST(!other.ctx.err());
}

// A diamond: what is reached in two ways is told once, with one cause.
BOOST_AUTO_TEST_CASE(from_two_threads_makes_merged_contexts_done_once) {
  for (std::size_t i = 0; i < rounds(500); ++i) {
    const auto a = with_cancel(context::background());
    const auto b = with_cancel(context::background());
    std::vector<sluice::cancellable_context> merged;
    for (int k = 0; k < 4; ++k) merged.push_back(sluice::merge_contexts({a.ctx, b.ctx}));
    const auto bottom =
        sluice::merge_contexts({merged[0].ctx, merged[1].ctx, merged[2].ctx, merged[3].ctx});
    std::atomic<int> calls{0};
    const auto token = sluice::stop_token_of(bottom.ctx);
    const std::stop_callback told(token, [&] { ++calls; });
    on_threads(2, [&](int k) { (k ? a : b).cancel(); });
    BOOST_REQUIRE(bottom.ctx.err() == aborted);
    BOOST_REQUIRE(calls == 1);
  }
}

// What a function sees of the contexts that follow from its own, it sees done.
BOOST_AUTO_TEST_CASE(from_a_callback_works) {
  const auto first = with_cancel(context::background());
  const auto second = with_cancel(context::background());
  const auto below = with_cancel(second.ctx);
  bool seen = false;
  const std::stop_callback f(sluice::stop_token_of(first.ctx), [&] {
    second.cancel();
    seen = static_cast<bool>(below.ctx.err());
  });
  first.cancel();
  BOOST_TEST(seen);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(assigning_over)

BOOST_AUTO_TEST_CASE(a_cancel_function_cancels_first) {
  auto a = with_cancel(context::background());
  auto b = with_cancel(context::background());
  a.cancel = std::move(b.cancel);
  BOOST_TEST(a.ctx.err() == aborted);
  BOOST_TEST(!b.ctx.err());
  auto& self = a.cancel;
  a.cancel = std::move(self);
  BOOST_TEST(!b.ctx.err());
  a.cancel();
  BOOST_TEST(b.ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(a_timer_or_a_ticker_stops_it_first) {
  asio::io_context io;
  sluice::timer old_timer(io, 1ms);
  sluice::ticker old_ticker(io, 1ms);
  const auto of_timer = old_timer.channel();
  const auto of_ticker = old_ticker.channel();
  sluice::timer new_timer(io, 2ms);
  old_timer = std::move(new_timer);
  old_ticker = sluice::ticker(io, 2ms);
  bool went_off = false, ticked = false;
  sluice::go(io, [&]() -> task<> {
    co_await old_timer.receive();
    went_off = true;
    co_await old_ticker.receive();
    ticked = true;
    old_ticker.stop();
  });
  run(io);
  BOOST_TEST(went_off);
  BOOST_TEST(ticked);
  error_code e;
  BOOST_TEST(!of_timer.try_receive(e));
  BOOST_TEST(e == would_block);
  BOOST_TEST(!of_ticker.try_receive(e));
  BOOST_TEST(e == would_block);
}

BOOST_AUTO_TEST_CASE(a_work_guard_gives_its_work_up_first) {
  asio::io_context a, b;
  sluice::work_guard guard(a), other(b);
  a.poll();
  BOOST_TEST(!a.stopped());
  guard = std::move(other);
  a.poll();
  BOOST_TEST(a.stopped());
  b.poll();
  BOOST_TEST(!b.stopped());
  guard.reset();
  b.poll();
  BOOST_TEST(b.stopped());
}

BOOST_AUTO_TEST_SUITE_END()
