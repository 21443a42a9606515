#include <sluice/offload.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "fragile.hpp"
#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

template <class T>
concept can_be_offloaded = requires(T f, offload_pool& pool) {
  offload(f);
  offload(pool, f);
};
static_assert(can_be_offloaded<int (*)()> && can_be_offloaded<void (*)(std::stop_token)>);
static_assert(!can_be_offloaded<int> && !can_be_offloaded<int (*)(int)>);

}  // namespace

BOOST_AUTO_TEST_SUITE(an_offloaded_function)

BOOST_AUTO_TEST_CASE(runs_on_another_thread_and_gives_its_result_to_the_goroutine) {
  run_task([]() -> task<> {
    const auto here = std::this_thread::get_id();
    const auto there = co_await offload([] { return std::this_thread::get_id(); });
    BOOST_TEST((there != here));
    BOOST_TEST((std::this_thread::get_id() == here));

    bool called = false;
    co_await offload([&] { called = true; });
    BOOST_TEST(called);
    const auto pointer = co_await offload([] { return std::make_unique<int>(42); });
    BOOST_TEST(*pointer == 42);
    offload_pool pool(1);
    const std::string text = co_await offload(pool, [] { return std::string("from a pool"); });
    BOOST_TEST(text == "from a pool");
    const auto owned = std::make_shared<int>(7);
    auto closure = [owned] { return *owned; };
    BOOST_TEST(co_await offload(closure) == 7);
  });
}

BOOST_AUTO_TEST_CASE(may_throw) {
  run_task([]() -> task<> {
    std::string text;
    try {
      co_await offload([] { throw std::out_of_range("over there"); });
    } catch (const std::out_of_range& e) {
      text = e.what();
    }
    BOOST_TEST(text == "over there");
    const int after = co_await offload([] { return 1; });
    BOOST_TEST(after == 1);
  });
}

// It blocks until a goroutine of the same loop has done something: the loop is not blocked.
BOOST_AUTO_TEST_CASE(may_give_what_cannot_be_moved) {
  int thrown = 0;
  for (int n = 1, burnt = 1; burnt != 0; ++n) {
    bool ended = false;
    run_task([&]() -> task<> {
      try {
        const auto make = [n]() {
          fragile made(7);
          fragile::fuse = n;
          return made;
        };
        const fragile result = co_await offload(make);
        BOOST_TEST(result.number == 7);
      } catch (const std::runtime_error&) {
        ++thrown;
      }
      ended = true;
    });
    BOOST_TEST(ended);
    burnt = std::exchange(fragile::fuse, 0) == 0;
  }
  BOOST_TEST(thrown > 0);
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_CASE(does_not_block_the_event_loop) {
  run_task([]() -> task<> {
    std::promise<int> from_the_loop;
    sluice::go([&]() -> task<> {
      co_await sluice::sleep_for(1us);
      from_the_loop.set_value(42);
    });
    const int answer = co_await offload([&] { return from_the_loop.get_future().get(); });
    BOOST_TEST(answer == 42);
  });
}

BOOST_AUTO_TEST_CASE(keeps_the_event_loop_running_and_is_no_deadlock) {
  const int result = sluice::run([]() -> task<int> {
    co_return co_await offload([] {
      std::this_thread::sleep_for(10ms);
      return 42;
    });
  });
  BOOST_TEST(result == 42);
}

BOOST_AUTO_TEST_CASE(can_be_started_with_a_token) {
  asio::io_context io;
  auto strand = asio::make_strand(io);
  std::future<int> future = sluice::go(io, offload([] { return 42; }), asio::use_future);
  bool on_strand = false;
  sluice::go(strand, offload([] { return 1; }),
             asio::bind_executor(strand, [&](std::exception_ptr, int) {
               on_strand = strand.running_in_this_thread();
             }));
  run(io);
  BOOST_TEST(future.get() == 42);
  BOOST_TEST(on_strand);
}

BOOST_AUTO_TEST_CASE(is_a_case_of_nothing_but_may_end_a_select_through_a_channel) {
  run_task([]() -> task<> {
    const auto results = sluice::make_channel<int>(1);
    std::latch may_end(1);
    sluice::go([&, results]() -> task<> {
      const int n = co_await offload([&] {
        may_end.wait();
        return 42;
      });
      co_await results.send(n);
    });
    auto early = co_await sluice::select(results.receive(), sluice::sleep_for(1ms));
    BOOST_TEST(early.index() == 1u);
    may_end.count_down();
    const auto late = co_await results.receive();
    BOOST_TEST(*late == 42);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_pool)

BOOST_AUTO_TEST_CASE(runs_as_many_at_a_time_as_it_has_threads_first_come_first_served) {
  const watchdog dog;
  for (const std::size_t threads : {1U, 3U}) {
    asio::io_context io;
    offload_pool pool(threads);
    std::atomic<std::size_t> active{0}, most{0};
    std::mutex m;
    std::vector<int> order;
    std::set<std::thread::id> used;
    for (int i = 0; i < 30; ++i)
      sluice::go(io, [&, i]() -> task<> {
        co_await offload(pool, [&] {
          const std::size_t now = ++active;
          for (std::size_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);)
            continue;
          {
            const std::lock_guard guard(m);
            order.push_back(i);
            used.insert(std::this_thread::get_id());
          }
          std::this_thread::sleep_for(100us);
          --active;
        });
      });
    run(io);
    BOOST_TEST(most <= threads);
    BOOST_TEST(used.size() <= threads);
    BOOST_TEST(order.size() == 30u);
    if (threads == 1) BOOST_TEST(std::is_sorted(order.begin(), order.end()));
  }
}

BOOST_AUTO_TEST_CASE(works_in_parallel) {
  const watchdog dog;
  asio::io_context io;
  offload_pool pool(2);
  std::latch both(2);
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&]() -> task<> { co_await offload(pool, [&] { both.arrive_and_wait(); }); });
  run(io);
  BOOST_TEST(both.try_wait());
}

