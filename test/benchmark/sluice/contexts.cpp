// Contexts: with a time limit that is not reached, and trees of them that are cancelled.
#include "run.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice_side {
namespace {

using sluice::task;

const measure::workload with_timeout("with_timeout", [](const measure::setting& s) {
  std::int64_t cancelled = 0;
  const double ns = run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto [ctx, cancel] =
          sluice::with_timeout(sluice::context::background(), std::chrono::seconds(1));
      cancel();
      cancelled += ctx.err() == boost::asio::error::operation_aborted;
    }
    co_return;
  });
  measure::check(cancelled, static_cast<std::int64_t>(s.size));
  return ns;
});

/// Each context but the leaves has ten derived from it; the root alone is cancelled.
const measure::workload cancel_tree("cancel_tree", [](const measure::setting& s) {
  constexpr std::size_t size = 10'000;
  constexpr std::size_t children = 10;
  const std::size_t trees = s.size / size;
  std::int64_t cancelled = 0;
  double making = 0;
  double cancelling = 0;
  run(s, [&]() -> task<> {
    for (std::size_t i = 0; i < trees; ++i) {
      std::vector<sluice::cancellable_context> tree;
      tree.reserve(size);
      const measure::stopwatch made;
      tree.push_back(sluice::with_cancel(sluice::context::background()));
      while (tree.size() < size)
        tree.push_back(sluice::with_cancel(tree[(tree.size() - 1) / children].ctx));
      making += made.seconds();
      const measure::stopwatch ended;
      tree.front().cancel();
      cancelling += ended.seconds();
      for (const auto& c : tree) cancelled += c.ctx.err() == boost::asio::error::operation_aborted;
    }
    co_return;
  });
  measure::check(cancelled, static_cast<std::int64_t>(trees * size));
  const auto each = [&](double seconds) {
    return seconds * 1e9 / static_cast<double>(trees * size);
  };
  return measure::results{{"ns", each(cancelling)}, {"make_ns", each(making)}};
});

}  // namespace
}  // namespace sluice_side
