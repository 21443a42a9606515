// Coroutines: starting, ending, parking and waking them.
#include "run.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace asio_side {
namespace {

awaitable<void> add(std::int64_t i, std::atomic<std::int64_t>& sum) {
  sum.fetch_add(i, std::memory_order_relaxed);
  co_return;
}

const measure::workload spawn("spawn", [](const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    for (std::size_t i = 0; i < s.size; ++i) go(io, add(static_cast<std::int64_t>(i), sum));
    co_return;
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

/// Posts itself first: co_spawn runs a coroutine inside the one that starts it, and a long chain
/// overflows the stack.
awaitable<void> chain(asio::io_context& io, std::size_t left, std::int64_t& sum) {
  co_await asio::post(use_awaitable);
  sum += static_cast<std::int64_t>(left);
  if (left > 0) go(io, chain(io, left - 1, sum));
  co_return;
}

const measure::workload spawn_chain("spawn_chain", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns =
      run(s, [&](asio::io_context& io) -> awaitable<void> { return chain(io, s.size - 1, sum); });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

/// Without an exception, which would take most of the time.
awaitable<void> wait(channel& until, std::int64_t i, std::atomic<std::int64_t>& sum) {
  const auto [e, v] = co_await until.async_receive(asio::as_tuple(use_awaitable));
  if (e) sum.fetch_add(i + v, std::memory_order_relaxed);
}

const measure::workload parked("parked", [](const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  measure::program program(s.threads);
  channel until(program.io());
  const double before = measure::resident_bytes();
  for (std::size_t i = 0; i < s.size; ++i)
    go(program.io(), wait(until, static_cast<std::int64_t>(i), sum));
  program.io().poll();
  const double bytes = (measure::resident_bytes() - before) / static_cast<double>(s.size);

  asio::post(program.io(), [&] { until.close(); });
  program.end();
  const double ns = program.run() * 1e9 / static_cast<double>(s.size);
  measure::check(sum, measure::sum_below(s.size));
  return measure::results{{"bytes", bytes}, {"ns", ns}};
});

}  // namespace
}  // namespace asio_side
