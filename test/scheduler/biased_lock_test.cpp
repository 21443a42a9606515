#include <sluice/detail/base/biased_lock.hpp>

#include "../support.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cstddef>
#include <thread>

#if defined(__linux__)
#include "forbid_membarrier.hpp"

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(biased_lock_beside_a_thread_that_may_not_use_membarrier)

BOOST_AUTO_TEST_CASE(excludes_the_owner_and_is_taken_once_the_owner_has_used_it_again) {
  const watchdog guard;
  sluice::detail::biased_lock lock;
  std::size_t shared = 0;
  std::size_t by_other = 0;
  std::atomic<bool> refused{false}, tried{false}, stop{false}, forbidden{false};
  // From here on the owner's lock has been used without a fence.
  lock.lock_as_owner();
  lock.unlock_as_owner();
  std::thread other([&] {
    forbidden = forbid_membarrier();
    if (lock.lock_as_other())
      lock.unlock_as_other();
    else
      refused = true;
    tried = true;
    tried.notify_one();
    const std::size_t enough = rounds(100'000);
    while (by_other < enough)
      if (lock.lock_as_other()) {
        shared = shared + 1;
        ++by_other;
        lock.unlock_as_other();
      }
    stop = true;
  });
  tried.wait(false);
  std::size_t by_owner = 0;
  while (!stop) {
    lock.lock_as_owner();
    shared = shared + 1;
    ++by_owner;
    lock.unlock_as_owner();
  }
  other.join();
  BOOST_TEST(forbidden.load());
  BOOST_TEST(refused.load());
  BOOST_TEST(shared == by_owner + by_other);
  BOOST_TEST(by_other > 0U);
}

BOOST_AUTO_TEST_SUITE_END()

#endif
