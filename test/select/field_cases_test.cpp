// What went wrong with selects over channels elsewhere, as their users reported it.
#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

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

BOOST_AUTO_TEST_SUITE(both_ends_of_one_channel)  // Source: Kotlin/kotlinx.coroutines#1411

BOOST_AUTO_TEST_CASE(park_until_somebody_else_comes) {
  for (const bool other_receives : {true, false}) {
    asio::io_context io;
    const auto ch = make_channel<int>();
    std::optional<std::size_t> index;
    int got = 0;
    sluice::go(io, [&]() -> task<> {
      index = co_await select(on(ch.send(42), [] {}),
                              on(ch.receive(), [&](std::optional<int> v) { got = *v; }));
    });
    poll(io);
    BOOST_TEST(!index.has_value());
    if (other_receives)
      BOOST_TEST(ch.try_receive().value() == 42);
    else
      ch.try_send(43);
    run(io);
    BOOST_TEST(index.value() == (other_receives ? 0u : 1u));
    BOOST_TEST(got == (other_receives ? 0 : 43));
    error_code e;
    BOOST_TEST(!ch.try_receive(e).has_value());
    BOOST_TEST(!ch.try_send(1, e));
  }
}

BOOST_AUTO_TEST_CASE(of_two_goroutines_meet_each_other) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  ints got;
  int sent = 0;
  for (int i = 0; i < 2; ++i)
    sluice::go(io, [&, i]() -> task<> {
      co_await select(on(ch.send(i), [&] { ++sent; }), on(ch.receive(), [&](std::optional<int> v) {
                        got.push_back(*v);
                        BOOST_TEST(*v == 1 - i);
                      }));
    });
  run(io);
  BOOST_TEST(sent == 1);
  BOOST_TEST(got.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_channel_that_stands_twice_gives_one_value) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  ints got;
  const auto take = [&](std::optional<int> v) { got.push_back(*v); };
  sluice::go(io,
             [&]() -> task<> { co_await select(on(ch.receive(), take), on(ch.receive(), take)); });
  poll(io);
  BOOST_TEST(try_send(ch, 1));
  BOOST_TEST(!try_send(ch, 2));
  run(io);
  BOOST_TEST(got == ints({1}), per_element());
}

BOOST_AUTO_TEST_SUITE_END()

// Source: BurntSushi/chan#8, crossbeam-rs/crossbeam-channel#1, cloudfoundry/garden#8
BOOST_AUTO_TEST_CASE(a_channel_that_is_always_ready_does_not_starve_quit) {
  run_task([]() -> task<> {
    auto always = make_channel<int>();
    always.close();
    int longest = 0;
    for (int i = 0; i < 1000; ++i) {
      const auto quit = holding({1});
      bool more = true;
      const auto stop = [&] { more = false; };
      int n = 0;
      for (; more && n < 100; ++n) {
        if (i % 2)
          co_await select(on(always.receive(), [] {}), on(quit.receive(), stop));
        else
          co_await select(on(quit.receive(), stop), on(always.receive(), [] {}));
      }
      longest = std::max(longest, n);
    }
    BOOST_TEST(longest < 50);

    auto quit = make_channel<int>();
    quit.close();
    constexpr int trials = 40'000;
    int first = 0;
    for (int i = 0; i < trials; ++i) {
      const auto c = co_await select(on(always.receive(), [] {}), on(quit.receive(), [] {}));
      first += c == 0;
    }
    BOOST_TEST(std::abs(first - trials / 2) < 600);  // 6 standard deviations
  });
}

BOOST_AUTO_TEST_SUITE(a_send_to_a_closed_channel)  // Source: golang/go#11344, #19820, #11015

BOOST_AUTO_TEST_CASE(is_ready_like_any_other_case_and_fails_if_chosen) {
  run_task([]() -> task<> {
    const auto shut = make_channel<int>();
    shut.close();
    const auto room = make_channel<int>(1000);
    int failures = 0;
    for (int i = 0; i < 1000; ++i) {
      const auto e = co_await error_of(select(shut.send(-1), room.send(i)));
      failures += e == closed;
    }
    BOOST_TEST(failures > 400);  // 6 standard deviations
    BOOST_TEST(failures < 600);
    BOOST_TEST(room.size() == 1000u - static_cast<std::size_t>(failures));
    int last = -1;
    while (room.size() != 0) {
      const auto v = room.try_receive();
      BOOST_REQUIRE(*v > std::exchange(last, *v));
    }
    const auto alone = co_await error_of(select(shut.send(1)));
    BOOST_TEST(alone == closed);
    bool otherwise_taken = false;
    const auto e = co_await error_of(
        select(on(shut.send(1), [] {}), otherwise([&] { otherwise_taken = true; })));
    BOOST_TEST(e == closed);
    BOOST_TEST(!otherwise_taken);
  });
}

