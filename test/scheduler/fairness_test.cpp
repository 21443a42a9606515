#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/task.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Who runs when: nobody that can run waits for ever for one that does not let go.

namespace {

using namespace sluice_test;

/// Sends to and fro for ever.
sluice::task<> hammer(sluice::sender<int> out) {
  for (int i = 0;; ++i) co_await out.send(i);
}
sluice::task<> swallow(sluice::receiver<int> in, long& count) {
  while (const auto v = co_await in.receive()) ++count;
}

std::string milliseconds(steady::duration d) {
  return std::to_string(std::chrono::duration<double, std::milli>(d).count()) + " ms";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(yielding)

// TestYieldProgress (runtime/proc_test.go): a loop of {try-receive, yield} lets others progress.
BOOST_AUTO_TEST_CASE(lets_others_progress) {
  const sluice_test::watchdog dog;
  auto ch = sluice::make_channel<int>();
  asio::io_context io;
  bool got = false;
  sluice::go(io, [&]() -> sluice::task<> {
    sluice::error_code e;
    while (!ch.try_receive(e)) co_await sluice::this_goroutine::yield();
    got = true;
  });
  sluice::go(io, [&]() -> sluice::task<> { co_await ch.send(1); });
  io.run();
  BOOST_TEST(got);
}

BOOST_AUTO_TEST_CASE(goes_round_in_turn) {
  std::vector<int> order;
  asio::io_context io;
  for (int who = 0; who < 3; ++who)
    sluice::go(io, [](int n, std::vector<int>& o) -> sluice::task<> {
      for (int i = 0; i < 3; ++i) {
        o.push_back(n);
        co_await sluice::this_goroutine::yield();
      }
    }(who, order));
  io.run();
  BOOST_TEST(order == (std::vector{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

BOOST_AUTO_TEST_CASE(lets_plain_handlers_and_timers_progress) {
  const sluice_test::watchdog dog;
  asio::io_context io;
  bool posted = false;
  bool timed = false;
  asio::steady_timer timer(io, 5ms);
  timer.async_wait([&](sluice::error_code) { timed = true; });
  sluice::go(io, [&]() -> sluice::task<> {
    asio::post(io, [&] { posted = true; });
    while (!posted || !timed) co_await sluice::this_goroutine::yield();
  });
  io.run();
  BOOST_TEST((posted && timed));
}

BOOST_AUTO_TEST_CASE(works_on_a_strand_and_in_constant_stack) {
  sluice_test::on_stack_of(sluice_test::small_stack, [] {
    const int n = sanitized ? 20'000 : 200'000;
    int done = 0;
    asio::io_context io;
    sluice::go(asio::make_strand(io), [&]() -> sluice::task<> {
      for (; done < n; ++done) co_await sluice::this_goroutine::yield();
    });
    io.run();
    BOOST_TEST(done == n);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(parallelism)

constexpr steady::duration soon = 200ms * (sanitized ? 10 : 1);

/// Starts `n` goroutines that spin until all of them run, on as many threads; returns how long the
/// last of them waited for its thread.
template <class Start>
steady::duration all_at_once(int n, Start start) {
  const sluice_test::watchdog dog;
  asio::io_context io;
  auto guard = asio::make_work_guard(io);
  std::vector<std::jthread> threads;
  for (int i = 0; i < n; ++i) threads.emplace_back([&] { io.run(); });
  std::atomic<int> running = 0;
  std::atomic<steady::rep> last = 0;
  const auto spin = [&running, &last, n] {
    if (++running == n) last = steady::now().time_since_epoch().count();
    while (running < n) std::this_thread::yield();
  };
  const auto started = steady::now();
  start(io, spin);
  guard.reset();
  threads.clear();
  BOOST_TEST(running == n);
  return steady::time_point(steady::duration(last.load())) - started;
}

// TestGoroutineParallelism (runtime/proc_test.go).
BOOST_AUTO_TEST_CASE(goroutines_started_by_a_foreign_thread_run_on_all_threads) {
  for (const int n : {2, 4}) {
    const auto took = shortest(soon, [n] {
      return all_at_once(n, [n](asio::io_context& io, auto spin) {
        for (int i = 0; i < n; ++i)
          sluice::go(io, [spin]() -> sluice::task<> {
            spin();
            co_return;
          });
      });
    });
    BOOST_TEST((took < soon), "all " << n << " run after " << milliseconds(took));
  }
}

BOOST_AUTO_TEST_CASE(goroutines_started_by_a_goroutine_run_on_all_threads) {
  for (const int n : {2, 4}) {
    const auto took = shortest(soon, [n] {
      return all_at_once(n, [n](asio::io_context& io, auto spin) {
        sluice::go(io, [n, spin]() -> sluice::task<> {
          for (int i = 1; i < n; ++i)
            sluice::go([spin]() -> sluice::task<> {
              spin();
              co_return;
            });
          spin();
          co_return;
        });
      });
    });
    BOOST_TEST((took < soon), "all " << n << " run after " << milliseconds(took));
  }
}

// The threads went idle in between.
BOOST_AUTO_TEST_CASE(goroutines_woken_through_a_channel_run_on_all_threads) {
  const auto took = shortest(soon, [] {
    return all_at_once(2, [](asio::io_context& io, auto spin) {
      auto ch = sluice::make_channel<void>();
      for (int i = 0; i < 2; ++i)
        sluice::go(io, [ch, spin]() -> sluice::task<> {
          static_cast<void>(co_await ch.receive());
          spin();
        });
      std::this_thread::sleep_for(10ms);
      ch.close();
    });
  });
  BOOST_TEST((took < soon), "both run after " << milliseconds(took - 10ms));
}

BOOST_AUTO_TEST_CASE(a_lone_goroutine_behind_one_that_does_not_suspend_is_taken_by_an_idle_thread) {
  const sluice_test::watchdog dog;
  running_context context(2);
  for (int round = 0; round < 20; ++round) {
    const auto took = shortest(soon, [&] {
      std::atomic<bool> taken = false;
      std::latch over(2);
      steady::time_point at;
      steady::time_point started;
      sluice::go(context.io, [&]() -> sluice::task<> {
        started = steady::now();
        sluice::go([&]() -> sluice::task<> {
          at = steady::now();
          taken = true;
          over.count_down();
          co_return;
        });
        while (!taken) std::this_thread::yield();
        over.count_down();
        co_return;
      });
      over.wait();
      return at - started;
    });
    BOOST_TEST((took < soon), "taken after " << milliseconds(took));
  }
}

// None of them holds its thread for long, and all of them together never let go of it.
BOOST_AUTO_TEST_CASE(many_pairs_that_hand_over_all_the_time_spread_to_an_idle_thread) {
  const sluice_test::watchdog dog;
  constexpr int pairs = 64;
  std::vector<sluice::channel<int>> channels;
  std::atomic<bool> spread = false;
  std::atomic<std::thread::id> first;
  asio::io_context io;
  sluice::go(io, [&]() -> sluice::task<> {
    first = std::this_thread::get_id();
    for (int i = 0; i < pairs; ++i) {
      auto ch = channels.emplace_back(sluice::make_channel<int>());
      sluice::go([&, ch]() -> sluice::task<> {
        for (int n = 0; !spread; ++n) co_await ch.send(n);
        ch.close();
      });
      sluice::go([&, ch]() -> sluice::task<> {
        while (co_await ch.receive())
          if (std::this_thread::get_id() != first.load()) spread = true;
      });
    }
    co_return;
  });
  std::jthread second([&] { io.run(); });
  io.run();
  BOOST_TEST(spread);
}

// As above, with a thread that blocks in a plain handler instead of a goroutine.
BOOST_AUTO_TEST_CASE(a_goroutine_woken_by_a_plain_handler_that_does_not_return_runs_elsewhere) {
  const sluice_test::watchdog dog;
  asio::io_context io;
  auto guard = asio::make_work_guard(io);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([&] { io.run(); });
  std::atomic<bool> ran = false;
  asio::post(io, [&] {
    sluice::go(io, [&]() -> sluice::task<> {
      ran = true;
      co_return;
    });
    while (!ran) std::this_thread::yield();
  });
  guard.reset();
  threads.clear();
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(starvation)

// TestTimerFairness (runtime/proc_test.go).
BOOST_AUTO_TEST_CASE(two_goroutines_on_a_channel_do_not_delay_timers_sleeps_or_a_third_goroutine) {
  const sluice_test::watchdog dog;
  constexpr steady::duration soon = 120ms * (sanitized ? 5 : 1);
  const auto later = shortest(soon, [] {
    asio::io_context io;
    long count = 0;
    long third = 0;
    auto ch = sluice::make_channel<int>();
    sluice::go(io, hammer(ch));
    sluice::go(io, swallow(ch, count));
    sluice::go(io, [&]() -> sluice::task<> {
      for (;; ++third) co_await sluice::this_goroutine::yield();
    });
    const auto started = steady::now();
    steady::duration took{}, slept{};
    int running = 2;
    const auto ended = [&](steady::duration& in) {
      in = steady::now() - started;
      if (--running == 0) io.stop();
    };
    sluice::go(io, [&]() -> sluice::task<> {
      for (int i = 0; i < 3; ++i) co_await sluice::sleep_for(5ms);
      ended(slept);
    });
    asio::steady_timer timer(io, 20ms);
    timer.async_wait([&](sluice::error_code) { ended(took); });
    io.run();
    BOOST_TEST((took >= 20ms));
    BOOST_TEST((slept >= 15ms));
    BOOST_TEST(count > 100);
    BOOST_TEST(third > 100);
    return std::max(took, slept);
  });
  BOOST_TEST((later < soon), "the later came after " << milliseconds(later));
}

// tokio-rs/tokio#4314: operations that are always ready yield now and then.
BOOST_AUTO_TEST_CASE(a_goroutine_whose_operations_are_always_ready_lets_others_run) {
  const sluice_test::watchdog dog;
  constexpr steady::duration soon = 500ms * (sanitized ? 5 : 1);
  const auto took = shortest(soon, [] {
    asio::io_context io;
    auto closed = sluice::make_channel<int>();
    closed.close();
    auto own = sluice::make_channel<int>(1);
    bool stop = false;
    int ticks = 0;
    sluice::go(io, [&]() -> sluice::task<> {
      while (!stop) static_cast<void>(co_await closed.receive());
    });
    sluice::go(io, [&]() -> sluice::task<> {
      while (!stop) {
        co_await own.send(1);
        static_cast<void>(co_await own.receive());
      }
    });
    sluice::go(io, [&]() -> sluice::task<> {
      while (!stop) co_await sluice::sleep_for(0s);
    });
    asio::steady_timer timer(io);
    sluice::go(io, [&]() -> sluice::task<> {
      for (; ticks < 5; ++ticks) {
        timer.expires_after(2ms);
        co_await timer.async_wait(asio::deferred);
      }
      stop = true;
    });
    const auto started = steady::now();
    io.run();
    BOOST_TEST(ticks == 5);
    return steady::now() - started;
  });
  BOOST_TEST((took < soon));
}

// Nor one that computes between them: the event loop waits for one such step, or two.
BOOST_AUTO_TEST_CASE(
    a_goroutine_that_computes_and_whose_operations_are_ready_does_not_delay_timers) {
  const sluice_test::watchdog dog;
  constexpr steady::duration step = 5ms;
  const steady::duration soon = 8 * step;
  const auto late_behind = [&](auto wait) {
    return shortest(soon, [&] {
      asio::io_context io(1);
      auto ch = sluice::make_channel<int>(1);
      sluice::mutex m;
      bool stop = false;
      steady::duration late{};
      const auto started = steady::now();
      asio::steady_timer timer(io, 20ms);
      timer.async_wait([&](sluice::error_code) {
        late = steady::now() - started - 20ms;
        stop = true;
      });
      sluice::go(io, [&]() -> sluice::task<> {
        while (!stop) {
          for (const sluice_test::stopwatch watch; watch.elapsed() < step;) continue;
          co_await wait(ch, m);
        }
      });
      io.run();
      return late;
    });
  };
  using channel = sluice::channel<int>;
  using mutex = sluice::mutex;
  BOOST_TEST((late_behind([](channel& ch, mutex&) -> sluice::task<> {
                ch.try_send(1);
                static_cast<void>(co_await ch.receive());
              }) < soon));
  BOOST_TEST((late_behind([](channel&, mutex& m) -> sluice::task<> {
                const auto held = co_await m.lock();
              }) < soon));
  BOOST_TEST((late_behind([](channel&, mutex&) -> sluice::task<> {
                co_await sluice::sleep_for(0s);
              }) < soon));
  BOOST_TEST((late_behind([](channel& ch, mutex&) -> sluice::task<> {
                co_await sluice::select(ch.receive(), sluice::sleep_for(0s));
              }) < soon));
}

// What the event loop's turn finds ready goes before the goroutines' next turn. In some rounds the
// turn takes too long for that, on a busy machine.
BOOST_AUTO_TEST_CASE(what_the_event_loop_finds_ready_runs_before_goroutines_that_wait_for_nothing) {
  const sluice_test::watchdog dog;
  asio::io_context io(1);
  asio::local::stream_protocol::socket in(io);
  asio::local::stream_protocol::socket out(io);
  asio::local::connect_pair(in, out);
  out.non_blocking(true);
  char byte = 0;
  bool over = false;
  long turns_of_loop = 0;
  long turns_of_goroutines = 0;
  long written_in = 0;
  long fewest_between = 1'000;
  std::function<void()> count_turn = [&] {
    ++turns_of_loop;
    if (!over) asio::post(io, [&] { count_turn(); });
  };
  count_turn();
  sluice::go(io, [&]() -> sluice::task<> {
    for (int round = 0; round < 50; ++round) {
      bool was_read = false;
      const auto loop_has_turned = [&, seen = turns_of_loop] { return turns_of_loop != seen; };
      while (!loop_has_turned()) co_await sluice::this_goroutine::yield();
      written_in = ++turns_of_goroutines;
      in.async_read_some(asio::buffer(&byte, 1), [&](sluice::error_code, std::size_t) {
        fewest_between = std::min(fewest_between, turns_of_goroutines - written_in);
        was_read = true;
      });
      out.write_some(asio::buffer("x", 1));
      const auto read_has_ended = [&] { return was_read; };
      for (long seen = turns_of_loop; !read_has_ended(); co_await sluice::this_goroutine::yield())
        if (std::exchange(seen, turns_of_loop) != turns_of_loop) ++turns_of_goroutines;
    }
    over = true;
  });
  io.run();
  BOOST_TEST(fewest_between == 0);
}

// However short all steps were before: a long one is followed by a turn of the event loop.
BOOST_AUTO_TEST_CASE(goroutines_whose_steps_turn_long_do_not_delay_the_event_loop) {
  const sluice_test::watchdog dog;
  for (const int short_steps : {0, 100, 1'000, 5'000, 5'100, 5'200}) {
    asio::io_context io(1);
    int steps = 0;
    int before_handler = 0;
    int before_timer = 0;
    asio::steady_timer timer(io);
    auto ch = sluice::make_channel<int>();
    long received = 0;
    sluice::go(io, swallow(ch, received));
    sluice::go(io, [&]() -> sluice::task<> {
      for (int i = 0; i < short_steps; ++i) co_await ch.send(i);
      asio::post(io, [&] { before_handler = steps; });
      timer.expires_after(1ms);
      timer.async_wait([&](sluice::error_code) { before_timer = steps; });
      while (before_timer == 0) {
        for (const sluice_test::stopwatch watch; watch.elapsed() < 5ms;) continue;
        ++steps;
        co_await ch.send(0);
      }
      ch.close();
    });
    io.run();
    BOOST_TEST(before_handler <= 2);
    BOOST_TEST(before_timer <= 4);
  }
}

// TestPingPongHog (runtime/proc_test.go): a pair that does 1000 times as much per turn gets about
// as many turns.
BOOST_AUTO_TEST_CASE(a_pair_that_works_a_lot_in_each_turn_is_not_served_much_more_or_less_often) {
  const sluice_test::watchdog dog;
  asio::io_context io;
  bool stop = false;
  std::array<long, 2> turns{};
  const auto play = [](sluice::channel<bool> in, sluice::channel<bool> out, long& n, long work,
                       bool& over) -> sluice::task<> {
    for (;;) {
      static_cast<void>(co_await in.receive());
      if (over) break;
      for (volatile long i = 0; i < work;) i = i + 1;
      ++n;
      co_await out.send(true);
    }
    out.close();
  };
  for (const std::size_t pair : {0U, 1U}) {
    auto there = sluice::make_channel<bool>(1);
    auto back = sluice::make_channel<bool>(1);
    const long work = pair == 0 ? 1 : 1000;
    sluice::go(io, play(there, back, turns[pair], work, stop));
    sluice::go(io, play(back, there, turns[pair], work, stop));
    there.try_send(true);
  }
  asio::steady_timer timer(io, 100ms);
  timer.async_wait([&](sluice::error_code) { stop = true; });
  io.run();
  BOOST_TEST_MESSAGE("turns: " << turns[0] << " light, " << turns[1] << " heavy");
  BOOST_TEST(turns[0] > turns[1] / 20);
  BOOST_TEST(turns[1] > turns[0] / 20);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(stack)

// boostorg/asio#207, lewissbaker/cppcoro#31: ready operations in constant stack.
BOOST_AUTO_TEST_CASE(ready_receives_take_constant_stack) {
  const int n = sanitized ? 100'000 : 10'000'000;
  int got = 0;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    auto ch = sluice::make_channel<int>(1);
    ch.try_send(1);
    ch.close();
    sluice_test::run_task([&]() -> sluice::task<> {
      for (; got < n; ++got) static_cast<void>(co_await ch.receive());
    });
  });
  BOOST_TEST(got == n);
}

BOOST_AUTO_TEST_CASE(a_ping_pong_on_one_strand_takes_constant_stack) {
  const int n = sanitized ? 10'000 : 200'000;
  int got = 0;
  sluice_test::on_stack_of(sluice_test::small_stack, [&] {
    auto ch = sluice::make_channel<int>();
    asio::io_context io;
    const auto strand = asio::make_strand(io);
    sluice::go(strand, [&]() -> sluice::task<> {
      for (int i = 0; i < n; ++i) co_await ch.send(i);
      ch.close();
    });
    sluice::go(strand, [&]() -> sluice::task<> {
      while (co_await ch.receive()) ++got;
    });
    io.run();
  });
  BOOST_TEST(got == n);
}

BOOST_AUTO_TEST_CASE(a_token_goes_round_a_ring_of_a_thousand_in_constant_stack) {
  const int size = 1000;
  const int hops = sanitized ? 20'000 : 1'000'000;
  for (const int threads : {1, 2}) {
    int last = 0;
    sluice_test::on_stack_of(sluice_test::small_stack, [&] {
      const sluice_test::watchdog dog;
      asio::io_context io;
      std::vector<sluice::channel<int>> ring;
      for (int i = 0; i < size; ++i) ring.push_back(sluice::make_channel<int>());
      for (std::size_t i = 0; i < size; ++i)
        sluice::go(io,
                   [](sluice::channel<int> in, sluice::channel<int> out, int end,
                      int& result) -> sluice::task<> {
                     while (auto token = co_await in.receive()) {
                       if (*token == end) {
                         result = *token;
                         break;
                       }
                       co_await out.send(*token + 1);
                     }
                     out.close();
                   }(ring[i], ring[(i + 1) % size], hops, last));
      sluice::go(io, [&]() -> sluice::task<> { co_await ring[0].send(0); });
      sluice_test::on_threads(threads, [&](int) { io.run(); });
    });
    BOOST_TEST(last == hops);
  }
}

BOOST_AUTO_TEST_SUITE_END()
