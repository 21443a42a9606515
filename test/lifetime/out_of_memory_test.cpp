// Allocations that fail, one at a time: `std::bad_alloc` leaves the function that was called, or
// the context's `run`, which ends afterwards, and nothing is left.
#include <sluice/bind_context.hpp>
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/worker_pool.hpp>

#include "failing_allocations.hpp"
#include "goroutine/helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Runs `io` to its end, whatever leaves `run` on the way.
void run_to_the_end(asio::io_context& io) {
  for (;;) try {
      io.run();
      return;
    } catch (const std::bad_alloc&) {
      continue;
    }
}

/// Calls `begin`, and runs the context, with each allocation failing in turn.
void with_each_allocation_failing(const std::function<void(asio::io_context&)>& begin) {
  if (sanitized) return;
  const watchdog dog;
  const auto attempt = [&](long n) {
    asio::io_context io;
    // The services of the context are there, and room in the queue of Asio's timers.
    sluice::go(io, []() -> task<> { co_await sluice::sleep_for(1ms); });
    run(io);
    io.restart();
    until_failure = n;
    try {
      begin(io);
    } catch (const std::bad_alloc&) {
    }
    run_to_the_end(io);
    const bool failed = until_failure < 0;
    until_failure = -1;
    run_to_the_end(io);
    BOOST_TEST(sluice::goroutine_count(io) == 0u);
    return failed;
  };
  long n = 0;
  while (attempt(n)) ++n;
  BOOST_TEST(n > 0);
}

