// What the machine itself takes: a loop that waits for nothing but the processor, on each of the
// threads at the same time. Two published tables can be compared by it.
#include "../pipeline.hpp"

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace asio_side {
namespace {

const measure::workload calibration("calibration", [](const measure::setting& s) {
  std::vector<measure::sum_of_stages> sums(s.threads);
  const measure::stopwatch watch;
  {
    std::vector<std::jthread> all;
    for (auto& sum : sums)
      all.emplace_back([&] {
        for (std::size_t i = 0; i < s.size; ++i) {
          auto value = static_cast<std::int64_t>(i);
          for (std::size_t stage = 0; stage < measure::stages; ++stage)
            value = measure::compute(value);
          sum.add(value);
        }
      });
  }
  const double ns = watch.nanoseconds_each(s.size);
  for (const auto& sum : sums) sum.check(s.size);
  return ns;
});

}  // namespace
}  // namespace asio_side
