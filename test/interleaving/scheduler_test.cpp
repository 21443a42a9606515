#include "../names.hpp"
#include "hold.hpp"

#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

// Preemptions between two steps of the timers' and the watch's protocols.

namespace {
using namespace sluice_test;
}

// The last timer goes, and its thread is held between "there is none" and "so no wake-up timer".
// Another timer is set meanwhile, later than the first: the wake-up timer still suits it.
BOOST_AUTO_TEST_CASE(a_timer_set_while_the_wakeup_timer_is_being_unset_goes_off) {
  asio::io_context io;
  sluice::timer last(io, 1s);
  io.poll();  // it has a wake-up timer now
  bool fired = false;
  sluice_test::hold here("wakeup_timer: chosen");
  std::thread stopper([&] { last.stop(); });
  here.wait_until_held();
  auto later = sluice::after_func(io, 1100ms, [&] { fired = true; });
  here.release();
  stopper.join();
  io.run_for(10s);
  BOOST_TEST(fired);
}

// The watch has found nothing and is held before it ends; meanwhile a goroutine puts another one
// behind itself and goes on. Three threads: one that wants to steal waits for the watch.
BOOST_AUTO_TEST_CASE(a_goroutine_that_is_hidden_while_the_watch_ends_is_found) {
  asio::io_context io;
  auto guard = asio::make_work_guard(io);
  std::array<std::thread, 3> threads;
  for (auto& t : threads) t = std::thread([&] { io.run(); });
  std::promise<void> over;
  std::atomic<bool> hiding = false;
  std::atomic<bool> ran = false;
  sluice_test::hold end_of_watch("watch: none");
  // Something has a watch begin.
  sluice::go(io, []() -> sluice::task<> {
    sluice::go([]() -> sluice::task<> { co_return; });
    co_return;
  });
  end_of_watch.wait_until_held();
  sluice::go(io, [&]() -> sluice::task<> {
    hiding = true;
    sluice::go([&]() -> sluice::task<> {
      ran = true;
      co_return;
    });
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!ran && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    BOOST_TEST(ran.load());
    over.set_value();
    co_return;
  });
  // It hides the other one soon, or its thread waits for the lock that the watch is held under,
  // before it or in it: that shows nowhere.
  const auto soon = std::chrono::steady_clock::now() + 100ms;
  while (!hiding && std::chrono::steady_clock::now() < soon) std::this_thread::yield();
  std::this_thread::sleep_for(5ms);
  end_of_watch.release();
  over.get_future().wait();
  guard.reset();
  for (auto& t : threads) t.join();
}
