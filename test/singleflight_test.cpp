#include <sluice/singleflight.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Rows of singleflight_test.go of golang.org/x/sync.

namespace {

using namespace sluice_test;

using group = sluice::singleflight<std::string, std::string>;

/// A function that waits until it may go on, and counts its calls.
class slow_function {
 public:
  explicit slow_function(std::string result) : result_(std::move(result)) {}

  task<std::string> operator()() {
    ++calls;
    const auto finish = finish_;
    static_cast<void>(co_await finish.receive());
    if (result_.empty()) throw std::runtime_error("it failed");
    co_return result_;
  }
  /// The closure for a call.
  auto function() {
    return [this] { return (*this)(); };
  }
  void finish() { finish_.close(); }

  int calls = 0;

 private:
  std::string result_;
  sluice::channel<void> finish_ = make_channel<void>();
};

std::string text_of(const group::result& r) {
  try {
    return r.value();
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(calls_of_one_key)

// Source: TestDo, TestDoErr
BOOST_AUTO_TEST_CASE(give_a_value_or_what_was_thrown) {
  run_task([]() -> task<> {
    group g;
    const auto r = co_await g.call("key", [] { return std::string("bar"); });
    BOOST_TEST(r.value() == "bar");
    BOOST_TEST(static_cast<bool>(r));
    BOOST_TEST(!r.shared());
    const auto failed =
        co_await g.call("key", []() -> std::string { throw std::runtime_error("some error"); });
    BOOST_TEST(!static_cast<bool>(failed));
    BOOST_CHECK_THROW(static_cast<void>(failed.value()), std::runtime_error);
    const auto again = co_await g.call(
        "key", []() -> asio::awaitable<std::string> { co_return "from an awaitable"; });
    BOOST_TEST(again.value() == "from an awaitable");
  });
}

// Source: TestDoDupSuppress; golang/go#41133: what is thrown is thrown to all
BOOST_AUTO_TEST_CASE(at_the_same_time_share_one_result) {
  for (const bool fails : {false, true}) {
    asio::io_context io;
    group g;
    slow_function f(fails ? "" : "the result");
    std::vector<std::string> got;
    std::size_t shared = 0;
    for (int i = 0; i < 10; ++i)
      sluice::go(io, [&]() -> task<> {
        const auto function = f.function();
        const auto r = co_await g.call("key", function);
        got.push_back(text_of(r));
        if (r.shared()) ++shared;
      });
    poll(io);
    BOOST_TEST(f.calls == 1);
    BOOST_TEST(got.empty());
    f.finish();
    run(io);
    BOOST_TEST(f.calls == 1);
    BOOST_TEST(shared == 10u);
    BOOST_TEST(got == std::vector<std::string>(10, fails ? "it failed" : "the result"),
               per_element());
  }
}

BOOST_AUTO_TEST_CASE(one_after_another_run_anew) {
  run_task([]() -> task<> {
    group g;
    int calls = 0;
    for (int i = 1; i <= 3; ++i) {
      const auto r = co_await g.call("key", [&] { return std::to_string(++calls); });
      BOOST_TEST(r.value() == std::to_string(i));
      BOOST_TEST(!r.shared());
    }
  });
}

// Source: TestForget, TestForgetUnshared; golang/go#31420
BOOST_AUTO_TEST_CASE(that_was_forgotten_do_not_disturb_the_later_ones) {
  asio::io_context io;
  group g;
  slow_function first("first"), second("second"), never("never");
  std::vector<std::string> got;
  const auto start = [&](slow_function& f) {
    sluice::go(io, [&g, &got, &f]() -> task<> {
      const auto function = f.function();
      const auto r = co_await g.call("key", function);
      got.push_back(text_of(r));
    });
    poll(io);
  };
  start(first);
  g.forget("key");
  g.forget("another");
  start(second);
  BOOST_TEST(second.calls == 1);
  first.finish();
  poll(io);
  BOOST_TEST(got.size() == 1u);
  start(never);
  BOOST_TEST(never.calls == 0, "the later call is still under way");
  second.finish();
  run(io);
  const std::vector<std::string> expected{"first", "second", "second"};
  BOOST_TEST(got == expected, per_element());
}

// Source: TestDoChan
BOOST_AUTO_TEST_CASE(can_be_cases_of_a_select) {
  run_in_virtual_time([]() -> task<> {
    group g;
    slow_function f("late");
    const auto function = f.function();
    const auto results = g.call_channel("key", function);
    auto r = co_await sluice::select(results.receive(), sluice::sleep_for(1us));
    BOOST_TEST(r.index() == 1u);
    f.finish();
    const auto late = co_await results.receive();
    BOOST_TEST(late->value() == "late");
  });
}

BOOST_AUTO_TEST_CASE(need_a_goroutine) {
  group g;
  const auto not_in_goroutine = sluice::make_error_code(sluice::error::not_in_goroutine);
  BOOST_CHECK_EXCEPTION(static_cast<void>(g.call_channel("key", [] { return std::string(); })),
                        sluice::system_error, has_code(not_in_goroutine));
}

BOOST_AUTO_TEST_CASE(give_move_only_functions_and_values_that_can_be_taken) {
  run_task([]() -> task<> {
    sluice::singleflight<int, std::shared_ptr<int>> g;
    auto function = [p = std::make_unique<int>(7)] { return std::make_shared<int>(*p); };
    const auto results = g.call_channel(1, std::move(function));
    auto r = co_await results.receive();
    const std::shared_ptr<int> taken = std::move(*r).value();
    BOOST_TEST(*taken == 7);
    BOOST_TEST(taken.use_count() == 1);
  });
}

// Source: golang/go#31420 and the rest: what goes wrong in one call is over with it
BOOST_AUTO_TEST_CASE(whose_function_cannot_be_copied_leave_the_key_free) {
  struct throws_when_copied {
    throws_when_copied() = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("no copy"); }
    std::string operator()() const { return "never"; }
  };
  run_in_virtual_time([]() -> task<> {
    group g;
    const throws_when_copied f;
    BOOST_CHECK_THROW(static_cast<void>(g.call_channel("key", f)), std::runtime_error);
    const auto results = g.call_channel("key", [] { return std::string("free"); });
    auto r = co_await sluice::select(results.receive(), sluice::sleep_for(1s));
    BOOST_REQUIRE(r.index() == 0u);
    BOOST_TEST(r.get<0>()->value() == "free");
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(calls_of_different_keys)

BOOST_AUTO_TEST_CASE(run_beside_each_other) {
  asio::io_context io;
  group g;
  slow_function a("a"), b("b");
  std::vector<std::string> got;
  for (auto* f : {&a, &b})
    sluice::go(io, [&g, &got, f, key = std::string(f == &a ? "a" : "b")]() -> task<> {
      const auto function = f->function();
      const auto r = co_await g.call(key, function);
      got.push_back(text_of(r));
    });
  poll(io);
  BOOST_TEST(a.calls == 1);
  BOOST_TEST(b.calls == 1);
  b.finish();
  poll(io);
  a.finish();
  run(io);
  const std::vector<std::string> expected{"b", "a"};
  BOOST_TEST(got == expected, per_element());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_caller)

BOOST_AUTO_TEST_CASE(that_is_cancelled_only_stops_waiting) {
  asio::io_context io;
  group g;
  slow_function f("the result");
  const auto tree = with_cancel(sluice::context::background());
  std::optional<error_code> cancelled;
  std::string other;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    const auto function = f.function();
    cancelled = co_await error_of(g.call("key", function));
  });
  poll(io);
  sluice::go(io, [&]() -> task<> {
    const auto function = f.function();
    const auto r = co_await g.call("key", function);
    other = text_of(r);
  });
  poll(io);
  tree.cancel();
  poll(io);
  BOOST_TEST(cancelled.value() == aborted);
  f.finish();
  run(io);
  BOOST_TEST(other == "the result");
  BOOST_TEST(f.calls == 1);
}

// Source: TestGoexitDo: a function that never returns does not leave anybody waiting
BOOST_AUTO_TEST_CASE(elsewhere_is_told_if_the_function_is_destroyed) {
  asio::io_context other;
  group g;
  slow_function f("never");
  std::string got;
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      const auto function = f.function();
      static_cast<void>(co_await g.call("key", function));
    });
    poll(io);
    sluice::go(other, [&]() -> task<> {
      const auto r = co_await g.call("key", [] { return std::string("another"); });
      try {
        got = r.value();
      } catch (const sluice::system_error& e) {
        got = e.code() == aborted ? "aborted" : "wrong";
      }
    });
    poll(other);
    BOOST_TEST(got == "");
  }
  run(other);
  BOOST_TEST(got == "aborted");
  sluice::go(other, [&]() -> task<> {
    const auto r = co_await g.call("key", [] { return std::string("anew"); });
    got = r.value();
  });
  run(other);
  BOOST_TEST(got == "anew");
}

