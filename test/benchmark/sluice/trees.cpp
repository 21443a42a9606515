// Trees of tasks: each waits for its children with when_all. The first is skynet of
// github.com/atemerev/skynet, the second the usual way to count calls.
#include "run.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace sluice_side {
namespace {

using sluice::task;

constexpr std::size_t children = 10;

/// The sum of `size` leaves, a power of ten of them, the first of which is `first`.
task<std::int64_t> skynet(std::int64_t first, std::size_t size) {
  if (size == 1) co_return first;
  const std::size_t part = size / children;
  const auto child = [&](std::size_t i) {
    return skynet(first + static_cast<std::int64_t>(i * part), part);
  };
  const auto [a, b, c, d, e, f, g, h, i, j] =
      co_await sluice::when_all(child(0), child(1), child(2), child(3), child(4), child(5),
                                child(6), child(7), child(8), child(9));
  co_return a + b + c + d + e + f + g + h + i + j;
}

const measure::workload skynet_when_all("skynet_when_all", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> { sum = co_await skynet(0, s.size); });
  measure::check(sum, measure::sum_below(s.size));
  return measure::results{{"ns", ns}, {"peak_bytes", measure::peak_bytes()}};
});

task<std::int64_t> fib(std::size_t n) {
  if (n < 2) co_return static_cast<std::int64_t>(n);
  const auto [a, b] = co_await sluice::when_all(fib(n - 1), fib(n - 2));
  co_return a + b;
}

const measure::workload fib_when_all("fib_when_all", [](const measure::setting& s) {
  std::int64_t result = 0;
  std::int64_t calls = 1;
  std::int64_t before = 1;
  std::int64_t expected = 0;
  std::int64_t next = 1;
  for (std::size_t i = 0; i < s.size; ++i) {
    expected = std::exchange(next, expected + next);
    if (i > 0) before = std::exchange(calls, 1 + calls + before);
  }
  const double ns =
      run(s, static_cast<std::size_t>(calls), [&]() -> task<> { result = co_await fib(s.size); });
  measure::check(result, expected);
  return measure::results{{"ns", ns}, {"peak_bytes", measure::peak_bytes()}};
});

}  // namespace
}  // namespace sluice_side
