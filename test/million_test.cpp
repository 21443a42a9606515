#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/task.hpp>

#include "support.hpp"

#include <boost/test/unit_test.hpp>

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <vector>

// A million goroutines, as test/chan/goroutines.go at a hundred times its size. That a million
// awaits take constant stack is in task_test.cpp.

namespace {

using namespace sluice_test;

constexpr std::size_t a_million = sanitized ? 50'000 : 1'000'000;

task<> receive_one(channel<std::size_t>& ch, std::size_t& sum) {
  const auto v = co_await ch.receive();
  sum += v.value_or(0);
}

task<> send_one(channel<std::size_t>& ch, std::size_t value) {
  co_await ch.send(value);
}

task<> wait_for_close(channel<void>& ch, std::atomic<std::size_t>& ended) {
  const bool received = co_await ch.receive();
  if (!received) ended.fetch_add(1, std::memory_order_relaxed);
}

constexpr std::size_t sum_up_to(std::size_t n) {
  return n * (n + 1) / 2;
}

/// The processor time that this process has used. What others do to the machine does not count.
std::chrono::nanoseconds processor_time() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

/// How much memory this process occupies.
std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct cost {
  double nanoseconds;  ///< of one goroutine's whole life
  double bytes;        ///< of one parked goroutine
};

/// Starts, parks, wakes and ends `n` goroutines.
cost cost_of_each(std::size_t n) {
  const auto bytes_before = resident_bytes();
  const auto began = processor_time();
  asio::io_context io;
  auto ch = make_channel<void>();
  std::atomic<std::size_t> ended = 0;
  for (std::size_t i = 0; i < n; ++i) sluice::go(io, wait_for_close(ch, ended));
  poll(io);
  const auto bytes = resident_bytes();
  BOOST_TEST(sluice::goroutine_count(io) == n);
  BOOST_TEST(ended == 0u);
  ch.close();
  run(io);
  const auto took = processor_time() - began;
  BOOST_TEST(ended == n);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
  const auto more = bytes > bytes_before ? bytes - bytes_before : 0;
  const auto count = static_cast<double>(n);
  return {static_cast<double>(took.count()) / count, static_cast<double>(more) / count};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_million_goroutines)

// The first case, so that no memory is left from another.
BOOST_AUTO_TEST_CASE(cost_as_much_time_each_as_a_thousand_do_and_little_memory) {
  const cost few = [] {
    cost best = cost_of_each(1'000);
    for (int i = 0; i < 5; ++i)
      best.nanoseconds = std::min(best.nanoseconds, cost_of_each(1'000).nanoseconds);
    return best;
  }();
  std::vector<std::size_t> sizes = {10'000, 100'000, 1'000'000};
  if (sanitized) sizes = {10'000, 50'000};
  for (const auto n : sizes) {
    const cost each = cost_of_each(n);
    BOOST_TEST_MESSAGE(n << " goroutines: " << each.nanoseconds << " ns and " << each.bytes
                         << " more bytes each (" << few.nanoseconds << " ns of a thousand)");
    // Cold caches make some of them dearer; quadratic growth would make them so by the thousand.
    BOOST_TEST(each.nanoseconds < 12 * few.nanoseconds);
    // Memory of the run before is used again, so this is less than all of it and never more.
    if (!sanitized) BOOST_TEST(each.bytes < 500);
  }
}

BOOST_AUTO_TEST_CASE(that_receive_from_one_channel_get_one_value_each) {
  asio::io_context io;
  auto ch = make_channel<std::size_t>();
  std::size_t sum = 0;
  for (std::size_t i = 0; i < a_million; ++i) sluice::go(io, receive_one(ch, sum));
  poll(io);
  BOOST_TEST(sum == 0u);
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 1; i <= a_million; ++i) co_await ch.send(i);
  });
  run(io);
  BOOST_TEST(sum == sum_up_to(a_million));
}

BOOST_AUTO_TEST_CASE(that_send_to_one_channel_are_served_first_come_first_served) {
  asio::io_context io;
  auto ch = make_channel<std::size_t>(3);
  for (std::size_t i = 1; i <= a_million; ++i) sluice::go(io, send_one(ch, i));
  std::size_t out_of_order = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 1; i <= a_million; ++i) {
      const auto v = co_await ch.receive();
      out_of_order += v != i;
    }
  });
  run(io);
  BOOST_TEST(out_of_order == 0u);
}

BOOST_AUTO_TEST_CASE(are_woken_by_one_close_and_end_on_several_threads) {
  asio::io_context io;
  auto ch = make_channel<void>();
  std::atomic<std::size_t> ended = 0;
  for (std::size_t i = 0; i < a_million; ++i) sluice::go(io, wait_for_close(ch, ended));
  poll(io);
  ch.close();
  run(io, 3);
  BOOST_TEST(ended == a_million);
}

BOOST_AUTO_TEST_CASE(are_destroyed_with_their_context_in_linear_time) {
  const auto destroy = [](std::size_t n) {
    auto ch = make_channel<void>();
    std::atomic<std::size_t> ended = 0;
    std::chrono::nanoseconds began{};
    {
      asio::io_context io;
      for (std::size_t i = 0; i < n; ++i) sluice::go(io, wait_for_close(ch, ended));
      poll(io);
      began = processor_time();
    }
    BOOST_TEST(ended == 0u);
    return static_cast<double>((processor_time() - began).count()) / static_cast<double>(n);
  };
  const double few = std::min({destroy(1'000), destroy(1'000), destroy(1'000)});
  const double many = destroy(a_million);
  BOOST_TEST_MESSAGE(few << " ns of a thousand, " << many << " ns of a million");
  BOOST_TEST(many < 20 * few);
}

BOOST_AUTO_TEST_SUITE_END()
