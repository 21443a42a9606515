#include <sluice/task.hpp>

#include <sluice/channel.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/this_goroutine.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

struct no_default {
  explicit no_default(int n) : value(n) {}
  no_default(no_default&&) = default;
  int value;
};

sluice::task<> set(bool& flag) {
  flag = true;
  co_return;
}
sluice::task<int> seven() {
  co_return 7;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(results)

static_assert(!std::is_copy_constructible_v<sluice::task<int>>);
static_assert(std::is_nothrow_move_constructible_v<sluice::task<int>>);
static_assert(!std::is_default_constructible_v<sluice::task<int>>);
static_assert(std::is_same_v<sluice::task<>, sluice::task<void>>);
static_assert(std::is_same_v<sluice::task<int&>::value_type, int&>);

BOOST_AUTO_TEST_CASE(the_body_runs_when_it_is_awaited_and_not_before) {
  run_task([]() -> sluice::task<> {
    bool ran = false;
    auto t = set(ran);
    BOOST_TEST(!ran);
    co_await sluice::this_goroutine::yield();
    BOOST_TEST(!ran);
    co_await std::move(t);
    BOOST_TEST(ran);
  });
}

BOOST_AUTO_TEST_CASE(a_task_that_was_moved_from_is_false_and_cannot_be_awaited) {
  run_task([]() -> sluice::task<> {
    auto t = seven();
    auto u = std::move(t);
    BOOST_TEST(!t);
    BOOST_TEST(static_cast<bool>(u));
    bool refused = false;
    try {
      co_await std::move(t);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    BOOST_TEST(refused);
    const int result = co_await std::move(u);
    BOOST_TEST(result == 7);
    BOOST_TEST(!u);
  });
}

BOOST_AUTO_TEST_CASE(a_task_can_be_assigned_and_stored) {
  run_task([]() -> sluice::task<> {
    std::vector<sluice::task<int>> tasks;
    for (int i = 0; i < 10; ++i)
      tasks.push_back([](int n) -> sluice::task<int> { co_return n; }(i));
    tasks[3] = seven();
    int sum = 0;
    for (auto& t : tasks) sum += co_await std::move(t);
    BOOST_TEST(sum == 45 - 3 + 7);
  });
}

BOOST_AUTO_TEST_CASE(results_are_values_references_move_only_or_not_default_constructible) {
  run_task([]() -> sluice::task<> {
    const auto text = co_await []() -> sluice::task<std::string> { co_return "text"; }();
    BOOST_TEST(text == "text");

    int n = 1;
    int& same = co_await [](int& r) -> sluice::task<int&> { co_return r; }(n);
    BOOST_TEST(&same == &n);
    const int& also = co_await [](int& r) -> sluice::task<const int&> { co_return r; }(n);
    BOOST_TEST(&also == &n);

    const auto p = co_await
        []() -> sluice::task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); }();
    BOOST_TEST(*p == 5);

    const auto made = co_await []() -> sluice::task<no_default> { co_return no_default(6); }();
    BOOST_TEST(made.value == 6);

    const auto none =
        co_await []() -> sluice::task<std::optional<int>> { co_return std::nullopt; }();
    BOOST_TEST(!none.has_value());
  });
}

