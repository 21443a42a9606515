#include <sluice/wait_group.hpp>

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Rows of Go's sync/waitgroup_test.go. More about waiting is in wait_group/wait_test.cpp.

namespace {

using namespace sluice_test;

static_assert(!std::is_copy_constructible_v<wait_group> &&
              !std::is_move_constructible_v<wait_group>);

bool says_negative(const std::logic_error& e) {
  return std::string(e.what()).find("negative") != std::string::npos;
}

/// Counts a wait that has ended.
task<> wait_and_count(wait_group& wg, int& ended) {
  co_await wg.wait();
  ++ended;
}

/// Whether nobody would have to wait, found out without waiting.
bool is_zero(wait_group& wg) {
  bool zero = false;
  run_task([&]() -> task<> {
    const auto i = co_await sluice::select(sluice::on(wg.wait(), [&] { zero = true; }),
                                           sluice::otherwise([] {}));
    static_cast<void>(i);
  });
  return zero;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(counter)

BOOST_AUTO_TEST_CASE(at_zero_lets_everybody_pass) {
  wait_group wg;
  int ended = 0;
  run_task([&]() -> task<> {
    co_await wg.wait();
    co_await wg.wait();
    ++ended;
  });
  wg.add(0);
  BOOST_TEST(ended == 1);
  BOOST_TEST(is_zero(wg));
}

BOOST_AUTO_TEST_CASE(holds_every_waiter_until_it_is_zero) {
  asio::io_context io;
  wait_group wg;
  int ended = 0;
  wg.add(2);
  for (int i = 0; i < 3; ++i) sluice::go(io, wait_and_count(wg, ended));
  poll(io);
  BOOST_TEST(ended == 0);
  wg.done();
  wg.add(3);
  wg.add(0);
  wg.add(-3);
  poll(io);
  BOOST_TEST(ended == 0);
  wg.done();
  BOOST_TEST(ended == 0);  // they are resumed by their scheduler
  run(io);
  BOOST_TEST(ended == 3);
}

// TestWaitGroupMisuse
BOOST_AUTO_TEST_CASE(below_zero_is_a_clear_error_and_changes_nothing) {
  wait_group wg;
  BOOST_CHECK_EXCEPTION(wg.done(), std::logic_error, says_negative);
  wg.add();
  BOOST_CHECK_EXCEPTION(wg.add(-2), std::logic_error, says_negative);
  BOOST_TEST(!is_zero(wg));
  wg.done();
  BOOST_TEST(is_zero(wg));
  BOOST_CHECK_EXCEPTION(wg.done(), std::logic_error, says_negative);
  wg.add(3);
  wg.add(-3);
  BOOST_TEST(is_zero(wg));
}

BOOST_AUTO_TEST_CASE(below_zero_wakes_nobody) {
  asio::io_context io;
  wait_group wg;
  int ended = 0;
  wg.add();
  sluice::go(io, wait_and_count(wg, ended));
  poll(io);
  BOOST_CHECK_THROW(wg.add(-5), std::logic_error);
  poll(io);
  BOOST_TEST(ended == 0);
  wg.done();
  run(io);
  BOOST_TEST(ended == 1);
}

BOOST_AUTO_TEST_CASE(may_be_as_large_as_its_type) {
  constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max();
  wait_group wg;
  wg.add(most);
  wg.add(-(most - 1));
  BOOST_TEST(!is_zero(wg));
  wg.done();
  BOOST_TEST(is_zero(wg));
}

// TestWaitGroup: two groups are a barrier, eight times over.
BOOST_AUTO_TEST_CASE(of_two_groups_is_a_barrier_that_can_be_used_again) {
  const watchdog dog;
  constexpr int n = 16;
  asio::io_context io;
  wait_group arrived;
  wait_group released;
  std::atomic<int> early = 0;
  int passed = 0;
  sluice::go(io, [&]() -> task<> {
    auto exited = make_channel<void>(n);
    for (int round = 0; round < 8; ++round) {
      arrived.add(n);
      released.add(n);
      for (int i = 0; i < n; ++i)
        sluice::go([&, exited]() -> task<> {
          arrived.done();
          co_await released.wait();
          co_await exited.send();
        });
      co_await arrived.wait();
      for (int i = 0; i < n; ++i) {
        if (exited.size() != 0) ++early;
        released.done();
      }
      for (int i = 0; i < n; ++i) passed += co_await exited.receive();
    }
  });
  run(io, 3);
  BOOST_TEST(early == 0);
  BOOST_TEST(passed == 8 * n);
}

// alajmo/mani#129: the next round begins while those who waited for the last one are still
// returning.
BOOST_AUTO_TEST_CASE(may_go_up_again_before_the_waiters_have_gone_on) {
  asio::io_context io;
  wait_group wg;
  int first = 0;
  int second = 0;
  wg.add();
  for (int i = 0; i < 3; ++i) sluice::go(io, wait_and_count(wg, first));
  poll(io);
  wg.done();
  wg.add();
  sluice::go(io, wait_and_count(wg, second));
  poll(io);
  BOOST_TEST(first == 3);
  BOOST_TEST(second == 0);
  wg.done();
  run(io);
  BOOST_TEST(second == 1);
}

// What the members have done is seen by those who waited, without any other synchronisation.
BOOST_AUTO_TEST_CASE(orders_what_the_members_did_before_what_the_waiters_do) {
  const watchdog dog;
  const auto n = rounds(300);
  std::size_t wrong = 0;
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t round = 0; round < n; ++round) {
      wait_group wg;
      std::vector<std::size_t> results(8);
      for (auto& r : results)
        wg.go([&r, round]() -> task<> {
          co_await yield();
          r = round + 1;
        });
      co_await wg.wait();
      for (const auto r : results) wrong += r != round + 1;
    }
  });
  run(io, 4);
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(is_changed_and_awaited_by_many_threads) {
  const watchdog dog;
  asio::io_context io;
  wait_group wg;
  const int n = static_cast<int>(rounds(2'000));
  std::atomic<int> running = 0;
  std::atomic<int> ended = 0;
  wg.add();  // of the starter
  for (int i = 0; i < 8; ++i)
    sluice::go(io, [&]() -> task<> {
      co_await wg.wait();
      ended += running == 0;
    });
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < n; ++i) {
      ++running;
      wg.go([&]() -> task<> {
        for (int k = 0; k < 3; ++k) co_await yield();
        --running;
      });
    }
    wg.done();
    co_return;
  });
  run(io, 4);
  BOOST_TEST(ended == 8);
}

