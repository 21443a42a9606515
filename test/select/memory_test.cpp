// What selects allocate, and what they leave behind: nothing.
#include "helpers.hpp"

#include "../allocation_counts.hpp"

#include <sluice/context.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Counts what is allocated in a loop, once everything that is made once has been made.
class counted_loop {
 public:
  /// For the loop's condition: whether there is another round.
  [[nodiscard]] bool next() {
    ++rounds_done;
    if (left_ < 0) {
      if (rounds_done < 1000 || watch_.elapsed() < 20ms) return true;
      left_ = 5000;
      before_ = allocations;
    }
    if (left_ == 0) count = allocations - before_;
    return left_-- != 0;
  }

  std::size_t count = 99;
  int rounds_done = -1;

 private:
  const stopwatch watch_;
  int left_ = -1;
  std::size_t before_ = 0;
};

/// Sends and receives for ever, so that whoever selects on both channels parks.
task<> be_partner(receiver<int> in, sender<int> out) {
  for (;;) {
    co_await in.receive();
    co_await out.send(1);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_select_over_up_to_8_channels_allocates_nothing)

BOOST_AUTO_TEST_CASE(when_a_case_is_ready) {
  run_task([]() -> task<> {
    auto always = make_channel<int>();
    always.close();
    const auto quiet = make_channel<int>();
    const auto room = make_channel<int>(1);
    counted_loop one;
    while (one.next()) co_await select(always.receive());
    counted_loop two;
    while (two.next()) co_await select(quiet.receive(), always.receive());
    counted_loop eight;
    while (eight.next()) {
      co_await select(quiet.receive(), quiet.send(1), quiet.receive(), room.send(1),
                      quiet.receive(), quiet.send(2), quiet.receive(), quiet.send(3));
      room.try_receive();
    }
    int got = 0;
    counted_loop with_handlers;
    while (with_handlers.next())
      co_await select(on(quiet.receive(), [&](std::optional<int> v) { got = *v; }),
                      on(always.receive(), [&](std::optional<int> v) { got += !v; }));
    int taken = 0;
    counted_loop with_otherwise;
    while (with_otherwise.next())
      co_await select(on(quiet.receive(), [] {}), on(quiet.send(1), [] {}),
                      otherwise([&] { ++taken; }));
    BOOST_TEST(one.count == 0u);
    BOOST_TEST(two.count == 0u);
    BOOST_TEST(eight.count == 0u);
    BOOST_TEST(with_handlers.count == 0u);
    BOOST_TEST(with_otherwise.count == 0u);
    BOOST_TEST(got == with_handlers.rounds_done);
    BOOST_TEST(taken == with_otherwise.rounds_done);
  });
}

BOOST_AUTO_TEST_CASE(when_it_parks) {
  asio::io_context io;
  const auto there = make_channel<int>();
  const auto back = make_channel<int>();
  const auto quiet = make_channel<int>();
  std::size_t two = 99;
  std::size_t eight = 99;
  std::size_t with_handlers = 99;
  sluice::go(sluice::untracked(io), be_partner(there, back));
  sluice::go(io, [&]() -> task<> {
    counted_loop pairs;
    while (pairs.next()) {
      co_await select(quiet.receive(), there.send(1));
      co_await select(back.receive(), quiet.receive());
    }
    counted_loop eights;
    while (eights.next()) {
      co_await select(quiet.receive(), quiet.receive(), quiet.receive(), there.send(1),
                      quiet.receive(), quiet.receive(), quiet.receive(), quiet.receive());
      co_await select(quiet.receive(), quiet.receive(), quiet.receive(), quiet.receive(),
                      quiet.receive(), quiet.receive(), quiet.receive(), back.receive());
    }
    counted_loop handled;
    while (handled.next()) {
      co_await select(on(quiet.receive(), [] {}), on(there.send(1), [] {}));
      co_await select(on(back.receive(), [](std::optional<int>) {}), on(quiet.receive(), [] {}));
    }
    two = pairs.count;
    eight = eights.count;
    with_handlers = handled.count;
  });
  run(io);
  BOOST_TEST(two == 0u);
  BOOST_TEST(eight == 0u);
  BOOST_TEST(with_handlers == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// The bytes of memory that this program has in use.
std::size_t resident() {
  std::ifstream statm("/proc/self/statm");
  std::size_t all = 0;
  std::size_t pages = 0;
  statm >> all >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Does selects with a busy channel, whose sender parks and lets park, and looks at the memory.
/** `one_select(busy)` does one select. The context must run out when the loop has ended. */
template <class Select>
void check_flat(std::size_t n, Select one_select) {
  asio::io_context io;
  const auto busy = make_channel<int>();
  std::ptrdiff_t live_before = 0;
  std::ptrdiff_t live_after = 0;
  std::size_t resident_before = 0;
  std::size_t resident_after = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) co_await busy.send(1);
  });
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) {
      if (i == n / 10) {
        live_before = live_allocations;
        resident_before = resident();
      }
      co_await one_select(busy);
    }
    live_after = live_allocations;
    resident_after = resident();
  });
  const stopwatch watch;
  run(io);
  BOOST_TEST((watch.elapsed() < 50s));
  BOOST_TEST(live_before > 0);
  BOOST_TEST(std::abs(live_after - live_before) < 100);
  if (!sanitized) BOOST_TEST(resident_after < resident_before + 200'000);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_loop_of_selects_leaves_nothing_behind)  // Source: test/chan/select2.go

BOOST_AUTO_TEST_CASE(on_a_quiet_channel_and_in_the_timers) {
  const auto quiet = make_channel<int>();
  check_flat(rounds(1'000'000), [&](const channel<int>& busy) -> task<> {
    co_await select(busy.receive(), quiet.receive(), sluice::sleep_for(1h));
  });
  BOOST_TEST(!try_send(quiet, 1));
}

BOOST_AUTO_TEST_CASE(on_a_context) {
  const auto quiet = make_channel<int>();
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  check_flat(rounds(200'000), [&](const channel<int>& busy) -> task<> {
    co_await select(busy.receive(), quiet.receive(), ctx.done());
  });
  BOOST_TEST(!try_send(quiet, 1));
  BOOST_TEST(ctx.child_count() == 0u);
}

// Source: golang time TestTimerGC
BOOST_AUTO_TEST_CASE(of_the_timers_behind_its_channels) {
  check_flat(rounds(100'000), [&](const channel<int>& busy) -> task<> {
    co_await select(busy.receive(), sluice::after(1h).receive());
  });
}

BOOST_AUTO_TEST_CASE(of_its_asio_operations) {
  check_flat(rounds(30'000), [](const channel<int>& busy) -> task<> {
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    co_await select(timer.async_wait(asio::deferred), busy.receive());
  });
}

BOOST_AUTO_TEST_CASE(of_a_range) {
  const auto quiet = make_channel<int>();
  check_flat(rounds(100'000), [&](const channel<int>& busy) -> task<> {
    std::vector<sluice::select_case> cases;
    for (int i = 0; i < 5; ++i) cases.emplace_back(on(quiet.receive(), [] {}));
    cases.emplace_back(on(busy.receive(), [] {}));
    co_await select(std::move(cases));
  });
  BOOST_TEST(!try_send(quiet, 1));
}

BOOST_AUTO_TEST_SUITE_END()
