// What a goroutine launches is on its strand: the handlers of an operation that it awaits, also the
// intermediate ones of a composed operation, and its own steps never overlap.
#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/task.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include "support.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Counts how often two were inside at once.
class visits {
 public:
  void visit() {
    if (inside_.fetch_add(1) != 0) ++overlaps_;
    for (int i = 0; i < 20; ++i) std::this_thread::yield();
    inside_.fetch_sub(1);
    ++count_;
  }
  [[nodiscard]] int overlaps() const { return overlaps_; }
  [[nodiscard]] int count() const { return count_; }

 private:
  std::atomic<int> inside_{0}, overlaps_{0}, count_{0};
};

/// A composed operation with branches that rely on the handler's executor to serialise them, and
/// of which one may go on when the operation is complete.
template <class Token>
auto async_branches(asio::any_io_executor io, visits& seen, int branches, Token&& token) {
  return asio::async_initiate<Token, void()>(
      [&seen, branches](auto handler, asio::any_io_executor fallback) {
        const auto ex = asio::get_associated_executor(handler, fallback);
        const auto last = std::make_shared<decltype(handler)>(std::move(handler));
        const auto left = std::make_shared<int>(branches);
        for (int i = 0; i < branches; ++i)
          asio::post(ex, [&seen, last, left] {
            seen.visit();
            if (--*left == 1) std::move (*last)();
          });
        seen.visit();
      },
      token, std::move(io));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_goroutine)

BOOST_AUTO_TEST_CASE(is_a_strand_for_the_branches_of_what_it_awaits) {
  visits seen;
  const auto n = static_cast<int>(rounds(500));
  asio::thread_pool pool(4);
  sluice::go(pool, [&]() -> task<> {
    for (int i = 0; i < n; ++i) {
      co_await async_branches(pool.get_executor(), seen, 4, asio::deferred);
      seen.visit();
    }
  });
  pool.join();
  BOOST_TEST(seen.overlaps() == 0);
  BOOST_TEST(seen.count() == n * 6);
}

BOOST_AUTO_TEST_CASE(is_one_also_with_other_waits_and_other_tokens_between) {
  visits seen;
  const auto n = static_cast<int>(rounds(300));
  asio::thread_pool pool(4);
  const auto ch = sluice::make_channel<int>(pool);
  sluice::go(pool, [&]() -> task<> {
    for (int i = 0; i < n; ++i) co_await ch.send(i);
  });
  sluice::go(pool, [&]() -> task<> {
    for (int i = 0; i < n; ++i) {
      co_await async_branches(pool.get_executor(), seen, 3, sluice::use_task);
      seen.visit();
      co_await ch.receive();
      seen.visit();
      static_cast<void>(
          co_await sluice::select(async_branches(pool.get_executor(), seen, 3, asio::deferred)));
      seen.visit();
      co_await sluice::this_goroutine::yield();
      seen.visit();
    }
  });
  pool.join();
  BOOST_TEST(seen.overlaps() == 0);
}

BOOST_AUTO_TEST_CASE(is_told_the_same_executor_by_its_handlers_and_when_it_asks) {
  asio::io_context io;
  bool same = false, on_it = false;
  sluice::go(io, [&]() -> task<> {
    asio::any_io_executor told;
    const auto launch = [&](auto handler) {
      told = asio::get_associated_executor(handler);
      asio::post(asio::bind_executor(io.get_executor(), std::move(handler)));
    };
    co_await asio::async_initiate<const asio::deferred_t, void()>(launch, asio::deferred);
    const task<>::executor_type own = co_await asio::this_coro::executor;
    same = told == own;
    const auto* const ex = own.target<sluice::executor>();
    on_it = ex && ex->running_in_this_thread();
  });
  run(io);
  BOOST_TEST(same);
  BOOST_TEST(on_it);
}

// As Asio's coroutines: nothing else runs between the completion and the goroutine.
BOOST_AUTO_TEST_CASE(goes_on_inside_the_handler_of_what_it_awaits) {
  asio::io_context io;
  std::vector<int> order;
  sluice::go(io, [&]() -> task<> {
    co_await asio::post(io, asio::deferred);
    for (int i = 0; i < 3; ++i) {
      asio::post(io, [&order, i] { order.push_back(10 * i); });
      co_await asio::post(io, asio::deferred);
      order.push_back(10 * i + 1);
    }
  });
  run(io);
  BOOST_TEST(order == (std::vector<int>{0, 1, 10, 11, 20, 21}), per_element());
}

