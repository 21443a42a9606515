#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Rows of Go's context_test.go and x_test.go, and what went wrong with contexts elsewhere.

namespace {

using namespace sluice_test;

static_assert(std::is_copy_constructible_v<context> &&
              std::is_nothrow_move_constructible_v<context>);
static_assert(!std::is_copy_constructible_v<sluice::cancel_function>);
static_assert(std::is_nothrow_move_constructible_v<sluice::cancel_function> &&
              std::is_nothrow_move_assignable_v<sluice::cancel_function>);

const sluice::context_key<int> number;
const sluice::context_key<int> other_number;
const sluice::context_key<std::string> name;

bool done(const context& ctx) {
  return static_cast<bool>(ctx.err());
}

std::exception_ptr named_cause(const char* text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

/// The text of a cause: of a `runtime_error` of the test's, or the error that it stands for.
std::string text_of_cause(const context& ctx) {
  const auto cause = ctx.cause();
  if (!cause) return "none";
  try {
    std::rethrow_exception(cause);
  } catch (const sluice::system_error& e) {
    if (e.code() == aborted) return "cancelled";
    if (e.code() == deadline_exceeded) return "timed out";
    return e.code().message();
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(the_background)

// Source: Background, TODO
BOOST_AUTO_TEST_CASE(is_never_done_and_has_nothing) {
  for (const context& ctx : {context::background(), context()}) {
    BOOST_TEST(!ctx.err());
    BOOST_TEST(!ctx.cause());
    BOOST_TEST(!ctx.deadline());
    BOOST_TEST(!ctx.value(number));
    BOOST_TEST(ctx.child_count() == 0u);
    const auto [child, cancel] = with_cancel(ctx);
    BOOST_TEST(ctx.child_count() == 0u);
    cancel();
    BOOST_TEST(!done(ctx));
  }
}

// Source: golang/go context.go: a nil Done channel is never ready
BOOST_AUTO_TEST_CASE(is_a_case_that_never_happens) {
  run_task([]() -> task<> {
    const auto quick = sluice::make_channel<int>(1);
    quick.try_send(1);
    auto r = co_await sluice::select(context::background().done(), quick.receive());
    BOOST_TEST(r.index() == 1u);
    const auto i = co_await sluice::select(sluice::on(context::background().done(), [] {}),
                                           sluice::otherwise([] {}));
    BOOST_TEST(i == 1u);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelling)

// Source: TestWithCancel
BOOST_AUTO_TEST_CASE(makes_a_context_done_at_once_and_for_good) {
  auto [ctx, cancel] = with_cancel(context::background());
  BOOST_TEST(!ctx.err());
  BOOST_TEST(text_of_cause(ctx) == "none");
  cancel();
  for (int i = 0; i < 2; ++i) {
    BOOST_TEST(ctx.err() == aborted);
    BOOST_TEST(text_of_cause(ctx) == "cancelled");
    cancel(named_cause("too late"));
  }
}

BOOST_AUTO_TEST_CASE(is_what_a_forgotten_cancel_function_does) {
  context ctx;
  {
    const auto tree = with_cancel(context::background());
    ctx = tree.ctx;
    BOOST_TEST(!done(ctx));
  }
  BOOST_TEST(ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(can_be_handed_on) {
  auto first = with_cancel(context::background());
  auto second = with_cancel(context::background());
  std::optional<sluice::cancel_function> moved(std::move(first.cancel));
  first.cancel();
  BOOST_TEST(!done(first.ctx));
  *moved = std::move(second.cancel);
  BOOST_TEST(!done(second.ctx));
  second.cancel();
  BOOST_TEST(done(first.ctx), "it was given to the one moved from");
  moved.reset();
  BOOST_TEST(done(second.ctx));
}

BOOST_AUTO_TEST_CASE(a_context_that_is_moved_out_of_its_pair_outlives_it) {
  auto [parent, cancel_parent] = with_cancel(context::background());
  const auto child = with_cancel(parent).ctx;
  const auto grandchild = with_value(with_cancel(child).ctx, number, 1);
  context named;
  context cancelled;
  context copied;
  {
    auto a = with_cancel(parent);
    named = std::move(a.ctx);
    auto b = with_cancel(parent);
    cancelled = std::move(b.ctx);
    b.cancel();
    auto c = with_cancel(parent);
    copied = c.ctx;
  }
  BOOST_TEST(!done(child));
  BOOST_TEST(!done(grandchild));
  BOOST_TEST(!done(named));
  BOOST_TEST(done(cancelled));
  BOOST_TEST(done(copied), "a copy hands nothing on");
  cancel_parent();
  BOOST_TEST(done(child));
  BOOST_TEST(done(grandchild));
  BOOST_TEST(done(named));
}

BOOST_AUTO_TEST_CASE(assigning_over_a_pair_ends_its_context_unless_it_was_handed_on) {
  auto pair = with_cancel(context::background());
  const auto kept = pair.ctx;
  pair = with_cancel(context::background());
  BOOST_TEST(done(kept));
  BOOST_TEST(!done(pair.ctx));
  const auto handed_on = std::move(pair.ctx);
  pair = with_cancel(context::background());
  BOOST_TEST(!done(handed_on));
  auto& same = pair;
  pair = std::move(same);
  BOOST_TEST(!done(pair.ctx));
}

BOOST_AUTO_TEST_CASE(a_ctx_that_is_assigned_over_has_not_been_handed_on) {
  context background;
  context without;
  context moved_back;
  context swapped;
  {
    auto a = with_cancel(context::background());
    background = a.ctx;
    a.ctx = context::background();
    auto b = with_cancel(context::background());
    without = b.ctx;
    b.ctx = without_cancel(b.ctx);
    auto c = with_cancel(context::background());
    moved_back = c.ctx;
    context elsewhere = std::move(c.ctx);
    c.ctx = std::move(elsewhere);
    auto d = with_cancel(context::background());
    swapped = d.ctx;
    context other;
    std::swap(d.ctx, other);
  }
  BOOST_TEST(done(background));
  BOOST_TEST(done(without));
  BOOST_TEST(done(moved_back));
  BOOST_TEST(done(swapped));
  context kept;
  {
    auto handed_on = with_cancel(context::background());
    const context taken = std::move(handed_on.ctx);
    auto own = with_cancel(context::background());
    kept = own.ctx;
    own.ctx = std::move(handed_on.ctx);
  }
  BOOST_TEST(done(kept), "what was moved here was moved out before");
}

BOOST_AUTO_TEST_CASE(a_context_of_a_pair_without_a_name_ends_at_its_deadline) {
  asio::io_context io;
  error_code waited;
  const auto ctx = with_timeout(io, context::background(), 1ms).ctx;
  sluice::go(with_timeout(io, context::background(), 1ms).ctx, io,
             [&]() -> sluice::task<> { waited = co_await error_of(context::background().done()); });
  sluice::go(io, [&]() -> sluice::task<> { co_await ctx.done(); });
  run(io);
  BOOST_TEST(ctx.err() == error_code(sluice::error::deadline_exceeded));
  BOOST_TEST(waited == error_code(sluice::error::deadline_exceeded));
}

// Source: TestParentFinishesChild
BOOST_AUTO_TEST_CASE(reaches_every_descendant_before_it_returns) {
  asio::io_context io;
  const auto parent = with_cancel(context::background());
  const auto a = with_cancel(parent.ctx);
  const auto value = with_value(a.ctx, number, 1);
  const auto timed = with_timeout(io, value, 24h);
  const auto leaf = with_cancel(timed.ctx);
  const auto sibling = with_cancel(parent.ctx);
  const context all[] = {parent.ctx, a.ctx, value, timed.ctx, leaf.ctx, sibling.ctx};
  for (const auto& ctx : all) BOOST_TEST(!done(ctx));
  BOOST_TEST(parent.ctx.child_count() == 2u);
  parent.cancel();
  for (const auto& ctx : all) BOOST_TEST(ctx.err() == aborted);
  for (const auto& ctx : all) BOOST_TEST(ctx.child_count() == 0u);
  run(io);
}

// Source: TestChildFinishesFirst
BOOST_AUTO_TEST_CASE(does_not_touch_the_parent_or_siblings) {
  const auto parent = with_cancel(context::background());
  const auto child = with_cancel(parent.ctx);
  const auto sibling = with_cancel(parent.ctx);
  BOOST_TEST(parent.ctx.child_count() == 2u);
  child.cancel();
  BOOST_TEST(done(child.ctx));
  BOOST_TEST(!done(parent.ctx));
  BOOST_TEST(!done(sibling.ctx));
  BOOST_TEST(parent.ctx.child_count() == 1u);
}

// Source: golang/go#63615, gravitational/teleport#14660
BOOST_AUTO_TEST_CASE(a_parent_makes_later_children_born_cancelled) {
  asio::io_context io;
  const auto parent = with_cancel(context::background());
  parent.cancel(named_cause("before"));
  const auto child = with_cancel(parent.ctx);
  const auto timed = with_timeout(io, with_value(parent.ctx, number, 1), 24h);
  for (const auto* tree : {&child, &timed}) {
    BOOST_TEST(tree->ctx.err() == aborted);
    BOOST_TEST(text_of_cause(tree->ctx) == "before");
  }
  BOOST_TEST(parent.ctx.child_count() == 0u);
  run(io);
}

// Source: TestRemoveChildren (removal of children on cancel)
BOOST_AUTO_TEST_CASE(unlinks_children_and_so_does_dropping_them) {
  const auto parent = with_cancel(context::background());
  auto middle = std::make_optional(with_cancel(parent.ctx));
  {
    const auto a = with_cancel(parent.ctx);
    const auto b = with_cancel(middle->ctx);
    BOOST_TEST(parent.ctx.child_count() == 2u);
    BOOST_TEST(middle->ctx.child_count() == 1u);
  }
  BOOST_TEST(parent.ctx.child_count() == 1u);
  BOOST_TEST(middle->ctx.child_count() == 0u);
  middle.reset();
  BOOST_TEST(parent.ctx.child_count() == 0u);
}

// Source: golang/go#51075, #42143
BOOST_AUTO_TEST_CASE(shows_no_descendant_done_before_its_ancestors) {
  asio::io_context io;
  std::vector<sluice::cancellable_context> chain;
  for (int i = 0; i < 10; ++i)
    chain.push_back(with_cancel(chain.empty() ? context::background() : chain.back().ctx));
  std::size_t looked = 0, wrong = 0;
  for (std::size_t level = 0; level < chain.size(); ++level)
    sluice::after_func(io, chain[level].ctx, [&, level] {
      ++looked;
      for (std::size_t i = 0; i <= level; ++i)
        if (chain[i].ctx.err() != aborted || text_of_cause(chain[i].ctx) != "top") ++wrong;
    });
  for (std::size_t level = 0; level < chain.size(); ++level)
    sluice::go(io, [&, level]() -> task<> {
      co_await chain[level].ctx.done();
      ++looked;
      for (std::size_t i = 0; i <= level; ++i)
        if (text_of_cause(chain[i].ctx) != "top") ++wrong;
    });
  poll(io);
  chain.front().cancel(named_cause("top"));
  run(io);
  BOOST_TEST(looked == 20u);
  BOOST_TEST(wrong == 0u);
}

// Source: golang/go#51075: cancel inside a callback
BOOST_AUTO_TEST_CASE(may_be_done_again_by_what_it_starts) {
  asio::io_context io;
  const auto parent = with_cancel(context::background());
  const auto child = with_cancel(parent.ctx);
  int calls = 0;
  sluice::after_func(io, child.ctx, [&] {
    ++calls;
    child.cancel();
    parent.cancel(named_cause("again"));
  });
  parent.cancel(named_cause("first"));
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(text_of_cause(child.ctx) == "first");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(the_cause)

// Source: TestCause, its twelve cases; vlang/v#27110, golang/go#51365
BOOST_AUTO_TEST_CASE(is_the_first_in_every_order_of_parent_and_child) {
  struct expected {
    std::string parent, child;
  };
  const auto try_order = [](bool parent_first, std::exception_ptr of_parent,
                            std::exception_ptr of_child) -> expected {
    const auto parent = with_cancel(context::background());
    const auto child = with_cancel(parent.ctx);
    if (parent_first) parent.cancel(of_parent);
    child.cancel(of_child);
    if (!parent_first) parent.cancel(of_parent);
    BOOST_TEST(parent.ctx.err() == aborted);
    BOOST_TEST(child.ctx.err() == aborted);
    return {text_of_cause(parent.ctx), text_of_cause(child.ctx)};
  };
  const auto p = named_cause("parent"), c = named_cause("child");
  const struct {
    bool parent_first;
    std::exception_ptr parent, child;
    const char *expected_parent, *expected_child;
  } cases[] = {
      {true, p, c, "parent", "parent"},
      {false, p, c, "parent", "child"},
      {true, p, nullptr, "parent", "parent"},
      {false, p, nullptr, "parent", "cancelled"},
      {true, nullptr, c, "cancelled", "cancelled"},
      {false, nullptr, c, "cancelled", "child"},
      {true, nullptr, nullptr, "cancelled", "cancelled"},
      {false, nullptr, nullptr, "cancelled", "cancelled"},
  };
  for (const auto& one : cases) {
    const auto got = try_order(one.parent_first, one.parent, one.child);
    BOOST_TEST(got.parent == one.expected_parent);
    BOOST_TEST(got.child == one.expected_child);
  }
}

BOOST_AUTO_TEST_CASE(is_seen_through_values_and_not_through_without_cancel) {
  const auto tree = with_cancel(context::background());
  const auto inner = with_value(tree.ctx, number, 1);
  const auto cut_off = without_cancel(tree.ctx);
  tree.cancel(named_cause("a cause"));
  BOOST_TEST(text_of_cause(inner) == "a cause");
  BOOST_TEST(text_of_cause(cut_off) == "none");
  BOOST_TEST(!cut_off.err());
}

// Source: TestWithCancelCause, TestCause: "WithTimeout"
BOOST_AUTO_TEST_CASE(of_a_deadline_is_the_deadline_unless_something_came_before) {
  asio::io_context io;
  const auto passed = with_deadline(io, context::background(), clock::now() - 1s);
  BOOST_TEST(text_of_cause(passed.ctx) == "timed out");
  passed.cancel(named_cause("too late"));
  BOOST_TEST(text_of_cause(passed.ctx) == "timed out");

  const auto manual = with_timeout(io, context::background(), 24h);
  manual.cancel(named_cause("by hand"));
  BOOST_TEST(manual.ctx.err() == aborted);
  BOOST_TEST(text_of_cause(manual.ctx) == "by hand");
  run(io);
  BOOST_TEST(text_of_cause(manual.ctx) == "by hand");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_deadline)

// Source: TestDeadline, TestTimeout; net_test.go: DeadlineExceeded is a timeout
BOOST_AUTO_TEST_CASE(makes_a_context_done_with_deadline_exceeded_and_never_early) {
  asio::io_context io;
  const stopwatch watch;
  const auto tree = with_timeout(io, context::background(), 2ms);
  const auto child = with_cancel(with_value(tree.ctx, number, 1));
  BOOST_TEST(!done(tree.ctx));
  clock::duration took{};
  sluice::go(io, [&]() -> task<> {
    co_await child.ctx.done();
    took = watch.elapsed();
  });
  run(io);
  BOOST_TEST((took >= 2ms));
  BOOST_TEST(tree.ctx.err() == deadline_exceeded);
  BOOST_TEST(child.ctx.err() == deadline_exceeded);
  BOOST_TEST((tree.ctx.err() == boost::system::errc::timed_out));
  BOOST_TEST((tree.ctx.err() != boost::system::errc::operation_canceled));
}

// Source: TestDeadline: a deadline of now or before
BOOST_AUTO_TEST_CASE(that_has_passed_needs_no_timer) {
  asio::io_context io;
  for (const auto t : {clock::now(), clock::now() - 24h, clock::time_point::min()}) {
    const auto tree = with_deadline(io, context::background(), t);
    BOOST_TEST(tree.ctx.err() == deadline_exceeded);
    BOOST_TEST((tree.ctx.deadline() == t));
  }
  for (const auto d : {0ns, -1ns, std::chrono::nanoseconds::min()})
    BOOST_TEST(with_timeout(io, context::background(), d).ctx.err() == deadline_exceeded);
  BOOST_TEST(io.poll() == 0u);
}

BOOST_AUTO_TEST_CASE(may_be_never) {
  asio::io_context io;
  const auto tree = with_timeout(io, context::background(), clock::duration::max());
  const auto hours = with_timeout(io, context::background(), std::chrono::hours::max());
  const auto last = with_deadline(io, context::background(), clock::time_point::max());
  poll(io);
  for (const auto* t : {&tree, &hours, &last}) BOOST_TEST(!done(t->ctx));
}

// Source: TestDeadline: the earlier of parent and child
BOOST_AUTO_TEST_CASE(of_the_parent_or_the_child_counts_whichever_is_earlier) {
  asio::io_context io;
  const auto now = clock::now();
  const auto parent = with_deadline(io, context::background(), now + 24h);
  const auto later = with_deadline(io, parent.ctx, now + 48h);
  const auto earlier = with_deadline(io, parent.ctx, now + 12h);
  const auto plain = with_cancel(with_value(earlier.ctx, number, 1));
  BOOST_TEST((parent.ctx.deadline() == now + 24h));
  BOOST_TEST((later.ctx.deadline() == now + 24h));
  BOOST_TEST((earlier.ctx.deadline() == now + 12h));
  BOOST_TEST((plain.ctx.deadline() == now + 12h));
  BOOST_TEST(!without_cancel(plain.ctx).deadline());

  const auto soon = with_timeout(io, parent.ctx, 1ms);
  const auto much_later = with_timeout(io, soon.ctx, 24h);
  sluice::go(io, [&]() -> task<> {
    co_await much_later.ctx.done();
    parent.cancel();
  });
  run(io);
  BOOST_TEST(much_later.ctx.err() == deadline_exceeded);
  BOOST_TEST(later.ctx.err() == aborted);
}

// Source: TestTimeout: cancelling stops the timer
BOOST_AUTO_TEST_CASE(keeps_the_event_loop_running_only_while_it_may_come) {
  asio::io_context io;
  const auto tree = with_timeout(io, context::background(), 24h);
  const auto child = with_timeout(io, with_value(tree.ctx, number, 1), 24h);
  {
    const auto dropped = with_timeout(io, context::background(), 24h);
  }
  io.poll();
  BOOST_TEST(!io.stopped());
  tree.cancel();
  run(io);
  BOOST_TEST(child.ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(needs_a_goroutine_or_a_place) {
  const auto not_in_goroutine = sluice::make_error_code(sluice::error::not_in_goroutine);
  BOOST_CHECK_EXCEPTION(static_cast<void>(with_timeout(context::background(), 1s)),
                        sluice::system_error, has_code(not_in_goroutine));
  BOOST_CHECK_EXCEPTION(static_cast<void>(with_deadline(context::background(), sluice::now())),
                        sluice::system_error, has_code(not_in_goroutine));
  error_code in_goroutine;
  run_in_virtual_time([&]() -> task<> {
    const auto tree = with_timeout(context::background(), 1ms);
    co_await tree.ctx.done();
    in_goroutine = tree.ctx.err();
  });
  BOOST_TEST(in_goroutine == deadline_exceeded);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_value)

// Source: TestValues
BOOST_AUTO_TEST_CASE(is_found_by_its_key_and_the_nearest_hides_the_others) {
  const auto a = with_value(context::background(), number, 1);
  const auto b = with_value(a, name, "b");
  const auto c = with_value(with_cancel(b).ctx, number, 3);
  const auto d = with_value(c, other_number, 4);
  BOOST_TEST(*a.value(number) == 1);
  BOOST_TEST(!a.value(name));
  BOOST_TEST(*b.value(number) == 1);
  BOOST_TEST(*b.value(name) == "b");
  BOOST_TEST(*c.value(number) == 3);
  BOOST_TEST(*c.value(name) == "b");
  BOOST_TEST(!c.value(other_number));
  BOOST_TEST(*d.value(other_number) == 4);
  BOOST_TEST(*d.value(number) == 3);
  BOOST_TEST(*b.value(number) == 1);
}

BOOST_AUTO_TEST_CASE(may_be_of_any_type_and_lives_as_long_as_the_context) {
  const sluice::context_key<std::unique_ptr<int>> pointer;
  const sluice::context_key<std::shared_ptr<int>> shared;
  const auto kept = std::make_shared<int>(5);
  auto ctx = with_value(context::background(), pointer, std::make_unique<int>(7));
  ctx = with_value(ctx, shared, kept);
  BOOST_TEST(**ctx.value(pointer) == 7);
  BOOST_TEST(kept.use_count() == 2);
  const auto inner = without_cancel(with_cancel(ctx).ctx);
  ctx = context();
  BOOST_TEST(kept.use_count() == 2);
  BOOST_TEST(inner.value(shared)->get() == kept.get());
}

// Source: TestLayersCancel, TestLayersTimeout: at least thirty layers of each kind, at random
BOOST_AUTO_TEST_CASE(is_found_through_any_number_of_layers_before_and_after_they_are_done) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    asio::io_context io;
    random_numbers random(seed);
    std::vector<std::unique_ptr<const sluice::context_key<std::size_t>>> keys;
    std::vector<sluice::cancel_function> cancels;
    auto ctx = context::background();
    for (int i = 0; i < 60; ++i) {
      switch (random.below(3)) {
        case 0:
          keys.push_back(std::make_unique<const sluice::context_key<std::size_t>>());
          ctx = with_value(ctx, *keys.back(), keys.size());
          break;
        case 1: {
          auto tree = with_cancel(ctx);
          ctx = tree.ctx;
          cancels.push_back(std::move(tree.cancel));
          break;
        }
        default: {
          auto tree = with_timeout(io, ctx, 24h);
          ctx = tree.ctx;
          cancels.push_back(std::move(tree.cancel));
        }
      }
    }
    const auto values_are_there = [&] {
      for (std::size_t i = 0; i < keys.size(); ++i)
        if (!ctx.value(*keys[i]) || *ctx.value(*keys[i]) != i + 1) return false;
      return true;
    };
    BOOST_TEST(values_are_there());
    BOOST_TEST(!done(ctx));
    const bool by_timeout = seed % 2 == 0;
    if (by_timeout) {
      const auto tree = with_deadline(io, ctx, clock::now());
      BOOST_TEST(tree.ctx.err() == deadline_exceeded);
      BOOST_TEST(!done(ctx));
    }
    cancels[random.below(cancels.size())]();
    BOOST_TEST(ctx.err() == aborted);
    BOOST_TEST(values_are_there());
    cancels.clear();
    run(io);
  }
}

// Source: TestWithoutCancel
BOOST_AUTO_TEST_CASE(stays_when_cancellation_is_cut_off) {
  asio::io_context io;
  const auto tree = with_timeout(io, with_value(context::background(), number, 1), 24h);
  const auto cut_off = without_cancel(tree.ctx);
  const auto below = with_cancel(cut_off);
  tree.cancel();
  BOOST_TEST(!done(cut_off));
  BOOST_TEST(!done(below.ctx));
  BOOST_TEST(!cut_off.deadline());
  BOOST_TEST(*below.ctx.value(number) == 1);
  BOOST_TEST(tree.ctx.child_count() == 0u);
  run(io);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(waiting_until_it_is_done)

BOOST_AUTO_TEST_CASE(works_in_goroutines_with_tokens_and_in_selects) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const context child = with_value(tree.ctx, number, 1);
  int ended = 0;
  std::optional<std::size_t> chosen;
  std::optional<error_code> callback;
  for (int i = 0; i < 3; ++i)
    sluice::go(io, [&]() -> task<> {
      co_await child.done();
      ++ended;
    });
  sluice::go(io, [&]() -> task<> {
    auto r = co_await sluice::select(sluice::make_channel<int>().receive(), tree.ctx.done());
    chosen = r.index();
  });
  std::future<void> future = tree.ctx.done()(asio::use_future);
  tree.ctx.done()(asio::bind_executor(io, [&](error_code e) { callback = e; }));
  poll(io);
  BOOST_TEST(ended == 0);
  BOOST_TEST((future.wait_for(0s) == std::future_status::timeout));
  tree.cancel();
  BOOST_TEST(ended == 0);
  run(io);
  BOOST_TEST(ended == 3);
  BOOST_TEST(chosen.value() == 1u);
  BOOST_TEST(callback.value() == no_error);
  future.get();

  bool at_once = false;
  sluice::go(io, [&]() -> task<> {
    co_await tree.ctx.done();
    at_once = true;
  });
  poll(io);
  BOOST_TEST(at_once);
}

BOOST_AUTO_TEST_CASE(can_be_cancelled_and_leaves_nothing_behind) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const auto waiting = with_cancel(context::background());
  error_code e;
  sluice::go(waiting.ctx, io, [&]() -> task<> { e = co_await error_of(tree.ctx.done()); });
  std::size_t index = 0;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      auto r = co_await sluice::select(tree.ctx.done(), sluice::sleep_for(1us));
      index += r.index();
    }
  });
  poll(io);
  waiting.cancel();
  run(io);
  BOOST_TEST(e == aborted);
  BOOST_TEST(index == 100u);
  tree.cancel();
}

BOOST_AUTO_TEST_SUITE_END()
