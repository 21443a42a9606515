#include <sluice/detail/base/queue_lock.hpp>

#include "../support.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include "forbid_membarrier.hpp"
#endif

namespace {

using namespace sluice_test;

/// Adds one `times` times.
void count(sluice::detail::queue_lock& lock, std::size_t& shared, std::size_t times) {
  for (std::size_t i = 0; i != times; ++i) {
    const std::lock_guard guard(lock);
    shared = shared + 1;
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(queue_lock)

// Each comes often enough in a row for a bias, which the others take away.
BOOST_AUTO_TEST_CASE(lets_one_thread_in_whomever_it_is_biased_to) {
  const watchdog guard;
  constexpr std::size_t in_a_row = 20;
  const std::size_t times = rounds(300);
  sluice::detail::queue_lock lock(3);
  std::size_t shared = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t != 3; ++t)
    threads.emplace_back([&] {
      for (std::size_t i = 0; i != times; ++i) {
        count(lock, shared, in_a_row);
        std::this_thread::yield();
      }
    });
  for (auto& t : threads) t.join();
  BOOST_TEST(shared == 3 * times * in_a_row);
}

#if defined(__linux__)
// The last case: no lock of this process is biased any more.
BOOST_AUTO_TEST_CASE(is_taken_away_by_a_thread_that_may_not_use_membarrier) {
  const watchdog guard;
  const std::size_t times = rounds(10'000);
  sluice::detail::queue_lock lock(3);
  std::size_t shared = 0;
  count(lock, shared, 10);
  std::atomic<bool> forbidden{false};
  std::thread other([&] {
    forbidden = forbid_membarrier();
    count(lock, shared, times);
  });
  count(lock, shared, times);
  other.join();
  count(lock, shared, times);
  BOOST_TEST(forbidden.load());
  BOOST_TEST(shared == 10 + 3 * times);
}
#endif

BOOST_AUTO_TEST_SUITE_END()
