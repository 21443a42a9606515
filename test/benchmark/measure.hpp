#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

/// What the benchmarks share: running an io_context as programs do, repeating, and printing.
namespace measure {

namespace asio = boost::asio;

/// The number that is argument `i` of the program, or `otherwise`. Ends the program if it is none.
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

/// Thrown when a workload did not do what it should have done: its time means nothing.
struct wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An `io_context` and its threads, as programs that serve something have them.
/**
 * A timer is pending all the time, so that the event loop has its reactor to look at. And there are
 * at least two threads: the C library leaves out atomic operations while there is only one.
 */
class program {
 public:
  explicit program(std::size_t threads) : threads_(threads), io_(static_cast<int>(threads)) {
    reactor_.expires_after(std::chrono::hours(1));
    reactor_.async_wait([](auto) {});
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    over_.set_value();
    second_thread_.join();
  }

  [[nodiscard]] asio::io_context& io() noexcept { return io_; }

  /// Lets `run` return as soon as nothing but the timer is left.
  void end() {
    asio::post(io_, [this] { reactor_.cancel(); });
  }

  /// Runs until no work is left, and gives the seconds that it took.
  [[nodiscard]] double run() {
    const auto started = std::chrono::steady_clock::now();
    {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < threads_; ++i) others.emplace_back([this] { io_.run(); });
      io_.run();
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  }

 private:
  const std::size_t threads_;
  std::promise<void> over_;
  std::thread second_thread_{[over = over_.get_future()] { over.wait(); }};
  asio::io_context io_;
  asio::steady_timer reactor_{io_};
};

/// One way to do a workload; `once` does it and gives nanoseconds for one operation.
struct contender {
  std::string name;
  std::function<double()> once;
};

/// Sorted samples.
class samples {
 public:
  void add(double value) { values_.insert(std::ranges::upper_bound(values_, value), value); }

  [[nodiscard]] double lowest() const { return values_.front(); }
  [[nodiscard]] double highest() const { return values_.back(); }
  [[nodiscard]] double median() const {
    const std::size_t n = values_.size();
    return (values_[(n - 1) / 2] + values_[n / 2]) / 2;
  }

 private:
  std::vector<double> values_;
};

/// Lets the contenders take turns, after one round that does not count, and prints their medians,
/// their spread, and the first one's median divided by each one's.
inline void compare(const std::string& title, std::size_t repetitions,
                    const std::vector<contender>& contenders) {
  std::vector<samples> all(contenders.size());
  for (std::size_t round = 0; round <= repetitions; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const double ns = contenders[i].once();
      if (round > 0) all[i].add(ns);
    }
  }

  std::printf("%s, medians of %zu\n", title.c_str(), repetitions);
  std::printf("%-44s %10s %10s %10s %8s\n", "", "ns", "lowest", "highest", "ratio");
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::printf("%-44s %10.1f %10.1f %10.1f %8.3f\n", contenders[i].name.c_str(), all[i].median(),
                all[i].lowest(), all[i].highest(), all[0].median() / all[i].median());
  }
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
