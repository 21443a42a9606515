#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Source: afterfunc_test.go of Go's package context

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_function_of_a_context)

// Source: TestAfterFuncCalledAfterCancel
BOOST_AUTO_TEST_CASE(runs_once_after_the_cancel_in_a_goroutine_of_its_own) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  int calls = 0;
  bool goroutine = false;
  auto registered = after_func(io, tree.ctx, [&]() -> task<> {
    ++calls;
    co_await sluice::sleep_for(1us);
    goroutine = true;
  });
  poll(io);
  BOOST_TEST(calls == 0);
  tree.cancel();
  BOOST_TEST(calls == 0, "cancel does not wait for it");
  BOOST_TEST(!registered.stop());
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(goroutine);
  tree.cancel();
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(!registered.stop());
}

// Source: TestAfterFuncCalledAfterTimeout
BOOST_AUTO_TEST_CASE(runs_after_a_timeout) {
  asio::io_context io;
  const auto tree = with_timeout(io, context::background(), 1ms);
  error_code seen;
  after_func(io, tree.ctx, [&] { seen = tree.ctx.err(); });
  run(io);
  BOOST_TEST(seen == deadline_exceeded);
}

// Source: TestAfterFuncCalledImmediately
BOOST_AUTO_TEST_CASE(runs_soon_if_the_context_is_done_already) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  tree.cancel();
  int calls = 0;
  auto registered = after_func(io, tree.ctx, [&] { ++calls; });
  BOOST_TEST(calls == 0, "never inside the call");
  BOOST_TEST(!registered.stop());
  run(io);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(of_the_background_never_runs) {
  asio::io_context io;
  int calls = 0;
  auto registered = after_func(io, context::background(), [&] { ++calls; });
  run(io);
  BOOST_TEST(calls == 0);
  BOOST_TEST(!registered.stop());
}

// Source: TestAfterFuncNotCalledAfterStop
BOOST_AUTO_TEST_CASE(that_is_stopped_never_runs_and_only_one_stop_is_told_so) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  int calls = 0;
  auto registered = after_func(io, tree.ctx, [&] { ++calls; });
  auto copy = registered;
  BOOST_TEST(registered.stop());
  BOOST_TEST(!registered.stop());
  BOOST_TEST(!copy.stop());
  tree.cancel();
  run(io);
  BOOST_TEST(calls == 0);
}

// Source: TestAfterFuncCalledAsynchronously: cancel does not wait
BOOST_AUTO_TEST_CASE(that_never_ends_holds_up_nobody) {
  asio::io_context io;
  const auto parent = with_cancel(context::background());
  const auto child = with_cancel(parent.ctx);
  const auto open = sluice::make_channel<void>();
  bool other = false;
  after_func(io, parent.ctx, [&]() -> task<> { static_cast<void>(co_await open.receive()); });
  after_func(io, child.ctx, [&] { other = true; });
  parent.cancel();
  poll(io);
  BOOST_TEST(other);
  open.close();
  run(io);
}

