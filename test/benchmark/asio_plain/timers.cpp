// Time: one steady_timer for each who sleeps.
#include "../measure.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;

const measure::workload sleepers("sleepers", [](const measure::setting& s) {
  std::vector<double> late(s.size, -1);
  std::deque<asio::steady_timer> timers;
  const double before = measure::processor_seconds();
  measure::program program(s.threads);
  asio::post(program.io(), [&] {
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto d = measure::sleep_of(i);
      const measure::stopwatch watch;
      timers.emplace_back(program.io(), d).async_wait([&l = late[i], watch, d](auto) {
        l = watch.seconds() * 1e6 - static_cast<double>(d.count());
      });
    }
    program.end();
  });
  program.run();
  return measure::sleep_results(measure::processor_seconds() - before, std::move(late));
});

}  // namespace
