#include <sluice/when_all.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/for_each.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>

#include "goroutine/helpers.hpp"
#include "manual_executor.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

// Cancellation at every step, the end of contexts, and executors of all kinds.

namespace {

using namespace sluice_test;
using sluice::when_all;

using receive = decltype(std::declval<const channel<int>&>().receive());
using error = sluice::when_all_error<receive, receive, receive>;

/// How many values a failed `when_all` of three receives has taken.
long taken_by(const error& e) {
  const auto one = [](const auto& outcome) {
    return outcome && std::get<1>(*outcome) ? *std::get<1>(*outcome) : 0;
  };
  return one(e.completed<0>()) + one(e.completed<1>()) + one(e.completed<2>());
}

/// Adds up what a `when_all` of receives gives, whatever it ends with.
task<> receive_three(channel<int> a, channel<int> b, channel<int> c, std::atomic<long>& taken) {
  try {
    auto [x, y, z] = co_await when_all(a.receive(), b.receive(), c.receive());
    taken += x.value_or(0) + y.value_or(0) + z.value_or(0);
  } catch (const error& e) {
    taken += taken_by(e);
    throw;
  }
}

task<int> tree(int depth, std::atomic<int>& alive) {
  const witness here(alive);
  if (depth == 0) {
    co_await sluice::sleep_for(24h);
    co_return 1;
  }
  auto [a, b] = co_await when_all(tree(depth - 1, alive), tree(depth - 1, alive));
  co_return a + b;
}

task<int> count_leaves(int depth) {
  if (depth == 0) co_return 1;
  if (depth % 3 == 0) co_await sluice::this_goroutine::yield();
  auto [a, b] = co_await when_all(count_leaves(depth - 1), count_leaves(depth - 1));
  co_return a + b;
}

task<> hold(std::atomic<int>& alive) {
  const witness here(alive);
  co_await sluice::sleep_for(24h);
}

task<> chain(int depth, std::atomic<int>& alive) {
  const witness here(alive);
  if (depth == 0)
    co_await sluice::sleep_for(24h);
  else
    co_await when_all(chain(depth - 1, alive));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cancelling_a_when_all)

BOOST_AUTO_TEST_CASE(cancels_a_whole_tree_and_waits_for_it) {
  asio::io_context io;
  std::atomic<int> alive = 0;
  const auto body = [&]() -> task<> { static_cast<void>(co_await tree(6, alive)); };
  cancellable_goroutine g(io, body);
  poll(io);
  BOOST_TEST(alive == 127);
  g.cancel();
  run(io);
  BOOST_TEST(g.error() == aborted);
  BOOST_TEST(alive == 0);
}

// Each goes on in a block of its own, before the request or after it.
BOOST_AUTO_TEST_CASE(comes_to_children_with_strands) {
  for (const bool at_once : {true, false}) {
    asio::io_context io;
    std::atomic<int> alive = 0;
    const auto leaf = [&]() -> task<> {
      const witness here(alive);
      if (at_once) co_await sluice::this_goroutine::yield();
      asio::steady_timer timer(co_await asio::this_coro::executor, 24h);
      co_await timer.async_wait(asio::deferred);
    };
    const auto child = [&]() -> task<> { co_await when_all(leaf(), leaf()); };
    const auto body = [&]() -> task<> { co_await when_all(child(), leaf()); };
    cancellable_goroutine g(io, body);
    if (at_once) {
      sluice::go(io, [&] { g.cancel(); });
    } else {
      poll(io);
      BOOST_TEST(alive == 3);
      g.cancel();
    }
    run(io);
    BOOST_TEST(g.error() == aborted);
    BOOST_TEST(alive == 0);
  }
}

BOOST_AUTO_TEST_CASE(before_it_begins_starts_nothing) {
  asio::io_context io;
  int started = 0;
  const auto start = [&]() -> task<> {
    ++started;
    co_return;
  };
  const auto body = [&]() -> task<> { co_await when_all(start(), start()); };
  cancellable_goroutine g(io, body);
  g.cancel();
  run(io);
  BOOST_TEST(g.error() == aborted);
  BOOST_TEST(started == 0);
}

BOOST_AUTO_TEST_CASE(ends_with_the_error_of_its_context) {
  std::atomic<int> alive = 0;
  error_code parent;
  error_code child;
  const auto look = [&]() -> task<> { child = co_await error_of(sluice::sleep_for(24h)); };
  const auto body = [&]() -> task<> { parent = co_await error_of(when_all(hold(alive), look())); };
  run_in_virtual_time([&]() -> task<> {
    const auto limited = sluice::with_timeout(sluice::context::background(), 1h);
    const auto here = co_await asio::this_coro::executor;
    co_await sluice::go(limited.ctx, here, body, asio::deferred);
  });
  BOOST_TEST(parent == deadline_exceeded);
  BOOST_TEST(child == deadline_exceeded);
}

BOOST_AUTO_TEST_CASE(is_not_forgotten_by_a_child_that_resets_its_state) {
  asio::io_context io;
  const auto stubborn = [&]() -> task<> {
    BOOST_TEST((co_await error_of(sluice::sleep_for(24h))) == aborted);
    co_await asio::this_coro::reset_cancellation_state();
    BOOST_TEST((co_await error_of(sluice::sleep_for(24h))) == aborted);
  };
  const auto body = [&]() -> task<> { co_await when_all(stubborn()); };
  cancellable_goroutine g(io, body);
  poll(io);
  g.cancel();
  run(io);
  BOOST_TEST(g.ended());
}

BOOST_AUTO_TEST_CASE(gives_the_results_if_all_have_succeeded) {
  asio::io_context io;
  int sum = 0;
  const auto ignores = [](int n) -> task<int> {
    static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
    co_return n;
  };
  const auto body = [&]() -> task<> {
    auto [a, b] = co_await when_all(ignores(1), ignores(2));
    sum = a + b;
  };
  cancellable_goroutine g(io, body);
  poll(io);
  g.cancel();
  run(io);
  BOOST_TEST(g.error() == no_error);
  BOOST_TEST(sum == 3);
}

// Each value is received, or in the error, or still in its channel: whenever the request comes.
BOOST_AUTO_TEST_CASE(loses_no_value_at_any_step) {
  for (int when = 0; when < 40; ++when) {
    asio::io_context io;
    const auto a = make_channel<int>(io);
    const auto b = make_channel<int>(io, 1);
    const auto c = make_channel<int>(io);
    std::atomic<long> taken = 0;
    long sent = 0;
    const auto send = [&](channel<int> ch, int n) -> task<> {
      for (int i = 0; i < n; ++i) co_await sluice::this_goroutine::yield();
      if ((co_await error_of(ch.send(n))) == no_error) sent += n;
    };
    cancellable_goroutine g(io, receive_three(a, b, c, taken));
    cancellable_goroutine senders(io, [&]() -> task<> {
      co_await when_all(send(a, 3), send(b, 5), send(c, when % 2 == 0 ? 7 : 100));
    });
    const auto stop = [&]() -> task<> {
      for (int i = 0; i < when; ++i) co_await sluice::this_goroutine::yield();
      g.cancel();
    };
    sluice::go(io, stop);
    poll(io);
    senders.cancel();
    run(io);
    BOOST_TEST(g.ends() == 1);
    const auto left = b.size() == 1 ? 5 : 0;
    BOOST_TEST(taken + left == sent, "cancelled at step " << when);
  }
}

BOOST_AUTO_TEST_CASE(loses_no_value_on_several_threads) {
  const std::size_t n = rounds(2'000);
  for (std::size_t i = 0; i < n; ++i) {
    asio::io_context io;
    const auto a = make_channel<int>(io, 4);
    std::atomic<long> taken = 0;
    std::atomic<long> sent = 0;
    asio::cancellation_signal signal;
    auto strand = asio::make_strand(io);
    sluice::go(strand, receive_three(a, a, a, taken),
               asio::bind_cancellation_slot(signal.slot(), [](const std::exception_ptr&) {}));
    const auto send = [&]() -> task<> {
      for (int k = 1; k <= 3; ++k) {
        co_await sluice::this_goroutine::yield();
        error_code full;
        if (a.try_send(k, full)) sent += k;
      }
    };
    sluice::go(io, send);
    asio::post(strand, [&] { signal.emit(asio::cancellation_type::terminal); });
    run(io, 2);
    long left = 0;
    error_code e;
    while (auto v = a.try_receive(e)) left += *v;
    BOOST_REQUIRE(taken + left == sent);
  }
}

BOOST_AUTO_TEST_CASE(meets_failures_and_ends_on_several_threads) {
  const std::size_t n = rounds(3'000);
  for (std::size_t i = 0; i < n; ++i) {
    asio::io_context io;
    std::atomic<int> alive = 0;
    std::atomic<int> ends = 0;
    asio::cancellation_signal signal;
    auto strand = asio::make_strand(io);
    const auto fail = [&]() -> task<> {
      const witness here(alive);
      co_await sluice::this_goroutine::yield();
      throw std::runtime_error("fails");
    };
    const auto body = [&]() -> task<> {
      co_await when_all(hold(alive), when_all(hold(alive), fail()), fail());
    };
    sluice::go(
        strand, body,
        asio::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr&) { ++ends; }));
    asio::post(strand, [&] { signal.emit(asio::cancellation_type::terminal); });
    run(io, 2);
    BOOST_REQUIRE(alive == 0);
    BOOST_REQUIRE(ends == 1);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(the_end_of_a_context)

// The sanitizer counts what is left: a child below another that has moved out of its operation.
BOOST_AUTO_TEST_CASE(gives_back_the_blocks_of_grandchildren_that_await_an_asio_operation) {
  const auto value = std::make_shared<int>();
  {
    asio::io_context io;
    asio::steady_timer one(io, 1h);
    asio::steady_timer other(io, 1h);
    const auto child = [&](asio::steady_timer& t) -> task<> {
      const auto wait = [&t](std::shared_ptr<int>) -> task<> {
        co_await t.async_wait(asio::deferred);
      };
      co_await when_all(wait(value), wait(value));
    };
    sluice::go(io, [&]() -> task<> { co_await when_all(child(one), child(other)); });
    io.poll();
    BOOST_TEST(value.use_count() == 5);
  }
  BOOST_TEST(value.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(in_the_middle_of_a_deep_tree_destroys_it) {
  std::atomic<int> alive = 0;
  on_stack_of(small_stack, [&] {
    asio::io_context io;
    sluice::go(io, chain(1'000, alive));
    poll(io);
    BOOST_TEST(alive == 1'001);
  });
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(in_the_middle_of_a_very_deep_tree_takes_constant_stack) {
  std::atomic<int> alive = 0;
  const int depth = static_cast<int>(rounds(1'000'000));
  on_stack_of(small_stack, [&] {
    asio::io_context io;
    sluice::go(io, chain(depth, alive));
    poll(io);
    BOOST_TEST(alive == depth + 1);
  });
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(in_the_middle_of_a_wide_tree_destroys_it) {
  std::atomic<int> alive = 0;
  {
    asio::io_context io;
    const int width = static_cast<int>(rounds(100'000));
    const auto body = [&]() -> task<> {
      std::vector<task<>> all;
      for (int i = 0; i < width; ++i) all.push_back(hold(alive));
      co_await when_all(std::move(all));
    };
    sluice::go(io, body);
    poll(io);
    BOOST_TEST(alive == width);
  }
  BOOST_TEST(alive == 0);
}

// The younger first, as goroutines that were started one by one.
BOOST_AUTO_TEST_CASE(destroys_children_before_their_elder_siblings_and_parents) {
  std::vector<int> order;
  struct at_end {
    std::vector<int>& where;
    int n;
    ~at_end() { where.push_back(n); }
  };
  {
    asio::io_context io;
    const auto child = [&](int n) -> task<> {
      const at_end here{order, n};
      co_await sluice::sleep_for(24h);
    };
    const auto body = [&]() -> task<> {
      const at_end here{order, 0};
      co_await when_all(child(1), child(2), child(3));
    };
    sluice::go(io, body);
    poll(io);
  }
  BOOST_TEST(order == (std::vector<int>{3, 2, 1, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(while_its_children_await_asio_destroys_them) {
  std::atomic<int> alive = 0;
  {
    asio::io_context io;
    const auto wait = [&]() -> task<> {
      const witness here(alive);
      asio::steady_timer timer(co_await asio::this_coro::executor, 24h);
      co_await timer.async_wait(asio::deferred);
    };
    const auto body = [&]() -> task<> {
      asio::steady_timer timer(co_await asio::this_coro::executor, 24h);
      co_await when_all(wait(), timer.async_wait(asio::deferred), wait());
    };
    sluice::go(io, body);
    poll(io);
    BOOST_TEST(alive == 2);
  }
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(children_on_executors)

BOOST_AUTO_TEST_CASE(spread_over_the_threads_of_their_context) {
  asio::io_context io;
  int leaves = 0;
  const auto body = [&]() -> task<> { leaves = co_await count_leaves(12); };
  sluice::go(io, body);
  run(io, 2);
  BOOST_TEST(leaves == 4096);
}

BOOST_AUTO_TEST_CASE(run_beside_a_parent_on_a_strand) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  int leaves = 0;
  const auto body = [&]() -> task<> {
    leaves = co_await count_leaves(6);
    BOOST_TEST(strand.running_in_this_thread());
  };
  sluice::go(strand, body);
  run(io);
  BOOST_TEST(leaves == 64);
}

BOOST_AUTO_TEST_CASE(run_on_a_foreign_executor) {
  asio::io_context io;
  const manual_executor ex(io);
  int leaves = 0;
  bool over = false;
  const auto body = [&]() -> task<> {
    leaves = co_await count_leaves(6);
    over = true;
  };
  sluice::go(ex, body);
  while (ex.run_one()) {
  }
  BOOST_TEST(over);
  BOOST_TEST(leaves == 64);
}

BOOST_AUTO_TEST_CASE(are_cancelled_on_a_foreign_executor) {
  asio::io_context io;
  const manual_executor ex(io);
  std::atomic<int> alive = 0;
  const auto ch = make_channel<int>(ex);
  const auto wait = [&]() -> task<> {
    const witness here(alive);
    co_await ch.receive();
  };
  const auto body = [&]() -> task<> { co_await when_all(wait(), when_all(wait(), wait())); };
  cancellable_goroutine g(ex, body);
  while (ex.run_one()) {
  }
  BOOST_TEST(alive == 3);
  g.cancel();
  while (ex.run_one()) {
  }
  BOOST_TEST(g.error() == aborted);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(run_on_a_thread_pool) {
  asio::thread_pool pool(2);
  const auto body = [&]() -> task<int> { co_return co_await count_leaves(10); };
  auto leaves = sluice::go(pool, body, asio::use_future);
  BOOST_TEST(leaves.get() == 1024);
  pool.join();
}

BOOST_AUTO_TEST_CASE(may_be_goroutines_elsewhere) {
  asio::io_context io;
  running_context other(1);
  std::thread::id there;
  const auto look = [&]() -> task<> {
    there = std::this_thread::get_id();
    co_return;
  };
  const auto here = []() -> task<> { co_return; };
  const auto body = [&]() -> task<> {
    co_await when_all(sluice::go(other.io, look, asio::deferred), here());
  };
  const auto only = [&]() -> task<> {
    co_await when_all(sluice::go(other.io, look, asio::deferred));
  };
  sluice::go(io, body);
  run(io);
  sluice::go(io, only);
  run(io);
  BOOST_TEST((there != std::this_thread::get_id()));
}

BOOST_AUTO_TEST_SUITE_END()
