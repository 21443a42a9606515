// Bursts of work, one after another: goroutines that are started together and waited for, and trees
// of tasks whose leaves take a while. `size` is how many bursts.
#include "../work.hpp"
#include "run.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sluice_side {
namespace {

using sluice::task;

/// The median time of `s.size` rounds of `round`, each after a pause.
template <class Round>
double rounds(const measure::setting& s, std::chrono::milliseconds pause, Round round) {
  std::vector<double> took;
  run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < s.size; ++i) {
      if (pause.count() != 0) co_await sluice::sleep_for(pause);
      const measure::stopwatch watch;
      co_await round();
      took.push_back(watch.seconds() * 1e9);
    }
  });
  return measure::median(std::move(took));
}

const measure::burst_workloads bursts([](const measure::setting& s, const measure::burst& b) {
  const measure::work work(b.each);
  std::atomic<std::int64_t> done = 0;
  const double ns = rounds(s, b.pause, [&]() -> task<> {
    sluice::wait_group all;
    for (std::size_t i = 0; i < b.pieces; ++i)
      all.go([&]() -> task<> {
        work();
        done.fetch_add(1, std::memory_order_relaxed);
        co_return;
      });
    co_await all.wait();
  });
  measure::check(done, static_cast<std::int64_t>(s.size * b.pieces));
  return measure::results(ns);
});

task<std::int64_t> tree(int depth, const measure::work& work) {
  if (depth == 0) {
    work();
    co_return 1;
  }
  const auto [a, b] = co_await sluice::when_all(tree(depth - 1, work), tree(depth - 1, work));
  co_return a + b;
}

/// 4,096 leaves of two microseconds.
const measure::workload burst_tree("burst_tree", [](const measure::setting& s) {
  const measure::work work(std::chrono::microseconds(2));
  std::int64_t leaves = 0;
  const double ns = rounds(s, std::chrono::milliseconds(0),
                           [&]() -> task<> { leaves += co_await tree(12, work); });
  measure::check(leaves, static_cast<std::int64_t>(s.size) * 4096);
  return ns;
});

constexpr int queens = 11;
using board = std::array<signed char, queens>;

/// How many ways there are to place queens on the rows that are left.
task<std::int64_t> place(int row, board where) {
  if (row == queens) co_return 1;
  std::vector<task<std::int64_t>> next;
  for (int column = 0; column < queens; ++column) {
    bool free = true;
    for (int above = 0; above < row && free; ++above) {
      const int distance = column - where[static_cast<std::size_t>(above)];
      free = distance != 0 && distance != row - above && distance != above - row;
    }
    if (!free) continue;
    where[static_cast<std::size_t>(row)] = static_cast<signed char>(column);
    next.push_back(place(row + 1, where));
  }
  std::int64_t ways = 0;
  for (const std::int64_t n : co_await sluice::when_all(std::move(next))) ways += n;
  co_return ways;
}

/// The nqueens of github.com/tzcnt/runtime-benchmarks, of 11.
const measure::workload nqueens_when_all("nqueens_when_all", [](const measure::setting& s) {
  std::int64_t ways = 0;
  const double ns = rounds(s, std::chrono::milliseconds(0),
                           [&]() -> task<> { ways = co_await place(0, board{}); });
  measure::check(ways, 2680);
  return ns;
});

}  // namespace
}  // namespace sluice_side
