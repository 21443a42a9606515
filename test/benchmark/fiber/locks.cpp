// Locks: the mutex.
#include "run.hpp"

#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace fiber_side {
namespace {

const measure::workload mutex_uncontended("mutex_uncontended", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s.size, [&] {
    fibers::mutex m;
    for (std::size_t i = 0; i < s.size; ++i) {
      const std::lock_guard guard(m);
      sum += static_cast<std::int64_t>(i);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

/// They yield while they hold the lock, so that the others have to wait for it.
const measure::workload mutex_contended("mutex_contended", [](const measure::setting& s) {
  constexpr std::size_t count = 4;
  std::int64_t sum = 0;
  const double ns = run(s.size, [&] {
    fibers::mutex m;
    std::vector<fibers::fiber> members;
    for (std::size_t i = 0; i < count; ++i) {
      members.push_back(go([&] {
        for (std::size_t j = 0; j < s.size / count; ++j) {
          const std::lock_guard guard(m);
          const std::int64_t before = sum;
          boost::this_fiber::yield();
          sum = before + 1;
        }
      }));
    }
    for (auto& f : members) f.join();
  });
  measure::check(sum, static_cast<std::int64_t>(s.size / count * count));
  return ns;
});

}  // namespace
}  // namespace fiber_side