BOOST_AUTO_TEST_CASE(is_told_even_if_the_object_is_gone) {
  asio::io_context io;
  auto g = std::make_unique<group>();
  slow_function f("the result");
  std::string got;
  sluice::go(io, [&]() -> task<> {
    const auto function = f.function();
    const auto r = co_await g->call("key", function);
    got = text_of(r);
  });
  poll(io);
  g.reset();
  f.finish();
  run(io);
  BOOST_TEST(got == "the result");
}

// Source: TestDoDupSuppress, TestPanicDo under load
BOOST_AUTO_TEST_CASE(on_several_threads_gets_the_result_of_a_call_that_was_under_way) {
  const watchdog dog;
  asio::io_context io;
  sluice::singleflight<int, int> g;
  std::atomic<int> active[4] = {};
  std::atomic<std::size_t> calls{0}, got{0}, wrong{0};
  const std::size_t n = rounds(400, 100);
  for (int caller = 0; caller < 16; ++caller)
    sluice::go(io, [&, caller]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        const int key = static_cast<int>(i + static_cast<std::size_t>(caller)) % 4;
        const auto function = [&, key]() -> task<int> {
          if (++active[key] != 1) ++wrong;
          ++calls;
          co_await sluice::sleep_for(1us);
          --active[key];
          co_return 100 + key;
        };
        const auto r = co_await g.call(key, function);
        if (r.value() != 100 + key) ++wrong;
        ++got;
      }
    });
  run(io, 3);
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(got == 16 * n);
  BOOST_TEST(calls <= got);
}

