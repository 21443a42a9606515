// What the stress of conservation has found, each fault alone.
#include "../sync_helpers.hpp"
#include "../time_helpers.hpp"
#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <thread>
#include <utility>

namespace {

using namespace sluice_test;

/// An allocator that is read when memory is given back.
template <class T>
struct counting_allocator {
  using value_type = T;

  explicit counting_allocator(std::shared_ptr<long> l) noexcept : live(std::move(l)) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) noexcept : live(other.live) {}

  T* allocate(std::size_t n) {
    *live += static_cast<long>(n);
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    *live -= static_cast<long>(n);
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  friend bool operator==(const counting_allocator& a, const counting_allocator<U>& b) noexcept {
    return a.live == b.live;
  }

  std::shared_ptr<long> live;
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_handler_of_a_select_may_destroy_the_operations_that_it_was_given) {
  asio::io_context io;
  auto ready = make_channel<int>(io, 1);
  auto quiet = make_channel<int>(io);
  ready.try_send(1);
  auto op = std::make_unique<sluice::send_operation<int>>(quiet.send(2));
  auto& operation = *op;
  std::size_t index = 9;
  select(operation, ready.receive())([&, op = std::move(op)](error_code, auto result) mutable {
    index = result.index();
    op.reset();
  });
  run(io);
  BOOST_TEST(index == 1u);
}

BOOST_AUTO_TEST_CASE(the_handler_of_a_parked_select_owns_its_operations_when_the_context_ends) {
  auto quiet = make_channel<int>();
  {
    asio::io_context io;
    auto op = std::make_unique<sluice::send_operation<int>>(quiet.send(2));
    auto& operation = *op;
    select(operation, quiet.receive())(asio::bind_executor(
        io.get_executor(), [op = std::move(op)](error_code, auto) { static_cast<void>(op); }));
    poll(io);
  }
  error_code e;
  BOOST_TEST(!quiet.try_receive(e));
  BOOST_TEST(e == would_block);
}

BOOST_AUTO_TEST_CASE(a_token_of_a_goroutine_that_its_context_destroys_gives_its_memory_back) {
  const auto live = std::make_shared<long>(0);
  bool called = false;
  {
    asio::io_context io;
    const auto quiet = make_channel<int>();
    sluice::go(
        io, [&]() -> task<> { co_await quiet.receive(); },
        asio::bind_allocator(counting_allocator<int>(live),
                             [&](std::exception_ptr) { called = true; }));
    poll(io);
    BOOST_TEST(*live > 0);
  }
  BOOST_TEST(*live == 0);
  BOOST_TEST(!called);
}

// A request that came after the goroutine had begun to wait and before it had launched the
// operation was sent to nobody.
BOOST_AUTO_TEST_CASE(a_cancellation_reaches_an_asio_operation_that_is_about_to_be_launched) {
  running_context running(2);
  const watchdog dog;
  std::atomic<bool> begun = false;
  std::atomic<std::size_t> ended = 0;
  std::atomic<std::size_t> wrong = 0;
  for (std::size_t i = 0; i < rounds(1'000); ++i) {
    begun = false;
    auto limited = sluice::with_cancel(sluice::context::background());
    sluice::go(limited.ctx, running.io, [&]() -> task<> {
      asio::steady_timer t(running.io, 1h);
      begun = true;
      const auto e = co_await error_of(t.async_wait(sluice::use_task));
      if (e != aborted) ++wrong;
      ++ended;
    });
    while (!begun) std::this_thread::yield();
    for (std::size_t k = i % 200; k != 0; --k) static_cast<void>(begun.load());
    limited.cancel();
    while (ended <= i) std::this_thread::yield();
  }
  running.join();
  BOOST_TEST(wrong == 0u);
}

// The request looked at a sleep whose goroutine had just gone on.
BOOST_AUTO_TEST_CASE(a_cancellation_and_the_end_of_a_sleep_at_the_same_time_are_no_race) {
  running_context running(2);
  const watchdog dog;
  std::atomic<std::size_t> ended = 0;
  for (std::size_t i = 0; i < rounds(1'000); ++i) {
    auto limited = sluice::with_cancel(sluice::context::background());
    sluice::go(limited.ctx, running.io, [&]() -> task<> {
      for (;;) {
        const auto e = co_await error_of(sluice::sleep_for(1ns));
        if (e) break;
      }
      ++ended;
    });
    for (std::size_t k = i % 500; k != 0; --k) static_cast<void>(ended.load());
    limited.cancel();
    while (ended <= i) std::this_thread::yield();
  }
  running.join();
  BOOST_TEST(ended == rounds(1'000));
}

BOOST_AUTO_TEST_CASE(a_select_and_a_cancellation_before_its_launch_agree) {
  running_context running(2);
  const watchdog dog;
  const auto quiet = make_channel<int>();
  std::atomic<bool> begun = false;
  std::atomic<std::size_t> ended = 0;
  std::atomic<std::size_t> wrong = 0;
  for (std::size_t i = 0; i < rounds(1'000); ++i) {
    begun = false;
    auto limited = sluice::with_cancel(sluice::context::background());
    sluice::go(limited.ctx, running.io, [&]() -> task<> {
      asio::steady_timer t(running.io, 1h);
      begun = true;
      const auto e = co_await error_of(select(quiet.receive(), t.async_wait(sluice::use_task)));
      if (e != aborted) ++wrong;
      ++ended;
    });
    while (!begun) std::this_thread::yield();
    for (std::size_t k = i % 200; k != 0; --k) static_cast<void>(begun.load());
    limited.cancel();
    while (ended <= i) std::this_thread::yield();
  }
  running.join();
  BOOST_TEST(wrong == 0u);
}
