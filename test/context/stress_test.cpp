#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "sync_helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Contexts that several threads use and end at the same time.

namespace {

using namespace sluice_test;

const sluice::context_key<int> number;

}  // namespace

BOOST_AUTO_TEST_SUITE(cancelled_by_many_threads)

// Source: TestSimultaneousCancels
BOOST_AUTO_TEST_CASE(a_tree_is_done_everywhere) {
  const watchdog dog;
  for (std::size_t round = 0; round < rounds(50, 40); ++round) {
    running_context where(1);
    random_numbers random(round);
    const auto root = with_cancel(context::background());
    std::vector<std::unique_ptr<sluice::cancellable_context>> tree;
    for (int i = 0; i < 100; ++i) {
      const context parent = tree.empty() ? root.ctx : tree[random.below(tree.size())]->ctx;
      switch (random.below(3)) {
        case 0:
          tree.push_back(std::make_unique<sluice::cancellable_context>(with_cancel(parent)));
          break;
        case 1:
          tree.push_back(std::make_unique<sluice::cancellable_context>(
              with_timeout(where.io, parent, std::chrono::microseconds(random.below(500)))));
          break;
        default:
          tree.push_back(std::make_unique<sluice::cancellable_context>(
              with_cancel(with_value(parent, number, i))));
      }
    }
    on_threads(4, [&](int t) {
      random_numbers order(round * 4 + static_cast<std::size_t>(t));
      for (int i = 0; i < 200; ++i) tree[order.below(tree.size())]->cancel();
      if (t == 0) root.cancel();
    });
    BOOST_TEST(std::all_of(tree.begin(), tree.end(),
                           [](const auto& one) { return static_cast<bool>(one->ctx.err()); }));
    BOOST_TEST(root.ctx.child_count() == 0u);
  }
}

// Source: TestInterlockedCancels
BOOST_AUTO_TEST_CASE(children_may_be_cancelled_by_what_their_parent_has_woken) {
  const watchdog dog;
  running_context where(2);
  std::atomic<std::size_t> ended{0};
  const std::size_t n = rounds(2000, 500);
  for (std::size_t i = 0; i < n; ++i) {
    const auto parent = with_cancel(context::background());
    auto child = std::make_shared<sluice::cancellable_context>(with_cancel(parent.ctx));
    sluice::go(where.io, [&ended, child, ctx = parent.ctx]() -> task<> {
      co_await ctx.done();
      child->cancel();
      co_await child->ctx.done();
      ++ended;
    });
    if (i % 2 == 0) child.reset();
  }
  where.join();
  BOOST_TEST(ended == n);
}

