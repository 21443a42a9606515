#include <sluice/this_goroutine.hpp>

#include <sluice/channel.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// How yield shares a thread among goroutines is in scheduler/fairness_test.cpp.

namespace {

using namespace sluice_test;

using sluice::this_goroutine::set_name;

/// For `BOOST_CHECK_EXCEPTION`: whether an error says that `function` needs a goroutine.
auto needs_goroutine(std::string function) {
  return [f = std::move(function)](const sluice::system_error& e) {
    return e.code() == sluice::error::not_in_goroutine && contains(e.what(), f);
  };
}

}  // namespace

BOOST_AUTO_TEST_SUITE(yielding)

BOOST_AUTO_TEST_CASE(alone_goes_on_at_once) {
  int turns = 0;
  run_task([&]() -> task<> {
    for (; turns < 10'000; ++turns) co_await yield();
  });
  BOOST_TEST(turns == 10'000);
}

// runtime.Gosched
BOOST_AUTO_TEST_CASE(lets_those_that_are_ready_go_first_and_those_that_it_started) {
  std::vector<int> order;
  run_task([&]() -> task<> {
    for (int i = 1; i <= 3; ++i) sluice::go([&, i] { order.push_back(i); });
    order.push_back(0);
    co_await yield();
    order.push_back(4);
  });
  BOOST_TEST(order == (std::vector{0, 1, 2, 3, 4}));
}

BOOST_AUTO_TEST_CASE(from_a_nested_task_lets_the_whole_goroutine_wait) {
  std::vector<int> order;
  run_task([&]() -> task<> {
    sluice::go([&] { order.push_back(1); });
    const auto inner = [&]() -> task<> {
      co_await yield();
      order.push_back(2);
    };
    co_await inner();
    order.push_back(3);
  });
  BOOST_TEST(order == (std::vector{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(neither_moves_a_goroutine_to_another_context_nor_off_its_strand) {
  const watchdog dog;
  asio::io_context io;
  asio::thread_pool pool(2);
  const auto strand = asio::make_strand(pool);
  std::atomic<int> right = 0;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      co_await yield();
      right += io.get_executor().running_in_this_thread();
    }
  });
  sluice::go(strand, [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      co_await yield();
      right += strand.running_in_this_thread();
    }
  });
  io.run();
  pool.join();
  BOOST_TEST(right == 200);
}

// It cannot be cancelled: who yields does not wait for anything.
BOOST_AUTO_TEST_CASE(ends_although_the_goroutine_is_cancelled) {
  asio::io_context io;
  int turns = 0;
  cancellable_goroutine g(io, [&]() -> task<> {
    for (; turns < 100; ++turns) co_await yield();
  });
  g.cancel(types::all);
  io.run();
  BOOST_TEST(turns == 100);
  BOOST_TEST(g.ended());
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(name)

BOOST_AUTO_TEST_CASE(is_shown_in_the_report_of_a_deadlock) {
  std::string text;
  try {
    sluice::run(
        []() -> task<> {
          auto ch = make_channel<int>();
          sluice::go([ch]() -> task<> {
            set_name("consumer of jobs");
            static_cast<void>(co_await ch.receive());
          });
          sluice::go([ch]() -> task<> { static_cast<void>(co_await ch.receive()); });
          set_name("main");
          co_await sluice::channel<void>().send();
        },
        1);
  } catch (const sluice::deadlock_error& e) {
    text = e.what();
  }
  BOOST_TEST(contains(text, "consumer of jobs"), text);
  BOOST_TEST(contains(text, "main"), text);
  BOOST_TEST(contains(text, "waiting on receive at "), text);
  BOOST_TEST(contains(text, "waiting on send at "), text);
  BOOST_TEST(contains(text, ", started at "), text);
}

BOOST_AUTO_TEST_CASE(that_was_given_last_counts_whatever_task_gave_it) {
  asio::io_context io;
  auto ch = make_channel<int>();
  sluice::go(io, [&]() -> task<> {
    set_name("first name");
    const auto rename = []() -> task<> {
      set_name("second name");
      co_return;
    };
    co_await rename();
    static_cast<void>(co_await ch.receive());
  });
  sluice::go(io, [&] { set_name("long gone"); });
  io.poll();
  const auto text = sluice::describe_goroutines(io);
  BOOST_TEST(contains(text, "second name"), text);
  BOOST_TEST(!contains(text, "first name"), text);
  BOOST_TEST(!contains(text, "long gone"), text);
}

BOOST_AUTO_TEST_SUITE_END()

// What speaks of "this goroutine" is a clear error where there is none.
BOOST_AUTO_TEST_SUITE(outside)

namespace {

/// Every function that needs a goroutine, and what it calls itself.
const std::vector<std::pair<std::string, std::function<void()>>> functions = {
    {"set_name", [] { set_name("nobody"); }},
    {"sluice::go", [] { sluice::go([] {}); }},
    {"work_guard", [] { sluice::work_guard(); }},
    {"sluice::timer", [] { sluice::timer(1s); }},
    {"sluice::ticker", [] { sluice::ticker(1s); }},
    {"sluice::after", [] { static_cast<void>(sluice::after(1s)); }},
    {"sluice::after_func", [] { sluice::after_func(1s, [] {}); }},
};

}  // namespace

BOOST_AUTO_TEST_CASE(of_any_goroutine_it_is_a_clear_error) {
  for (const auto& [name, call] : functions)
    BOOST_CHECK_EXCEPTION(call(), sluice::system_error, needs_goroutine(name));
}

BOOST_AUTO_TEST_CASE(of_any_goroutine_in_a_plain_handler_it_is_a_clear_error) {
  asio::io_context io;
  asio::post(io, [&] {
    for (const auto& [name, call] : functions)
      BOOST_CHECK_EXCEPTION(call(), sluice::system_error, needs_goroutine(name));
  });
  sluice::get_executor(io).execute([&] {
    for (const auto& [name, call] : functions)
      BOOST_CHECK_EXCEPTION(call(), sluice::system_error, needs_goroutine(name));
  });
  BOOST_TEST(io.run() > 0u);
}

BOOST_AUTO_TEST_CASE(of_any_goroutine_in_a_completion_handler_it_is_a_clear_error) {
  asio::io_context io;
  int calls = 0;
  auto ch = make_channel<int>(io, 1);
  sluice::go(io, [&]() -> task<> { co_await ch.send(1); });
  ch.async_receive([&](sluice::error_code, std::optional<int>) {
    ++calls;
    BOOST_CHECK_EXCEPTION(set_name("handler"), sluice::system_error, needs_goroutine("set_name"));
  });
  sluice::go(
      io, [] {},
      [&](std::exception_ptr) {
        ++calls;
        BOOST_CHECK_EXCEPTION(set_name("end"), sluice::system_error, needs_goroutine("set_name"));
      });
  io.run();
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(is_not_what_a_nested_event_loop_leaves_behind) {
  asio::io_context io;
  asio::io_context other;
  std::string text;
  auto ch = make_channel<int>();
  sluice::go(io, [&]() -> task<> {
    sluice::go(other, [&]() -> task<> {
      set_name("inner");
      static_cast<void>(co_await ch.receive());
    });
    other.poll();
    set_name("outer");
    co_await ch.send(1);
    static_cast<void>(co_await ch.receive());
  });
  io.poll();
  BOOST_TEST(contains(sluice::describe_goroutines(io), "outer"));
  BOOST_TEST(contains(sluice::describe_goroutines(other), "inner"));
}

BOOST_AUTO_TEST_CASE(is_where_the_goroutine_is_not_running) {
  asio::io_context io;
  auto ch = make_channel<int>();
  sluice::go(io, [&]() -> task<> { static_cast<void>(co_await ch.receive()); });
  io.poll();
  BOOST_CHECK_EXCEPTION(set_name("parked"), sluice::system_error, needs_goroutine("set_name"));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(executor)

BOOST_AUTO_TEST_CASE(is_the_strand_of_the_goroutine_and_it_runs_there_from_then_on) {
  asio::io_context io;
  std::vector<bool> on_strand;
  auto ch = make_channel<int>(1);
  sluice::go(io, [&]() -> task<> {
    const asio::any_io_executor ex = co_await asio::this_coro::executor;
    const auto* const strand = ex.target<sluice::executor>();
    BOOST_REQUIRE(strand);
    const auto look = [&] { on_strand.push_back(strand->running_in_this_thread()); };
    look();
    co_await yield();
    look();
    co_await sluice::sleep_for(1ms);
    look();
    co_await ch.send(1);
    look();
    co_await asio::post(io, asio::deferred);
    look();
    sluice::go([&] { ch.try_receive(); });
    co_await ch.send(2);
    look();
    const asio::any_io_executor again = co_await asio::this_coro::executor;
    BOOST_TEST((again == ex));
  });
  io.run();
  BOOST_TEST(on_strand == std::vector<bool>(6, true));
}

BOOST_AUTO_TEST_CASE(of_another_goroutine_is_another_strand) {
  std::vector<asio::any_io_executor> found;
  const auto look = [&]() -> task<> { found.push_back(co_await asio::this_coro::executor); };
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    co_await look();
    co_await look();
    sluice::go(look);
  });
  io.run();
  BOOST_TEST(found.size() == 3u);
  BOOST_TEST((found[0] == found[1]));
  BOOST_TEST((found[0] != found[2]));
  found.clear();
}

BOOST_AUTO_TEST_CASE(is_the_strand_that_the_goroutine_was_started_on) {
  asio::io_context io;
  int same = 0;
  const auto compare = [&](const auto& strand) {
    sluice::go(strand, [&same, strand]() -> task<> {
      const asio::any_io_executor ex = co_await asio::this_coro::executor;
      same += strand.running_in_this_thread() && ex == asio::any_io_executor(strand);
    });
  };
  compare(asio::make_strand(io));
  compare(asio::make_strand(sluice::get_executor(io)));
  io.run();
  BOOST_TEST(same == 2);
}

// What is bound to it does not run beside the goroutine, on however many threads.
BOOST_AUTO_TEST_CASE(serialises_handlers_with_the_goroutine) {
  const watchdog dog;
  asio::io_context io;
  const auto n = static_cast<int>(sluice_test::rounds(2'000, 300));
  long unguarded = 0;
  std::atomic<int> inside = 0;
  std::atomic<int> overlaps = 0;
  const auto step = [&] {
    if (++inside != 1) ++overlaps;
    ++unguarded;
    --inside;
  };
  sluice::go(io, [&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    for (int i = 0; i < n; ++i) {
      asio::post(ex, step);
      asio::dispatch(ex, step);
      step();
      co_await yield();
      step();
    }
  });
  sluice_test::run(io, 4);
  BOOST_TEST(unguarded == 4L * n);
  BOOST_TEST(overlaps == 0);
}

const sluice::detail::dispatcher& where_it_runs() {
  return *sluice::detail::current_goroutine("test").where;
}

task<> yield_often() {
  for (int i = 0; i < 20; ++i) co_await yield();
}

BOOST_AUTO_TEST_CASE(is_left_by_the_goroutine_when_nobody_else_has_it) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    {
      const asio::any_io_executor ex = co_await asio::this_coro::executor;
      co_await yield_often();
      BOOST_TEST(where_it_runs().is_serial());
    }
    co_await yield_often();
    BOOST_TEST(where_it_runs().is_native());
    asio::steady_timer timer(io, 1us);
    co_await timer.async_wait(asio::deferred);
    BOOST_TEST(where_it_runs().is_serial());
    co_await yield_often();
    BOOST_TEST(where_it_runs().is_native());
  });
  io.run();
}

BOOST_AUTO_TEST_CASE(is_kept_while_something_waits_for_it) {
  asio::io_context io;
  int seen = 0;
  sluice::go(io, [&]() -> task<> {
    asio::post(co_await asio::this_coro::executor, [&] { ++seen; });
    BOOST_TEST(where_it_runs().is_serial());
    co_await yield();
    BOOST_TEST(seen == 1);
  });
  io.run();
}

BOOST_AUTO_TEST_CASE(is_kept_while_a_cancellation_slot_is_told_there) {
  asio::io_context io;
  asio::cancellation_signal signal;
  sluice::go(
      io,
      [&]() -> task<> {
        static_cast<void>(co_await asio::this_coro::cancellation_state);
        co_await yield_often();
        BOOST_TEST(where_it_runs().is_serial());
      },
      asio::bind_cancellation_slot(signal.slot(), asio::detached));
  io.run();
}

// Others get the executor, use it and let it go, while the goroutine leaves strands and makes new
// ones.
BOOST_AUTO_TEST_CASE(serialises_however_often_it_is_left) {
  const watchdog dog;
  asio::io_context io;
  const auto n = static_cast<int>(sluice_test::rounds(3'000, 300));
  std::atomic<int> inside = 0;
  std::atomic<int> overlaps = 0;
  std::atomic<int> left = 0;
  std::atomic<int> posted = 0;
  const auto step = [&] {
    if (++inside != 1) ++overlaps;
    --inside;
  };
  auto lent = make_channel<asio::any_io_executor>(io, 2);
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < n; ++i) {
      asio::any_io_executor ex = co_await asio::this_coro::executor;
      const sluice::detail::dispatcher* const strand = &where_it_runs();
      co_await lent.send(std::exchange(ex, {}));
      for (int j = 0; j < 18; ++j) {
        step();
        co_await yield();
      }
      left += &where_it_runs() != strand;
    }
    lent.close();
  });
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&]() -> task<> {
      while (auto ex = co_await lent.receive()) {
        for (int j = 0; j < 3; ++j)
          asio::post(*ex, [&] {
            step();
            ++posted;
          });
      }
    });
  sluice_test::run(io, 4);
  BOOST_TEST(overlaps == 0);
  BOOST_TEST(posted == 3 * n);
  BOOST_TEST(left > 0);
}

BOOST_AUTO_TEST_SUITE_END()
