// Of the cases that are ready each is chosen with the same probability.
#include "helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// A channel that is always ready to be received from.
channel<int> endless() {
  auto ch = make_channel<int>();
  ch.close();
  return ch;
}

/// How far a share of `n` choices may be from its probability: once in a million it is farther.
double tolerance(double probability, std::size_t n) {
  return 4.891676 * std::sqrt(probability * (1 - probability) / static_cast<double>(n));
}

void check_share(std::size_t chosen, std::size_t n, double probability, const std::string& what) {
  const double share = static_cast<double>(chosen) / static_cast<double>(n);
  BOOST_TEST(std::abs(share - probability) < tolerance(probability, n),
             what << ": a share of " << share << " instead of " << probability);
}

}  // namespace

// Source: golang runtime TestSelectFairness
BOOST_AUTO_TEST_CASE(two_ready_channels_behind_two_that_never_are_get_half_each) {
  constexpr int trials = 10'000;
  for (const bool buffered : {true, false}) {
    asio::io_context io;
    const auto first = make_channel<int>(buffered ? trials + 1 : 0);
    const auto second = make_channel<int>(buffered ? trials + 1 : 0);
    const auto never = make_channel<int>();
    const auto never_either = make_channel<int>();
    for (const auto& ch : {first, second})
      for (int i = 0; i <= trials; ++i)  // the unbuffered ones have senders parked
        sluice::go(sluice::untracked(io), [ch]() -> task<> { co_await ch.send(1); });
    poll(io);
    std::size_t of_first = 0;
    std::size_t others = 0;
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < trials; ++i) {
        auto r = co_await select(never.receive(), never_either.receive(), first.receive(),
                                 second.receive());
        of_first += r.index() == 2;
        others += r.index() < 2;
      }
    });
    run(io);
    BOOST_TEST(others == 0u);
    check_share(of_first, trials, 0.5, buffered ? "buffered" : "parked senders");
  }
}

namespace {

enum class never_ready : std::uint8_t { quiet, nil };
enum class where : std::uint8_t { before, between, after };

/// Deviation from equal shares among `ready` cases in one layout, as a chi-square value.
task<double> chi_square(std::size_t ready, std::size_t never, never_ready kind, where place,
                        std::size_t n) {
  const auto always = endless();
  const auto room = make_channel<int>(1);
  const auto quiet = kind == never_ready::quiet ? make_channel<int>() : channel<int>();
  std::vector<std::size_t> chosen(ready);
  std::vector<select_case> cases;
  for (std::size_t i = 0; i < n; ++i) {
    cases.clear();
    std::size_t left = never;
    const auto add_never = [&](std::size_t count) {
      for (; count != 0 && left != 0; --count, --left)
        if (left % 2)
          cases.emplace_back(on(quiet.receive(), [] {}));
        else
          cases.emplace_back(on(quiet.send(1), [] {}));
    };
    if (place == where::before) add_never(never);
    for (std::size_t k = 0; k < ready; ++k) {
      if (k % 2)
        cases.emplace_back(on(room.send(1), [&chosen, k] { ++chosen[k]; }));
      else
        cases.emplace_back(on(always.receive(), [&chosen, k] { ++chosen[k]; }));
      if (place == where::between) add_never(1);
    }
    add_never(never);
    co_await select(std::move(cases));
    if (room.size() != 0) room.try_receive();
  }
  const double expected = static_cast<double>(n) / static_cast<double>(ready);
  double sum = 0;
  for (const auto c : chosen) {
    const double d = static_cast<double>(c) - expected;
    sum += d * d / expected;
  }
  co_return sum;
}

/// What a chi-square value of 1 to 5 degrees of freedom exceeds once in ten million times.
constexpr std::array<double, 6> limits{0, 28.37, 32.24, 35.41, 38.24, 40.86};

}  // namespace

