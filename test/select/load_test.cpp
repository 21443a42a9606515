// Many selects at once: on one channel, and on several threads.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace sluice_test;

constexpr int threads = 4;

/// How long `n` goroutines take that select on one channel together and on one alone, and are
/// served alone, the first or the last first.
std::chrono::duration<double> time_of_selects(std::size_t n, bool last_first) {
  asio::io_context io;
  const auto shared = make_channel<int>();
  std::vector<channel<int>> own(n);
  for (auto& ch : own) {
    ch = make_channel<int>();
    sluice::go(io, [&]() -> task<> { co_await select(shared.receive(), ch.receive()); });
  }
  poll(io);
  if (last_first) std::reverse(own.begin(), own.end());
  const stopwatch watch;
  for (const auto& ch : own) ch.try_send(1);
  run(io);
  return watch.elapsed();
}

}  // namespace

// Source: golang test/chanlinear.go
BOOST_AUTO_TEST_CASE(the_time_to_leave_a_crowded_channel_does_not_grow_with_the_crowd) {
  constexpr std::size_t n = 1000;
  for (const bool last_first : {false, true}) {
    double least = 1e9;
    for (int tries = 0; tries < 5 && least > 20; ++tries)
      least = std::min(least, time_of_selects(8 * n, last_first) / time_of_selects(n, last_first));
    BOOST_TEST(least < 32,
               "8 times as many selects took " + std::to_string(least) + " times as long");
  }
}

// Source: golang runtime TestSelectStress
BOOST_AUTO_TEST_CASE(selects_and_plain_operations_share_four_channels_to_the_last_value) {
  constexpr std::size_t channels = 4;
  const auto n = rounds(20'000);
  const std::array<channel<std::size_t>, channels> ch{
      make_channel<std::size_t>(), make_channel<std::size_t>(), make_channel<std::size_t>(2),
      make_channel<std::size_t>(3)};
  asio::io_context io;
  std::array<std::atomic<std::size_t>, channels> sum{};
  for (std::size_t c = 0; c < channels; ++c) {
    sluice::go(io, [&, c]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) co_await ch[c].send(i);
    });
    sluice::go(io, [&, c]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) sum[c] += (co_await ch[c].receive()).value();
    });
  }
  sluice::go(io, [&]() -> task<> {
    auto left = ch;  // nil when their quota is done
    std::array<std::size_t, channels> done{};
    for (std::size_t i = 0; i < channels * n; ++i) {
      auto r = co_await select(left[3].send(done[3]), left[2].send(done[2]), left[0].send(done[0]),
                               left[1].send(done[1]));
      constexpr std::array<std::size_t, channels> written{3, 2, 0, 1};
      const auto c = written.at(r.index());
      if (++done[c] == n) left[c] = {};
    }
  });
  sluice::go(io, [&]() -> task<> {
    auto left = ch;
    std::array<std::size_t, channels> done{};
    const auto got = [&](std::size_t c, std::optional<std::size_t> v) {
      sum[c] += v.value();
      if (++done[c] == n) left[c] = {};
    };
    for (std::size_t i = 0; i < channels * n; ++i)
      co_await select(on(left[0].receive(), [&](std::optional<std::size_t> v) { got(0, v); }),
                      on(left[1].receive(), [&](std::optional<std::size_t> v) { got(1, v); }),
                      on(left[2].receive(), [&](std::optional<std::size_t> v) { got(2, v); }),
                      on(left[3].receive(), [&](std::optional<std::size_t> v) { got(3, v); }));
  });
  run(io, threads);
  for (std::size_t c = 0; c < channels; ++c) {
    BOOST_TEST(sum[c] == n * (n - 1));
    BOOST_TEST(ch[c].size() == 0u);
  }
}

// Source: golang runtime TestChanSendSelectBarrier
BOOST_AUTO_TEST_CASE(handoffs_between_selects_neither_leak_nor_double_an_element) {
  counted::corrupt = 0;
  const auto n = rounds(2000);
  std::atomic<std::size_t> intact = 0;
  {
    const auto never_sent = make_channel<counted>();
    const auto never_received = make_channel<counted>();
    asio::io_context io;
    for (int pair = 0; pair < 20; ++pair) {
      const auto ch = make_channel<counted>();
      sluice::go(io, [&, ch]() -> task<> {
        for (std::size_t i = 0; i < n; ++i)
          co_await select(ch.send(counted(static_cast<int>(i))), never_sent.receive());
      });
      sluice::go(io, [&, ch]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          auto r =
              co_await select(never_sent.receive(), ch.receive(), never_received.send(counted(-3)));
          intact += r.get<1>()->value == static_cast<int>(i) && r.lost<2>()->value == -3;
        }
      });
    }
    run(io, threads);
  }
  BOOST_TEST(intact == 20 * n);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// Source: golang runtime TestMultiConsumer
BOOST_AUTO_TEST_CASE(many_consumers_that_select_on_one_queue_and_on_quit_lose_nothing) {
  constexpr int workers = 23;
  const auto items = rounds(100'000);
  asio::io_context io;
  const auto queue = make_channel<int>(5);
  const auto results = make_channel<int>(5);
  const auto quit = make_channel<void>();
  std::atomic<int> running = workers;
  for (int w = 0; w < workers; ++w)
    sluice::go(io, [&]() -> task<> {
      for (bool more = true; more;) {
        std::optional<int> job;
        co_await select(on(quit.receive(), [&] { more = false; }),
                        on(queue.receive(), [&](std::optional<int> v) { job = v; }));
        more = more && job;
        if (job) co_await select(results.send(*job), quit.receive());
      }
      if (--running == 0) results.close();
    });
  std::int64_t expected = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < items; ++i) {
      const int p = static_cast<int>(i % 31) + 1;
      expected += p;
      co_await queue.send(p);
    }
    queue.close();
  });
  std::size_t count = 0;
  std::int64_t sum = 0;
  sluice::go(io, [&]() -> task<> {
    while (const auto v = co_await results.receive()) {
      ++count;
      sum += *v;
    }
  });
  run(io, threads);
  BOOST_TEST(count == items);
  BOOST_TEST(sum == expected);
}
