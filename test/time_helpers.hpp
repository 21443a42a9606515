#pragma once

#include <sluice/timer.hpp>

#include "support.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

// What the tests of time, contexts and cancellation share.
namespace sluice_test {

inline const error_code timed_out = asio::error::timed_out;
inline const error_code deadline_exceeded = sluice::error::deadline_exceeded;

/// How long ago it was made, by the clock of the goroutine that asks.
class stopwatch {
 public:
  [[nodiscard]] sluice::clock::duration elapsed() const { return sluice::now() - start; }
  const sluice::clock::time_point start = sluice::now();
};

/// The shortest of what `measure` gives, in as many runs as it takes to get below `limit`, 20 at
/// most: a machine that is busy elsewhere makes some of them late, a fault all.
template <class Measure>
sluice::clock::duration shortest(sluice::clock::duration limit, Measure measure) {
  auto least = measure();
  for (int run = 1; run < 20 && least >= limit; ++run) least = std::min(least, measure());
  return least;
}

/// Whether one of 20 runs at most gives true: a machine that takes the thread its processor away
/// ends what a turn of the event loop may take, and so spoils some of them, a fault all.
template <class Run>
bool in_one_of_several_runs(Run run) {
  for (int i = 0; i < 20; ++i)
    if (run()) return true;
  return false;
}

/// Keeps the thread busy.
inline void keep_busy(std::chrono::nanoseconds time) {
  const auto end = steady::now() + time;
  while (steady::now() < end) {
  }
}

/// A context that is run by threads of its own while this exists; then it runs out.
class running_context {
 public:
  explicit running_context(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { io.run(); });
  }
  running_context(const running_context&) = delete;
  running_context& operator=(const running_context&) = delete;
  ~running_context() { join(); }

  /// Waits until it has nothing left to do.
  void join() {
    work_.reset();
    for (auto& t : threads_)
      if (t.joinable()) t.join();
  }

  asio::io_context io;

 private:
  asio::executor_work_guard<asio::io_context::executor_type> work_{io.get_executor()};
  std::vector<std::thread> threads_;
};

/// Two ends of a TCP connection on the loopback interface.
class socket_pair {
 public:
  explicit socket_pair(asio::io_context& io) : near(io), far(io) {
    asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    near.connect(acceptor.local_endpoint());
    acceptor.accept(far);
    near.set_option(asio::ip::tcp::no_delay(true));
    far.set_option(asio::ip::tcp::no_delay(true));
  }

  asio::ip::tcp::socket near;
  asio::ip::tcp::socket far;
};

/// Random numbers that are the same in every run.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) noexcept : state_(seed) {}
  /// One of 0 ... bound - 1.
  std::size_t below(std::size_t bound) noexcept {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>((state_ >> 33) % bound);
  }
  /// Takes up to about a microsecond.
  void pause() noexcept {
    for (volatile std::size_t n = below(200); n != 0;) n = n - 1;
  }

 private:
  std::uint64_t state_;
};

}  // namespace sluice_test