BOOST_AUTO_TEST_CASE(that_is_closed_while_the_select_is_parked_fails_and_sends_nothing_elsewhere) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  error_code result;
  sluice::go(io, [&]() -> task<> {
    result = co_await error_of(select(b.send(2), a.send(1), b.receive()));
  });
  poll(io);
  a.close();
  run(io);
  BOOST_TEST(result == closed);
  error_code e;
  BOOST_TEST(!b.try_receive(e).has_value());
  BOOST_TEST(!b.try_send(1, e));
}

BOOST_AUTO_TEST_SUITE_END()

// Source: Kotlin/kotlinx.coroutines#1584
BOOST_AUTO_TEST_CASE(whatever_is_decided_already_when_the_select_begins_leaves_the_rest_alone) {
  run_task([]() -> task<> {
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    cancel();
    auto closed_channel = make_channel<int>();
    closed_channel.close();
    const auto empty = make_channel<int>();
    std::array<int, 5> order{0, 1, 2, 3, 4};
    std::array<int, 5> happened{};
    do {
      const auto ready = holding({7});
      int chosen = -1;
      std::vector<select_case> cases;
      for (const int c : order) {
        const auto add = [&](auto op) {
          cases.emplace_back(on(std::move(op), [&chosen, c] { chosen = c; }));
        };
        if (c == 0) add(closed_channel.receive());
        if (c == 1) add(ready.receive());
        if (c == 2) add(sluice::sleep_until(sluice::clock::now() - 1s));
        if (c == 3) add(ctx.done());
        if (c == 4) add(empty.receive());
      }
      const auto i = co_await select(cases);
      BOOST_REQUIRE(order.at(i) == chosen);
      ++happened.at(static_cast<std::size_t>(chosen));
      BOOST_REQUIRE(ready.size() == (chosen == 1 ? 0u : 1u));
      BOOST_REQUIRE(!try_send(empty, 1));
    } while (std::next_permutation(order.begin(), order.end()));
    for (std::size_t c = 0; c < 4; ++c) BOOST_TEST(happened[c] > 0);
    BOOST_TEST(happened[4] == 0);

    const auto ready = holding({7});
    auto r = co_await select(closed_channel.receive());
    BOOST_TEST(!r.get<0>());
    auto s = co_await select(ready.receive());
    BOOST_TEST(*s.get<0>() == 7);
    co_await select(sluice::sleep_until(sluice::clock::now() - 1s));
    co_await select(ctx.done());
  });
}

// Source: conr2d/eo#23
BOOST_AUTO_TEST_CASE(a_parked_receive_that_is_woken_by_close_is_a_success) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(a.receive(), b.receive());
    log.push_back("case " + std::to_string(r.index()) + (r.get<0>() ? " value" : " closed"));
    const auto v = co_await b.receive();
    log.push_back("b " + std::to_string(*v));
  });
  poll(io);
  a.close();
  poll(io);
  b.try_send(5);
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"case 0 closed", "b 5"}), per_element());
}

// Source: goose-lang/goose#105
BOOST_AUTO_TEST_CASE(two_selects_with_otherwise_never_meet) {
  const watchdog dog;
  const auto ch = make_channel<int>();
  asio::io_context io;
  asio::io_context other;
  std::size_t met = 0;
  std::size_t met_by_receiver = 0;
  const auto send = [&] {
    sluice::go(io, [&]() -> task<> {
      const auto i = co_await select(on(ch.send(1), [] {}), otherwise([] {}));
      met += i == 0;
    });
    poll(io);
  };
  const auto receive = [&] {
    sluice::go(other, [&]() -> task<> {
      const auto i = co_await select(on(ch.receive(), [] {}), otherwise([] {}));
      met_by_receiver += i == 0;
    });
    poll(other);
  };
  duel::fight(rounds(20'000), [] {}, send, receive, [] {});
  BOOST_TEST(met == 0u);
  BOOST_TEST(met_by_receiver == 0u);
}

// Source: traefik/yaegi#647, golang/go#48433
BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_because_others_use_the_channels) {
  const watchdog dog;
  const auto full = holding({});
  full.try_send(1);
  const auto unbuffered = make_channel<int>();
  std::atomic<bool> over = false;
  std::size_t not_received = 0;
  std::size_t not_sent = 0;
  std::size_t got = 0;
  const auto n = rounds(10'000);
  on_threads(3, [&](int thread) {
    asio::io_context io;
    if (thread != 0) {  // takes the locks of both without making a case ready or unready
      sluice::go(io, [&]() -> task<> {
        while (!over)
          co_await select(on(full.send(1), [] {}), on(unbuffered.receive(), [] {}),
                          otherwise([] {}));
      });
    } else {
      sluice::go(io, [&]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          co_await select(on(full.receive(), [] {}), otherwise([&] { ++not_received; }));
          try_send(full, 1);
          sluice::go([&]() -> task<> { got += (co_await unbuffered.receive()).has_value(); });
          co_await sluice::sleep_for(0s);
          co_await sluice::this_goroutine::yield();
          co_await select(otherwise([&] { ++not_sent; }), on(unbuffered.send(1), [] {}));
        }
        over = true;
      });
    }
    io.run();
  });
  BOOST_TEST(not_received == 0u);
  BOOST_TEST(not_sent == 0u);
  BOOST_TEST(got == n);
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
