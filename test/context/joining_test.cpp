#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

// Contexts with several parents, and those driven by, or driving, a slot or a stop token.

namespace {

using namespace sluice_test;

const sluice::context_key<int> number;

}  // namespace

BOOST_AUTO_TEST_SUITE(merged)

// Source: merge is what TestAfterFunc's users build (golang/go#57928, example_test.go)
BOOST_AUTO_TEST_CASE(is_done_when_any_parent_is_with_its_error_and_cause) {
  for (std::size_t which = 0; which < 3; ++which) {
    const auto a = with_cancel(with_value(context::background(), number, 1));
    const auto b = with_cancel(with_value(context::background(), number, 2));
    const auto c = with_cancel(context::background());
    const sluice::cancellable_context* const parents[] = {&a, &b, &c};
    const auto m = merge_contexts({a.ctx, context::background(), b.ctx, c.ctx});
    const auto below = with_cancel(m.ctx);
    BOOST_TEST(!m.ctx.err());
    BOOST_TEST(*m.ctx.value(number) == 1);
    parents[which]->cancel(std::make_exception_ptr(std::runtime_error("its cause")));
    BOOST_TEST(m.ctx.err() == aborted);
    BOOST_TEST(below.ctx.err() == aborted);
    BOOST_TEST(text_of(m.ctx.cause()) == "its cause");
    for (std::size_t i = 0; i < 3; ++i)
      BOOST_TEST(static_cast<bool>(parents[i]->ctx.err()) == (i == which));
  }
}

BOOST_AUTO_TEST_CASE(with_one_that_is_done_is_born_done) {
  asio::io_context io;
  const auto a = with_cancel(context::background());
  const auto b = with_timeout(io, context::background(), 0s);
  const auto m = merge_contexts({a.ctx, b.ctx});
  BOOST_TEST(m.ctx.err() == deadline_exceeded);
  BOOST_TEST(!a.ctx.err());
  BOOST_TEST(a.ctx.child_count() == 0u);
}

