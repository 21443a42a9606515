// Cases that lose: they take no value and no place, and hold up nobody.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

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

BOOST_AUTO_TEST_CASE(a_loser_of_a_callers_may_be_destroyed_before_the_select_goes_on) {
  for (const bool cancellable : {false, true}) {
    asio::io_context io;
    const auto ch = make_channel<int>(io);
    auto loser = std::make_optional(ch.receive());
    const auto tree = with_cancel(context::background());
    const auto ctx = cancellable ? tree.ctx : context::background();
    bool decided = false;
    sluice::go(ctx, io, [&]() -> task<> {
      const auto winner = make_channel<int>(io);
      sluice::go(io, [&]() -> task<> {
        error_code e;
        BOOST_TEST(winner.try_send(1, e));
        BOOST_TEST(!decided);
        loser.reset();
        co_return;
      });
      const auto r = co_await select(*loser, winner.receive());
      decided = r.index() == 1;
    });
    run(io);
    BOOST_TEST(decided);
  }
}

BOOST_AUTO_TEST_SUITE(losing_cases_eat_no_values)  // Source: chriskohlhoff/asio#1041

BOOST_AUTO_TEST_CASE(of_buffered_channels) {
  run_task([]() -> task<> {
    ints low(10);
    ints high(10);
    std::iota(low.begin(), low.end(), 0);
    std::iota(high.begin(), high.end(), 1000);
    const auto a = holding(low);
    const auto b = holding(high);
    const auto empty = make_channel<int>(10);
    ints from_a;
    ints from_b;
    for (int i = 0; i < 20; ++i)
      co_await select(on(a.receive(), [&](std::optional<int> v) { from_a.push_back(*v); }),
                      on(b.receive(), [&](std::optional<int> v) { from_b.push_back(*v); }),
                      on(empty.receive(), [&] { from_a.push_back(-1); }));
    BOOST_TEST(from_a == low, per_element());
    BOOST_TEST(from_b == high, per_element());
    BOOST_TEST(a.size() + b.size() == 0u);
  });
}

// Source: chriskohlhoff/asio#1078, fereidani/kanal#50
BOOST_AUTO_TEST_CASE(of_parked_senders_beside_a_timer_however_many_they_are) {
  for (const std::size_t n : {2U, 5U, 16U})
    for (const int threads : {1, 2}) {
      const auto wanted = rounds(3000);
      std::vector<channel<std::size_t>> channels(n);
      std::vector<std::size_t> received(n);
      std::vector<std::atomic<std::size_t>> sent(n);
      std::size_t out_of_order = 0;
      std::size_t timeouts = 0;
      {
        asio::io_context io;
        for (std::size_t i = 0; i < n; ++i) {
          channels[i] = make_channel<std::size_t>();
          sluice::go(sluice::untracked(io), [&, i]() -> task<> {
            for (std::size_t k = 0;; ++k) {
              co_await channels[i].send(k);
              ++sent[i];
            }
          });
        }
        sluice::go(io, [&]() -> task<> {
          random_numbers random(n);
          for (std::size_t done = 0; done < wanted;) {
            std::vector<select_case> cases;
            for (std::size_t i = 0; i < n; ++i)
              cases.emplace_back(on(channels[i].receive(), [&, i](std::optional<std::size_t> v) {
                out_of_order += v != received[i]++;
                ++done;
              }));
            const auto pause = std::chrono::nanoseconds(random.below(3));
            cases.emplace_back(on(sluice::sleep_for(pause), [&] { ++timeouts; }));
            co_await select(cases);
          }
        });
        run(io, threads);
      }
      BOOST_TEST(out_of_order == 0u);
      BOOST_TEST(std::accumulate(received.begin(), received.end(), std::size_t{0}) == wanted);
      for (std::size_t i = 0; i < n; ++i) BOOST_TEST(sent[i] == received[i]);
      BOOST_TEST(timeouts > 0u);
    }
}

BOOST_AUTO_TEST_SUITE_END()

// Source: async-rs/async-std#436, tokio-rs/tokio#5947
BOOST_AUTO_TEST_CASE(of_two_sends_one_is_carried_out_and_the_other_keeps_its_value) {
  counted::corrupt = 0;
  const auto n = rounds(20'000);
  std::vector<std::atomic<int>> arrivals(2 * n);
  std::size_t kept = 0;
  {
    const auto a = make_channel<counted>();
    const auto b = make_channel<counted>();
    asio::io_context io;
    for (const auto& ch : {a, b})
      for (int i = 0; i < 2; ++i)
        sluice::go(io, [&, ch]() -> task<> {
          while (const auto v = co_await ch.receive())
            ++arrivals.at(static_cast<std::size_t>(v->value));
        });
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < static_cast<int>(n); ++i) {
        auto r = co_await select(a.send(counted(2 * i)), b.send(counted(2 * i + 1)));
        if (r.index() == 0)
          kept += !r.lost<0>() && r.lost<1>()->value == 2 * i + 1;
        else
          kept += !r.lost<1>() && r.lost<0>()->value == 2 * i;
      }
      a.close();
      b.close();
    });
    run(io, 3);
  }
  BOOST_TEST(kept == n);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i) wrong += arrivals[2 * i] + arrivals[2 * i + 1] != 1;
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// Source: golang test/chan/select4.go
BOOST_AUTO_TEST_CASE(nothing_is_done_with_the_destination_of_a_case_that_loses) {
  run_task([]() -> task<> {
    auto quiet = make_channel<int>();
    auto ready = holding({42});
    int destinations = 0;
    int room = 0;
    const auto destination = [&]() -> int& {
      ++destinations;
      return room;
    };
    co_await select(on(quiet.receive(), [&](std::optional<int> v) { destination() = *v; }),
                    on(ready.receive(), [&](std::optional<int> v) { BOOST_TEST(*v == 42); }));
    BOOST_TEST(destinations == 0);
  });
}

