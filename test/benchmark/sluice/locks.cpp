// Locks and workers: mutex, semaphore, worker pool.
#include "run.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sluice_side {
namespace {

using sluice::task;

auto acquire(sluice::mutex& m) {
  return m.lock();
}
auto acquire(sluice::semaphore& s) {
  return s.acquire();
}

template <class Lock>
measure::results uncontended(const measure::setting& s, Lock& lock) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto held = co_await acquire(lock);
      sum += static_cast<std::int64_t>(i);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
}

/// Yields while it holds the lock, so that the others have to wait for it.
template <class Lock>
task<> hold_and_yield(Lock& lock, std::size_t n, std::int64_t& sum) {
  for (std::size_t i = 0; i < n; ++i) {
    const auto held = co_await acquire(lock);
    const std::int64_t before = sum;
    co_await sluice::this_goroutine::yield();
    sum = before + 1;
  }
}

template <class Lock>
measure::results contended(const measure::setting& s, Lock& lock) {
  constexpr std::size_t members = 4;
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < members; ++i)
      sluice::go(hold_and_yield(lock, s.size / members, sum));
    co_return;
  });
  measure::check(sum, static_cast<std::int64_t>(s.size / members * members));
  return ns;
}

const measure::workload mutex_uncontended("mutex_uncontended", [](const measure::setting& s) {
  sluice::mutex m;
  return uncontended(s, m);
});
const measure::workload mutex_contended("mutex_contended", [](const measure::setting& s) {
  sluice::mutex m;
  return contended(s, m);
});
const measure::workload semaphore_uncontended("semaphore_uncontended",
                                              [](const measure::setting& s) {
                                                sluice::semaphore of_one(1);
                                                return uncontended(s, of_one);
                                              });
const measure::workload semaphore_contended("semaphore_contended", [](const measure::setting& s) {
  sluice::semaphore of_one(1);
  return contended(s, of_one);
});

using pool = sluice::worker_pool<std::int64_t, std::int64_t>;

task<> submit(pool& workers, std::int64_t from, std::int64_t to, std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  for (std::int64_t i = from; i < to; ++i) own_sum += co_await workers.submit(i);
  sum += own_sum;
}

/// 64 goroutines that each wait for the result of one job at a time, from four workers.
measure::results four_workers(const measure::setting& s, sluice::clock::duration limit) {
  constexpr std::int64_t clients = 64;
  const std::int64_t each = static_cast<std::int64_t>(s.size) / clients;
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  pool workers(program.io(), {.workers = 4, .queue_capacity = 64, .job_timeout = limit},
               [](std::int64_t i) { return i; });
  sluice::go(program.io(), [&]() -> task<> {
    sluice::wait_group all;
    for (std::int64_t i = 0; i < clients; ++i)
      all.go(submit(workers, i * each, (i + 1) * each, sum));
    co_await all.wait();
    co_await workers.stop();
    program.end();
  });
  const double ns = program.run() * 1e9 / static_cast<double>(s.size);
  measure::check(sum, measure::sum_below(static_cast<std::size_t>(each * clients)));
  return ns;
}

const measure::workload worker_pool("worker_pool", [](const measure::setting& s) {
  return four_workers(s, sluice::clock::duration::max());
});
/// The same with a limit on each job that none reaches.
const measure::workload worker_pool_timeout("worker_pool_timeout", [](const measure::setting& s) {
  return four_workers(s, std::chrono::hours(1));
});

}  // namespace
}  // namespace sluice_side
