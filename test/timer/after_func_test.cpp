// Functions that a timer starts, as those of Go's time.AfterFunc.
#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/wait_group.hpp>

#include "helpers.hpp"

#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_function)

BOOST_AUTO_TEST_CASE(runs_in_a_goroutine_of_its_own_and_not_early) {
  asio::io_context io;
  const stopwatch watch;
  std::optional<clock::duration> after;
  auto done = make_channel<void>();
  const auto f = after_func(io, 2ms, [&]() -> task<> {
    after = watch.elapsed();
    co_await done.receive();
  });
  sluice::go(io, [&]() -> task<> { co_await done.send(); });
  run(io);
  BOOST_REQUIRE(after);
  BOOST_TEST((*after >= 2ms));
}

// The commonest use in Go: the result is not wanted.
BOOST_AUTO_TEST_CASE(runs_also_if_nobody_keeps_the_handle) {
  asio::io_context io;
  bool called = false;
  static_cast<void>(after_func(io, 1ms, [&] { called = true; }));
  run(io);
  BOOST_TEST(called);
}

// Source: time/sleep_test.go TestAfterFunc
BOOST_AUTO_TEST_CASE(may_set_itself_again_from_within) {
  asio::io_context io;
  int left = 20;
  std::optional<timed_function> f;
  f.emplace(after_func(io, 0s, [&] {
    if (--left > 0) f->reset(100us);
  }));
  run(io);
  BOOST_TEST(left == 0);
}

// Source: time/sleep_test.go TestAfterFunc
BOOST_AUTO_TEST_CASE(that_blocks_does_not_delay_another) {
  asio::io_context io;
  auto release = make_channel<void>();
  std::vector<int> order;
  sluice::go(io, [&]() -> task<> {
    const auto first = after_func(1ms, [&]() -> task<> {
      co_await release.receive();
      order.push_back(1);
    });
    const auto second = after_func(2ms, [&] {
      order.push_back(2);
      release.close();
    });
    co_await sleep_for(4ms);
  });
  run(io);
  BOOST_TEST(order == std::vector<int>({2, 1}), per_element());
}

BOOST_AUTO_TEST_CASE(that_was_stopped_does_not_run_and_one_that_has_started_cannot_be) {
  asio::io_context io;
  int calls = 0;
  sluice::go(io, [&]() -> task<> {
    auto called = sluice::make_channel<int>(2);
    auto f = after_func(1ms, [&] { called.try_send(++calls); });
    BOOST_TEST(f.stop());
    BOOST_TEST(!f.stop());
    BOOST_TEST(has_no_timer(io));
    co_await sleep_for(3ms);
    BOOST_TEST(calls == 0);
    BOOST_TEST(!f.reset(1ms));
    BOOST_TEST(f.reset(2ms));
    BOOST_TEST((co_await called.receive()).value() == 1);
    BOOST_TEST(!f.stop());
    BOOST_TEST(!f.reset(0s));
    BOOST_TEST((co_await called.receive()).value() == 2);
  });
  run(io);
}

// Source: time/sleep_test.go TestIssue5745
BOOST_AUTO_TEST_CASE(that_throws_leaves_run_and_no_lock_is_held) {
  asio::io_context io;
  int calls = 0;
  auto f = after_func(io, 0s, [&] {
    if (++calls == 1) throw std::runtime_error("failed");
  });
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  BOOST_TEST(!f.stop());
  BOOST_TEST(!f.reset(0s));
  run(io);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(and_what_it_captured_end_with_the_timer_or_the_context) {
  const auto held = std::make_shared<int>(1);
  {
    asio::io_context io;
    std::optional<timed_function> f(after_func(io, long_time, [held] { return *held; }));
    BOOST_TEST(held.use_count() == 2);
    f->stop();
    f.reset();
    BOOST_TEST(held.use_count() == 1);
    static_cast<void>(after_func(io, 0s, [held] { return *held; }));
    run(io);
    BOOST_TEST(held.use_count() == 1);
    static_cast<void>(after_func(io, long_time, [held] { return *held; }));
    BOOST_TEST(held.use_count() == 2);
  }
  BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(whose_handle_outlives_the_context_is_inert) {
  int calls = 0;
  std::vector<timed_function> handles;
  {
    asio::io_context io;
    handles.push_back(after_func(io, 1ms, [&] { ++calls; }));
    // Of the strand, which needs its context when it is destroyed, nothing is left either.
    handles.push_back(after_func(asio::make_strand(io), 1ms, [&] { ++calls; }));
  }
  for (timed_function& f : handles) static_cast<void>(f.stop());
  handles.clear();
  BOOST_TEST(calls == 0);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: benbjohnson/clock#27, #32, #52, EVerest/EVerest#2208, pocoproject/poco#3986
BOOST_AUTO_TEST_SUITE(from_inside_its_own_function_a_timer)

BOOST_AUTO_TEST_CASE(is_set_again_a_thousand_times) {
  asio::io_context io;
  std::size_t calls = 0;
  std::optional<timed_function> f;
  f.emplace(after_func(io, 0s, [&] {
    if (++calls < rounds(1'000)) f->reset(0s);
  }));
  run(io);
  BOOST_TEST(calls == rounds(1'000));
}

BOOST_AUTO_TEST_CASE(is_stopped_which_comes_too_late) {
  asio::io_context io;
  std::optional<bool> stopped;
  std::optional<timed_function> f;
  f.emplace(after_func(io, 0s, [&] { stopped = f->stop(); }));
  run(io);
  BOOST_TEST(stopped.value() == false);
}

BOOST_AUTO_TEST_CASE(is_set_and_stopped_which_undoes_it) {
  asio::io_context io;
  int calls = 0;
  std::optional<timed_function> f;
  f.emplace(after_func(io, 0s, [&] {
    ++calls;
    BOOST_TEST(!f->reset(1ms));
    BOOST_TEST(f->stop());
  }));
  run(io);
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(is_dropped_with_its_last_handle) {
  asio::io_context io;
  const auto held = std::make_shared<int>(1);
  bool called = false;
  std::optional<timed_function> f;
  f.emplace(after_func(io, 0s, [&, held] {
    f.reset();
    called = held != nullptr;
  }));
  run(io);
  BOOST_TEST(called);
  BOOST_TEST(held.use_count() == 1);
}

// The function waits for its handle: it may start before after_func has returned elsewhere.
BOOST_AUTO_TEST_CASE(is_set_again_while_another_thread_destroys_it) {
  running_context running(2);
  const watchdog dog;
  std::atomic<std::size_t> calls = 0;
  for (std::size_t i = 0; i < rounds(500); ++i) {
    struct shared {
      std::mutex mutex;
      std::optional<timed_function> f;
      std::atomic<bool> started = false;
    };
    const auto s = std::make_shared<shared>();
    {
      const std::lock_guard guard(s->mutex);
      s->f.emplace(after_func(running.io, 0s, [s, &calls] {
        const auto first = ++calls;
        s->started = true;
        std::optional<timed_function> mine;
        {
          const std::lock_guard inner(s->mutex);
          mine = s->f;
        }
        if (mine && first % 3 != 0) mine->reset(0s);
      }));
    }
    while (!s->started) std::this_thread::yield();
    const std::lock_guard guard(s->mutex);
    s->f->stop();
    s->f.reset();
  }
  running.join();
  BOOST_TEST(calls >= rounds(500));
}

BOOST_AUTO_TEST_SUITE_END()
