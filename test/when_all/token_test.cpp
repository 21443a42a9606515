#include <sluice/when_all.hpp>

#include <sluice/channel.hpp>
#include <sluice/for_each.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timeout.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <exception>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using sluice::when_all;

task<int> give(int n) {
  co_return n;
}
task<int> fail_late() {
  co_await sluice::sleep_for(1ms);
  throw std::runtime_error("late");
}
task<> wait_long() {
  co_await sluice::sleep_for(24h);
}

constexpr auto as_value = asio::as_tuple(sluice::use_task);

}  // namespace

BOOST_AUTO_TEST_SUITE(when_all_with_a_token)

BOOST_AUTO_TEST_CASE(calls_a_handler_on_its_executor) {
  asio::io_context io;
  int calls = 0;
  when_all(give(1), give(2))(asio::bind_executor(io, [&](std::exception_ptr e, auto result) {
    ++calls;
    BOOST_TEST(!e);
    auto [a, b] = std::move(result);
    BOOST_TEST(a + b == 3);
  }));
  BOOST_TEST(calls == 0);
  run(io);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(of_operations_alone_has_an_error_code) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 2);
  ch.try_send(1);
  int calls = 0;
  when_all(ch.receive(), ch.receive())([&](error_code e, auto result) {
    ++calls;
    BOOST_TEST(!e);
    const auto& [a, b] = result;
    BOOST_TEST(*a + *b == 3);
  });
  poll(io);
  BOOST_TEST(calls == 0);
  ch.try_send(2);
  run(io);
  BOOST_TEST(calls == 1);

  ch.close();
  when_all(ch.receive(), ch.send(1))([&](error_code e, auto result) {
    ++calls;
    BOOST_TEST(e == closed);
    BOOST_TEST((result.template completed<0>() == std::tuple(no_error, std::optional<int>())));
  });
  run(io);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(sets_a_future) {
  asio::io_context io;
  auto sum = when_all(give(1), give(2))(asio::bind_executor(io, asio::use_future));
  auto fails = when_all(give(1), fail_late())(asio::bind_executor(io, asio::use_future));
  run(io);
  auto [a, b] = sum.get();
  BOOST_TEST(a + b == 3);
  BOOST_CHECK_THROW(fails.get(), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(is_awaited_by_an_awaitable) {
  asio::io_context io;
  int sum = 0;
  std::string text;
  const auto body = [&]() -> asio::awaitable<void> {
    auto [a, b] = co_await when_all(give(1), give(2))(asio::use_awaitable);
    sum = a + b;
    try {
      co_await when_all(give(5), fail_late())(asio::use_awaitable);
    } catch (const sluice::when_all_error<task<int>, task<int>>& e) {
      sum += std::get<1>(*e.completed<0>());
    }
  };
  asio::co_spawn(io, body, asio::detached);
  run(io);
  BOOST_TEST(sum == 8);
}

BOOST_AUTO_TEST_CASE(gives_every_outcome_as_a_tuple) {
  run_task([]() -> task<> {
    auto [e, all] = co_await when_all(give(1), fail_late(), wait_long())(as_value);
    BOOST_TEST(text_of(e) == "late");
    BOOST_TEST(std::get<1>(*all.completed<0>()) == 1);
    BOOST_TEST(text_of(std::get<0>(*all.completed<1>())) == "late");
    BOOST_TEST(code_of(std::get<0>(*all.completed<2>())) == aborted);
    BOOST_TEST(!all);

    auto [none, sum] = co_await when_all(give(1), give(2))(as_value);
    BOOST_TEST(!none);
    BOOST_TEST(!!sum);
    BOOST_TEST(sum.get<0>() + sum.get<1>() == 3);
    BOOST_CHECK_THROW(static_cast<void>(sum.completed<0>()), std::bad_optional_access);

    std::vector<task<int>> work;
    work.push_back(give(1));
    work.push_back(give(2));
    auto [no, row] = co_await when_all(std::move(work))(as_value);
    int total = 0;
    for (const int n : row) total += n;
    BOOST_TEST(total == 3);
    BOOST_TEST(row.size() == 2U);
  });
}

BOOST_AUTO_TEST_CASE(is_cancelled_through_its_slot) {
  asio::io_context io;
  asio::cancellation_signal signal;
  const auto ch = make_channel<int>(io, 1);
  ch.try_send(7);
  int calls = 0;
  when_all(ch.receive(), ch.receive())(
      asio::bind_cancellation_slot(signal.slot(), [&](error_code e, auto result) {
        ++calls;
        BOOST_TEST(e == aborted);
        const int sum = std::get<1>(*result.template completed<0>()).value_or(0) +
                        std::get<1>(*result.template completed<1>()).value_or(0);
        BOOST_TEST(sum == 7);
      }));
  poll(io);
  BOOST_TEST(calls == 0);
  signal.emit(asio::cancellation_type::total);
  run(io);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(without_an_executor_says_so) {
  std::promise<error_code> told;
  when_all(give(1))([&](std::exception_ptr e, auto) { told.set_value(code_of(e)); });
  BOOST_TEST((told.get_future().get() == sluice::error::no_executor));
}

BOOST_AUTO_TEST_CASE(runs_tasks_where_its_handler_runs) {
  asio::io_context io;
  auto strand = asio::make_strand(io);
  bool on_strand = false;
  const auto look = [&]() -> task<> {
    on_strand = strand.running_in_this_thread();
    co_return;
  };
  when_all(look())(asio::bind_executor(strand, [](auto&&...) {}));
  run(io);
  BOOST_TEST(on_strand);
}

BOOST_AUTO_TEST_CASE(ends_with_its_context) {
  std::atomic<int> alive = 0;
  std::atomic<int> calls = 0;
  const auto hold = [&]() -> task<> {
    const witness here(alive);
    co_await sluice::sleep_for(24h);
  };
  {
    asio::io_context io;
    when_all(hold(), hold())(
        asio::bind_executor(io, [here = witness(alive), &calls](auto&&...) { ++calls; }));
    poll(io);
    BOOST_TEST(alive == 3);
  }
  BOOST_TEST(alive == 0);
  BOOST_TEST(calls == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(when_all_as_a_case)

BOOST_AUTO_TEST_CASE(wins_a_select) {
  run_in_virtual_time([]() -> task<> {
    auto r = co_await select(when_all(give(1), give(2)), sluice::sleep_for(24h));
    BOOST_TEST(r.index() == 0U);
    auto [a, b] = std::move(r.get<0>());
    BOOST_TEST(a + b == 3);
    int sum = 0;
    co_await select(on(
        when_all(give(3), give(4)),
        [&](std::tuple<int, int> both) { sum = std::get<0>(both) + std::get<1>(both); },
        sluice::drop_lost));
    BOOST_TEST(sum == 7);
  });
}

BOOST_AUTO_TEST_CASE(that_loses_hands_back_what_had_completed) {
  run_in_virtual_time([]() -> task<> {
    const auto full = make_channel<int>(1);
    const auto never = make_channel<int>();
    co_await full.send(7);
    auto r = co_await select(when_all(full.receive(), never.receive()), sluice::sleep_for(1ms));
    BOOST_TEST(r.index() == 1U);
    auto& [e, all] = *r.lost<0>();
    BOOST_TEST(e == aborted);
    BOOST_TEST((all.completed<0>() == std::tuple(no_error, std::optional(7))));
  });
}

BOOST_AUTO_TEST_CASE(has_a_time_limit_and_loses_nothing) {
  run_in_virtual_time([]() -> task<> {
    const auto full = make_channel<int>(2);
    const auto never = make_channel<int>();
    auto [a, b] = co_await timeout(when_all(give(1), give(2)), 1h);
    BOOST_TEST(a + b == 3);

    using error = sluice::when_all_error<decltype(full.receive()), decltype(never.receive())>;
    co_await full.send(7);
    bool caught = false;
    try {
      co_await timeout(when_all(full.receive(), never.receive()), 1ms);
    } catch (const error& e) {
      caught = true;
      BOOST_TEST((e.completed<0>() == std::tuple(no_error, std::optional(7))));
      BOOST_TEST(code_of(std::current_exception()) == timed_out);
    }
    BOOST_TEST(caught);

    co_await full.send(8);
    auto [e, all] = co_await timeout(when_all(full.receive(), never.receive()), 1ms)(as_value);
    BOOST_TEST(e == timed_out);
    BOOST_TEST((all.completed<0>() == std::tuple(no_error, std::optional(8))));

    auto [x, rest] = co_await timeout(when_all(give(9), wait_long()), 1ms)(as_value);
    BOOST_TEST(code_of(x) == timed_out);
    BOOST_TEST(std::get<1>(*rest.completed<0>()) == 9);
  });
}

BOOST_AUTO_TEST_CASE(has_a_for_each_beside_it) {
  run_in_virtual_time([]() -> task<> {
    const std::vector<int> numbers{1, 2, 3};
    auto r = co_await select(sluice::for_each(numbers, [](int n) { return n * n; }),
                             sluice::sleep_for(24h));
    BOOST_TEST(r.index() == 0U);
    int sum = 0;
    for (const int n : r.get<0>()) sum += n;
    BOOST_TEST(sum == 14);
  });
}

BOOST_AUTO_TEST_SUITE_END()
