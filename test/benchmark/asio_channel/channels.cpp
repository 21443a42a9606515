// Channels: handing over values one at a time, through a buffer, and without waiting.
#include "run.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace asio_side {
namespace {

awaitable<void> echo(channel& there, channel& back, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t v = co_await there.async_receive(use_awaitable);
    co_await back.async_send(error_code(), v + 1, use_awaitable);
  }
}

const measure::workload ping_pong("ping_pong", [](const measure::setting& s) {
  std::int64_t sum = 0;
  measure::program program(s.threads);
  channel there(program.io());
  channel back(program.io());
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    go(io, echo(there, back, s.size));
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await there.async_send(error_code(), static_cast<std::int64_t>(i), use_awaitable);
      sum += co_await back.async_receive(use_awaitable);
    }
  });
  measure::check(sum, measure::sum_below(s.size + 1));
  return ns;
});

awaitable<void> produce(channel& out, std::int64_t from, std::int64_t to) {
  for (std::int64_t i = from; i < to; ++i) co_await out.async_send(error_code(), i, use_awaitable);
}

awaitable<void> consume(channel& in, std::int64_t n, std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  for (std::int64_t i = 0; i < n; ++i) own_sum += co_await in.async_receive(use_awaitable);
  sum += own_sum;
}

/// Values from some coroutines to others over one channel.
/** It is not closed, because values that are in the buffer then are lost (Boost 1.81). */
measure::results stream(const measure::setting& s, std::size_t capacity, std::int64_t senders,
                        std::int64_t receivers) {
  const std::int64_t each = static_cast<std::int64_t>(s.size) / senders;
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  channel ch(program.io(), capacity);
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    for (std::int64_t i = 0; i < senders; ++i) go(io, produce(ch, i * each, (i + 1) * each));
    for (std::int64_t i = 0; i < receivers; ++i)
      go(io, consume(ch, each * senders / receivers, sum));
    co_return;
  });
  measure::check(sum, measure::sum_below(static_cast<std::size_t>(each * senders)));
  return ns;
}

const measure::stream_workloads streams(&stream);

/// One coroutine fills the buffer and empties it.
measure::results in_turn(const measure::setting& s, std::size_t capacity) {
  std::int64_t sum = 0;
  const std::size_t rounds = s.size / capacity;
  const double ns = run(s, rounds * capacity, [&](asio::io_context& io) -> awaitable<void> {
    channel ch(io, capacity);
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < capacity; ++i)
        co_await ch.async_send(error_code(), static_cast<std::int64_t>(i), use_awaitable);
      for (std::size_t i = 0; i < capacity; ++i) sum += co_await ch.async_receive(use_awaitable);
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
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    channel ch(io, 100);
    if (closed) ch.close();
    for (std::size_t i = 0; i < s.size; ++i) {
      bool received = false;
      ch.try_receive([&](error_code e, std::int64_t) { received = !e; });
      misses += !received;
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

awaitable<void> generate(channel& out) {
  for (std::int64_t i = 2;; ++i) co_await out.async_send(error_code(), i, use_awaitable);
}

awaitable<void> filter(channel& in, channel& out, std::int64_t prime) {
  for (;;) {
    const std::int64_t v = co_await in.async_receive(use_awaitable);
    if (v % prime != 0) co_await out.async_send(error_code(), v, use_awaitable);
  }
}

const measure::workload sieve("sieve", [](const measure::setting& s) {
  std::int64_t last = 0;
  measure::program program(s.threads);
  std::deque<channel> channels;
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    channels.emplace_back(io);
    go(io, generate(channels.back()));
    for (std::size_t i = 0; i < s.size; ++i) {
      channel& in = channels.back();
      last = co_await in.async_receive(use_awaitable);
      go(io, filter(in, channels.emplace_back(io), last));
    }
    io.stop();
  });
  measure::check_prime(last, s.size);
  return ns;
});

awaitable<void> pass_on(channel& in, channel& out, std::size_t laps) {
  for (std::size_t i = 0; i < laps; ++i) {
    const std::int64_t v = co_await in.async_receive(use_awaitable);
    co_await out.async_send(error_code(), v + 1, use_awaitable);
  }
}

const measure::workload ring("ring", [](const measure::setting& s) {
  constexpr std::size_t members = 1'000;
  std::int64_t count = 0;
  measure::program program(s.threads);
  std::deque<channel> channels;
  const double ns = run(program, members * s.size, [&](asio::io_context& io) -> awaitable<void> {
    channel& first = channels.emplace_back(io);
    for (std::size_t i = 1; i < members; ++i) {
      channel& last = channels.back();
      go(io, pass_on(last, channels.emplace_back(io), s.size));
    }
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await first.async_send(error_code(), count + 1, use_awaitable);
      count = co_await channels.back().async_receive(use_awaitable);
    }
  });
  measure::check(count, static_cast<std::int64_t>(members * s.size));
  return ns;
});

}  // namespace
}  // namespace asio_side