BOOST_AUTO_TEST_CASE(of_one_parent_or_none_is_a_plain_context) {
  const auto a = with_cancel(context::background());
  const auto one = merge_contexts({a.ctx});
  const auto none = merge_contexts({});
  const auto nothing = merge_contexts({context::background(), context()});
  a.cancel();
  BOOST_TEST(one.ctx.err() == aborted);
  BOOST_TEST(!none.ctx.err());
  BOOST_TEST(!nothing.ctx.err());
  none.cancel();
  BOOST_TEST(none.ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(ends_at_the_deadline_of_any_parent) {
  asio::io_context io;
  const auto a = with_timeout(io, context::background(), 24h);
  const auto b = with_timeout(io, context::background(), 1ms);
  const auto m = merge_contexts({a.ctx, b.ctx});
  sluice::go(io, [&]() -> task<> {
    co_await m.ctx.done();
    a.cancel();
  });
  run(io);
  BOOST_TEST(m.ctx.err() == deadline_exceeded);
}

// Source: cockroachdb/cockroach#149658
BOOST_AUTO_TEST_CASE(leaves_nothing_with_its_parents_once_it_is_cancelled_or_dropped) {
  const auto kept = std::make_shared<int>();
  const sluice::context_key<std::shared_ptr<int>> key;
  const auto a = with_cancel(context::background());
  const auto b = with_cancel(context::background());
  for (int i = 0; i < 3; ++i) {
    auto m = merge_contexts({with_value(a.ctx, key, kept), b.ctx});
    BOOST_TEST(a.ctx.child_count() == 1u);
    BOOST_TEST(kept.use_count() == 2);
    if (i == 0) m.cancel();
    BOOST_TEST(!a.ctx.err());
    BOOST_TEST(!b.ctx.err());
  }
  BOOST_TEST(a.ctx.child_count() == 0u);
  BOOST_TEST(kept.use_count() == 1);
  a.cancel();
  b.cancel();
}

BOOST_AUTO_TEST_CASE(may_have_the_same_parent_twice_and_parents_of_one_family) {
  const auto root = with_cancel(context::background());
  const auto child = with_cancel(root.ctx);
  const auto m = merge_contexts({child.ctx, root.ctx, child.ctx});
  root.cancel(std::make_exception_ptr(std::runtime_error("of the root")));
  BOOST_TEST(m.ctx.err() == aborted);
  BOOST_TEST(text_of(m.ctx.cause()) == "of the root");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(driven_by_a_slot)

BOOST_AUTO_TEST_CASE(is_cancelled_by_every_type_but_none) {
  for (const types type : {types::terminal, types::partial, types::total, types::all}) {
    asio::cancellation_signal signal;
    const auto parent = with_cancel(context::background());
    const auto tree = with_slot(parent.ctx, signal.slot());
    const auto child = with_cancel(tree.ctx);
    signal.emit(types::none);
    BOOST_TEST(!tree.ctx.err());
    signal.emit(type);
    BOOST_TEST(tree.ctx.err() == aborted);
    BOOST_TEST(child.ctx.err() == aborted);
    BOOST_TEST(!parent.ctx.err());
    signal.emit(type);
  }
}

BOOST_AUTO_TEST_CASE(may_end_before_or_after_the_signal) {
  asio::cancellation_signal signal;
  const auto parent = with_cancel(context::background());
  for (int i = 0; i < 3; ++i) {
    const auto tree = with_slot(parent.ctx, signal.slot());
    if (i == 1) tree.cancel();
  }
  signal.emit(types::terminal);
  BOOST_TEST(parent.ctx.child_count() == 0u);
  BOOST_TEST(!parent.ctx.err());

  std::optional<asio::cancellation_signal> short_lived(std::in_place);
  const auto tree = with_slot(parent.ctx, short_lived->slot());
  short_lived.reset();
  BOOST_TEST(!tree.ctx.err());
  parent.cancel();
  BOOST_TEST(tree.ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(needs_no_signal_behind_the_slot) {
  const auto tree = with_slot(context::background(), asio::cancellation_slot());
  BOOST_TEST(!tree.ctx.err());
  tree.cancel();
  BOOST_TEST(tree.ctx.err() == aborted);
}

// An operation's own slot drives a context, whose goroutine ends with it.
BOOST_AUTO_TEST_CASE(ends_the_goroutines_bound_to_it) {
  asio::io_context io;
  asio::cancellation_signal signal;
  const auto tree = with_slot(context::background(), signal.slot());
  error_code e;
  sluice::go(tree.ctx, io, [&]() -> task<> { e = co_await error_of(sluice::sleep_for(24h)); });
  poll(io);
  signal.emit(types::partial);
  run(io);
  BOOST_TEST(e == aborted);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(driven_by_a_stop_token)

BOOST_AUTO_TEST_CASE(is_cancelled_when_a_stop_is_requested) {
  std::stop_source source;
  const auto tree = with_stop_token(context::background(), source.get_token());
  const auto child = with_cancel(tree.ctx);
  BOOST_TEST(!tree.ctx.err());
  source.request_stop();
  BOOST_TEST(tree.ctx.err() == aborted);
  BOOST_TEST(child.ctx.err() == aborted);

  const auto late = with_stop_token(context::background(), source.get_token());
  BOOST_TEST(late.ctx.err() == aborted);
  const auto never = with_stop_token(context::background(), std::stop_token());
  BOOST_TEST(!never.ctx.err());
}

BOOST_AUTO_TEST_CASE(may_end_before_the_stop_is_requested) {
  std::stop_source source;
  const auto parent = with_cancel(context::background());
  {
    const auto dropped = with_stop_token(parent.ctx, source.get_token());
    const auto cancelled = with_stop_token(parent.ctx, source.get_token());
    cancelled.cancel();
    BOOST_TEST(parent.ctx.child_count() == 1u);
  }
  BOOST_TEST(parent.ctx.child_count() == 0u);
  source.request_stop();
  BOOST_TEST(!parent.ctx.err());
}

// Whoever cancels the first tells them all, one after the other.
BOOST_AUTO_TEST_CASE(may_be_the_next_of_a_long_chain) {
  on_stack_of(small_stack, [] {
    const int n = sanitized ? 10'000 : 100'000;
    std::vector<sluice::cancellable_context> all;
    all.push_back(with_cancel(context::background()));
    for (int i = 0; i < n; ++i)
      all.push_back(
          sluice::with_stop_token(context::background(), sluice::stop_token_of(all.back().ctx)));
    all.front().cancel();
    BOOST_TEST((all.back().ctx.err() == asio::error::operation_aborted));
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_stop_token)

BOOST_AUTO_TEST_CASE(of_a_context_is_requested_when_that_is_done) {
  asio::io_context io;
  const auto parent = with_cancel(context::background());
  const auto tree = with_cancel(parent.ctx);
  const std::stop_token token = stop_token_of(tree.ctx);
  int calls = 0;
  const std::stop_callback callback(token, [&] { ++calls; });
  BOOST_TEST(token.stop_possible());
  BOOST_TEST(!token.stop_requested());
  parent.cancel();
  BOOST_TEST(token.stop_requested());
  BOOST_TEST(calls == 1);
  BOOST_TEST(stop_token_of(tree.ctx).stop_requested());

  const auto timed = with_timeout(io, context::background(), 1ms);
  const std::stop_token of_deadline = stop_token_of(timed.ctx);
  run(io);
  BOOST_TEST(of_deadline.stop_requested());
  BOOST_TEST(!stop_token_of(context::background()).stop_requested());
}

BOOST_AUTO_TEST_CASE(and_a_context_may_drive_each_other_round_and_round) {
  std::stop_source source;
  const auto first = with_stop_token(context::background(), source.get_token());
  const auto second = with_stop_token(context::background(), stop_token_of(first.ctx));
  const std::stop_token last = stop_token_of(second.ctx);
  source.request_stop();
  BOOST_TEST(last.stop_requested());
}

BOOST_AUTO_TEST_CASE(does_not_keep_its_context) {
  const auto kept = std::make_shared<int>();
  const sluice::context_key<std::shared_ptr<int>> key;
  std::stop_token token;
  {
    const auto tree = with_cancel(with_value(context::background(), key, kept));
    token = stop_token_of(tree.ctx);
    BOOST_TEST(!token.stop_requested());
  }
  BOOST_TEST(kept.use_count() == 1);
  BOOST_TEST(token.stop_requested());
}

BOOST_AUTO_TEST_SUITE_END()