// Source: golang test/chan/select6.go, golang issue 2075
BOOST_AUTO_TEST_CASE(a_losing_case_leaves_the_queue_wherever_it_stands_in_it) {
  constexpr int others = 3;
  for (int position = 0; position <= others; ++position) {
    asio::io_context io;
    auto shared = make_channel<int>();
    auto own = make_channel<int>();
    std::vector<int> got;
    for (int i = 0; i <= others; ++i) {
      if (i == position)
        sluice::go(io, [&]() -> task<> {
          auto r = co_await select(shared.receive(), own.receive());
          got.push_back(r.index() == 1 ? *r.get<1>() : -1);
        });
      else
        sluice::go(io, [&]() -> task<> { got.push_back(*co_await shared.receive()); });
    }
    poll(io);
    own.try_send(100);
    poll(io);
    sluice::go(io, [&]() -> task<> { got.push_back(*co_await shared.receive()); });
    poll(io);
    for (int i = 0; i <= others; ++i) shared.try_send(i);
    BOOST_TEST(!try_send(shared, 9));  // nobody is left
    run(io);
    BOOST_TEST(got == std::vector<int>({100, 0, 1, 2, 3}), per_element());
  }
}

// Source: golang runtime TestSelectDuplicateChannel
BOOST_AUTO_TEST_CASE(a_channel_that_stood_twice_in_a_select_serves_the_next_waiter) {
  asio::io_context io;
  auto twice = make_channel<int>();
  auto other = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(twice.receive(), twice.receive(), other.receive());
    log.push_back("case " + std::to_string(r.index()));
  });
  sluice::go(io, [&]() -> task<> {
    const auto v = co_await twice.receive();
    log.push_back("got " + std::to_string(*v));
  });
  poll(io);
  other.try_send(1);
  poll(io);
  BOOST_TEST(try_send(twice, 5));
  BOOST_TEST(!try_send(twice, 6));
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"case 2", "got 5"}), per_element());
}

BOOST_AUTO_TEST_SUITE(a_waiter_of_a_decided_select)  // Source: PaddlePaddle/Paddle#9265

BOOST_AUTO_TEST_CASE(is_skipped_by_a_send) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(a.receive(), b.receive());
    log.push_back("case " + std::to_string(r.index()));
  });
  sluice::go(io, [&]() -> task<> {
    const auto v = co_await a.receive();
    log.push_back("got " + std::to_string(*v));
  });
  poll(io);
  b.try_send(1);
  a.try_send(2);  // before the select has gone on
  BOOST_TEST(!try_send(a, 3));
  run(io);
  std::sort(log.begin(), log.end());
  BOOST_TEST(log == std::vector<std::string>({"case 1", "got 2"}), per_element());
}

// Source: cadence-workflow/cadence-go-client#50
BOOST_AUTO_TEST_CASE(alone_is_no_receiver_and_no_sender) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  const auto c = make_channel<int>();
  std::size_t index = 99;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(a.receive(), b.receive(), c.send(9));
    index = r.index();
  });
  poll(io);
  b.try_send(1);
  error_code e;
  BOOST_TEST(!a.try_send(2, e));
  BOOST_TEST(!b.try_send(2, e));
  BOOST_TEST(!c.try_receive(e).has_value());
  BOOST_TEST(e == would_block);
  run(io);
  BOOST_TEST(index == 1u);
}

// As with a goroutine that waits for one channel only (PaddlePaddle/Paddle#8197).
BOOST_AUTO_TEST_CASE(outlives_the_last_handle_of_its_channel) {
  asio::io_context io;
  auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::size_t index = 99;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(a.receive(), b.receive());
    index = r.index();
  });
  poll(io);
  b.try_send(1);
  BOOST_TEST(!try_send(a, 2));
  a = channel<int>();
  run(io);
  BOOST_TEST(index == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

// A select that has been decided elsewhere, and has not gone on yet, holds up nobody at the places
// where it has lost.
BOOST_AUTO_TEST_SUITE(a_select_that_was_decided_elsewhere)

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
