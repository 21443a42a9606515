#include <sluice/when_all.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/mutex.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

// What the children are and give, and what their failures do; tokens, selects and timeouts stand in
// when_all/token_test.cpp, cancellation and the end of contexts beside it.

namespace {

using namespace sluice_test;
using sluice::when_all;

task<int> give(int n) {
  co_return n;
}
task<std::string> give_later(std::string text) {
  co_await sluice::sleep_for(1ms);
  co_return text;
}
task<> note(int& where, int n) {
  where = n;
  co_return;
}
task<int> fail_with(std::string text) {
  throw std::runtime_error(text);
  co_return 0;
}
/// Counts its end.
class end_counter {
 public:
  explicit end_counter(int& ended) noexcept : ended_(ended) {}
  end_counter(const end_counter&) = delete;
  end_counter& operator=(const end_counter&) = delete;
  ~end_counter() { ++ended_; }

 private:
  int& ended_;
};
task<int> fail_late(std::string text) {
  co_await sluice::sleep_for(1ms);
  throw std::runtime_error(text);
}
task<> wait_long(int& ended) {
  const end_counter here(ended);
  co_await sluice::sleep_for(24h);
}

/// An error of a user's.
struct own_error : std::runtime_error {
  own_error() : std::runtime_error("mine") {}
};
task<> fail_in_own_way() {
  throw own_error();
  co_return;
}

/// Without a default constructor.
class number {
 public:
  explicit number(int n) noexcept : value(n) {}
  int value;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(when_all_of_tasks)

BOOST_AUTO_TEST_CASE(gives_their_results_in_a_tuple) {
  run_task([]() -> task<> {
    auto [a, b] = co_await when_all(give(1), give_later("two"));
    BOOST_TEST(a == 1);
    BOOST_TEST(b == "two");
    std::tuple<int, int> both = co_await when_all(give(3), give(4));
    BOOST_TEST(std::get<1>(both) == 4);
  });
}

BOOST_AUTO_TEST_CASE(leaves_no_place_for_those_without_a_result) {
  run_task([]() -> task<> {
    int noted = 0;
    auto [a, b] = co_await when_all(give(1), note(noted, 5), give(2));
    BOOST_TEST(a == 1);
    BOOST_TEST(b == 2);
    BOOST_TEST(noted == 5);
    co_await when_all(note(noted, 7), note(noted, 7));
    BOOST_TEST(noted == 7);
    static_assert(std::is_void_v<decltype(when_all(note(noted, 7)))::value_type>);
    co_await when_all();
  });
}

BOOST_AUTO_TEST_CASE(gives_what_is_move_only_refers_or_has_no_default) {
  run_task([]() -> task<> {
    int there = 1;
    const auto pointer = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
    const auto reference = [&]() -> task<int&> { co_return there; };
    const auto plain = []() -> task<number> { co_return number(9); };
    auto [p, r, n] = co_await when_all(pointer(), reference(), plain());
    BOOST_TEST(*p == 7);
    BOOST_TEST(&r == &there);
    BOOST_TEST(n.value == 9);
  });
}

BOOST_AUTO_TEST_CASE(runs_them_beside_each_other_and_refers_to_what_its_parent_has) {
  run_task([]() -> task<> {
    channel<int> there = sluice::make_channel<int>();
    channel<int> back = sluice::make_channel<int>();
    int got = 0;
    co_await when_all(
        [&]() -> task<> {
          co_await there.send(1);
          got = *co_await back.receive();
        },
        [&]() -> task<> { co_await back.send(*co_await there.receive() + 1); });
    BOOST_TEST(got == 2);
  });
}

BOOST_AUTO_TEST_CASE(takes_a_range_of_them) {
  run_task([]() -> task<> {
    std::vector<task<int>> work;
    for (int i = 0; i < 100; ++i) work.push_back(give(i));
    const std::vector<int> all = co_await when_all(std::move(work));
    BOOST_TEST(all.size() == 100U);
    for (std::size_t i = 0; i < all.size(); ++i) BOOST_TEST(all[i] == static_cast<int>(i));

    int ended = 0;
    std::vector<task<>> nothing;
    nothing.push_back(note(ended, 1));
    co_await when_all(std::move(nothing));
    BOOST_TEST(ended == 1);
    BOOST_TEST((co_await when_all(std::vector<task<int>>())).empty());
  });
}

BOOST_AUTO_TEST_CASE(keeps_each_object_once_in_a_co_await_expression) {
  counted::alive = 0;
  counted::corrupt = 0;
  run_task([]() -> task<> {
    const auto take = [](counted c) -> task<counted> { co_return std::move(c); };
    auto [a, b] = co_await when_all(take(counted(1)), take(counted(2)));
    BOOST_TEST(a.value + b.value == 3);
  });
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

BOOST_AUTO_TEST_CASE(makes_each_a_goroutine_that_is_seen_in_reports) {
  asio::io_context io;
  std::string report;
  const auto name = [](std::string n) -> task<> {
    sluice::this_goroutine::set_name(std::move(n));
    co_await sluice::this_goroutine::yield();
    co_await sluice::this_goroutine::yield();
  };
  const auto look = [&]() -> task<> {
    co_await sluice::this_goroutine::yield();
    report = sluice::describe_goroutines(io);
  };
  const auto parent = [&]() -> task<> { co_await when_all(name("left"), name("right"), look()); };
  sluice::go(io, parent);
  run(io);
  BOOST_TEST(contains(report, "left"));
  BOOST_TEST(contains(report, "right"));
  BOOST_TEST(contains(report, "when_all"));
}

BOOST_AUTO_TEST_CASE(counts_and_reports_those_of_a_child) {
  asio::io_context io;
  channel<int> never = sluice::make_channel<int>();
  const auto leaf = [&](std::string n, bool with_strand) -> task<> {
    sluice::this_goroutine::set_name(std::move(n));
    if (with_strand) static_cast<void>(co_await asio::this_coro::executor);
    co_await never.receive();
  };
  const auto child = [&]() -> task<> {
    co_await when_all(leaf("left", false), leaf("middle", true), leaf("right", false));
  };
  const auto parent = [&]() -> task<> { co_await when_all(child(), give(1), child()); };
  sluice::go(io, parent);
  poll(io);
  BOOST_TEST(sluice::goroutine_count(io) == 9U);
  const std::string report = sluice::describe_goroutines(io);
  BOOST_TEST(contains(report, "2 goroutines \"left\""));
  BOOST_TEST(contains(report, "2 goroutines \"middle\""));
  BOOST_TEST(contains(report, "2 goroutines \"right\""));
  BOOST_TEST(contains(report, "2 goroutines waiting on when_all"));
  never.close();
  run(io);
  BOOST_TEST(sluice::goroutine_count(io) == 0U);
  BOOST_TEST(sluice::describe_goroutines(io) == "");
}

BOOST_AUTO_TEST_CASE(walks_a_tree_depth_first) {
  struct tree {
    static task<> grow(int depth, int& alive, int& most) {
      most = std::max(most, ++alive);
      if (depth != 0)
        co_await when_all(grow(depth - 1, alive, most), grow(depth - 1, alive, most),
                          grow(depth - 1, alive, most));
      --alive;
    }
  };
  int alive = 0;
  int most = 0;
  run_task([&]() { return tree::grow(8, alive, most); });
  BOOST_TEST(alive == 0);
  BOOST_TEST(most == 9);
}

BOOST_AUTO_TEST_CASE(lets_others_have_their_turn_meanwhile) {
  struct tree {
    static task<> grow(int depth) {
      if (depth != 0) co_await when_all(grow(depth - 1), grow(depth - 1));
    }
  };
  asio::io_context io;
  bool over = false;
  int turns = 0;
  const auto other = [&]() -> task<> {
    while (!over) {
      co_await sluice::this_goroutine::yield();
      ++turns;
    }
  };
  const auto body = [&]() -> task<> {
    co_await tree::grow(12);
    over = true;
  };
  sluice::go(io, body);
  sluice::go(io, other);
  run(io);
  BOOST_TEST(turns > 30);
}

BOOST_AUTO_TEST_CASE(needs_a_stack_of_constant_depth) {
  struct tree {
    static task<int> deep(int n) {
      if (n == 0) co_return 0;
      auto [below] = co_await when_all(deep(n - 1));
      co_return below + 1;
    }
  };
  const int depth = static_cast<int>(rounds(100'000));
  on_stack_of(small_stack, [&] {
    run_task([&]() -> task<> { BOOST_TEST(co_await tree::deep(depth) == depth); });
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(when_all_of_operations)

BOOST_AUTO_TEST_CASE(takes_those_of_this_library_and_of_asio) {
  run_task([]() -> task<> {
    const auto ch = sluice::make_channel<int>(1);
    const auto ex = co_await asio::this_coro::executor;
    asio::steady_timer timer(ex, 1ms);
    const auto spawned = []() -> asio::awaitable<int> { co_return 3; };
    auto [v, three] = co_await when_all(ch.receive(), timer.async_wait(asio::deferred), ch.send(5),
                                        spawned(), asio::post(ex, asio::deferred));
    static_assert(std::is_same_v<decltype(v), sluice::received<int>>);
    BOOST_TEST(*v == 5);
    BOOST_TEST(three == 3);
  });
}

BOOST_AUTO_TEST_CASE(leaves_an_lvalue_with_its_caller) {
  run_task([]() -> task<> {
    const auto ch = sluice::make_channel<int>(1);
    auto sending = ch.send(1);
    auto [v] = co_await when_all(sending, ch.receive());
    BOOST_TEST(*v == 1);
    std::vector<decltype(ch.receive())> receives;
    receives.push_back(ch.receive());
    co_await ch.send(2);
    BOOST_TEST(*(co_await when_all(receives)).front() == 2);
  });
}

BOOST_AUTO_TEST_CASE(takes_itself_and_selects) {
  run_in_virtual_time([]() -> task<> {
    const auto ch = sluice::make_channel<int>(1);
    co_await ch.send(1);
    auto [pair, index, one] = co_await when_all(
        when_all(give(1), give(2)), select(on(ch.receive(), [&]() -> task<> { co_return; })),
        timeout(when_all(give(4)), 1h));
    auto [a, b] = std::move(pair);
    BOOST_TEST(a + b == 3);
    BOOST_TEST(index == 0U);
    std::tuple<int> four = std::move(one);
    BOOST_TEST(std::get<0>(four) == 4);
  });
}

BOOST_AUTO_TEST_CASE(gives_the_guard_of_a_lock) {
  run_task([]() -> task<> {
    sluice::mutex m;
    {
      auto [guard] = co_await when_all(m.lock());
      BOOST_TEST(!m.try_lock());
    }
    BOOST_TEST(!!m.try_lock());
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(the_first_failure)

BOOST_AUTO_TEST_CASE(cancels_the_others_and_is_thrown_when_they_have_ended) {
  run_task([]() -> task<> {
    int ended = 0;
    std::string text;
    try {
      co_await when_all(wait_long(ended), fail_late("boom"), wait_long(ended));
    } catch (const std::runtime_error& e) {
      text = e.what();
      BOOST_TEST(ended == 2);
    }
    BOOST_TEST(text == "boom");
  });
}

BOOST_AUTO_TEST_CASE(is_of_the_type_that_it_was) {
  run_task([]() -> task<> {
    int ended = 0;
    BOOST_CHECK_THROW(co_await when_all(wait_long(ended), fail_in_own_way()), own_error);
    BOOST_TEST(ended == 1);
  });
}

BOOST_AUTO_TEST_CASE(holds_what_had_completed) {
  using error = sluice::when_all_error<task<std::unique_ptr<int>>, task<int>, task<number>>;
  run_in_virtual_time([]() -> task<> {
    const auto pointer = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
    const auto never = []() -> task<number> {
      co_await sluice::sleep_for(24h);
      co_return number(1);
    };
    bool caught = false;
    try {
      co_await when_all(pointer(), fail_late("late"), never());
    } catch (const error& e) {
      caught = true;
      BOOST_TEST(*std::get<1>(*e.completed<0>()) == 7);
      BOOST_TEST(text_of(std::get<0>(*e.completed<1>())) == "late");
      BOOST_TEST(code_of(std::get<0>(*e.completed<2>())) == aborted);
      BOOST_TEST(!std::get<1>(*e.completed<2>()));
    }
    BOOST_TEST(caught);
  });
}

BOOST_AUTO_TEST_CASE(of_operations_holds_all_their_arguments) {
  run_task([]() -> task<> {
    const auto full = sluice::make_channel<int>(1);
    const auto shut = sluice::make_channel<int>(1);
    const auto never = sluice::make_channel<int>();
    co_await full.send(1);
    shut.close();
    bool caught = false;
    try {
      auto all = when_all(full.receive(), never.receive(), shut.send(1));
      co_await std::move(all);
    } catch (const sluice::when_all_error<decltype(full.receive()), decltype(never.receive()),
                                          decltype(shut.send(1))>& e) {
      caught = true;
      BOOST_TEST((e.completed<0>() == std::tuple(no_error, std::optional(1))));
      BOOST_TEST((e.completed<2>() == std::tuple(closed)));
    }
    BOOST_TEST(caught);
    BOOST_CHECK_EXCEPTION(co_await when_all(shut.send(2)), sluice::system_error, has_code(closed));
  });
}

BOOST_AUTO_TEST_CASE(of_several_at_once_is_one_of_them) {
  run_task([]() -> task<> {
    std::vector<task<int>> work;
    for (int i = 0; i < 10; ++i) work.push_back(fail_with("one"));
    BOOST_CHECK_THROW(co_await when_all(std::move(work)), std::runtime_error);
  });
}

BOOST_AUTO_TEST_CASE(keeps_those_from_starting_that_have_not) {
  run_task([]() -> task<> {
    int started = 0;
    const auto start = [&]() -> task<> {
      ++started;
      co_return;
    };
    using error = sluice::when_all_error<task<int>, task<>, task<>>;
    try {
      co_await when_all(fail_with("first"), start(), start());
    } catch (const error& e) {
      BOOST_TEST(!e.completed<1>());
    }
    BOOST_TEST(started == 0);
  });
}

BOOST_AUTO_TEST_CASE(of_a_range_holds_what_each_has_done) {
  run_task([]() -> task<> {
    std::vector<task<int>> work;
    work.push_back(give(1));
    work.push_back(fail_with("second"));
    bool caught = false;
    try {
      co_await when_all(std::move(work));
    } catch (const sluice::when_all_range_error<task<int>>& e) {
      caught = true;
      BOOST_TEST(e.size() == 2U);
      BOOST_TEST(std::get<1>(*e.completed(0)) == 1);
      BOOST_TEST(text_of(std::get<0>(*e.completed(1))) == "second");
      BOOST_CHECK_THROW(static_cast<void>(e.completed(2)), std::out_of_range);
    }
    BOOST_TEST(caught);
  });
}

BOOST_AUTO_TEST_CASE(goes_up_a_tree) {
  run_task([]() -> task<> {
    int ended = 0;
    BOOST_CHECK_THROW(
        co_await when_all(when_all(wait_long(ended), wait_long(ended)),
                          when_all(wait_long(ended), when_all(fail_with("deep"), give(1)))),
        std::runtime_error);
    BOOST_TEST(ended == 3);
  });
}

BOOST_AUTO_TEST_CASE(of_a_task_that_was_moved_from_is_its_own) {
  run_task([]() -> task<> {
    auto gone = give(1);
    {
      const auto taken = std::move(gone);
    }
    BOOST_CHECK_THROW(co_await when_all(std::move(gone), give(2)), std::invalid_argument);
  });
}

BOOST_AUTO_TEST_SUITE_END()
