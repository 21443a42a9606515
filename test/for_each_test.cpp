#include <sluice/for_each.hpp>

#include <sluice/channel.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <list>
#include <memory>
#include <numeric>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using sluice::for_each;
using sluice::limit;

task<int> square(int n) {
  co_await sluice::this_goroutine::yield();
  co_return n* n;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(for_each_element)

BOOST_AUTO_TEST_CASE(gives_the_results_in_the_order_of_the_range) {
  run_in_virtual_time([]() -> task<> {
    std::vector<int> numbers(100);
    std::iota(numbers.begin(), numbers.end(), 0);
    const auto later = [](int n) -> task<int> {
      co_await sluice::sleep_for(std::chrono::microseconds(1000 - 10 * n));
      co_return n;
    };
    BOOST_TEST((co_await for_each(numbers, later)) == numbers, boost::test_tools::per_element());
    const std::vector<int> squares = co_await for_each(numbers, square, limit(7));
    for (std::size_t i = 0; i < squares.size(); ++i)
      BOOST_TEST(squares[i] == numbers[i] * numbers[i]);
  });
}

BOOST_AUTO_TEST_CASE(refers_to_the_elements_of_an_lvalue) {
  run_task([]() -> task<> {
    std::list<int> numbers{1, 2, 3};
    co_await for_each(numbers, [](int& n) -> task<> {
      co_await sluice::this_goroutine::yield();
      n *= 10;
    });
    BOOST_TEST(std::accumulate(numbers.begin(), numbers.end(), 0) == 60);
    const auto refer = [](int& n) -> int& { return n; };
    const auto all = co_await for_each(numbers, refer);
    BOOST_TEST(&all.front().get() == &numbers.front());
  });
}

BOOST_AUTO_TEST_CASE(keeps_a_range_that_nobody_else_has) {
  counted::alive = 0;
  counted::corrupt = 0;
  run_task([]() -> task<> {
    std::vector<std::unique_ptr<int>> owners;
    for (int i = 0; i < 3; ++i) owners.push_back(std::make_unique<int>(i));
    int sum = 0;
    const auto add = [&](std::unique_ptr<int>& p) -> task<> {
      co_await sluice::this_goroutine::yield();
      sum += *p;
    };
    co_await for_each(std::move(owners), add, limit(1));
    BOOST_TEST(sum == 3);

    const auto made =
        std::views::iota(1, 4) | std::views::transform([](int n) { return counted(n); });
    sum = 0;
    co_await for_each(made, [&](const counted& c) -> task<> {
      co_await sluice::this_goroutine::yield();
      sum += c.value;
    });
    BOOST_TEST(sum == 6);
  });
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

BOOST_AUTO_TEST_CASE(reads_what_can_be_read_once) {
  run_task([]() -> task<> {
    std::istringstream text("1 2 3 4");
    const std::vector<int> all =
        co_await for_each(std::ranges::istream_view<int>(text), square, limit(2));
    BOOST_TEST(all == (std::vector<int>{1, 4, 9, 16}), boost::test_tools::per_element());
  });
}

BOOST_AUTO_TEST_CASE(awaits_whatever_the_function_returns) {
  run_task([]() -> task<> {
    const auto ch = make_channel<int>(3);
    const std::vector<int> numbers{1, 2, 3};
    co_await for_each(numbers, [&](int n) { return ch.send(n); });
    int sum = 0;
    for (const auto& v : co_await for_each(numbers, [&](int) { return ch.receive(); })) sum += *v;
    BOOST_TEST(sum == 6);
    sum = 0;
    co_await for_each(numbers, [&](int n) { sum += n; });
    BOOST_TEST(sum == 6);
    BOOST_TEST((co_await for_each(std::vector<int>(), square)).empty());
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_limit)

BOOST_AUTO_TEST_CASE(is_never_exceeded_and_always_used) {
  run_task([]() -> task<> {
    std::size_t running = 0;
    std::size_t most = 0;
    std::vector<int> order;
    const auto work = [&](int n) -> task<> {
      order.push_back(n);
      most = std::max(most, ++running);
      for (int i = 0; i < n % 5; ++i) co_await sluice::this_goroutine::yield();
      --running;
    };
    co_await for_each(std::views::iota(0, 100), work, limit(3));
    BOOST_TEST(most == 3U);
    BOOST_TEST(order.size() == 100U);
    BOOST_TEST(std::is_sorted(order.begin(), order.end()));
  });
}

BOOST_AUTO_TEST_CASE(is_not_zero) {
  BOOST_CHECK_THROW(limit(0), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(holds_on_several_threads) {
  asio::io_context io;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<long> sum = 0;
  const int n = static_cast<int>(rounds(20'000));
  const auto work = [&](int i) -> task<> {
    const int now = ++running;
    int seen = most;
    while (seen < now && !most.compare_exchange_weak(seen, now)) {
    }
    co_await sluice::this_goroutine::yield();
    sum += i;
    --running;
  };
  const auto body = [&]() -> task<> { co_await for_each(std::views::iota(0, n), work, limit(4)); };
  sluice::go(io, body);
  run(io, 2);
  BOOST_TEST(most <= 4);
  BOOST_TEST(sum == static_cast<long>(n) * (n - 1) / 2);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_failure)

BOOST_AUTO_TEST_CASE(keeps_calls_from_being_made_and_holds_what_was_done) {
  run_task([]() -> task<> {
    int calls = 0;
    const auto work = [&](int n) -> task<int> {
      ++calls;
      co_await sluice::this_goroutine::yield();
      if (n == 5) throw std::runtime_error("five");
      co_return n;
    };
    bool caught = false;
    try {
      co_await for_each(std::views::iota(0, 1'000'000), work, limit(2));
    } catch (const sluice::for_each_error<int>& e) {
      caught = true;
      BOOST_TEST(text_of(std::current_exception()) == "five");
      for (std::size_t i = 0; i < 5; ++i)
        BOOST_TEST(std::get<1>(*e.completed(i)) == static_cast<int>(i));
      BOOST_TEST(e.size() <= 8U);
    }
    BOOST_TEST(caught);
    BOOST_TEST(calls <= 8);
  });
}

BOOST_AUTO_TEST_CASE(of_the_function_or_of_reading_is_one_of_the_whole) {
  run_task([]() -> task<> {
    const std::vector<int> numbers{1, 2, 3};
    const auto refuse = [](int) -> int { throw std::logic_error("no"); };
    BOOST_CHECK_THROW(co_await for_each(numbers, refuse), std::logic_error);
    const auto broken = numbers | std::views::transform([](int n) -> int {
                          if (n == 2) throw std::out_of_range("two");
                          return n;
                        });
    BOOST_CHECK_THROW(co_await for_each(broken, square), std::out_of_range);
    BOOST_CHECK_THROW(co_await for_each(broken, square, limit(1)), std::out_of_range);
  });
}

BOOST_AUTO_TEST_CASE(or_a_cancellation_ends_an_endless_range) {
  asio::io_context io;
  long calls = 0;
  const auto body = [&]() -> task<> {
    const auto count = [&](int) -> task<> {
      ++calls;
      co_await sluice::this_goroutine::yield();
    };
    co_await for_each(std::views::iota(0), count, limit(3));
  };
  cancellable_goroutine endless(io, body);
  for (int i = 0; i < 10; ++i) io.poll_one();
  endless.cancel();
  run(io);
  BOOST_TEST(endless.error() == aborted);
  BOOST_TEST(calls > 0);
}

BOOST_AUTO_TEST_CASE(ends_with_its_context) {
  std::atomic<int> alive = 0;
  {
    asio::io_context io;
    const auto hold = [&](int) -> task<> {
      const witness here(alive);
      co_await sluice::sleep_for(24h);
    };
    const auto body = [&]() -> task<> { co_await for_each(std::views::iota(0), hold, limit(9)); };
    sluice::go(io, body);
    poll(io);
    BOOST_TEST(alive == 9);
  }
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
