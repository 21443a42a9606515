// Channels: handing over values one at a time, through a buffer, and without waiting.
#include "run.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice_side {
namespace {

using channel = sluice::channel<std::int64_t>;
using sluice::task;

task<> echo(channel there, channel back, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const auto v = co_await there.receive();
    co_await back.send(*v + 1);
  }
}

const measure::workload ping_pong("ping_pong", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto there = sluice::make_channel<std::int64_t>();
    const auto back = sluice::make_channel<std::int64_t>();
    sluice::go(echo(there, back, s.size));
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await there.send(static_cast<std::int64_t>(i));
      sum += *co_await back.receive();
    }
  });
  measure::check(sum, measure::sum_below(s.size + 1));
  return ns;
});

task<> produce(channel out, std::int64_t from, std::int64_t to, sluice::wait_group& producers) {
  for (std::int64_t i = from; i < to; ++i) co_await out.send(i);
  producers.done();
}

task<> consume(channel in, std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  while (const auto v = co_await in.receive()) own_sum += *v;
  sum += own_sum;
}

/// Values from some goroutines to others over one channel.
measure::results stream(const measure::setting& s, std::size_t capacity, std::int64_t senders,
                        std::int64_t receivers) {
  std::atomic<std::int64_t> sum = 0;
  sluice::wait_group producers;
  const std::int64_t each = static_cast<std::int64_t>(s.size) / senders;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>(capacity);
    producers.add(senders);
    for (std::int64_t i = 0; i < senders; ++i)
      sluice::go(produce(ch, i * each, (i + 1) * each, producers));
    for (std::int64_t i = 0; i < receivers; ++i) sluice::go(consume(ch, sum));
    co_await producers.wait();
    ch.close();
  });
  measure::check(sum, measure::sum_below(static_cast<std::size_t>(each * senders)));
  return ns;
}

const measure::stream_workloads streams(&stream);

/// One goroutine fills the buffer and empties it.
measure::results in_turn(const measure::setting& s, std::size_t capacity) {
  std::int64_t sum = 0;
  const std::size_t rounds = s.size / capacity;
  const double ns = run(s, rounds * capacity, [&]() -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>(capacity);
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < capacity; ++i) co_await ch.send(static_cast<std::int64_t>(i));
      for (std::size_t i = 0; i < capacity; ++i) sum += *co_await ch.receive();
    }
  });
  measure::check(sum, static_cast<std::int64_t>(rounds) * measure::sum_below(capacity));
  return ns;
}

const measure::workload uncontended("uncontended",
                                    [](const measure::setting& s) { return in_turn(s, 100); });
const measure::workload seq_n("seq_n",
                              [](const measure::setting& s) { return in_turn(s, s.size); });

/// Receiving without waiting from a channel that has nothing.
measure::results try_receive(const measure::setting& s, bool closed) {
  std::int64_t misses = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>(100);
    if (closed) ch.close();
    const sluice::error_code expected =
        closed ? sluice::error_code() : boost::asio::error::would_block;
    for (std::size_t i = 0; i < s.size; ++i) {
      sluice::error_code e;
      static_cast<void>(ch.try_receive(e));
      misses += e == expected;
    }
    co_return;
  });
  measure::check(misses, static_cast<std::int64_t>(s.size));
  return ns;
}

const measure::workload try_empty("try_empty",
                                  [](const measure::setting& s) { return try_receive(s, false); });
const measure::workload try_closed("try_closed",
                                   [](const measure::setting& s) { return try_receive(s, true); });

task<> generate(channel out) {
  for (std::int64_t i = 2;; ++i) co_await out.send(i);
}

task<> filter(channel in, channel out, std::int64_t prime) {
  while (const auto v = co_await in.receive())
    if (*v % prime != 0) co_await out.send(*v);
}

const measure::workload sieve("sieve", [](const measure::setting& s) {
  measure::program program(s.threads);
  std::int64_t last = 0;
  sluice::go(program.io(), [&]() -> task<> {
    auto ch = sluice::make_channel<std::int64_t>();
    sluice::go(generate(ch));
    for (std::size_t i = 0; i < s.size; ++i) {
      last = *co_await ch.receive();
      const auto next = sluice::make_channel<std::int64_t>();
      sluice::go(filter(ch, next, last));
      ch = next;
    }
    program.io().stop();
  });
  const double ns = program.run() * 1e9 / static_cast<double>(s.size);
  measure::check_prime(last, s.size);
  return ns;
});

task<> pass_on(channel in, channel out, std::size_t laps) {
  for (std::size_t i = 0; i < laps; ++i) {
    const auto v = co_await in.receive();
    co_await out.send(*v + 1);
  }
}

const measure::workload ring("ring", [](const measure::setting& s) {
  constexpr std::size_t members = 1'000;
  std::int64_t count = 0;
  const double ns = run(s, members * s.size, [&]() -> task<> {
    const auto first = sluice::make_channel<std::int64_t>();
    auto last = first;
    for (std::size_t i = 1; i < members; ++i) {
      const auto next = sluice::make_channel<std::int64_t>();
      sluice::go(pass_on(last, next, s.size));
      last = next;
    }
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await first.send(count + 1);
      count = *co_await last.receive();
    }
  });
  measure::check(count, static_cast<std::int64_t>(members * s.size));
  return ns;
});

}  // namespace
}  // namespace sluice_side