BOOST_AUTO_TEST_CASE(needs_no_handle) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  int calls = 0;
  {
    after_func(io, tree.ctx, [&] { ++calls; });
  }
  tree.cancel();
  run(io);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(is_destroyed_when_it_has_run_or_has_been_stopped_or_cannot_run_any_more) {
  asio::io_context io;
  const auto kept = std::make_shared<int>();
  {
    const auto tree = with_cancel(context::background());
    after_func(io, tree.ctx, [kept] {});
    auto registered = after_func(io, tree.ctx, [kept] {});
    BOOST_TEST(kept.use_count() == 3);
    registered.stop();
    BOOST_TEST(kept.use_count() == 2);
  }
  run(io);
  BOOST_TEST(kept.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(is_destroyed_when_nobody_is_left_who_could_make_its_context_done) {
  asio::io_context io;
  const auto kept = std::make_shared<int>();
  after_func(io, with_cancel(context::background()).ctx, [kept] {});
  BOOST_TEST(kept.use_count() == 1, "handed on and dropped");
  const auto root = with_cancel(context::background()).ctx;
  auto registered = after_func(io, root, [kept] {});
  BOOST_TEST(kept.use_count() == 1, "registered when nobody was left");
  BOOST_TEST(!registered.stop());
  after_func(io, with_cancel(root).ctx, [kept] {});
  BOOST_TEST(kept.use_count() == 1, "nor can its parent be done");
  {
    asio::cancellation_signal signal;
    after_func(io, with_slot(context::background(), signal.slot()).ctx, [kept] {});
    BOOST_TEST(kept.use_count() == 2);
  }
  BOOST_TEST(kept.use_count() == 1, "the slot's signal has gone");
  {
    auto other = with_cancel(context::background());
    after_func(io, merge_contexts({context::background(), other.ctx}).ctx, [kept] {});
    BOOST_TEST(kept.use_count() == 2);
    const auto handed_on = std::move(other.ctx);
  }
  BOOST_TEST(kept.use_count() == 1, "what it was merged with cannot be done either");
  {
    asio::io_context ends;
    after_func(io, with_timeout(ends, context::background(), 1h).ctx, [kept] {});
    BOOST_TEST(kept.use_count() == 2);
  }
  run(io);
  BOOST_TEST(kept.use_count() == 1, "its timer has ended");
}

BOOST_AUTO_TEST_CASE(keeps_a_context_that_somebody_may_make_done) {
  asio::io_context io;
  int calls = 0;
  const auto call = [&] { ++calls; };
  const auto parent = with_cancel(context::background());
  after_func(io, with_cancel(with_cancel(parent.ctx).ctx).ctx, call);
  asio::cancellation_signal signal;
  after_func(io, with_slot(context::background(), signal.slot()).ctx, call);
  const auto other = with_cancel(context::background());
  after_func(io, merge_contexts({context::background(), other.ctx}).ctx, call);
  after_func(io, with_timeout(io, context::background(), 1us).ctx, call);
  poll(io);
  parent.cancel();
  signal.emit(asio::cancellation_type::total);
  other.cancel();
  run(io);
  BOOST_TEST(calls == 4);
}

BOOST_AUTO_TEST_CASE(goes_with_a_long_chain_that_nobody_can_make_done) {
  on_stack_of(small_stack, [] {
    asio::io_context io;
    const int n = sanitized ? 10'000 : 100'000;
    const auto kept = std::make_shared<int>();
    {
      auto root = with_cancel(context::background());
      context ctx = root.ctx;
      for (int i = 0; i < n; ++i) {
        ctx = with_cancel(ctx).ctx;
        after_func(io, ctx, [kept] {});
      }
      BOOST_TEST(kept.use_count() == n + 1);
      const auto handed_on = std::move(root.ctx);
    }
    BOOST_TEST(kept.use_count() == 1);
  });
}

BOOST_AUTO_TEST_CASE(goes_with_a_long_chain_of_merged_contexts_that_nobody_can_make_done) {
  on_stack_of(small_stack, [] {
    asio::io_context io;
    const int n = sanitized ? 10'000 : 100'000;
    const auto kept = std::make_shared<int>();
    std::vector<context> all;
    {
      auto root = with_cancel(context::background());
      all.push_back(root.ctx);
      for (int i = 0; i < n; ++i) {
        all.push_back(merge_contexts({context::background(), all.back()}).ctx);
        after_func(io, all.back(), [kept] {});
      }
      const auto handed_on = std::move(root.ctx);
    }
    BOOST_TEST(kept.use_count() == 1);
    auto last = std::move(all.back());
    all.clear();
    last = context::background();
  });
}

BOOST_AUTO_TEST_CASE(that_owns_the_next_of_a_long_chain_goes_with_it) {
  on_stack_of(small_stack, [] {
    asio::io_context io;
    const int n = sanitized ? 10'000 : 100'000;
    const auto kept = std::make_shared<int>();
    auto next = std::make_shared<sluice::cancellable_context>(with_cancel(context::background()));
    after_func(io, std::move(next->ctx), [kept] {});
    for (int i = 0; i < n; ++i) {
      auto outer =
          std::make_shared<sluice::cancellable_context>(with_cancel(context::background()));
      after_func(io, std::move(outer->ctx), [next = std::move(next)] {});
      next = std::move(outer);
    }
    next.reset();
    BOOST_TEST(kept.use_count() == 1);
  });
}

// Each owns what cancels the context of the next, and can run no more.
BOOST_AUTO_TEST_CASE(may_own_the_next_of_a_long_chain) {
  on_stack_of(small_stack, [] {
    const int n = sanitized ? 10'000 : 100'000;
    int ended = 0;
    struct cancel_at_end {
      sluice::cancel_function cancel;
      int* ended;
      cancel_at_end(sluice::cancel_function c, int* e) : cancel(std::move(c)), ended(e) {}
      cancel_at_end(const cancel_at_end&) = delete;
      ~cancel_at_end() {
        cancel();
        ++*ended;
      }
    };
    auto io = std::make_unique<asio::io_context>();
    std::vector<sluice::cancellable_context> all;
    for (int i = 0; i <= n; ++i) all.push_back(with_cancel(context::background()));
    for (std::size_t i = 0; i + 1 < all.size(); ++i)
      after_func(*io, all[i].ctx,
                 [next = std::make_shared<cancel_at_end>(std::move(all[i + 1].cancel), &ended)] {});
    io.reset();
    all.front().cancel();
    BOOST_TEST(ended == n);
    BOOST_TEST((all.back().ctx.err() == asio::error::operation_aborted));
  });
}

BOOST_AUTO_TEST_CASE(may_be_an_awaitable_and_run_on_a_strand_or_beside_the_goroutine_that_asks) {
  asio::io_context io;
  auto strand = asio::make_strand(io);
  const auto tree = with_cancel(context::background());
  bool on_strand = false, awaited = false, beside = false;
  after_func(strand, tree.ctx, [&] { on_strand = strand.running_in_this_thread(); });
  after_func(io, tree.ctx, [&]() -> asio::awaitable<void> {
    awaited = true;
    co_return;
  });
  sluice::go(io, [&]() -> task<> {
    after_func(tree.ctx, [&] { beside = true; });
    tree.cancel();
    BOOST_TEST(!beside);
    co_return;
  });
  run(io);
  BOOST_TEST(on_strand);
  BOOST_TEST(awaited);
  BOOST_TEST(beside);
  BOOST_CHECK_EXCEPTION(after_func(tree.ctx, [] {}), sluice::system_error,
                        has_code(sluice::error::not_in_goroutine));
}

// Its exceptions are those of any goroutine.
BOOST_AUTO_TEST_CASE(that_throws_makes_run_throw) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  after_func(io, tree.ctx, [] { throw std::runtime_error("in it"); });
  tree.cancel();
  BOOST_CHECK_THROW(run(io), std::runtime_error);
  run(io);
}

// Source: lewissbaker/cppcoro#221, facebookexperimental/libunifex#670
// The exception would leave the call that cancels, in the middle of the tree.
BOOST_AUTO_TEST_CASE(that_could_not_be_moved_any_more_keeps_nobody_from_ending) {
  static bool fragile, ran;
  struct function {
    function() = default;
    function(const function&) {
      if (fragile) throw std::runtime_error("copied");
    }
    void operator()() const { ran = true; }
  };
  fragile = ran = false;
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const auto child = with_cancel(tree.ctx);
  error_code of_child;
  const function f;
  after_func(io, tree.ctx, f);
  sluice::go(child.ctx, io,
             [&]() -> task<> { of_child = co_await error_of(sluice::sleep_for(24h)); });
  poll(io);
  fragile = true;
  tree.cancel();
  BOOST_TEST(child.ctx.err() == aborted);
  run(io);
  BOOST_TEST(of_child == aborted);
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(can_be_stopped_under_a_lock_that_it_takes_itself) {
  asio::io_context io;
  std::mutex m;
  int calls = 0;
  for (const bool cancel_first : {false, true}) {
    const auto tree = with_cancel(context::background());
    auto registered = after_func(io, tree.ctx, [&] {
      const std::lock_guard guard(m);
      ++calls;
    });
    {
      const std::lock_guard guard(m);
      if (cancel_first) tree.cancel();
      BOOST_TEST(registered.stop() == !cancel_first);
      if (!cancel_first) tree.cancel();
    }
    run(io);
  }
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_SUITE_END()
