#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <functional>
#include <future>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// What the benchmarks share: workloads by name, running an io_context as programs do, and clocks.
namespace measure {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

/// How much of a workload is to be done, and by how many threads.
struct setting {
  std::size_t size;
  std::size_t threads;
};

/// What was measured, by name. A number alone is nanoseconds per operation.
class results {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): most workloads give one number
  results(double nanoseconds) : all_{{"ns", nanoseconds}} {}
  results(std::initializer_list<std::pair<std::string, double>> all) : all_(all) {}

  [[nodiscard]] const std::vector<std::pair<std::string, double>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, double>> all_;
};

/// All workloads of this program.
inline std::map<std::string, std::function<results(const setting&)>>& workloads() {
  static std::map<std::string, std::function<results(const setting&)>> all;
  return all;
}

/// A global object of this type makes a workload known to the main function.
class workload {
 public:
  workload(std::string name, std::function<results(const setting&)> run) {
    workloads().emplace(std::move(name), std::move(run));
  }
};

/// Makes known a workload over channels without a buffer, with room for one value, and for all:
/// NAME_0, NAME_1 and NAME_n.
class channel_workloads {
 public:
  channel_workloads(const std::string& name,
                    const std::function<results(const setting&, std::size_t capacity)>& run) {
    workload(name + "_0", [run](const setting& s) { return run(s, 0); });
    workload(name + "_1", [run](const setting& s) { return run(s, 1); });
    workload(name + "_n", [run](const setting& s) { return run(s, s.size); });
  }
};

/// Makes known the workloads that pass values from some to others over one channel.
class stream_workloads {
 public:
  using stream = results(const setting&, std::size_t capacity, std::int64_t senders,
                         std::int64_t receivers);

  explicit stream_workloads(stream* run) {
    workload("unbuffered", [run](const setting& s) { return run(s, 0, 1, 1); });
    workload("buffered", [run](const setting& s) { return run(s, 100, 1, 1); });
    workload("buffered_4_4", [run](const setting& s) { return run(s, 100, 4, 4); });
    for_every_capacity("spsc", run, 1, 1);
    for_every_capacity("mpsc", run, 4, 1);
    for_every_capacity("mpmc", run, 4, 4);
  }

 private:
  static void for_every_capacity(const std::string& name, stream* run, std::int64_t senders,
                                 std::int64_t receivers) {
    channel_workloads(name, [=](const setting& s, std::size_t capacity) {
      return run(s, capacity, senders, receivers);
    });
  }
};

/// Thrown when a workload did not do what it should have done: its time means nothing.
struct wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What is received when 0 ... n - 1 are sent.
[[nodiscard]] constexpr std::int64_t sum_below(std::size_t n) noexcept {
  const auto m = static_cast<std::int64_t>(n);
  return m * (m - 1) / 2;
}

/// @throws wrong if they differ
inline void check(std::int64_t is, std::int64_t should_be) {
  if (is != should_be)
    throw wrong("the sum is " + std::to_string(is) + " instead of " + std::to_string(should_be));
}

/// @throws wrong if `p` is not the `n`th prime
inline void check_prime(std::int64_t p, std::size_t n) {
  std::int64_t candidate = 1;
  for (std::size_t found = 0; found < n;) {
    ++candidate;
    bool is_prime = true;
    for (std::int64_t d = 2; is_prime && d * d <= candidate; ++d) is_prime = candidate % d != 0;
    found += is_prime;
  }
  check(p, candidate);
}

/// Measures wall-clock time from when it was made.
class stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(clock::now() - started_).count();
  }
  /// Nanoseconds for each of `n` operations.
  [[nodiscard]] double nanoseconds_each(std::size_t n) const {
    return seconds() * 1e9 / static_cast<double>(n);
  }

 private:
  clock::time_point started_ = clock::now();
};

[[nodiscard]] inline double microseconds_since(clock::time_point t) {
  return std::chrono::duration<double, std::micro>(clock::now() - t).count();
}

/// The processor time that this program has used.
[[nodiscard]] inline double processor_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

/// How much of this program is in memory.
[[nodiscard]] inline double resident_bytes() {
  std::size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return static_cast<double>(resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
}

/// The most of it that has been.
[[nodiscard]] inline double peak_bytes() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) * 1024;
}

/// The number that so many of a thousand samples are not above.
[[nodiscard]] inline double per_mille(std::vector<double> samples, std::size_t share) {
  const auto p = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() * share / 1'000);
  std::nth_element(samples.begin(), p, samples.end());
  return *p;
}
[[nodiscard]] inline double percentile_99(std::vector<double> samples) {
  return per_mille(std::move(samples), 990);
}