// Whoever cannot have a copy is told why; nobody waits on, and nothing leaves run().
BOOST_AUTO_TEST_CASE(is_told_whichever_copy_of_the_value_fails) {
  struct fragile {
    fragile() = default;
    fragile(const fragile& other) : copies_left(other.copies_left) {
      if (*copies_left > 0 && --*copies_left == 0) throw std::runtime_error("copied");
    }
    fragile& operator=(const fragile&) = delete;
    std::shared_ptr<int> copies_left = std::make_shared<int>(0);
  };
  for (int copy = 1; copy < 16; ++copy) {
    asio::io_context io;
    sluice::singleflight<int, fragile> g;
    auto gate = make_channel<void>();
    const auto copies_left = std::make_shared<int>(0);
    int values = 0, failures = 0;
    const auto function = [&]() -> task<fragile> {
      co_await gate.receive();
      fragile f;
      f.copies_left = copies_left;
      co_return f;
    };
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&]() -> task<> {
        try {
          const auto r = co_await g.call(1, function);
          ++(r ? values : failures);
        } catch (const std::runtime_error&) {
          ++failures;
        }
      });
    poll(io);
    gate.close();
    *copies_left = copy;
    run(io);
    BOOST_TEST(values + failures == 3);
    *copies_left = 0;
    bool again = false;
    sluice::go(io, [&]() -> task<> {
      const auto value = []() -> task<fragile> { co_return fragile(); };
      again = static_cast<bool>(co_await g.call(1, value));
    });
    run(io);
    BOOST_TEST(again, "the key is free again");
  }
}

BOOST_AUTO_TEST_SUITE_END()
