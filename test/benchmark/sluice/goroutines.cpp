// Goroutines: starting, ending, parking and waking them, and the memory they take.
#include "run.hpp"

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sluice_side {
namespace {

using sluice::task;

task<> add(std::int64_t i, std::atomic<std::int64_t>& sum) {
  sum.fetch_add(i, std::memory_order_relaxed);
  co_return;
}

const measure::workload spawn("spawn", [](const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  const double ns = run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < s.size; ++i) sluice::go(add(static_cast<std::int64_t>(i), sum));
    co_return;
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

task<> chain(std::size_t left, std::int64_t& sum) {
  sum += static_cast<std::int64_t>(left);
  if (left > 0) sluice::go(chain(left - 1, sum));
  co_return;
}

const measure::workload spawn_chain("spawn_chain", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&] { return chain(s.size - 1, sum); });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

task<> wait(sluice::channel<void> until, std::int64_t i, std::atomic<std::int64_t>& sum) {
  static_cast<void>(co_await until.receive());
  sum.fetch_add(i, std::memory_order_relaxed);
}

/// Starts goroutines that wait until a channel is closed.
/** @return How much memory that took. */
double park(measure::program& program, const sluice::channel<void>& until, std::size_t n,
            std::atomic<std::int64_t>& sum) {
  const double before = measure::resident_bytes();
  for (std::size_t i = 0; i < n; ++i)
    sluice::go(program.io(), wait(until, static_cast<std::int64_t>(i), sum));
  program.io().poll();
  return measure::resident_bytes() - before;
}

/// Wakes and ends them. @return The seconds that it took.
double unpark(measure::program& program, const sluice::channel<void>& until) {
  sluice::go(program.io(), [until]() -> task<> {
    until.close();
    co_return;
  });
  program.end();
  return program.run();
}

const measure::workload parked("parked", [](const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  const auto until = sluice::make_channel<void>(program.io());
  const double bytes = park(program, until, s.size, sum) / static_cast<double>(s.size);
  const double ns = unpark(program, until) * 1e9 / static_cast<double>(s.size);
  measure::check(sum, measure::sum_below(s.size));
  return measure::results{{"bytes", bytes}, {"ns", ns}};
});

/// What goroutines that were parked leave behind in a program that goes on.
const measure::workload memory_returned("memory_returned", [](const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  const auto until = sluice::make_channel<void>(program.io());
  const double before = measure::resident_bytes();
  const double parked_bytes = park(program, until, s.size, sum);
  unpark(program, until);
  measure::check(sum, measure::sum_below(s.size));
  ::malloc_trim(0);
  const double left_bytes = measure::resident_bytes() - before;
  return measure::results{{"parked_bytes", parked_bytes / static_cast<double>(s.size)},
                          {"left_bytes", left_bytes / static_cast<double>(s.size)}};
});

}  // namespace
}  // namespace sluice_side
