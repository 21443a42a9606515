// An unbuffered ping-pong: two coroutines pass a number to and fro over two channels without a
// buffer. One operation is one round trip.
//
//   ping_pong [THREADS [ROUND_TRIPS [REPETITIONS]]]
#include "measure.hpp"

#include <sluice.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdint>
#include <exception>
#include <string>

namespace {

namespace asio = boost::asio;
using sluice::error_code;

struct workload {
  std::size_t threads;
  std::int64_t round_trips;
};

/// Checks what the players have added up: each number that was passed, twice.
double nanoseconds(const workload& w, double seconds, std::int64_t ping_sum,
                   std::int64_t pong_sum) {
  const std::int64_t n = w.round_trips;
  if (pong_sum != n * (n - 1) / 2 || ping_sum != n * (n + 1) / 2)
    throw measure::wrong("ping_pong: a sum is wrong");
  return seconds * 1e9 / static_cast<double>(n);
}

// --- Sluice --------------------------------------------------------------------------------------

sluice::task<> ping(sluice::sender<std::int64_t> out, sluice::receiver<std::int64_t> in,
                    std::int64_t n, std::int64_t& sum) {
  for (std::int64_t i = 0; i < n; ++i) {
    co_await out.send(i);
    sum += *co_await in.receive();
  }
}

sluice::task<> pong(sluice::receiver<std::int64_t> in, sluice::sender<std::int64_t> out,
                    std::int64_t n, std::int64_t& sum) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t v = *co_await in.receive();
    sum += v;
    co_await out.send(v + 1);
  }
}

double with_sluice(const workload& w) {
  std::int64_t ping_sum = 0, pong_sum = 0;
  measure::program program(w.threads);
  const auto there = sluice::make_channel<std::int64_t>(program.io());
  const auto back = sluice::make_channel<std::int64_t>(program.io());
  sluice::go(program.io(), pong(there, back, w.round_trips, pong_sum));
  sluice::go(program.io(), ping(there, back, w.round_trips, ping_sum),
             [&](std::exception_ptr) { program.end(); });
  const double seconds = program.run();
  return nanoseconds(w, seconds, ping_sum, pong_sum);
}

// --- Asio ----------------------------------------------------------------------------------------

using asio_channel = asio::experimental::concurrent_channel<void(error_code, std::int64_t)>;

asio::awaitable<void> ping(asio_channel& out, asio_channel& in, std::int64_t n, std::int64_t& sum) {
  for (std::int64_t i = 0; i < n; ++i) {
    co_await out.async_send(error_code(), i, asio::use_awaitable);
    sum += co_await in.async_receive(asio::use_awaitable);
  }
}

asio::awaitable<void> pong(asio_channel& in, asio_channel& out, std::int64_t n, std::int64_t& sum) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t v = co_await in.async_receive(asio::use_awaitable);
    sum += v;
    co_await out.async_send(error_code(), v + 1, asio::use_awaitable);
  }
}

double with_asio(const workload& w) {
  std::int64_t ping_sum = 0, pong_sum = 0;
  measure::program program(w.threads);
  asio_channel there(program.io());
  asio_channel back(program.io());
  asio::co_spawn(asio::make_strand(program.io()), pong(there, back, w.round_trips, pong_sum),
                 asio::detached);
  asio::co_spawn(asio::make_strand(program.io()), ping(there, back, w.round_trips, ping_sum),
                 [&](std::exception_ptr) { program.end(); });
  const double seconds = program.run();
  return nanoseconds(w, seconds, ping_sum, pong_sum);
}

}  // namespace

int main(int argc, char** argv) {
  const workload w{measure::argument(argc, argv, 1, 1),
                   static_cast<std::int64_t>(measure::argument(argc, argv, 2, 200'000))};
  const std::size_t repetitions = measure::argument(argc, argv, 3, 9);
  return measure::main([&] {
    measure::compare(
        "unbuffered ping-pong, round trip, threads: " + std::to_string(w.threads), repetitions,
        {{"Sluice", [&] { return with_sluice(w); }},
         {"concurrent_channel, strands, use_awaitable", [&] { return with_asio(w); }}});
  });
}
