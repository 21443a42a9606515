#include <sluice.hpp>

#include "goroutine/helpers.hpp"
#include "time_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

// An idle thread takes part in a burst of work that is over before an alarm would have gone off.

namespace {

using namespace sluice_test;

/// The threads that have done something.
class threads_seen {
 public:
  void note() {
    const std::lock_guard guard(mutex_);
    all_.insert(std::this_thread::get_id());
  }
  std::size_t take() {
    const std::lock_guard guard(mutex_);
    const std::size_t n = all_.size();
    all_.clear();
    return n;
  }

 private:
  std::mutex mutex_;
  std::set<std::thread::id> all_;
};

sluice::task<> piece(threads_seen& seen, std::chrono::microseconds time) {
  seen.note();
  keep_busy(time);
  co_return;
}

sluice::task<> tree(int depth, threads_seen& seen) {
  if (depth == 0)
    co_await piece(seen, 20us);
  else
    co_await sluice::when_all(tree(depth - 1, seen), tree(depth - 1, seen));
}

/// Does `burst` after pauses in which nothing is to be done, until two threads have done one; after
/// a few that let the threads find each other. A thread that is called in time may get no processor
/// in time, for seconds where others use them all.
template <class Burst>
bool two_threads_take_part(Burst burst) {
  constexpr int first = 10;
  threads_seen seen;
  const stopwatch since_start;
  bool both = false;
  asio::io_context io(2);
  sluice::go(io, [&]() -> sluice::task<> {
    for (int i = 0; !both && since_start.elapsed() < 30s; ++i) {
      co_await sluice::sleep_for(7ms);
      static_cast<void>(seen.take());
      co_await burst(seen);
      both = i >= first && seen.take() == 2;
    }
  });
  {
    const std::jthread other([&] { io.run(); });
    io.run();
  }
  return both;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bursts)

BOOST_AUTO_TEST_CASE(an_idle_thread_takes_part_in_a_few_long_goroutines) {
  BOOST_TEST(two_threads_take_part([](threads_seen& seen) -> sluice::task<> {
    sluice::wait_group all;
    for (int i = 0; i < 4; ++i) all.go(piece(seen, 200us));
    co_await all.wait();
  }));
}

BOOST_AUTO_TEST_CASE(an_idle_thread_takes_part_in_many_short_goroutines) {
  BOOST_TEST(two_threads_take_part([](threads_seen& seen) -> sluice::task<> {
    sluice::wait_group all;
    for (int i = 0; i < 100; ++i) all.go(piece(seen, 10us));
    co_await all.wait();
  }));
}

BOOST_AUTO_TEST_CASE(an_idle_thread_takes_part_in_a_tree) {
  BOOST_TEST(two_threads_take_part([](threads_seen& seen) { return tree(6, seen); }));
}

BOOST_AUTO_TEST_SUITE_END()