// Source: TestCauseRace
BOOST_AUTO_TEST_CASE(a_context_has_one_cause_for_everybody) {
  const watchdog dog;
  std::optional<sluice::cancellable_context> parent, child;
  std::string seen;
  std::size_t wrong = 0;
  const auto a = std::make_exception_ptr(std::runtime_error("a"));
  const auto b = std::make_exception_ptr(std::runtime_error("b"));
  duel::fight(
      rounds(5000, 1000),
      [&] {
        child.reset();
        parent.emplace(with_cancel(context::background()));
        child.emplace(with_cancel(parent->ctx));
      },
      [&] {
        parent->cancel(a);
        seen = text_of(child->ctx.cause());
      },
      [&] { child->cancel(b); },
      [&] {
        if (parent->ctx.err() != aborted || text_of(parent->ctx.cause()) != "a") ++wrong;
        if (text_of(child->ctx.cause()) != seen || (seen != "a" && seen != "b")) ++wrong;
      });
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(and_children_are_made_at_the_same_time_none_is_left_out) {
  const watchdog dog;
  std::optional<sluice::cancellable_context> parent;
  std::vector<std::unique_ptr<sluice::cancellable_context>> children;
  std::size_t wrong = 0;
  duel::fight(
      rounds(3000, 800),
      [&] {
        children.clear();
        parent.emplace(with_cancel(context::background()));
      },
      [&] { parent->cancel(); },
      [&] {
        context last = parent->ctx;
        for (int i = 0; i < 8; ++i) {
          children.push_back(std::make_unique<sluice::cancellable_context>(with_cancel(last)));
          if (i % 2 == 0) last = children.back()->ctx;
        }
      },
      [&] {
        for (const auto& c : children)
          if (c->ctx.err() != aborted) ++wrong;
        if (parent->ctx.child_count() != 0) ++wrong;
      });
  BOOST_TEST(wrong == 0u);
}

// The deadline comes, somebody cancels, and the context is dropped, at the same time.
BOOST_AUTO_TEST_CASE(or_by_a_deadline_it_is_done_once) {
  const watchdog dog;
  running_context where(2);
  std::atomic<std::size_t> calls{0}, wrong{0};
  random_numbers random(1);
  const std::size_t n = rounds(3000, 800);
  for (std::size_t i = 0; i < n; ++i) {
    auto tree = std::make_unique<sluice::cancellable_context>(
        with_timeout(where.io, context::background(), std::chrono::microseconds(random.below(30))));
    after_func(where.io, tree->ctx, [&calls, &wrong, ctx = tree->ctx] {
      ++calls;
      if (ctx.err() != aborted && ctx.err() != deadline_exceeded) ++wrong;
    });
    for (std::size_t k = random.below(30); k != 0; --k) random.pause();
    if (i % 2 == 0) tree->cancel();
    tree.reset();
  }
  where.join();
  BOOST_TEST(calls == n);
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelled_between_the_check_and_the_park)

namespace {

/// Starts goroutines that wait for ever, cancels each at about the time when it begins to wait, and
/// counts those that ended as cancelled.
template <class Wait>
std::size_t cancelled_of(std::size_t n, Wait wait) {
  const watchdog dog;
  running_context where(2);
  random_numbers random(n);
  std::atomic<std::size_t> cancelled{0};
  for (std::size_t i = 0; i < n; ++i) {
    const auto tree = with_cancel(context::background());
    sluice::go(tree.ctx, where.io, [&cancelled, &wait, &io = where.io]() -> task<> {
      const error_code e = co_await wait(io);
      if (e == aborted) ++cancelled;
    });
    for (std::size_t k = random.below(12); k != 0; --k) random.pause();
  }
  where.join();
  return cancelled;
}

}  // namespace

// Source: e2b-dev/infra#3629, apple/swift-async-algorithms#80
BOOST_AUTO_TEST_CASE(every_wait_of_this_library_ends) {
  const auto quiet = sluice::make_channel<int>();
  sluice::semaphore none(1);
  const auto held = none.try_acquire();
  sluice::wait_group never;
  never.add();
  const std::size_t n = rounds(2000, 400);
  using io = asio::io_context;
  BOOST_TEST(cancelled_of(n, [&](io&) { return error_of(quiet.receive()); }) == n);
  BOOST_TEST(cancelled_of(n, [&](io&) { return error_of(sluice::channel<int>().send(1)); }) == n);
  BOOST_TEST(cancelled_of(n, [&](io&) { return error_of(sluice::sleep_for(24h)); }) == n);
  BOOST_TEST(cancelled_of(n, [&](io&) { return error_of(none.acquire()); }) == n);
  BOOST_TEST(cancelled_of(n, [&](io&) { return error_of(never.wait()); }) == n);
  BOOST_TEST(cancelled_of(n, [&](io&) {
               return error_of(sluice::select(quiet.receive(), never.wait(), none.acquire()));
             }) == n);
}

// Source: e2b-dev/infra#3629, chriskohlhoff/asio#1029; the first Asio operation of a goroutine,
// which moves it to its strand
BOOST_AUTO_TEST_CASE(every_asio_operation_ends) {
  const std::size_t n = rounds(4000, 800);
  BOOST_TEST(cancelled_of(n, [](asio::io_context& io) -> task<error_code> {
               asio::steady_timer timer(io, 24h);
               const auto [e] = co_await timer.async_wait(asio::as_tuple(sluice::use_task));
               co_return e;
             }) == n);
  BOOST_TEST(cancelled_of(n, [](asio::io_context& io) -> task<error_code> {
               asio::steady_timer timer(io, 24h);
               const auto quiet = sluice::make_channel<int>();
               co_return co_await error_of(
                   sluice::select(quiet.receive(), timer.async_wait(asio::deferred)));
             }) == n);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(what_is_bound_to_a_context)

// Source: TestAfterFuncNotCalledAfterStop, on two threads
BOOST_AUTO_TEST_CASE(runs_or_is_stopped_and_never_both) {
  const watchdog dog;
  running_context where(1);
  std::atomic<std::size_t> calls{0};
  std::size_t stopped = 0;
  std::optional<sluice::cancellable_context> tree;
  std::optional<sluice::context_function> registered;
  const std::size_t n = duel::fight(
      rounds(5000, 1000),
      [&] {
        tree.emplace(with_cancel(context::background()));
        registered.emplace(after_func(where.io, tree->ctx, [&calls] { ++calls; }));
      },
      [&] { tree->cancel(); },
      [&] {
        if (registered->stop()) ++stopped;
      },
      [] {});
  where.join();
  BOOST_TEST(calls + stopped == n);
}

BOOST_AUTO_TEST_CASE(is_told_even_if_it_is_bound_while_the_context_is_cancelled) {
  const watchdog dog;
  running_context where(1);
  std::atomic<std::size_t> calls{0}, ended{0};
  std::size_t wrong = 0;
  std::optional<sluice::cancellable_context> tree, other, merged;
  std::optional<std::stop_token> token;
  const std::size_t n = duel::fight(
      rounds(5000, 1000),
      [&] {
        tree.emplace(with_cancel(context::background()));
        other.emplace(with_cancel(context::background()));
      },
      [&] { tree->cancel(); },
      [&] {
        token = sluice::stop_token_of(tree->ctx);
        merged.emplace(sluice::merge_contexts({other->ctx, tree->ctx}));
        after_func(where.io, tree->ctx, [&calls] { ++calls; });
        sluice::go(tree->ctx, where.io, [&ended]() -> task<> {
          static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
          ++ended;
        });
      },
      [&] {
        if (!token->stop_requested()) ++wrong;
        if (merged->ctx.err() != aborted) ++wrong;
      });
  where.join();
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(calls == n);
  BOOST_TEST(ended == n);
}

BOOST_AUTO_TEST_CASE(may_be_driven_from_outside_while_it_ends) {
  const watchdog dog;
  std::unique_ptr<std::stop_source> source;
  std::optional<sluice::cancellable_context> tree;
  std::optional<std::stop_token> out;
  std::size_t wrong = 0;
  duel::fight(
      rounds(3000, 800),
      [&] {
        source = std::make_unique<std::stop_source>();
        tree.emplace(sluice::with_stop_token(context::background(), source->get_token()));
        out = sluice::stop_token_of(tree->ctx);
      },
      [&] { source->request_stop(); }, [&] { tree.reset(); },
      [&] {
        if (!out->stop_requested()) ++wrong;
      });
  BOOST_TEST(wrong == 0u);
}

// Source: lewissbaker/cppcoro#221, cppalliance/capy#216
BOOST_AUTO_TEST_CASE(may_cancel_each_other) {
  const watchdog dog;
  running_context where(2);
  std::atomic<std::size_t> ends{0};
  std::shared_ptr<sluice::cancellable_context> a, b;
  const std::size_t n = duel::fight(
      rounds(5000, 1000),
      [&] {
        a = std::make_shared<sluice::cancellable_context>(with_cancel(context::background()));
        b = std::make_shared<sluice::cancellable_context>(with_cancel(context::background()));
        after_func(where.io, a->ctx, [b = b] { b->cancel(); });
        after_func(where.io, b->ctx, [a = a] { a->cancel(); });
        sluice::go(a->ctx, where.io, [&ends, b = b]() -> task<> {
          static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
          b->cancel();
          ++ends;
        });
        sluice::go(b->ctx, where.io, [&ends, a = a]() -> task<> {
          static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
          a->cancel();
          ++ends;
        });
      },
      [&] { a->cancel(); }, [&] { b->cancel(); }, [] {});
  where.join();
  BOOST_TEST(ends == 2 * n);
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

constexpr int length = sanitized ? 20'000 : 100'000;

/// Contexts, each the parent of the next.
std::vector<std::unique_ptr<sluice::cancellable_context>> long_chain() {
  std::vector<std::unique_ptr<sluice::cancellable_context>> chain;
  chain.push_back(
      std::make_unique<sluice::cancellable_context>(with_cancel(context::background())));
  while (std::ssize(chain) < length)
    chain.push_back(std::make_unique<sluice::cancellable_context>(with_cancel(chain.back()->ctx)));
  return chain;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_long_chain)

BOOST_AUTO_TEST_CASE(of_contexts_is_cancelled_and_freed_in_little_stack) {
  on_stack_of(small_stack, [] {
    auto chain = long_chain();
    context leaf = chain.back()->ctx;
    BOOST_TEST(!leaf.err());
    chain.front()->cancel();
    BOOST_TEST(leaf.err() == aborted);
    chain.clear();
    leaf = context();
  });
}

BOOST_AUTO_TEST_CASE(of_contexts_that_nobody_cancels_is_freed_in_little_stack) {
  on_stack_of(small_stack, [] {
    auto chain = long_chain();
    const context root = chain.front()->ctx;
    while (!chain.empty()) chain.pop_back();
    BOOST_TEST(root.child_count() == 0u);
  });
}

BOOST_AUTO_TEST_CASE(of_values_is_freed_in_little_stack) {
  on_stack_of(small_stack, [] {
    auto ctx = context::background();
    for (int i = 0; i < length; ++i) ctx = with_value(ctx, number, i);
    BOOST_TEST(*ctx.value(number) == length - 1);
    ctx = context();
  });
}

BOOST_AUTO_TEST_SUITE_END()