task<> nothing() {
  co_return;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(without_memory)

BOOST_AUTO_TEST_CASE(a_goroutine_with_a_cancellation_slot_is_not_started) {
  asio::cancellation_signal signal;
  with_each_allocation_failing([&](asio::io_context& io) {
    sluice::go(io, nothing(),
               asio::bind_cancellation_slot(signal.slot(), [](std::exception_ptr) {}));
  });
}

BOOST_AUTO_TEST_CASE(a_goroutine_with_a_context_is_not_started) {
  for (const bool with_token : {false, true})
    with_each_allocation_failing([&](asio::io_context& io) {
      const auto tree = sluice::with_cancel(sluice::context::background());
      if (with_token)
        sluice::go(tree.ctx, io, nothing(), asio::detached);
      else
        sluice::go(tree.ctx, io, nothing());
    });
}

// Either the call throws, and then it has launched nothing, or its handler is called.
BOOST_AUTO_TEST_CASE(an_operation_with_a_context_is_not_launched) {
  with_each_allocation_failing([](asio::io_context& io) {
    const auto tree = sluice::with_cancel(sluice::context::background());
    auto timer = std::make_unique<asio::steady_timer>(io, 1ms);
    auto& t = *timer;
    bool launched = false;
    try {
      t.async_wait(sluice::bind_context(
          tree.ctx, asio::bind_executor(io, [&launched, kept = std::move(timer)](error_code) {
            launched = true;
          })));
    } catch (const std::bad_alloc&) {
      run_to_the_end(io);
      BOOST_TEST(!launched);
      throw;
    }
    run_to_the_end(io);
    BOOST_TEST(launched);
  });
}

// Whoever submitted a job is told, whatever ends it, unless the call has thrown.
BOOST_AUTO_TEST_CASE(a_job_of_a_pool_is_told_about) {
  enum class by { itself, cancel, slot, context, deadline };
  for (const by end : {by::itself, by::cancel, by::slot, by::context, by::deadline})
    with_each_allocation_failing([end](asio::io_context& io) {
      int submitted = 0, told = 0;
      const auto tree = sluice::with_cancel(sluice::context::background());
      asio::cancellation_signal signals[2];
      {
        sluice::worker_pool<int, int> pool(
            io, {.workers = 1, .queue_capacity = 1, .job_timeout = end == by::deadline ? 1ms : 1h},
            [end](int n) -> task<int> {
              if (end != by::itself) co_await sluice::sleep_for(1h);
              co_return n;
            });
        for (auto& s : signals) try {
            pool.submit(1)(asio::bind_cancellation_slot(
                s.slot(), [&](const std::exception_ptr&, int) { ++told; }));
            ++submitted;
          } catch (const std::bad_alloc&) {
          }
        if (end == by::context) try {
            sluice::go(tree.ctx, io, [&]() -> task<> {
              ++submitted;
              try {
                co_await pool.submit(1);
              } catch (...) {
              }
              ++told;
            });
          } catch (const std::bad_alloc&) {
          }
        for (bool again = true; again;) try {
            io.poll();
            again = false;
          } catch (const std::bad_alloc&) {
          }
        if (end == by::slot)
          for (auto& s : signals) s.emit(asio::cancellation_type::terminal);
        tree.cancel();
        if (end == by::deadline || end == by::itself) run_to_the_end(io);
        pool.cancel();
      }
      io.restart();
      run_to_the_end(io);
      BOOST_TEST(told == submitted);
    });
}

// It has the room that it needs for each tick before it begins.
BOOST_AUTO_TEST_CASE(a_ticker_goes_on) {
  int ticks = 0;
  with_each_allocation_failing([&](asio::io_context& io) {
    sluice::go(io, [&]() -> task<> {
      sluice::ticker ticker(100us);
      for (int i = 0; i < 5; ++i) {
        static_cast<void>(co_await ticker.receive());
        ++ticks;
      }
    });
  });
  BOOST_TEST((sanitized || ticks >= 5));
}

// While a tick is out of the queue, others take all the places that there are.
BOOST_AUTO_TEST_CASE(a_ticker_goes_on_beside_timers_that_need_room) {
  if (sanitized) return;
  const watchdog dog;
  for (std::size_t places = 0; places < 10; ++places) {
    asio::io_context io;
    std::vector<sluice::timer> others;
    others.reserve(places);
    bool begun = false;
    int ticks = 0;
    const auto take_places = [&](std::chrono::steady_clock::time_point at) -> task<> {
      co_await sluice::sleep_until(at);
      for (std::size_t i = 0; i < places; ++i) others.emplace_back(1h);
      if (begun) until_failure = 0;
    };
    sluice::go(io, [&]() -> task<> {
      sluice::go(take_places(std::chrono::steady_clock::now() + 1ms));
      co_await yield();
      sluice::ticker ticker(1ms);
      begun = true;
      for (; ticks < 2; ++ticks) static_cast<void>(co_await ticker.receive());
      others.clear();
    });
    run_to_the_end(io);
    until_failure = -1;
    BOOST_TEST(ticks == 2);
  }
}

// A request for cancellation cannot be told that there is no memory for it: it needs none.
BOOST_AUTO_TEST_CASE(an_asio_operation_under_a_context_is_cancelled) {
  with_each_allocation_failing([&](asio::io_context& io) {
    const auto tree = sluice::with_cancel(sluice::context::background());
    sluice::go(tree.ctx, io, [&]() -> task<> {
      asio::steady_timer never(io, 1h);
      co_await never.async_wait(asio::as_tuple(asio::deferred));
    });
    try {
      io.poll();
    } catch (const std::bad_alloc&) {
    }
    tree.cancel();
  });
}

// The same for whoever claims a case beside an Asio operation: a value, a timer, a context.
BOOST_AUTO_TEST_CASE(an_asio_case_is_cancelled) {
  with_each_allocation_failing([](asio::io_context& io) {
    sluice::go(io, [&]() -> task<> {
      asio::steady_timer never(io, 1h);
      try {
        co_await sluice::timeout(never.async_wait(asio::deferred), 1ms);
      } catch (const sluice::system_error&) {
      }
    });
  });
  with_each_allocation_failing([](asio::io_context& io) {
    const auto ch = sluice::make_channel<int>(io);
    const auto wait = [&]() -> task<> {
      asio::steady_timer never(io, 1h);
      co_await sluice::select(ch.receive(), never.async_wait(asio::deferred));
    };
    try {
      // More than what has been recycled.
      for (int i = 0; i < 50; ++i) sluice::go(io, wait);
    } catch (const std::bad_alloc&) {
    }
    try {
      io.poll();
    } catch (const std::bad_alloc&) {
    }
    ch.close();
    io.restart();
    run_to_the_end(io);
  });
}

// Its strand has been made by then, and it has not come to it.
BOOST_AUTO_TEST_CASE(
    a_goroutine_that_could_not_launch_its_first_operation_is_on_its_strand_when_asked) {
  int elsewhere = 0;
  for (const bool in_select : {false, true})
    with_each_allocation_failing([&](asio::io_context& io) {
      const auto ch = sluice::make_channel<int>(io);
      const auto wait = [&io, &elsewhere, in_select, ch]() -> task<> {
        asio::steady_timer timer(io, 1ms);
        try {
          if (in_select)
            co_await sluice::select(ch.receive(), timer.async_wait(asio::deferred));
          else
            co_await timer.async_wait(asio::deferred);
          co_return;
        } catch (const std::bad_alloc&) {
          // It goes on below.
        }
        const auto ex = co_await asio::this_coro::executor;
        elsewhere += !ex.target<sluice::executor>()->running_in_this_thread();
      };
      for (int i = 0; i < 50; ++i) sluice::go(io, wait);
    });
  BOOST_TEST(elsewhere == 0);
}

// Once in a while they go first, and then the event loop has a turn before the other cases.
BOOST_AUTO_TEST_CASE(asio_cases_that_go_first_hold_up_no_select) {
  with_each_allocation_failing([](asio::io_context& io) {
    constexpr int goroutines = 50, selects = 40;
    const auto ch = sluice::make_channel<int>(io, goroutines * selects);
    for (int i = 0; i < goroutines * selects; ++i) ch.try_send(i);
    const auto receive_all = [&io, ch]() -> task<> {
      for (int i = 0; i < selects; ++i) try {
          asio::steady_timer never(io, 1h);
          co_await sluice::select(ch.receive(), never.async_wait(asio::deferred));
        } catch (const std::bad_alloc&) {
          continue;
        }
    };
    for (int i = 0; i < goroutines; ++i) sluice::go(io, receive_all);
  });
}

// What waits behind a step is followed by a handler instead, until there is memory for a timer.
BOOST_AUTO_TEST_CASE(a_watch_does_without_a_timer) {
  if (sanitized) return;
  const watchdog dog;
  const auto attempt = [](long n) {
    asio::io_context io;
    const auto run_once = [&] {
      sluice::go(io, nothing());
      io.run();
      io.restart();
    };
    run_once();
    std::thread(run_once).join();
    int ran = 0;
    for (int i = 0; i < 2; ++i)
      sluice::go(io, [&ran]() -> task<> {
        ++ran;
        co_return;
      });
    until_failure = n;
    run_to_the_end(io);
    const bool failed = until_failure < 0;
    until_failure = -1;
    BOOST_TEST(ran == 2);
    return failed;
  };
  long n = 0;
  while (attempt(n)) ++n;
  BOOST_TEST(n > 0);
}

BOOST_AUTO_TEST_CASE(a_timer_goes_off_though_there_is_no_memory_until_then) {
  if (sanitized) return;
  const watchdog dog;
  asio::io_context io;
  asio::steady_timer other(io, 1h);
  bool woke = false;
  sluice::go(io, [&]() -> task<> {
    co_await sluice::sleep_for(1ms);
    other.async_wait(asio::detached);  // takes the one place in Asio's queue
    none_left = true;
    co_await sluice::sleep_for(20ms);
    none_left = false;
    woke = true;
    other.cancel();
  });
  run_to_the_end(io);
  BOOST_TEST(woke);
}

// Whichever allocation is refused.
BOOST_AUTO_TEST_CASE(a_function_of_a_timer_runs_later) {
  if (sanitized) return;
  const watchdog dog;
  const auto attempt = [](long n) {
    asio::io_context io;
    int ran = 0;
    sluice::after_func(io, 1ms, [&ran] { ++ran; });
    counted_allocations = 0;
    until_failure = n;
    run_to_the_end(io);
    const bool failed = until_failure < 0;
    until_failure = -1;
    BOOST_TEST(ran == 1);
    return failed;
  };
  BOOST_TEST(!attempt(1'000'000));
  BOOST_TEST(!attempt(1'000'000));
  for (long n = 0; attempt(n); ++n) continue;
}

// Also if there is none for a while: it is tried again until there is some.
BOOST_AUTO_TEST_CASE(a_function_of_a_timer_waits_for_memory) {
  if (sanitized) return;
  const watchdog dog;
  asio::io_context io;
  int ran = 0;
  sluice::after_func(io, 1ms, [&ran] { ++ran; });
  {
    const no_memory_left none;
    for (const auto end = clock::now() + 20ms; clock::now() < end;) {
      try {
        io.run_until(end);
      } catch (const std::bad_alloc&) {
        continue;
      }
    }
    BOOST_TEST(ran == 0);
  }
  run_to_the_end(io);
  BOOST_TEST(ran == 1);
}

// There is room for an error before it can happen.
BOOST_AUTO_TEST_CASE(a_group_is_told_of_an_error) {
  if (sanitized) return;
  const watchdog dog;
  for (const auto policy : {sluice::group_errors::first, sluice::group_errors::all}) {
    asio::io_context io;
    bool told = false;
    const auto members = [](sluice::task_group& group) -> task<> {
      group.go([]() -> task<> {
        none_left = true;
        throw 1;
        co_return;
      });
      group.go([]() -> task<> {
        none_left = false;
        co_return;
      });
      co_return;
    };
    sluice::go(io, [&]() -> task<> {
      try {
        co_await sluice::with_task_group(sluice::context::background(), members, policy);
      } catch (int) {
        told = true;
      } catch (const sluice::task_group_error& e) {
        told = e.errors().size() == 1;
      }
    });
    run(io);
    BOOST_TEST(told);
    BOOST_TEST(!none_left);
  }
}

BOOST_AUTO_TEST_SUITE_END()
