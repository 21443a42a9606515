// A select that has been decided elsewhere, and has not gone on yet, holds up nobody at the places
// where it has lost.

#include <sluice/rate_limiter.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/timeout.hpp>

#include "helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace {

using namespace sluice_test;

const auto ignore = [](auto&&...) {};

/// Parks a select of `wait()` and a channel, decides it for the channel, and runs `then` before it
/// goes on.
template <class Wait, class Then>
void beside_a_decided_select(asio::io_context& io, Wait wait, Then then) {
  const auto ch = make_channel<int>(io);
  bool decided = false, looked = false;
  sluice::go(io, [&]() -> task<> {
    const auto r = co_await select(wait(), ch.receive());
    decided = r.index() == 1;
  });
  poll(io);
  sluice::go(io, [&]() -> task<> {
    ch.try_send(1);
    co_await then();
    BOOST_TEST(!decided);
    looked = true;
  });
  poll(io);
  BOOST_TEST(decided);
  BOOST_TEST(looked);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(select_decided_elsewhere)

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_free_units_of_a_semaphore) {
  asio::io_context io;
  sluice::semaphore s(5);
  const auto held = s.try_acquire(1);
  bool acquired = false;
  beside_a_decided_select(
      io, [&] { return s.acquire(5); },
      [&]() -> task<> {
        co_await select(on(s.acquire(1), [&](auto&&) { acquired = true; }), otherwise(ignore));
      });
  BOOST_TEST(acquired);
}

BOOST_AUTO_TEST_CASE(a_timeout_of_zero_acquires_free_units_of_a_semaphore) {
  asio::io_context io;
  sluice::semaphore s(5);
  const auto held = s.try_acquire(1);
  bool acquired = false;
  beside_a_decided_select(
      io, [&] { return s.acquire(5); },
      [&]() -> task<> {
        const auto permit = co_await sluice::timeout(s.acquire(1), 0ms);
        acquired = static_cast<bool>(permit);
      });
  BOOST_TEST(acquired);
}

BOOST_AUTO_TEST_CASE(otherwise_is_taken_beside_units_that_somebody_else_waits_for) {
  asio::io_context io;
  sluice::semaphore s(5);
  const auto held = s.try_acquire(1);
  sluice::go(io, [&]() -> task<> { static_cast<void>(co_await s.acquire(5)); });
  bool taken = false;
  sluice::go(io, [&]() -> task<> {
    co_await select(on(s.acquire(1), ignore), otherwise([&] { taken = true; }));
  });
  poll(io);
  BOOST_TEST(taken);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_a_shared_mutex_held_by_readers) {
  asio::io_context io;
  sluice::shared_mutex m;
  const auto reading = m.try_lock_shared();
  bool locked = false;
  beside_a_decided_select(
      io, [&] { return m.lock(); },
      [&]() -> task<> {
        co_await select(on(m.lock_shared(), [&](auto&&) { locked = true; }), otherwise(ignore));
      });
  BOOST_TEST(locked);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_a_rate_limiter_with_units_left) {
  asio::io_context io;
  sluice::rate_limiter limiter(io, 1h, 5);
  BOOST_TEST(limiter.try_acquire(1));
  bool acquired = false;
  beside_a_decided_select(
      io, [&] { return limiter.acquire(5); },
      [&]() -> task<> {
        co_await select(on(limiter.acquire(1), [&] { acquired = true; }), otherwise(ignore));
      });
  BOOST_TEST(acquired);
}

BOOST_AUTO_TEST_CASE(try_acquire_finds_the_units_that_a_rate_limiter_has_left) {
  asio::io_context io;
  sluice::rate_limiter limiter(io, 1h, 5);
  BOOST_TEST(limiter.try_acquire(1));
  bool acquired = false;
  beside_a_decided_select(
      io, [&] { return limiter.acquire(5); },
      [&]() -> task<> {
        acquired = limiter.try_acquire(1);
        co_return;
      });
  BOOST_TEST(acquired);
}

BOOST_AUTO_TEST_SUITE_END()
