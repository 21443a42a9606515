// Time: many who sleep, and waits that do not take long enough for their timeout.
#include "run.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sluice_side {
namespace {

using namespace std::chrono_literals;
using sluice::task;

task<> sleep(std::chrono::microseconds d, double& late) {
  const measure::stopwatch watch;
  co_await sluice::sleep_for(d);
  late = watch.seconds() * 1e6 - static_cast<double>(d.count());
}

const measure::workload sleepers("sleepers", [](const measure::setting& s) {
  std::vector<double> late(s.size, -1);
  const double before = measure::processor_seconds();
  run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < s.size; ++i) sluice::go(sleep(measure::sleep_of(i), late[i]));
    co_return;
  });
  return measure::sleep_results(measure::processor_seconds() - before, std::move(late));
});

const measure::workload timeout("timeout", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>(1);
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await ch.send(static_cast<std::int64_t>(i));
      sum += *co_await sluice::timeout(ch.receive(), 1s);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

}  // namespace
}  // namespace sluice_side
