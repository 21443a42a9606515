// What a request does: starting coroutines and waiting for all, handing a value to each of many, a
// pipeline of stages that compute.
#include "../pipeline.hpp"

#include "run.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace asio_side {
namespace {

using asio::experimental::make_parallel_group;
using asio::experimental::wait_for_one_error;

awaitable<void> add(std::int64_t i, std::atomic<std::int64_t>& sum) {
  sum.fetch_add(i, std::memory_order_relaxed);
  co_return;
}

const measure::workload group_100("group_100", [](const measure::setting& s) {
  constexpr std::int64_t members = 100;
  std::atomic<std::int64_t> sum = 0;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    const auto start = [&](std::int64_t i) {
      return asio::co_spawn(asio::make_strand(io), add(i, sum), asio::deferred);
    };
    for (std::size_t i = 0; i < s.size; ++i) {
      std::vector<decltype(start(0))> all;
      for (std::int64_t j = 0; j < members; ++j) all.push_back(start(j));
      co_await make_parallel_group(std::move(all)).async_wait(wait_for_one_error(), use_awaitable);
    }
  });
  measure::check(sum, static_cast<std::int64_t>(s.size) * measure::sum_below(members));
  return ns;
});

awaitable<void> consume(channel& in, std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  for (;;) {
    const auto [e, v] = co_await in.async_receive(asio::as_tuple(use_awaitable));
    if (e) break;
    own_sum += v;
  }
  sum += own_sum;
}

const measure::workload fan_out("fan_out_1000", [](const measure::setting& s) {
  constexpr std::size_t receivers = 1'000;
  const std::size_t rounds = s.size / receivers;
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  std::deque<channel> all;
  const double ns = run(program, rounds * receivers, [&](asio::io_context& io) -> awaitable<void> {
    for (std::size_t i = 0; i < receivers; ++i) go(io, consume(all.emplace_back(io), sum));
    std::int64_t value = 0;
    for (std::size_t round = 0; round < rounds; ++round)
      for (auto& ch : all) co_await ch.async_send(error_code(), value++, use_awaitable);
    for (auto& ch : all) ch.close();
  });
  measure::check(sum, measure::sum_below(rounds * receivers));
  return ns;
});

awaitable<void> stage(channel& in, channel& out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t v = co_await in.async_receive(use_awaitable);
    co_await out.async_send(error_code(), measure::compute(v), use_awaitable);
  }
}

awaitable<void> produce(channel& out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    co_await out.async_send(error_code(), static_cast<std::int64_t>(i), use_awaitable);
}

const measure::workload pipeline("pipeline", [](const measure::setting& s) {
  measure::sum_of_stages sum;
  measure::program program(s.threads);
  std::deque<channel> all;
  for (std::size_t i = 0; i <= measure::stages; ++i)
    all.emplace_back(program.io(), measure::between_stages);
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    go(io, produce(all.front(), s.size));
    for (std::size_t i = 0; i < measure::stages; ++i) go(io, stage(all[i], all[i + 1], s.size));
    for (std::size_t i = 0; i < s.size; ++i)
      sum.add(co_await all.back().async_receive(use_awaitable));
  });
  sum.check(s.size);
  return ns;
});

}  // namespace
}  // namespace asio_side