// Source: golang/go#21806
BOOST_AUTO_TEST_CASE(the_choice_is_uniform_whatever_stands_before_between_and_behind) {
  run_task([]() -> task<> {
    const auto n = rounds(2000);
    for (std::size_t ready = 2; ready <= 6; ++ready)
      for (std::size_t never = 0; never <= 4; ++never)
        for (const auto kind : {never_ready::quiet, never_ready::nil})
          for (const auto place : {where::before, where::between, where::after}) {
            const double deviation = co_await chi_square(ready, never, kind, place, n);
            BOOST_TEST(deviation < limits.at(ready - 1),
                       ready << " ready cases and " << never << " others, in place "
                             << static_cast<int>(place) << ": " << deviation);
          }
  });
}

// Source: golang/go#21806
BOOST_AUTO_TEST_CASE(a_channel_that_stands_twice_counts_twice) {
  run_task([]() -> task<> {
    const auto a = endless();
    const auto b = endless();
    const auto n = rounds(20'000);
    std::array<std::size_t, 3> chosen{};
    for (std::size_t i = 0; i < n; ++i) {
      auto r = co_await select(a.receive(), b.receive(), a.receive());
      ++chosen.at(r.index());
    }
    check_share(chosen[0], n, 1.0 / 3, "first");
    check_share(chosen[1], n, 1.0 / 3, "alone");
    check_share(chosen[2], n, 1.0 / 3, "second");
  });
}

// Source: golang/go#21806
BOOST_AUTO_TEST_CASE(the_choice_is_uniform_on_every_thread) {
  const auto n = rounds(10'000);
  constexpr std::size_t threads = 4;
  const auto a = endless();
  const auto b = endless();
  std::array<std::size_t, threads> firsts{};
  on_threads(threads, [&](int thread) {
    asio::io_context io;
    sluice::go(io, [&, thread]() -> task<> {
      std::size_t first = 0;
      for (std::size_t i = 0; i < n; ++i) {
        auto r = co_await select(a.receive(), b.receive());
        first += r.index() == 0;
      }
      firsts.at(static_cast<std::size_t>(thread)) = first;
    });
    io.run();
  });
  for (const auto f : firsts) check_share(f, n, 0.5, "one thread");
}

// Source: golang/go#21806: also right after the start, so nobody begins with the same seed.
BOOST_AUTO_TEST_CASE(the_first_choice_of_a_thread_is_uniform) {
  const auto batches = rounds(100);
  constexpr std::size_t threads = 8;
  const auto a = endless();
  const auto b = endless();
  std::atomic<std::size_t> first = 0;
  for (std::size_t i = 0; i < batches; ++i)
    on_threads(threads, [&](int) {
      asio::io_context io;
      sluice::go(io, [&]() -> task<> {
        auto r = co_await select(a.receive(), b.receive());
        first += r.index() == 0;
      });
      io.run();
    });
  check_share(first, batches * threads, 0.5, "first choices");
}

BOOST_AUTO_TEST_CASE(in_order_means_always_the_first) {
  run_task([]() -> task<> {
    const auto a = endless();
    const auto b = endless();
    const auto quiet = make_channel<int>();
    std::size_t wrong = 0;
    for (int i = 0; i < 1000; ++i) {
      auto r = co_await sluice::select_in_order(quiet.receive(), a.receive(), b.receive());
      wrong += r.index() != 1;
    }
    BOOST_TEST(wrong == 0u);
  });
}

// Source: golang runtime TestPseudoRandomSend
BOOST_AUTO_TEST_CASE(of_two_sends_to_one_channel_now_the_one_happens_and_now_the_other) {
  for (const std::size_t capacity : {0u, 100u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    constexpr int n = 100;
    int ones = 0;
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < n; ++i) {
        const auto v = co_await ch.receive();
        ones += *v;
      }
    });
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < n; ++i) co_await select(ch.send(1), ch.send(0));
    });
    run(io);
    BOOST_TEST(ones > n / 10);
    BOOST_TEST(ones < n - n / 10);
  }
}

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
