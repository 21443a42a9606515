// Fibers: starting and ending them, each from the one before it.
#include "run.hpp"

#include <cstddef>
#include <cstdint>

namespace fiber_side {
namespace {

void chain(std::size_t left, std::int64_t& sum) {
  sum += static_cast<std::int64_t>(left);
  if (left > 0) go([left, &sum] { chain(left - 1, sum); }).detach();
}

const measure::workload spawn_chain("spawn_chain", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const std::int64_t expected = measure::sum_below(s.size);
  const double ns = run(s.size, [&] {
    chain(s.size - 1, sum);
    while (sum != expected) boost::this_fiber::yield();
  });
  measure::check(sum, expected);
  return ns;
});

}  // namespace
}  // namespace fiber_side
