#include <sluice/go.hpp>

#include <sluice/channel.hpp>
#include <sluice/error.hpp>
#include <sluice/runtime.hpp>
#include <sluice/task.hpp>
#include <sluice/this_goroutine.hpp>

#include "goroutine/helpers.hpp"
#include "goroutine/own_context.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

sluice::task<int> five() {
  co_await sluice::this_goroutine::yield();
  co_return 5;
}
asio::awaitable<int> six() {
  co_return 6;
}
int seven() {
  return 7;
}

/// Starts every kind of thing at `where`; `drive` lets it run.
template <class Where, class Drive>
void start_every_kind(Where&& where, Drive drive) {
  std::atomic<int> alive = 0;
  std::atomic<int> ran = 0;
  std::vector<std::future<int>> values;
  std::vector<std::future<void>> ends;

  values.push_back(sluice::go(where, five(), asio::use_future));
  values.push_back(sluice::go(where, six(), asio::use_future));
  values.push_back(sluice::go(where, seven, asio::use_future));
  values.push_back(sluice::go(where, five, asio::use_future));
  values.push_back(sluice::go(where, six, asio::use_future));
  values.push_back(sluice::go(
      where,
      [n = std::make_unique<int>(8), c = witness(alive)]() -> sluice::task<int> {
        co_await sluice::this_goroutine::yield();
        co_return *n;
      },
      asio::use_future));
  values.push_back(sluice::go(
      where,
      [n = std::make_unique<int>(9), c = witness(alive)]() -> asio::awaitable<int> {
        co_return *n;
      },
      asio::use_future));
  values.push_back(sluice::go(
      where, [n = std::make_unique<int>(10), c = witness(alive)] { return *n; }, asio::use_future));
  const std::function<int()> erased = seven;
  values.push_back(sluice::go(where, erased, asio::use_future));
  ends.push_back(sluice::go(
      where,
      [&ran]() -> sluice::task<> {
        ++ran;
        co_return;
      },
      asio::use_future));
  ends.push_back(sluice::go(
      where,
      [&ran]() -> asio::awaitable<void> {
        ++ran;
        co_return;
      },
      asio::use_future));
  ends.push_back(sluice::go(where, [&ran] { ++ran; }, asio::use_future));
  std::promise<void> detached;
  auto ended = detached.get_future();
  sluice::go(where, [&ran, p = std::move(detached)]() mutable {
    ++ran;
    p.set_value();
  });

  drive();
  std::vector<int> got;
  for (auto& f : values) got.push_back(f.get());
  for (auto& f : ends) f.get();
  ended.get();
  BOOST_TEST(got == (std::vector{5, 6, 7, 5, 6, 8, 9, 10, 7}));
  BOOST_TEST(ran == 4);
  while (sluice::goroutine_count(where) != 0) std::this_thread::yield();
  BOOST_TEST(alive == 0);
}

/// `start_every_kind` for an executor of an `io_context` that must run out of work by itself.
template <class MakeWhere>
void start_every_kind_on_io(MakeWhere make_where) {
  const sluice_test::watchdog dog;
  asio::io_context io;
  start_every_kind(make_where(io), [&io] { io.run(); });
  BOOST_TEST(io.stopped());
}

template <class T>
concept can_start = requires(T& where) { sluice::go(where, [] {}); };

