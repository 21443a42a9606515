// Where a group's goroutines run, and who shares a strand with whom.
#include <sluice/task_group.hpp>

#include <sluice/channel.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "../support.hpp"
#include "../time_helpers.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <semaphore>

namespace {

using namespace sluice_test;

using io_strand = asio::strand<asio::io_context::executor_type>;

/// How often steps were seen on a strand, and how often not.
struct sightings {
  int on = 0;
  int off = 0;

  task<> look_around(io_strand strand) {
    for (int i = 0; i < 3; ++i) {
      ++(strand.running_in_this_thread() ? on : off);
      co_await sluice::this_goroutine::yield();
      ++(strand.running_in_this_thread() ? on : off);
      co_await sluice::sleep_for(1us);
    }
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(goroutines_of_one_that_has_a_strand)

BOOST_AUTO_TEST_CASE(are_strands_of_their_own) {
  running_context running(2);
  const io_strand strand = asio::make_strand(running.io);
  int met = 0;
  // Inside its step the parent waits for a step of its child, which a shared strand would not run.
  std::binary_semaphore seen(0);
  const auto meet = [&] { met += seen.try_acquire_for(1min); };
  const auto child = [&]() -> task<> {
    seen.release();
    co_return;
  };
  sluice::go(strand, [&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.go(child());
      meet();
      co_return;
    };
    co_await with_task_group(context::background(), body);
    sluice::wait_group wg;
    wg.go(child());
    meet();
    co_await wg.wait();
    sluice::go(child());
    meet();
  });
  running.join();
  BOOST_TEST(met == 3);
}

BOOST_AUTO_TEST_CASE(share_it_if_they_are_started_on_it) {
  asio::io_context io;
  const io_strand strand = asio::make_strand(io);
  sightings all;
  sluice::go(strand, [&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.go(all.look_around(strand));
      g.go(all.look_around(strand));
      co_await all.look_around(strand);
    };
    co_await with_task_group(strand, context::background(), body);
    const asio::any_io_executor mine = co_await asio::this_coro::executor;
    co_await with_task_group(mine, context::background(), body);
    sluice::wait_group wg;
    wg.go(strand, all.look_around(strand));
    co_await wg.wait();
  });
  run(io, 4);
  BOOST_TEST(all.off == 0);
  BOOST_TEST(all.on == 42);
}

BOOST_AUTO_TEST_CASE(share_the_strand_that_a_goroutine_has_asked_for) {
  asio::io_context io;
  const auto n = static_cast<long>(rounds(2'000));
  long unguarded = 0;
  const auto count = [&]() -> task<> {
    for (long i = 0; i < n; ++i) {
      ++unguarded;
      co_await sluice::this_goroutine::yield();
    }
  };
  sluice::go(io, [&]() -> task<> {
    const auto strand = co_await asio::this_coro::executor;
    const auto body = [&](task_group& g) -> task<> {
      for (int i = 0; i < 3; ++i) g.go(count());
      co_await count();
    };
    co_await with_task_group(strand, context::background(), body);
  });
  run(io, 4);
  BOOST_TEST(unguarded == 4 * n);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_group_with_a_place)

BOOST_AUTO_TEST_CASE(has_its_goroutines_there_and_its_body_where_it_is_awaited) {
  asio::io_context io;
  asio::io_context there;
  int runs = 0;
  bool over = false;
  const auto here = [](asio::io_context& c) { return c.get_executor().running_in_this_thread(); };
  sluice::go(io, [&]() -> task<> {
    const auto body = [&](task_group& g) -> task<int> {
      BOOST_TEST(here(io));
      g.go([&] { runs += here(there); });
      g.go([&]() -> task<> {
        co_await sluice::sleep_for(1us);
        runs += here(there);
      });
      co_return 7;
    };
    const int result =
        co_await with_task_group(there, context::background(), body, sluice::group_errors::all);
    BOOST_TEST(here(io));
    BOOST_TEST(result == 7);
    over = true;
  });
  poll(io);
  BOOST_TEST(!over);
  run(there);
  run(io);
  BOOST_TEST(runs == 2);
  BOOST_TEST(over);
}

BOOST_AUTO_TEST_SUITE_END()