BOOST_AUTO_TEST_CASE(may_serve_several_contexts) {
  const watchdog dog;
  offload_pool pool(2);
  std::atomic<int> sum{0};
  on_threads(3, [&](int) {
    asio::io_context io;
    for (int i = 0; i < 50; ++i)
      sluice::go(io, [&]() -> task<> {
        const auto there = co_await offload(pool, [] { return std::this_thread::get_id(); });
        if (there != std::this_thread::get_id()) ++sum;
      });
    io.run();
  });
  BOOST_TEST(sum == 150);
}

BOOST_AUTO_TEST_CASE(has_a_thread) {
  BOOST_CHECK_THROW(offload_pool(0), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(that_is_destroyed_waits_for_what_runs) {
  asio::io_context io;
  std::atomic<bool> ended{false};
  std::latch begun(1);
  {
    offload_pool pool(1);
    sluice::go(io, [&]() -> task<> {
      co_await offload(pool, [&] {
        begun.count_down();
        std::this_thread::sleep_for(5ms);
        ended = true;
      });
    });
    poll(io);
    begun.wait();
  }
  BOOST_TEST(ended.load());
  run(io);
}

// Each waits for nothing but its stop token.
BOOST_AUTO_TEST_CASE(is_asked_to_stop_by_the_end_of_a_context_which_waits_for_it) {
  const watchdog dog;
  for (const bool own_pool : {false, true}) {
    const int many = own_pool ? 2 : 1;  // the context's has as many threads as processors
    offload_pool pool(2);
    std::atomic<int> told = 0;
    std::atomic<int> alive = 0;
    std::latch begun(many);
    auto io = std::make_unique<asio::io_context>();
    for (int i = 0; i < many; ++i)
      sluice::go(*io, [&]() -> task<> {
        const witness here(alive);
        const auto function = [&](std::stop_token stop) {
          begun.count_down();
          while (!stop.stop_requested()) std::this_thread::yield();
          if (alive == many) ++told;
        };
        if (own_pool)
          co_await offload(pool, function);
        else
          co_await offload(function);
      });
    poll(*io);
    begun.wait();
    io.reset();
    BOOST_TEST(told == many);  // while the frames that it refers to were there
    BOOST_TEST(alive == 0);
  }
}

BOOST_AUTO_TEST_CASE(is_asked_to_stop_when_the_main_goroutine_returns) {
  const watchdog dog;
  std::atomic<bool> told = false;
  sluice::run([&]() -> task<> {
    std::atomic<bool> begun = false;
    sluice::go([&]() -> task<> {
      co_await offload([&](std::stop_token stop) {
        begun = true;
        while (!stop.stop_requested()) std::this_thread::yield();
        told = true;
      });
    });
    while (!begun) co_await sluice::this_goroutine::yield();
  });
  BOOST_TEST(told.load());
}

namespace {

/// Forks as Asio's documentation has it, and gives what `f()` says in the child.
template <class F>
bool in_child(asio::io_context& io, offload_pool& pool, F f) {
  io.notify_fork(asio::execution_context::fork_prepare);
  pool.notify_fork(asio::execution_context::fork_prepare);
  const ::pid_t child = ::fork();
  const auto which =
      child == 0 ? asio::execution_context::fork_child : asio::execution_context::fork_parent;
  pool.notify_fork(which);
  io.notify_fork(which);
  if (child == 0) {
    ::alarm(20);
    ::_exit(f() ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  return status == 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(works_after_a_fork_in_parent_and_child) {
  if (sanitized) return;  // the thread sanitizer lets no thread be started in such a child
  auto io = std::make_unique<asio::io_context>();
  offload_pool pool(1);
  int ended = 0;
  const auto work = [&]() -> task<> {
    ended += co_await offload([] { return 1; });
    ended += co_await offload(pool, [] { return 1; });
  };
  sluice::go(*io, work);
  io->run();
  BOOST_TEST(ended == 2);

  // This one is on its thread when the process is doubled, and ends in both.
  std::latch begun(1);
  sluice::go(*io, [&]() -> task<> {
    ended += co_await offload([&] {
      begun.count_down();
      std::this_thread::sleep_for(1ms);
      return 1;
    });
  });
  poll(*io);
  begun.wait();
  BOOST_TEST(in_child(*io, pool, [&] {
    sluice::go(*io, work);
    io->restart();
    io->run();
    io.reset();
    return ended == 5;
  }));
  sluice::go(*io, work);
  run(*io);
  BOOST_TEST(ended == 5);
}

BOOST_AUTO_TEST_CASE(of_a_context_is_joined_when_that_is_destroyed) {
  std::atomic<bool> ended{false};
  const auto shared = std::make_shared<int>();
  {
    asio::io_context io;
    std::latch begun(1);
    sluice::go(io, [&, shared]() -> task<> {
      co_await offload([&] {
        begun.count_down();
        std::this_thread::sleep_for(5ms);
        ended = true;
      });
    });
    poll(io);
    begun.wait();
  }
  BOOST_TEST(ended.load());
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelling)

BOOST_AUTO_TEST_CASE(while_it_waits_for_a_thread_keeps_the_function_from_being_called) {
  for (const bool by_deadline : {false, true}) {
    asio::io_context io;
    offload_pool pool(1);
    std::promise<void> may_end;
    std::atomic<bool> called{false};
    std::optional<error_code> queued;
    sluice::go(io,
               [&]() -> task<> { co_await offload(pool, [&] { may_end.get_future().wait(); }); });
    poll(io);
    const auto parent = with_cancel(sluice::context::background());
    const auto tree =
        with_timeout(io, parent.ctx, by_deadline ? 1ms : std::chrono::milliseconds(24h));
    sluice::go(tree.ctx, io, [&]() -> task<> {
      queued = co_await error_of(offload(pool, [&] { called = true; }));
      may_end.set_value();
    });
    poll(io);
    if (!by_deadline) parent.cancel();
    run(io);
    BOOST_TEST(queued.value() == (by_deadline ? deadline_exceeded : aborted));
    BOOST_TEST(!called.load());
  }
}

// Source: ydb-platform/nbs PR #6239: the wait of a goroutine for a thread
BOOST_AUTO_TEST_CASE(while_it_runs_asks_it_to_stop_and_its_result_counts) {
  asio::io_context io;
  offload_pool pool(2);
  const auto tree = with_cancel(sluice::context::background());
  std::optional<int> stoppable, deaf;
  std::promise<void> may_end;
  std::latch begun(2);
  sluice::go(tree.ctx, io, [&]() -> task<> {
    stoppable = co_await offload(pool, [&](std::stop_token stop) {
      begun.count_down();
      while (!stop.stop_requested()) std::this_thread::yield();
      return 1;
    });
  });
  sluice::go(tree.ctx, io, [&]() -> task<> {
    deaf = co_await offload(pool, [&] {
      begun.count_down();
      may_end.get_future().wait();
      return 2;
    });
  });
  poll(io);
  begun.wait();
  tree.cancel();
  sluice::go(io, [&]() -> task<> {
    while (!stoppable) co_await sluice::sleep_for(1ms);
    BOOST_TEST(!deaf);
    may_end.set_value();
  });
  run(io);
  BOOST_TEST(stoppable.value() == 1);
  BOOST_TEST(deaf.value() == 2);
}

BOOST_AUTO_TEST_CASE(beforehand_does_not_call_it) {
  asio::io_context io;
  const auto tree = with_cancel(sluice::context::background());
  tree.cancel();
  std::atomic<bool> called{false};
  std::optional<error_code> e;
  sluice::go(tree.ctx, io,
             [&]() -> task<> { e = co_await error_of(offload([&] { called = true; })); });
  run(io);
  BOOST_TEST(e.value() == aborted);
  BOOST_TEST(!called.load());
}

BOOST_AUTO_TEST_CASE(at_any_moment_ends_each_once) {
  const watchdog dog;
  const std::size_t n = rounds(2000, 600);
  std::atomic<std::size_t> ended{0}, called{0}, given{0};
  {
    offload_pool pool(2);
    running_context where(2);
    random_numbers random(1);
    for (std::size_t i = 0; i < n; ++i) {
      const auto tree = with_cancel(sluice::context::background());
      sluice::go(tree.ctx, where.io, [&]() -> task<> {
        try {
          given += co_await offload(pool, [&]() -> std::size_t { return ++called > 0 ? 1 : 0; });
        } catch (const sluice::system_error&) {
        }
        ++ended;
      });
      for (std::size_t k = random.below(30); k != 0; --k) random.pause();
    }
  }
  BOOST_TEST(ended == n);
  BOOST_TEST(called == given);
}

BOOST_AUTO_TEST_SUITE_END()