/// How often something took how long, to one part in 16: what happens millions of times is counted
/// in memory that does not grow.
class histogram {
 public:
  void add(clock::duration d) {
    ++counts_[index_of(static_cast<std::uint64_t>(
        std::max<std::int64_t>(std::chrono::nanoseconds(d).count(), 0)))];
    ++total_;
  }

  /// The microseconds that so many of a thousand are not above.
  [[nodiscard]] double per_mille(std::size_t share) const {
    std::size_t below = 0;
    std::size_t i = 0;
    while (i + 1 < counts_.size() && (below += counts_[i]) * 1'000 < total_ * share) ++i;
    return static_cast<double>(least_of(i + 1)) / 1e3;
  }

 private:
  [[nodiscard]] static std::size_t index_of(std::uint64_t ns) {
    if (ns < 16) return ns;
    const auto shift = static_cast<std::size_t>(std::bit_width(ns)) - 5;
    return shift * 16 + (ns >> shift);
  }
  [[nodiscard]] static std::uint64_t least_of(std::size_t index) {
    return index < 16 ? index : std::uint64_t{16 + index % 16} << (index / 16 - 1);
  }

  std::array<std::size_t, 1'024> counts_{};
  std::size_t total_ = 0;
};

/// How long each of some requests took.
class latencies {
 public:
  explicit latencies(std::size_t n) { microseconds_.reserve(n); }

  void begin() { started_ = clock::now(); }
  void end() { microseconds_.push_back(microseconds_since(started_)); }
  [[nodiscard]] const std::vector<double>& microseconds() const { return microseconds_; }

 private:
  clock::time_point started_;
  std::vector<double> microseconds_;
};

/// What a workload of single requests has measured.
[[nodiscard]] inline results latency_results(const latencies& l) {
  return {{"p50_us", per_mille(l.microseconds(), 500)},
          {"p999_us", per_mille(l.microseconds(), 999)}};
}

/// How long sleeper `i` sleeps: 1 to 100 ms, in no order.
[[nodiscard]] inline std::chrono::microseconds sleep_of(std::size_t i) {
  return std::chrono::microseconds(1'000 + i * 7'919 % 99'001);
}

/// What a workload of sleepers has measured: processor time, and how late each woke, in
/// microseconds.
[[nodiscard]] inline results sleep_results(double processor_time, std::vector<double> late) {
  for (const double l : late) check(l >= 0, true);
  return {{"cpu_ns", processor_time * 1e9 / static_cast<double>(late.size())},
          {"p99_us", percentile_99(std::move(late))}};
}

/// A thread that waits as long as this lives.
/** The C library leaves out atomic operations while a program has only one. */
class second_thread {
 public:
  second_thread() = default;
  second_thread(const second_thread&) = delete;
  second_thread& operator=(const second_thread&) = delete;
  ~second_thread() {
    over_.set_value();
    thread_.join();
  }

 private:
  std::promise<void> over_;
  std::thread thread_{[over = over_.get_future()] { over.wait(); }};
};

/// An `io_context` and its threads, as programs that serve something have them.
/** A timer is pending all the time, so that the event loop has its reactor to look at. */
class program {
 public:
  explicit program(std::size_t threads) : threads_(threads), io_(static_cast<int>(threads)) {
    reactor_.expires_after(std::chrono::hours(1));
    reactor_.async_wait([](auto) {});
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() = default;

  [[nodiscard]] asio::io_context& io() noexcept { return io_; }

  /// Lets `run` return as soon as nothing but the timer is left.
  void end() {
    asio::post(io_, [this] { reactor_.cancel(); });
  }

  /// Runs until no work is left, and gives the seconds that it took.
  double run() {
    const stopwatch watch;
    {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < threads_; ++i) others.emplace_back([this] { io_.run(); });
      io_.run();
    }
    return watch.seconds();
  }

 private:
  const std::size_t threads_;
  second_thread second_thread_;
  asio::io_context io_;
  asio::steady_timer reactor_{io_};
};

/// The number that argument `i` of the program is, or `otherwise`. Ends the program if it is none.
inline std::size_t argument(int argc, char** argv, int i, std::size_t otherwise) {
  if (i >= argc) return otherwise;
  char* end = nullptr;
  const unsigned long long n = std::strtoull(argv[i], &end, 10);
  if (*end || n == 0) {
    std::fprintf(stderr, "%s: \"%s\" is not a positive number\n", argv[0], argv[i]);
    std::exit(2);
  }
  return static_cast<std::size_t>(n);
}

/// The main function of a benchmark: what `f` does, and 1 with a message if it throws.
template <class Function>
int main(Function f) {
  try {
    f();
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

}  // namespace measure