BOOST_AUTO_TEST_CASE(that_is_left_by_an_exception_there_ends_alone) {
  asio::io_context io;
  int others = 0;
  sluice::go(io, [&]() -> task<> {
    co_await asio::post(io, asio::deferred);
    throw std::runtime_error("after a completion");
  });
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 3; ++i) {
      co_await asio::post(io, asio::deferred);
      ++others;
    }
  });
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  run(io);
  BOOST_TEST(others == 3);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_CASE(runs_nothing_that_a_dispatched_function_makes_ready_inside_the_call) {
  asio::io_context io;
  int ran_inside = 0;
  bool inside = false;
  const auto ch = sluice::make_channel<int>(io);
  sluice::go(io, [&]() -> task<> {
    static_cast<void>(co_await ch.receive());
    ran_inside += inside;
  });
  asio::post(io, [&] {
    inside = true;
    asio::dispatch(sluice::get_executor(io), [&] { ch.try_send(1); });
    inside = false;
  });
  run(io);
  BOOST_TEST(ran_inside == 0);
}

// The dispatch completes what a goroutine awaits; strangers are ready, and one of them throws.
BOOST_AUTO_TEST_CASE(goes_on_alone_inside_a_dispatch_that_completes_what_it_awaits) {
  asio::io_context io;
  bool inside = false, went_on = false;
  int waiting = 0, strangers = 0, strangers_inside = 0;
  std::function<void()> complete, dispatch_when_all_wait;
  asio::any_io_executor told;
  const auto ch = sluice::make_channel<int>(io, 3);
  sluice::go(io, [&]() -> task<> {
    const auto launch = [&](auto handler) {
      told = asio::get_associated_executor(handler);
      complete = [kept = std::make_shared<decltype(handler)>(std::move(handler))] {
        std::move (*kept)();
      };
    };
    co_await asio::async_initiate<const asio::deferred_t, void()>(launch, asio::deferred);
    went_on = inside;
    ch.try_send(1);
  });
  for (int i = 0; i < 3; ++i)
    sluice::go(io, [&]() -> task<> {
      ++waiting;
      static_cast<void>(co_await ch.receive());
      ++strangers;
      strangers_inside += inside;
      throw std::runtime_error("a stranger's");
    });
  dispatch_when_all_wait = [&] {
    if (!told || waiting < 3) return asio::post(io, dispatch_when_all_wait);
    ch.try_send(1);
    ch.try_send(1);
    inside = true;
    BOOST_CHECK_NO_THROW(asio::dispatch(std::exchange(told, {}), std::exchange(complete, {})));
    inside = false;
  };
  asio::post(io, dispatch_when_all_wait);
  for (int thrown = 0; thrown < 3; ++thrown) BOOST_CHECK_THROW(io.run(), std::runtime_error);
  run(io);
  BOOST_TEST(went_on);
  BOOST_TEST(strangers == 3);
  BOOST_TEST(strangers_inside == 0);
}

// As Asio's: who holds an outer strand is on it inside a dispatch to an inner one.
BOOST_AUTO_TEST_CASE(is_held_inside_a_dispatch_to_another) {
  asio::io_context io;
  asio::any_io_executor any[2];
  for (auto& ex : any) sluice::go(io, [&]() -> task<> { ex = co_await asio::this_coro::executor; });
  run(io);
  const auto outer = *any[0].target<sluice::executor>();
  const auto inner = *any[1].target<sluice::executor>();
  bool on_outer = false, on_inner = false, ran_inside = false, left_inner = false;
  asio::post(outer, [&] {
    asio::dispatch(inner, [&] {
      on_outer = outer.running_in_this_thread();
      on_inner = inner.running_in_this_thread();
      asio::dispatch(outer, [&] { ran_inside = true; });
      BOOST_TEST(ran_inside);
    });
    left_inner = !inner.running_in_this_thread();
  });
  io.restart();
  run(io);
  BOOST_TEST(on_outer);
  BOOST_TEST(on_inner);
  BOOST_TEST(ran_inside);
  BOOST_TEST(left_inner);
}

// What a goroutine on somebody's strand wakes may wait for that strand itself.
BOOST_AUTO_TEST_CASE(on_a_strand_of_the_users_runs_nothing_else_in_its_turn) {
  const watchdog dog;
  for (const bool moves : {false, true}) {
    asio::io_context io;
    const auto strand = asio::make_strand(io);
    const auto woken = sluice::make_channel<int>(io, 1);
    const auto go_on = sluice::make_channel<int>(io);
    const auto waits_for_the_strand = [&]() -> task<> {
      static_cast<void>(co_await woken.receive());
      asio::post(strand, asio::use_future).get();
    };
    const auto wakes = [&]() -> task<> {
      static_cast<void>(co_await go_on.receive());
      if (moves) co_await asio::dispatch(asio::bind_executor(strand, asio::deferred));
      woken.try_send(1);
    };
    sluice::go(io, waits_for_the_strand);
    if (moves)
      sluice::go(io, wakes);
    else
      sluice::go(strand, wakes);
    sluice::go(io, [&]() -> task<> {
      // The strand is busy when the goroutine comes to it.
      if (moves) asio::post(strand, [] { std::this_thread::yield(); });
      co_await go_on.send(1);
    });
    run(io, 2);
  }
}

BOOST_AUTO_TEST_SUITE_END()
