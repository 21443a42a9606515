#include <sluice/once.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/runtime.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/use_task.hpp>
#include <sluice/when_all.hpp>
#include <sluice/worker_pool.hpp>

#include "sync_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

// Rows of Go's sync/once_test.go and oncefunc_test.go, and what a call that did not do it leaves.

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_once)

BOOST_AUTO_TEST_CASE(calls_the_first_function_only_and_lets_nobody_go_on_before_it_has_ended) {
  asio::io_context io;
  once o;
  int calls = 0, seen = 0;
  auto gate = sluice::make_channel<void>();
  for (int i = 0; i < 10; ++i)
    sluice::go(io, [&]() -> task<> {
      co_await o.call([&]() -> task<> {
        co_await gate.receive();
        ++calls;
      });
      seen += calls;
    });
  poll(io);
  BOOST_TEST(seen == 0);
  gate.close();
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(seen == 10);
}

// A call is a task, although none is made when there is nothing to do.
BOOST_AUTO_TEST_CASE(may_go_before_its_calls_are_awaited_or_started) {
  asio::io_context io;
  auto o = std::make_unique<once>();
  int calls = 0;
  int ended = 0;
  sluice::go(io, [&]() -> task<> {
    const auto count = [&] { ++calls; };
    auto made_early = o->call(count);
    co_await o->call(count);
    co_await sluice::when_all(o->call(count), o->call(count));
    task<> made_late = o->call(count);
    sluice::go(o->call(count));
    sluice::go(io, o->call(count), [&](std::exception_ptr e) { ended += !e; });
    o.reset();
    co_await std::move(made_early);
    co_await std::move(made_late);
    ++ended;
  });
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(ended == 2);
}

BOOST_AUTO_TEST_CASE(is_called_by_functions_that_return_its_call) {
  asio::io_context io;
  int calls = 0;
  const auto count = [&]() -> task<> {
    co_await sluice::this_goroutine::yield();
    ++calls;
  };
  once started, awaited, joined, nested, pooled;
  sluice::go(io, [&] { return started.call(count); });
  const auto joins = [&] { return joined.call(count); };
  const auto calls_nested = [&] { return nested.call(count); };
  sluice::worker_pool<int, void> pool(io, {.workers = 1}, [&](int) { return pooled.call(count); });
  sluice::go(io, [&]() -> task<> {
    const auto calls_it = [&] { return awaited.call(count); };
    co_await sluice::go(co_await asio::this_coro::executor, calls_it, sluice::use_task);
    co_await sluice::when_all(joins, joins);
    once outer;
    co_await outer.call(calls_nested);
    co_await pool.submit(1);
  });
  io.run();
  BOOST_TEST(calls == 5);
}

BOOST_AUTO_TEST_CASE(that_is_done_throws_to_who_was_cancelled_and_asked_for_that) {
  asio::io_context io;
  once o;
  auto tree = sluice::with_cancel(sluice::context::background());
  sluice::error_code as_asked, by_default;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    const auto nothing = [] {};
    co_await o.call(nothing);
    tree.cancel();
    by_default = co_await error_of(o.call(nothing));
    co_await asio::this_coro::throw_if_cancelled(true);
    try {
      co_await o.call(nothing);
    } catch (const sluice::system_error& e) {
      as_asked = e.code();
    }
  });
  run(io);
  BOOST_TEST(!by_default);
  BOOST_TEST(as_asked == asio::error::operation_aborted);
}

BOOST_AUTO_TEST_CASE(whose_function_throws_is_done_and_tells_every_caller) {
  asio::io_context io;
  once o;
  int calls = 0, told = 0;
  for (int i = 0; i < 3; ++i)
    sluice::go(io, [&]() -> task<> {
      try {
        co_await o.call([&] {
          ++calls;
          throw std::runtime_error("no");
        });
      } catch (const std::runtime_error&) {
        ++told;
      }
    });
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(told == 3);
}

// The caller's limit in time is not the function's failure.
BOOST_AUTO_TEST_CASE(whose_first_caller_is_cancelled_is_done_by_the_next) {
  for (const bool by_deadline : {false, true}) {
    asio::io_context io;
    once o;
    int done = 0, others = 0;
    const auto endless = []() -> task<> { co_await sluice::sleep_for(24h); };
    const auto parent = sluice::with_cancel(sluice::context::background());
    const auto tree = sluice::with_timeout(io, parent.ctx, by_deadline ? 1ms : 24h);
    error_code first;
    sluice::go(tree.ctx, io, [&]() -> task<> { first = co_await error_of(o.call(endless)); });
    poll(io);
    for (int i = 0; i < 2; ++i)
      sluice::go(io, [&]() -> task<> {
        co_await o.call([&] { ++done; });
        ++others;
      });
    poll(io);
    BOOST_TEST((by_deadline || others == 0));  // the deadline may have passed by now
    if (!by_deadline) parent.cancel();
    run(io);
    BOOST_TEST(first == (by_deadline ? deadline_exceeded : aborted));
    BOOST_TEST(done == 1);
    BOOST_TEST(others == 2);
  }
}