BOOST_AUTO_TEST_CASE(every_result_is_destroyed_once) {
  std::atomic<int> alive = 0;
  run_task([&]() -> sluice::task<> {
    const auto make = [](std::atomic<int>& a) -> sluice::task<witness> { co_return witness(a); };
    {
      const witness kept = co_await make(alive);
      BOOST_TEST(alive == 1);
    }
    static_cast<void>(co_await make(alive));
  });
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(exceptions)

BOOST_AUTO_TEST_CASE(an_exception_passes_through_nested_awaits_and_unwinds_each) {
  std::vector<int> unwound;
  std::string caught;
  run_task([&]() -> sluice::task<> {
    struct chain {
      static sluice::task<int> down(int n, std::vector<int>& order) {
        const sluice_test::at_exit note([&order, n] { order.push_back(n); });
        if (n == 0) throw std::runtime_error("from the bottom");
        co_return 1 + co_await down(n - 1, order);
      }
    };
    try {
      static_cast<void>(co_await chain::down(3, unwound));
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
  });
  BOOST_TEST(caught == "from the bottom");
  BOOST_TEST(unwound == (std::vector{0, 1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(an_exception_from_the_depth_takes_constant_stack) {
  const int depth = sanitized ? 2'000 : 20'000;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    bool caught = false;
    run_task([&]() -> sluice::task<> {
      struct chain {
        static sluice::task<> down(int n) {
          if (n == 0) throw std::runtime_error("bottom");
          co_await down(n - 1);
        }
      };
      try {
        co_await chain::down(depth);
      } catch (const std::runtime_error&) {
        caught = true;
      }
    });
    BOOST_TEST(caught);
  });
}

BOOST_AUTO_TEST_CASE(a_goroutine_goes_on_after_a_task_of_its_threw) {
  run_task([]() -> sluice::task<> {
    const auto thrower = [](int n) -> sluice::task<int> {
      if (n % 2 == 0) throw n;
      co_return n;
    };
    int thrown = 0;
    int returned = 0;
    for (int i = 0; i < 1000; ++i) {
      try {
        returned += (co_await thrower(i)) % 2;
      } catch (int) {
        ++thrown;
      }
    }
    BOOST_TEST(thrown == 500);
    BOOST_TEST(returned == 500);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(stack)

// lewissbaker/cppcoro#31: symmetric transfer without tail calls.
BOOST_AUTO_TEST_CASE(a_million_sequential_awaits_take_constant_stack) {
  const int n = sanitized ? 100'000 : 1'000'000;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    long sum = 0;
    run_task([&]() -> sluice::task<> {
      for (int i = 0; i < n; ++i) sum += co_await seven();
    });
    BOOST_TEST(sum == 7L * n);
  });
}

BOOST_AUTO_TEST_CASE(a_million_nested_awaits_take_constant_stack) {
  const int n = sanitized ? 100'000 : 1'000'000;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    struct chain {
      static sluice::task<int> depth(int left) {
        if (left == 0) co_return 0;
        co_return 1 + co_await depth(left - 1);
      }
    };
    int reached = 0;
    run_task([&]() -> sluice::task<> { reached = co_await chain::depth(n); });
    BOOST_TEST(reached == n);
  });
}

BOOST_AUTO_TEST_CASE(a_deep_chain_that_is_suspended_is_destroyed_in_constant_stack) {
  const int n = sanitized ? 100'000 : 1'000'000;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    struct chain {
      static sluice::task<> park(int left, std::atomic<int>& alive, sluice::channel<int>& never) {
        const witness here(alive);
        if (left == 0)
          static_cast<void>(co_await never.receive());
        else
          co_await park(left - 1, alive, never);
      }
    };
    std::atomic<int> alive = 0;
    auto never = sluice::make_channel<int>();
    {
      asio::io_context io;
      sluice::go(io, chain::park(n, alive, never));
      io.poll();
      BOOST_TEST(alive == n + 1);
      BOOST_TEST(sluice::goroutine_count(io) == 1U);
    }
    BOOST_TEST(alive == 0);
  });
}

BOOST_AUTO_TEST_CASE(a_deep_chain_that_is_suspended_is_woken_and_returns_in_constant_stack) {
  const int n = sanitized ? 100'000 : 1'000'000;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    struct chain {
      static sluice::task<int> park(int left, sluice::channel<int>& ch) {
        if (left == 0) co_return (co_await ch.receive()).value_or(-1);
        co_return co_await park(left - 1, ch);
      }
    };
    auto ch = sluice::make_channel<int>();
    int got = 0;
    asio::io_context io;
    sluice::go(io, [&]() -> sluice::task<> { got = co_await chain::park(n, ch); });
    sluice::go(io, [&]() -> sluice::task<> { co_await ch.send(42); });
    io.run();
    BOOST_TEST(got == 42);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(lifetime)

