// Goroutines: starting, ending, parking and waking them.
#include "run.hpp"

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

const measure::workload parked("parked", [](const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  const auto until = sluice::make_channel<void>(program.io());
  const double before = measure::resident_bytes();
  for (std::size_t i = 0; i < s.size; ++i)
    sluice::go(program.io(), wait(until, static_cast<std::int64_t>(i), sum));
  program.io().poll();
  const double bytes = (measure::resident_bytes() - before) / static_cast<double>(s.size);

  sluice::go(program.io(), [&]() -> task<> {
    until.close();
    co_return;
  });
  program.end();
  const double ns = program.run() * 1e9 / static_cast<double>(s.size);
  measure::check(sum, measure::sum_below(s.size));
  return measure::results{{"bytes", bytes}, {"ns", ns}};
});

}  // namespace
}  // namespace sluice_side
