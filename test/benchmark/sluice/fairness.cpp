// Fair while fast: how late a timer, a socket and a goroutine that yields are while two others keep
// handing over values.
#include "run.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace sluice_side {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using channel = sluice::channel<std::int64_t>;
using socket = asio::local::stream_protocol::socket;
using sluice::task;

task<> hammer(channel out, std::stop_token over, std::int64_t& sent) {
  for (; !over.stop_requested(); ++sent) co_await out.send(sent);
  out.close();
}

task<> take(channel in, std::int64_t& sum) {
  while (const auto v = co_await in.receive()) sum += *v;
}

task<> sleep(std::size_t times, std::vector<double>& late) {
  for (std::size_t i = 0; i < times; ++i) {
    const auto due = measure::clock::now() + 20ms;
    co_await sluice::sleep_for(20ms);
    late.push_back(measure::microseconds_since(due));
  }
}

/// Done by a plain thread.
void write_time(std::stop_token over, socket& out, std::size_t& written) {
  do {
    const auto now = measure::clock::now();
    asio::write(out, asio::buffer(&now, sizeof now));
    ++written;
    std::this_thread::sleep_for(4ms);
  } while (!over.stop_requested());
  out.close();
}

task<> read_time(socket& in, std::vector<double>& late) {
  measure::clock::time_point written;
  for (;;) {
    const auto [e, n] = co_await asio::async_read(in, asio::buffer(&written, sizeof written),
                                                  asio::as_tuple(asio::deferred));
    if (e) co_return;
    measure::check(static_cast<std::int64_t>(n), sizeof written);
    late.push_back(measure::microseconds_since(written));
  }
}

task<> take_turns(std::stop_token over, measure::histogram& late) {
  do {
    const auto before = measure::clock::now();
    co_await sluice::this_goroutine::yield();
    late.add(measure::clock::now() - before);
  } while (!over.stop_requested());
}

const measure::workload fairness("fairness", [](const measure::setting& s) {
  std::int64_t sent = 0;
  std::int64_t sum = 0;
  std::size_t written = 0;
  std::vector<double> timer, read;
  measure::histogram turn;
  measure::program program(s.threads);
  socket in(program.io());
  socket out(program.io());
  asio::local::connect_pair(in, out);
  std::jthread writer(write_time, std::ref(out), std::ref(written));
  const std::stop_token over = writer.get_stop_token();
  const auto ch = sluice::make_channel<std::int64_t>(program.io());
  sluice::go(program.io(), hammer(ch, over, sent));
  sluice::go(program.io(), take(ch, sum));
  sluice::go(program.io(), read_time(in, read));
  sluice::go(program.io(), take_turns(over, turn));
  sluice::go(program.io(), sleep(s.size, timer), [&](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    writer.request_stop();
    program.end();
  });
  program.run();
  writer.join();
  measure::check(sum, measure::sum_below(static_cast<std::size_t>(sent)));
  measure::check(static_cast<std::int64_t>(read.size()), static_cast<std::int64_t>(written));
  measure::check(*std::min_element(timer.begin(), timer.end()) >= 0, true);
  return measure::results{{"timer_p99_us", measure::percentile_99(std::move(timer))},
                          {"read_p99_us", measure::percentile_99(std::move(read))},
                          {"turn_p99_us", turn.per_mille(990)}};
});

}  // namespace
}  // namespace sluice_side