BOOST_AUTO_TEST_CASE(a_task_that_is_not_awaited_is_destroyed_with_its_parameters) {
  std::atomic<int> alive = 0;
  bool ran = false;
  {
    const auto unused = [](witness, bool& flag) -> sluice::task<> {
      flag = true;
      co_return;
    }(witness(alive), ran);
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(a_child_is_destroyed_before_the_await_of_it_ends) {
  std::vector<std::string> order;
  run_task([&]() -> sluice::task<> {
    const auto child = [](std::vector<std::string>& o) -> sluice::task<> {
      const sluice_test::at_exit note([&o] { o.push_back("local"); });
      co_return;
    };
    co_await child(order);
    order.push_back("after");
  });
  BOOST_TEST(order == (std::vector<std::string>{"local", "after"}));
}

// scylladb/seastar#3106, llvm/llvm-project#56301: co_await in unusual places.
BOOST_AUTO_TEST_CASE(an_await_may_stand_in_any_expression) {
  run_task([]() -> sluice::task<> {
    const bool yes = true;
    const int ternary = yes ? co_await seven() : 0;
    BOOST_TEST(ternary == 7);
    const std::pair<int, int> braced{co_await seven(), co_await seven()};
    BOOST_TEST(braced.second == 7);
    int sum = 0;
    const std::vector<int> factors = {1, 2, 3};
    for (const int i : factors) sum += i * co_await seven();
    BOOST_TEST(sum == 42);
    const auto list = []() -> sluice::task<std::vector<int>> { co_return std::vector{1, 2, 3}; };
    int count = 0;
    for (const auto items = co_await list(); const int i : items) count += i;
    BOOST_TEST(count == 6);
    if (const int n = co_await seven(); n == 7) ++count;
    const bool both = co_await seven() == 7 && co_await seven() == 7;
    BOOST_TEST(both);
    BOOST_TEST(count == 7);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(awaitables)

BOOST_AUTO_TEST_CASE(a_task_awaits_an_asio_awaitable) {
  run_task([]() -> sluice::task<> {
    const int n = co_await []() -> asio::awaitable<int> { co_return 5; }();
    BOOST_TEST(n == 5);
    const auto p = co_await []() -> asio::awaitable<std::unique_ptr<int>> {
      const auto ex = co_await asio::this_coro::executor;
      co_await asio::post(ex, asio::use_awaitable);
      co_return std::make_unique<int>(6);
    }();
    BOOST_TEST(*p == 6);
    bool ran = false;
    co_await [](bool& flag) -> asio::awaitable<void> {
      flag = true;
      co_return;
    }(ran);
    BOOST_TEST(ran);
    const auto made = co_await []() -> asio::awaitable<no_default> { co_return no_default(8); }();
    BOOST_TEST(made.value == 8);
  });
}

BOOST_AUTO_TEST_CASE(an_exception_of_an_awaitable_is_rethrown_by_the_await) {
  run_task([]() -> sluice::task<> {
    bool caught = false;
    try {
      co_await []() -> asio::awaitable<void> {
        throw std::runtime_error("awaitable");
        co_return;
      }();
    } catch (const std::runtime_error& e) {
      caught = e.what() == std::string("awaitable");
    }
    BOOST_TEST(caught);
  });
}

BOOST_AUTO_TEST_CASE(an_awaitable_runs_on_the_strand_of_the_goroutine) {
  run_task([]() -> sluice::task<> {
    const asio::any_io_executor inside = co_await []() -> asio::awaitable<asio::any_io_executor> {
      co_return co_await asio::this_coro::executor;
    }();
    const auto* strand = inside.target<sluice::executor>();
    BOOST_REQUIRE(strand);
    BOOST_TEST(strand->running_in_this_thread());
    const asio::any_io_executor own = co_await asio::this_coro::executor;
    BOOST_TEST((own == inside));
  });
}

BOOST_AUTO_TEST_CASE(an_awaitable_may_use_the_library_with_use_awaitable) {
  auto ch = sluice::make_channel<int>();
  std::vector<int> got;
  asio::io_context io;
  sluice::go(io, [&]() -> sluice::task<> {
    co_await [](sluice::channel<int> c, std::vector<int>& out) -> asio::awaitable<void> {
      while (auto v = co_await c.async_receive(asio::use_awaitable)) out.push_back(*v);
    }(ch, got);
    got.push_back(-1);
  });
  sluice::go(io, [&]() -> sluice::task<> {
    for (int i = 0; i < 3; ++i) co_await ch.send(i);
    ch.close();
  });
  io.run();
  BOOST_TEST(got == (std::vector{0, 1, 2, -1}));
}

BOOST_AUTO_TEST_SUITE_END()
