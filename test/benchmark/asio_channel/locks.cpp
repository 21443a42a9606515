// Locks and workers: a channel with room for one value in the place of a mutex, and a worker pool.
#include "run.hpp"

#include <boost/asio/post.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace asio_side {
namespace {

const measure::workload mutex_uncontended("mutex_uncontended", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    channel lock(io, 1);
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await lock.async_send(error_code(), 0, use_awaitable);
      sum += static_cast<std::int64_t>(i);
      lock.try_receive([](error_code, std::int64_t) {});
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

awaitable<void> hold_and_yield(channel& lock, std::size_t n, std::int64_t& sum) {
  for (std::size_t i = 0; i < n; ++i) {
    co_await lock.async_send(error_code(), 0, use_awaitable);
    const std::int64_t before = sum;
    co_await asio::post(use_awaitable);
    sum = before + 1;
    lock.try_receive([](error_code, std::int64_t) {});
  }
}

const measure::workload mutex_contended("mutex_contended", [](const measure::setting& s) {
  constexpr std::size_t members = 4;
  std::int64_t sum = 0;
  measure::program program(s.threads);
  channel lock(program.io(), 1);
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    for (std::size_t i = 0; i < members; ++i) go(io, hold_and_yield(lock, s.size / members, sum));
    co_return;
  });
  measure::check(sum, static_cast<std::int64_t>(s.size / members * members));
  return ns;
});

struct job {
  std::int64_t number = 0;
  channel* result = nullptr;
};
using job_channel = asio::experimental::concurrent_channel<void(error_code, job)>;

awaitable<void> work(job_channel& jobs, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const job j = co_await jobs.async_receive(use_awaitable);
    co_await j.result->async_send(error_code(), j.number, use_awaitable);
  }
}

awaitable<void> submit(job_channel& jobs, channel& result, std::int64_t from, std::int64_t to,
                       std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  for (std::int64_t i = from; i < to; ++i) {
    const job j{i, &result};
    co_await jobs.async_send(error_code(), j, use_awaitable);
    own_sum += co_await result.async_receive(use_awaitable);
  }
  sum += own_sum;
}

/// 64 coroutines that each wait for the result of one job at a time, from four workers.
const measure::workload worker_pool("worker_pool", [](const measure::setting& s) {
  constexpr std::int64_t clients = 64;
  const std::int64_t each = static_cast<std::int64_t>(s.size) / clients;
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  job_channel jobs(program.io(), clients);
  std::deque<channel> results;
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    for (int i = 0; i < 4; ++i) go(io, work(jobs, each * clients / 4));
    for (std::int64_t i = 0; i < clients; ++i)
      go(io, submit(jobs, results.emplace_back(io, 1), i * each, (i + 1) * each, sum));
    co_return;
  });
  measure::check(sum, measure::sum_below(static_cast<std::size_t>(each * clients)));
  return ns;
});

}  // namespace
}  // namespace asio_side
