// Goroutines that await Asio's operations, and what their strand costs.
#include "run.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sluice_side {
namespace {

using sluice::channel;
using sluice::task;

/// Awaits `operation(timer)` again and again; the timer has gone off.
template <class Operation>
measure::results run_with_timer(const measure::setting& s, Operation operation) {
  return run(s, [&]() -> task<> {
    const auto strand = co_await boost::asio::this_coro::executor;
    boost::asio::steady_timer timer(strand, boost::asio::steady_timer::time_point::min());
    for (std::size_t i = 0; i < s.size; ++i) co_await operation(timer);
  });
}

// A timer that has gone off: all that a completion costs, and no wait.
const measure::workload completion("asio_completion", [](const measure::setting& s) {
  return run_with_timer(s, [](auto& timer) { return timer.async_wait(boost::asio::deferred); });
});

const measure::workload select_asio("select_asio", [](const measure::setting& s) {
  const auto quiet = sluice::make_channel<std::int64_t>();
  return run_with_timer(s, [&](auto& timer) {
    return sluice::select(quiet.receive(), timer.async_wait(boost::asio::deferred));
  });
});

const measure::workload timeout_asio("timeout_asio", [](const measure::setting& s) {
  return run_with_timer(s, [](auto& timer) {
    return sluice::timeout(timer.async_wait(boost::asio::deferred), std::chrono::seconds(1));
  });
});

task<> echo_on_a_strand(channel<std::int64_t> from, channel<std::int64_t> to, std::size_t n) {
  const auto kept = co_await boost::asio::this_coro::executor;
  for (std::size_t i = 0; i < n; ++i) co_await to.send(*co_await from.receive());
}

const measure::workload on_strands("ping_pong_on_strands", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto there = sluice::make_channel<std::int64_t>();
    const auto back = sluice::make_channel<std::int64_t>();
    sluice::go(echo_on_a_strand(there, back, s.size));
    const auto kept = co_await boost::asio::this_coro::executor;
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await there.send(static_cast<std::int64_t>(i));
      sum += *co_await back.receive();
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

}  // namespace
}  // namespace sluice_side
