// Time: many who sleep, and waits that do not take long enough for their timeout.
#include "run.hpp"

#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/operations.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fiber_side {
namespace {

const measure::workload sleepers("sleepers", [](const measure::setting& s) {
  std::vector<double> late(s.size, -1);
  const double before = measure::processor_seconds();
  run(s.size, [&] {
    std::vector<fibers::fiber> all;
    for (std::size_t i = 0; i < s.size; ++i) {
      all.push_back(go([d = measure::sleep_of(i), &l = late[i]] {
        const measure::stopwatch watch;
        boost::this_fiber::sleep_for(d);
        l = watch.seconds() * 1e6 - static_cast<double>(d.count());
      }));
    }
    for (auto& f : all) f.join();
  });
  return measure::sleep_results(measure::processor_seconds() - before, std::move(late));
});

const measure::workload timeout("timeout", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s.size, [&] {
    fibers::buffered_channel<std::int64_t> ch(2);
    for (std::size_t i = 0; i < s.size; ++i) {
      ch.push(static_cast<std::int64_t>(i));
      std::int64_t v = 0;
      if (ch.pop_wait_for(v, std::chrono::seconds(1)) == fibers::channel_op_status::success)
        sum += v;
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

}  // namespace
}  // namespace fiber_side
