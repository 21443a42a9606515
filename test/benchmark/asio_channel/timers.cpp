// Time: many who sleep, and waits that do not take long enough for their timeout.
#include "run.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

namespace asio_side {
namespace {

using namespace std::chrono_literals;

awaitable<void> sleep(std::chrono::microseconds d, double& late) {
  const measure::stopwatch watch;
  asio::steady_timer timer(co_await asio::this_coro::executor, d);
  co_await timer.async_wait(use_awaitable);
  late = watch.seconds() * 1e6 - static_cast<double>(d.count());
}

const measure::workload sleepers("sleepers", [](const measure::setting& s) {
  std::vector<double> late(s.size, -1);
  const double before = measure::processor_seconds();
  run(s, [&](asio::io_context& io) -> awaitable<void> {
    for (std::size_t i = 0; i < s.size; ++i) go(io, sleep(measure::sleep_of(i), late[i]));
    co_return;
  });
  return measure::sleep_results(measure::processor_seconds() - before, std::move(late));
});

/// A parallel group takes less time than awaitable_operators' ||.
const measure::workload timeout("timeout", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    channel ch(io, 1);
    asio::steady_timer timer(co_await asio::this_coro::executor);
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await ch.async_send(error_code(), static_cast<std::int64_t>(i), use_awaitable);
      timer.expires_after(1s);
      const auto [order, receive_error, value, timer_error] =
          co_await asio::experimental::make_parallel_group(ch.async_receive(asio::deferred),
                                                           timer.async_wait(asio::deferred))
              .async_wait(asio::experimental::wait_for_one(), use_awaitable);
      static_cast<void>(receive_error);
      static_cast<void>(timer_error);
      if (order[0] == 0) sum += value;
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

}  // namespace
}  // namespace asio_side