BOOST_AUTO_TEST_SUITE_END()

// WaitGroup.Go of Go 1.25.
BOOST_AUTO_TEST_SUITE(member)

BOOST_AUTO_TEST_CASE(may_be_whatever_go_takes_and_be_started_anywhere) {
  const watchdog dog;
  asio::io_context io;
  asio::thread_pool pool(2);
  wait_group wg;
  std::atomic<int> ran = 0;
  const auto coroutine = [&]() -> task<> {
    co_await yield();
    ++ran;
  };
  wg.go(io, coroutine);
  wg.go(io, coroutine());
  wg.go(io, [&] { ++ran; });
  wg.go(io, [&]() -> asio::awaitable<void> {
    ++ran;
    co_return;
  });
  wg.go(pool, coroutine);
  wg.go(asio::make_strand(pool), coroutine);
  wg.go(io, [&]() -> task<> {
    wg.go(coroutine);
    co_return;
  });
  int seen = 0;
  sluice::go(io, [&]() -> task<> {
    co_await wg.wait();
    seen = ran;
  });
  io.run();
  pool.join();
  BOOST_TEST(seen == 7);
}

BOOST_AUTO_TEST_CASE(is_counted_from_the_call_on_until_its_locals_and_its_closure_are_gone) {
  std::atomic<int> alive = 0;
  int seen = -1;
  bool counted_at_once = false;
  run_task([&]() -> task<> {
    wait_group wg;
    wg.go([&alive, closure = witness(alive)]() -> task<> {
      const witness local(alive);
      co_await yield();
    });
    counted_at_once = !is_zero(wg);
    co_await wg.wait();
    seen = alive;
  });
  BOOST_TEST(counted_at_once);
  BOOST_TEST(seen == 0);
}

BOOST_AUTO_TEST_CASE(that_throws_is_done_and_its_exception_leaves_run) {
  asio::io_context io;
  wait_group wg;
  int ended = 0;
  wg.go(io, []() -> task<> {
    co_await yield();
    throw std::runtime_error("member");
  });
  sluice::go(io, wait_and_count(wg, ended));
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  io.run();
  BOOST_TEST(ended == 1);
}

// Source: golang/go#76126: main must not go on, and perhaps end well, before the program fails.
BOOST_AUTO_TEST_CASE(that_throws_lets_nobody_go_on_before_run_fails) {
  const watchdog dog;
  for (std::size_t i = 0; i < rounds(2000); ++i) {
    bool went_on = false;
    const auto main = [&]() -> task<> {
      wait_group wg;
      for (int k = 0; k < 2; ++k)
        wg.go([k]() -> task<> {
          co_await yield();
          if (k) throw std::runtime_error("member");
        });
      co_await wg.wait();
      went_on = true;
    };
    BOOST_REQUIRE_THROW(sluice::run(main, 2), std::runtime_error);
    BOOST_REQUIRE(!went_on);
  }
}

BOOST_AUTO_TEST_CASE(that_is_destroyed_with_its_context_is_done) {
  asio::io_context live;
  wait_group wg;
  int ended = 0;
  sluice::go(live, [&]() -> task<> {
    co_await yield();
    co_await wait_and_count(wg, ended);
  });
  {
    asio::io_context io;
    wg.go(io, []() -> task<> { static_cast<void>(co_await sluice::channel<int>().receive()); });
    wg.go(io, [] {});  // never runs
    poll(live);
    BOOST_TEST(ended == 0);
  }
  run(live);
  BOOST_TEST(ended == 1);
}

BOOST_AUTO_TEST_CASE(that_cannot_be_started_is_not_counted) {
  wait_group wg;
  BOOST_CHECK_EXCEPTION(wg.go([] {}), sluice::system_error,
                        has_code(sluice::error::not_in_goroutine));
  struct thrower {
    thrower() = default;
    thrower(const thrower&) { throw std::runtime_error("copy"); }
    void operator()() const {}
  };
  asio::io_context io;
  const thrower t;
  BOOST_CHECK_THROW(wg.go(io, t), std::runtime_error);
  auto moved_from = wait_and_count(wg, *std::make_unique<int>());
  const auto taken = std::move(moved_from);
  BOOST_CHECK_THROW(wg.go(io, std::move(moved_from)), std::invalid_argument);
  BOOST_TEST(is_zero(wg));
  BOOST_TEST(io.run() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