struct executor_without_context {
  template <class F>
  void execute(F&& f) const {
    f();
  }
  bool operator==(const executor_without_context&) const = default;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(where)

BOOST_AUTO_TEST_CASE(an_io_context) {
  const sluice_test::watchdog dog;
  asio::io_context io;
  start_every_kind(io, [&] { io.run(); });
  io.restart();
  start_every_kind(io.get_executor(), [&] { io.run(); });
}

BOOST_AUTO_TEST_CASE(a_thread_pool) {
  const sluice_test::watchdog dog;
  asio::thread_pool pool(3);
  start_every_kind(pool, [] {});
  start_every_kind(pool.get_executor(), [] {});
  pool.join();
}

BOOST_AUTO_TEST_CASE(a_strand_over_an_io_executor) {
  start_every_kind_on_io([](asio::io_context& io) { return asio::make_strand(io); });
}

BOOST_AUTO_TEST_CASE(a_strand_over_a_thread_pool) {
  const sluice_test::watchdog dog;
  asio::thread_pool pool(3);
  start_every_kind(asio::make_strand(pool), [] {});
  pool.join();
}

BOOST_AUTO_TEST_CASE(an_any_io_executor_of_an_io_executor) {
  start_every_kind_on_io(
      [](asio::io_context& io) { return asio::any_io_executor(io.get_executor()); });
}

// As co_spawn: the context runs out of work when the goroutines have ended.
BOOST_AUTO_TEST_CASE(an_any_io_executor_of_a_strand) {
  start_every_kind_on_io(
      [](asio::io_context& io) { return asio::any_io_executor(asio::make_strand(io)); });
}

BOOST_AUTO_TEST_CASE(an_any_io_executor_of_a_strand_of_any_io_executors) {
  start_every_kind_on_io([](asio::io_context& io) {
    return asio::any_io_executor(asio::make_strand(asio::any_io_executor(io.get_executor())));
  });
}

// A goroutine that moves to an explicit strand gives back the work that it took where it started.
BOOST_AUTO_TEST_CASE(a_plain_callable_on_a_type_erased_strand_is_work_until_it_ends_and_no_longer) {
  asio::io_context io;
  bool ran = false;
  sluice::go(asio::any_io_executor(asio::make_strand(io)), [&] { ran = true; });
  io.run_for(2s);
  BOOST_TEST(ran);
  BOOST_TEST(io.stopped());
}

BOOST_AUTO_TEST_CASE(
    a_task_on_a_type_erased_strand_that_asks_for_its_executor_is_work_until_it_ends) {
  asio::io_context io;
  bool ran = false;
  sluice::go(asio::any_io_executor(asio::make_strand(io)), [&]() -> sluice::task<> {
    const asio::any_io_executor ex = co_await asio::this_coro::executor;
    co_await asio::post(ex, asio::deferred);
    ran = true;
  });
  io.run_for(2s);
  BOOST_TEST(ran);
  BOOST_TEST(io.stopped());
}

BOOST_AUTO_TEST_CASE(an_executor_of_the_library_and_a_strand_of_it) {
  start_every_kind_on_io([](asio::io_context& io) { return sluice::get_executor(io); });
  start_every_kind_on_io(
      [](asio::io_context& io) { return asio::make_strand(sluice::get_executor(io)); });
  start_every_kind_on_io(
      [](asio::io_context& io) { return asio::any_io_executor(sluice::get_executor(io)); });
}

BOOST_AUTO_TEST_CASE(an_executor_with_properties) {
  start_every_kind_on_io([](asio::io_context& io) {
    return asio::require(io.get_executor(), asio::execution::relationship.continuation);
  });
  start_every_kind_on_io([](asio::io_context& io) {
    return asio::require(io.get_executor(), asio::execution::blocking.never);
  });
}

BOOST_AUTO_TEST_CASE(the_system_executor) {
  const sluice_test::watchdog dog;
  start_every_kind(asio::system_executor(), [] {});
}

BOOST_AUTO_TEST_CASE(a_minimal_executor_with_a_context_of_its_own) {
  const sluice_test::watchdog dog;
  sluice_test::own_context context;
  start_every_kind(context, [] {});
  start_every_kind(context.get_executor(), [] {});
  auto on = sluice::go(
      context,
      []() -> sluice::task<std::thread::id> {
        co_await sluice::this_goroutine::yield();
        co_return std::this_thread::get_id();
      },
      asio::use_future);
  BOOST_TEST((on.get() == context.thread()));
}

BOOST_AUTO_TEST_CASE(goroutines_of_different_contexts_meet_in_a_channel) {
  const sluice_test::watchdog dog;
  const auto n = static_cast<int>(sluice_test::rounds(5'000, 500));
  sluice_test::own_context own;
  asio::thread_pool pool(2);
  asio::io_context io;
  auto there = sluice::make_channel<int>();
  auto on = sluice::make_channel<int>();
  auto back = sluice::make_channel<int>(3);
  const auto pass = [](sluice::receiver<int> in, sluice::sender<int> out) -> sluice::task<> {
    while (auto v = co_await in.receive()) co_await out.send(*v + 1);
    out.close();
  };
  sluice::go(own, pass(there, on));
  sluice::go(pool, pass(on, back));
  sluice::go(asio::system_executor(), [&]() -> sluice::task<> {
    for (int i = 0; i < n; ++i) co_await there.send(i);
    there.close();
  });
  long sum = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    while (auto v = co_await back.receive()) sum += *v;
  });
  io.run();
  BOOST_TEST(sum == static_cast<long>(n) * (n - 1) / 2 + 2L * n);
}

// An executor without an execution context does not compile.
static_assert(can_start<asio::io_context>);
static_assert(can_start<sluice_test::own_context::executor_type>);
static_assert(!can_start<executor_without_context>);
static_assert(!can_start<int>);

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(inside_and_outside)

BOOST_AUTO_TEST_CASE(go_never_runs_anything_inside_the_call) {
  asio::io_context io;
  bool ran = false;
  sluice::go(io, [&] { ran = true; });
  BOOST_TEST(!ran);
  asio::post(io, [&] {
    ran = false;
    sluice::go(io, [&] { ran = true; });
    BOOST_TEST(!ran);
    sluice::go(io, [&]() -> sluice::task<> {
      ran = false;
      sluice::go([&] { ran = true; });
      BOOST_TEST(!ran);
      co_return;
    });
  });
  io.run();
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(go_without_a_place_outside_a_goroutine_is_a_clear_error) {
  const auto is_it = [](const sluice::system_error& e) {
    return e.code() == sluice::error::not_in_goroutine &&
           std::string(e.what()).find("sluice::go") != std::string::npos;
  };
  BOOST_CHECK_EXCEPTION(sluice::go([] {}), sluice::system_error, is_it);
  asio::io_context io;
  bool refused = false;
  asio::post(io, [&] {
    try {
      sluice::go([] {});
    } catch (const sluice::system_error& e) {
      refused = e.code() == sluice::error::not_in_goroutine;
    }
  });
  io.run();
  BOOST_TEST(refused);
}

BOOST_AUTO_TEST_CASE(go_without_a_place_uses_the_scheduler_of_the_goroutine) {
  asio::thread_pool pool(2);
  std::promise<bool> inside;
  sluice::go(pool, [&]() -> sluice::task<> {
    sluice::go([&] { inside.set_value(pool.get_executor().running_in_this_thread()); });
    co_return;
  });
  BOOST_TEST(inside.get_future().get());
  pool.join();
}

BOOST_AUTO_TEST_CASE(go_without_a_place_works_in_a_plain_callable_started_as_a_goroutine) {
  asio::io_context io;
  bool ran = false;
  sluice::go(io, [&] { sluice::go([&] { ran = true; }); });
  io.run();
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(go_from_plain_handlers_and_from_nested_goroutines) {
  asio::io_context io;
  int ran = 0;
  struct nest {
    static sluice::task<> down(int left, int& count) {
      ++count;
      if (left > 0) sluice::go(down(left - 1, count));
      co_return;
    }
  };
  for (int i = 0; i < 10; ++i) asio::post(io, [&] { sluice::go(io, nest::down(99, ran)); });
  io.run();
  BOOST_TEST(ran == 1000);
}

BOOST_AUTO_TEST_CASE(a_task_that_was_moved_from_is_refused) {
  asio::io_context io;
  auto t = five();
  const auto taken = std::move(t);
  BOOST_CHECK_THROW(sluice::go(io, std::move(t)), std::invalid_argument);
  BOOST_TEST(io.run() == 0U);
}

// chriskohlhoff/asio#552, #835.
BOOST_AUTO_TEST_CASE(ten_foreign_threads_start_goroutines_on_one_context) {
  const sluice_test::watchdog dog;
  const std::size_t each = sluice_test::rounds(100'000, 5'000);
  asio::io_context io;
  auto guard = asio::make_work_guard(io);
  std::atomic<std::size_t> ran = 0;
  {
    std::vector<std::jthread> runners;
    for (int i = 0; i < 4; ++i) runners.emplace_back([&] { io.run(); });
    {
      std::vector<std::jthread> starters;
      for (int i = 0; i < 10; ++i)
        starters.emplace_back([&] {
          for (std::size_t k = 0; k < each; ++k) {
            if (k % 2 == 0)
              sluice::go(io, [](std::atomic<std::size_t>& r) -> sluice::task<> {
                ++r;
                co_return;
              }(ran));
            else
              sluice::go(io, [&ran] { ++ran; });
          }
        });
    }
    guard.reset();
  }
  BOOST_TEST(ran == 10 * each);
  BOOST_TEST(sluice::goroutine_count(io) == 0U);
}

BOOST_AUTO_TEST_SUITE_END()

// chriskohlhoff/asio#1135, isocpp/CppCoreGuidelines#1756: captures live in the closure.
BOOST_AUTO_TEST_SUITE(the_callable)

BOOST_AUTO_TEST_CASE(is_kept_until_the_goroutine_ends) {
  asio::io_context io;
  std::atomic<int> alive = 0;
  std::vector<std::string> got;
  auto go_on = sluice::make_channel<void>();
  const auto start = [&] {
    auto closure = [&got, go_on, s = std::string(100, 'x'), p = std::make_unique<int>(3),
                    c = witness(alive)]() -> sluice::task<> {
      static_cast<void>(co_await go_on.receive());
      got.push_back(s + std::to_string(*p));
      sluice::go([&got, t = s]() -> sluice::task<> {
        co_await sluice::this_goroutine::yield();
        got.push_back(t);
      });
      co_await sluice::this_goroutine::yield();
      got.push_back(s + std::to_string(*p));
    };
    sluice::go(io, std::move(closure));
  };
  start();
  io.poll();
  BOOST_TEST(alive == 1);
  go_on.close();
  io.run();
  const std::string x(100, 'x');
  BOOST_TEST(got.size() == 3U);
  BOOST_TEST(got.front() == x + "3");
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(is_copied_when_it_is_an_lvalue) {
  asio::io_context io;
  int sum = 0;
  {
    const auto add = [&sum, n = 21]() -> sluice::task<> {
      co_await sluice::this_goroutine::yield();
      sum += n;
    };
    sluice::go(io, add);
    sluice::go(io, add);
  }
  io.run();
  BOOST_TEST(sum == 42);
}

BOOST_AUTO_TEST_CASE(what_moving_it_throws_leaves_go_and_starts_nothing) {
  struct thrower {
    thrower() = default;
    thrower(const thrower&) { throw std::runtime_error("copy"); }
    void operator()() const {}
  };
  asio::io_context io;
  const thrower t;
  BOOST_CHECK_THROW(sluice::go(io, t), std::runtime_error);
  BOOST_TEST(sluice::goroutine_count(io) == 0U);
  BOOST_TEST(io.run() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
