// A thread that runs no coroutines and one that waits for what it sends.
#include "run.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_future.hpp>

#include <cstddef>
#include <cstdint>
#include <thread>

namespace asio_side {
namespace {

awaitable<void> answer(channel& in, channel& out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t v = co_await in.async_receive(use_awaitable);
    co_await out.async_send(error_code(), v + 1, use_awaitable);
  }
}

const measure::workload from_thread("from_thread", [](const measure::setting& s) {
  std::int64_t sum = 0;
  measure::program program(s.threads);
  channel there(program.io(), 1);
  channel back(program.io(), 1);
  go(program.io(), answer(there, back, s.size));
  measure::latencies l(s.size);
  std::thread asking([&] {
    for (std::size_t i = 0; i < s.size; ++i) {
      l.begin();
      there.async_send(error_code(), static_cast<std::int64_t>(i), asio::use_future).get();
      sum += back.async_receive(asio::use_future).get();
      l.end();
    }
    program.end();
  });
  program.run();
  asking.join();
  measure::check(sum, measure::sum_below(s.size + 1));
  return measure::latency_results(l);
});

}  // namespace
}  // namespace asio_side