BOOST_AUTO_TEST_CASE(whose_function_ends_with_a_limit_of_its_own_is_done) {
  run_in_virtual_time([]() -> task<> {
    once o;
    const auto limited = []() -> task<> { co_await sluice::timeout(sluice::sleep_for(24h), 1ms); };
    bool called = false;
    BOOST_TEST((co_await error_of(o.call(limited))) == timed_out);
    BOOST_TEST((co_await error_of(o.call([&] { called = true; }))) == timed_out);
    BOOST_TEST(!called);
  });
}

BOOST_AUTO_TEST_CASE(whose_first_caller_is_destroyed_is_done_by_the_next) {
  asio::io_context live;
  once o;
  int done = 0;
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      co_await o.call([]() -> task<> { co_await sluice::sleep_for(24h); });
    });
    poll(io);
    sluice::go(live, [&]() -> task<> { co_await o.call([&] { ++done; }); });
    poll(live);
    BOOST_TEST(done == 0);
  }
  run(live);
  BOOST_TEST(done == 1);
}

// Under the address sanitizer: what the call still uses must not have been in it.
BOOST_AUTO_TEST_CASE(may_go_while_another_goroutine_is_in_its_function) {
  int ended = 0;
  sluice::run(
      [&]() -> task<> {
        auto o = std::make_unique<once>();
        auto v = std::make_unique<once_value<task<int> (*)()>>(+[]() -> task<int> {
          co_return static_cast<int>((co_await sluice::channel<int>().receive()).value());
        });
        sluice::go([&, p = o.get()]() -> task<> {
          co_await p->call([]() -> task<> { co_await sluice::this_goroutine::yield(); });
          ++ended;
        });
        sluice::go([p = o.get()]() -> task<> {
          co_await p->call([]() -> task<> { co_await sluice::sleep_for(24h); });
        });
        sluice::go([p = v.get()]() -> task<> { static_cast<void>(co_await (*p)()); });
        for (int i = 0; i < 3; ++i) co_await sluice::this_goroutine::yield();
      },
      1);
  BOOST_TEST(ended == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_once_value)

BOOST_AUTO_TEST_CASE(is_computed_once_and_its_function_is_destroyed_then) {
  run_task([]() -> task<> {
    int calls = 0;
    const auto kept = std::make_shared<int>(7);
    once_value v([&calls, kept]() -> task<int> {
      ++calls;
      co_return *kept;
    });
    BOOST_TEST((co_await v()) == 7);
    BOOST_TEST(kept.use_count() == 1);
    BOOST_TEST((co_await v()) == 7);
    BOOST_TEST(calls == 1);
  });
}

BOOST_AUTO_TEST_CASE(whose_first_caller_is_cancelled_is_computed_for_the_next) {
  asio::io_context io;
  int calls = 0;
  auto gate = sluice::make_channel<int>();
  once_value v([&]() -> task<int> {
    ++calls;
    co_return *co_await gate.receive();
  });
  const auto tree = sluice::with_cancel(sluice::context::background());
  std::optional<int> second;
  sluice::go(tree.ctx, io, [&]() -> task<> { static_cast<void>(co_await error_of(v())); });
  poll(io);
  sluice::go(io, [&]() -> task<> { second = co_await v(); });
  poll(io);
  tree.cancel();
  poll(io);
  gate.try_send(5);
  run(io);
  BOOST_TEST(second.value() == 5);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(whose_function_throws_throws_for_ever_and_keeps_no_function) {
  run_task([]() -> task<> {
    const auto kept = std::make_shared<int>(7);
    int calls = 0;
    once_value v([&calls, kept]() -> int {
      ++calls;
      throw std::runtime_error("no");
    });
    for (int i = 0; i < 2; ++i) {
      bool threw = false;
      try {
        static_cast<void>(co_await v());
      } catch (const std::runtime_error&) {
        threw = true;
      }
      BOOST_TEST(threw);
    }
    BOOST_TEST(calls == 1);
    BOOST_TEST(kept.use_count() == 1);
  });
}

BOOST_AUTO_TEST_SUITE_END()
