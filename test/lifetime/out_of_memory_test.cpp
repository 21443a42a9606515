// Allocations that fail, one at a time: `std::bad_alloc` leaves the function that was called, or
// the context's `run`, which ends afterwards, and nothing is left.
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <new>

namespace {

using namespace sluice_test;
using namespace std::chrono_literals;

/// How many allocations of this thread succeed until one fails; none fails while it is negative.
thread_local constinit long until_failure = -1;
/// How many there were while it was not negative.
thread_local constinit long counted_allocations = 0;

[[maybe_unused]] bool fails_now() noexcept {
  if (until_failure < 0) return false;
  ++counted_allocations;
  return until_failure-- == 0;
}

}  // namespace

// The sanitizers have operators of their own.
#if !SLUICE_TEST_SANITIZED
void* operator new(std::size_t size) {
  if (fails_now()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif

namespace {

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
    // The context's services are there.
    sluice::go(io, []() -> task<> { co_await sluice::sleep_for(1us); });
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

// The goroutine is tried again later. The last allocation is that of the post to its strand.
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
  BOOST_TEST(attempt(counted_allocations - 1));
}

BOOST_AUTO_TEST_SUITE_END()
