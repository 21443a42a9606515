// A thread that runs no goroutines and one that waits for what it sends.
#include "run.hpp"

#include <boost/asio/use_future.hpp>

#include <cstddef>
#include <cstdint>
#include <thread>

namespace sluice_side {
namespace {

namespace asio = boost::asio;
using channel = sluice::channel<std::int64_t>;
using sluice::task;

task<> answer(channel in, channel out) {
  while (const auto v = co_await in.receive()) co_await out.send(*v + 1);
}

const measure::workload from_thread("from_thread", [](const measure::setting& s) {
  std::int64_t sum = 0;
  measure::program program(s.threads);
  const auto there = sluice::make_channel<std::int64_t>(program.io(), 1);
  const auto back = sluice::make_channel<std::int64_t>(program.io(), 1);
  sluice::go(program.io(), answer(there, back));
  measure::latencies l(s.size);
  std::thread asking([&] {
    for (std::size_t i = 0; i < s.size; ++i) {
      l.begin();
      there.async_send(static_cast<std::int64_t>(i), asio::use_future).get();
      sum += *back.async_receive(asio::use_future).get();
      l.end();
    }
    there.close();
    program.end();
  });
  program.run();
  asking.join();
  measure::check(sum, measure::sum_below(s.size + 1));
  return measure::latency_results(l);
});

}  // namespace
}  // namespace sluice_side
