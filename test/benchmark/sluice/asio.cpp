// Goroutines that await Asio's operations, and what their strand costs.
#include "run.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstddef>
#include <cstdint>

namespace sluice_side {
namespace {

using sluice::channel;
using sluice::task;

// A timer that has gone off: all that a completion costs, and no wait.
const measure::workload completion("asio_completion", [](const measure::setting& s) {
  return run(s, [&]() -> task<> {
    const auto strand = co_await boost::asio::this_coro::executor;
    boost::asio::steady_timer timer(strand);
    timer.expires_at(boost::asio::steady_timer::time_point::min());
    for (std::size_t i = 0; i < s.size; ++i) co_await timer.async_wait(boost::asio::deferred);
  });
});

task<> echo_on_a_strand(channel<std::int64_t> from, channel<std::int64_t> to, std::size_t n) {
  static_cast<void>(co_await boost::asio::this_coro::executor);
  for (std::size_t i = 0; i < n; ++i) co_await to.send(*co_await from.receive());
}

const measure::workload on_strands("ping_pong_on_strands", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto there = sluice::make_channel<std::int64_t>();
    const auto back = sluice::make_channel<std::int64_t>();
    sluice::go(echo_on_a_strand(there, back, s.size));
    static_cast<void>(co_await boost::asio::this_coro::executor);
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
