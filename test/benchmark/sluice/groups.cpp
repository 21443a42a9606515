// What a request does: starting goroutines and waiting for all, handing a value to each of many, a
// pipeline of stages that compute.
#include "../pipeline.hpp"

#include "run.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice_side {
namespace {

using channel = sluice::channel<std::int64_t>;
using sluice::task;

task<> add(std::int64_t i, std::atomic<std::int64_t>& sum) {
  sum.fetch_add(i, std::memory_order_relaxed);
  co_return;
}

const measure::workload group_100("group_100", [](const measure::setting& s) {
  constexpr std::int64_t members = 100;
  std::atomic<std::int64_t> sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto start_all = [&](sluice::task_group& group) -> task<> {
      for (std::int64_t i = 0; i < members; ++i) group.go(add(i, sum));
      co_return;
    };
    for (std::size_t i = 0; i < s.size; ++i)
      co_await sluice::with_task_group(sluice::context::background(), start_all);
  });
  measure::check(sum, static_cast<std::int64_t>(s.size) * measure::sum_below(members));
  return ns;
});

task<> consume(channel in, std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  while (const auto v = co_await in.receive()) own_sum += *v;
  sum += own_sum;
}

const measure::workload fan_out("fan_out_1000", [](const measure::setting& s) {
  constexpr std::size_t receivers = 1'000;
  const std::size_t rounds = s.size / receivers;
  std::atomic<std::int64_t> sum = 0;
  const double ns = run(s, rounds * receivers, [&]() -> task<> {
    std::vector<channel> all;
    for (std::size_t i = 0; i < receivers; ++i) {
      all.push_back(sluice::make_channel<std::int64_t>());
      sluice::go(consume(all.back(), sum));
    }
    std::int64_t value = 0;
    for (std::size_t round = 0; round < rounds; ++round)
      for (const auto& ch : all) co_await ch.send(value++);
    for (const auto& ch : all) ch.close();
  });
  measure::check(sum, measure::sum_below(rounds * receivers));
  return ns;
});

task<> stage(channel in, channel out) {
  while (const auto v = co_await in.receive()) co_await out.send(measure::compute(*v));
  out.close();
}

task<> produce(channel out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) co_await out.send(static_cast<std::int64_t>(i));
  out.close();
}

const measure::workload pipeline("pipeline", [](const measure::setting& s) {
  measure::sum_of_stages sum;
  const double ns = run(s, [&]() -> task<> {
    auto last = sluice::make_channel<std::int64_t>(measure::between_stages);
    sluice::go(produce(last, s.size));
    for (std::size_t i = 0; i < measure::stages; ++i) {
      const auto next = sluice::make_channel<std::int64_t>(measure::between_stages);
      sluice::go(stage(last, next));
      last = next;
    }
    while (const auto v = co_await last.receive()) sum.add(*v);
  });
  sum.check(s.size);
  return ns;
});

}  // namespace
}  // namespace sluice_side
