// Single operations under Google Benchmark, each in a goroutine that has the thread to itself: what
// one costs when nobody else is there. The other programs measure how operations work together.
#include "../measure.hpp"

#include <sluice.hpp>

#include <boost/asio/experimental/channel.hpp>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace {

using namespace std::chrono_literals;
using sluice::task;

/// Runs `body(state)`, a task that loops over the state, in an event loop as programs have it.
template <class Body>
void in_goroutine(benchmark::State& state, Body body) {
  measure::program program(1);
  sluice::go(program.io(), [&]() -> task<> {
    co_await body(state);
    program.end();
  });
  program.run();
}

void switch_goroutine(benchmark::State& state) {
  in_goroutine(state, [](benchmark::State& s) -> task<> {
    for ([[maybe_unused]] auto _ : s) co_await sluice::this_goroutine::yield();
  });
}

task<std::int64_t> identity(std::int64_t i) {
  co_return i;
}

void await_task(benchmark::State& state) {
  in_goroutine(state, [](benchmark::State& s) -> task<> {
    std::int64_t i = 0;
    for ([[maybe_unused]] auto _ : s) benchmark::DoNotOptimize(i += co_await identity(1));
  });
}

void send_and_receive(benchmark::State& state) {
  in_goroutine(state, [](benchmark::State& s) -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>(1);
    for ([[maybe_unused]] auto _ : s) {
      co_await ch.send(1);
      benchmark::DoNotOptimize(*co_await ch.receive());
    }
  });
}

void try_send_and_receive(benchmark::State& state) {
  const auto ch = sluice::make_channel<std::int64_t>(1);
  for ([[maybe_unused]] auto _ : state) {
    ch.try_send(std::int64_t{1});
    benchmark::DoNotOptimize(ch.try_receive());
  }
}

void try_receive_of_empty(benchmark::State& state) {
  const auto ch = sluice::make_channel<std::int64_t>(1);
  sluice::error_code e;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(ch.try_receive(e));
}

void asio_try_receive_of_empty(benchmark::State& state) {
  boost::asio::io_context io;
  boost::asio::experimental::channel<void(boost::system::error_code, std::int64_t)> ch(io, 1);
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(ch.try_receive(
        [](boost::system::error_code, std::int64_t v) { benchmark::DoNotOptimize(v); }));
}

/// A select of so many receives of which none is ready, and otherwise.
void select_otherwise(benchmark::State& state) {
  in_goroutine(state, [](benchmark::State& s) -> task<> {
    const auto a = sluice::make_channel<std::int64_t>(1);
    std::int64_t misses = 0;
    for ([[maybe_unused]] auto _ : s)
      co_await sluice::select(sluice::on(a.receive(), [](std::optional<std::int64_t>) {}),
                              sluice::otherwise([&] { ++misses; }));
  });
}

void timeout_of_ready(benchmark::State& state) {
  in_goroutine(state, [](benchmark::State& s) -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>();
    ch.close();
    for ([[maybe_unused]] auto _ : s)
      benchmark::DoNotOptimize(co_await sluice::timeout(ch.receive(), 1s));
  });
}

void lock_mutex(benchmark::State& state) {
  in_goroutine(state, [](benchmark::State& s) -> task<> {
    sluice::mutex m;
    for ([[maybe_unused]] auto _ : s) {
      const auto held = co_await m.lock();
      benchmark::DoNotOptimize(&held);
    }
  });
}

void make_a_channel(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(
        sluice::make_channel<std::int64_t>(static_cast<std::size_t>(state.range(0))));
}

void cancel_a_context(benchmark::State& state) {
  const auto parent = sluice::with_cancel(sluice::context::background());
  for ([[maybe_unused]] auto _ : state) {
    const auto child = sluice::with_cancel(parent.ctx);
    child.cancel();
  }
}

BENCHMARK(switch_goroutine);
BENCHMARK(await_task);
BENCHMARK(send_and_receive);
BENCHMARK(try_send_and_receive);
BENCHMARK(try_receive_of_empty);
BENCHMARK(asio_try_receive_of_empty);
BENCHMARK(select_otherwise);
BENCHMARK(timeout_of_ready);
BENCHMARK(lock_mutex);
BENCHMARK(make_a_channel)->Arg(0)->Arg(100);
BENCHMARK(cancel_a_context);

}  // namespace

BENCHMARK_MAIN();
