// Everything at once, on several threads, for as long as asked: laps of about a second, after each
// of which nothing is left, and memory that does not grow.
//
//   soak [SECONDS [THREADS [SEED]]]
#include "lap.hpp"

#include "../rounds.hpp"

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>

#include <unistd.h>

namespace {

using namespace sluice_test;
using namespace sluice_test::soak;
using steady = std::chrono::steady_clock;

/// How much memory the program has, in KB.
std::size_t resident() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

/// Ends the program if it has not been told of progress for half a minute (under sanitizers, two).
class watcher {
 public:
  explicit watcher(asio::io_context& of) : io_(of) {}
  void wound() {
    const std::lock_guard guard(mutex_);
    last_ = steady::now();
  }

 private:
  void watch(const std::stop_token& over) {
    std::unique_lock lock(mutex_);
    while (!over.stop_requested()) {
      changed_.wait_for(lock, over, 1s, [] { return false; });
      if (steady::now() - last_ > std::chrono::seconds(sanitized ? 120 : 30)) {
        std::fprintf(stderr, "soak: a lap does not end; there are\n%s",
                     sluice::describe_goroutines(io_).c_str());
        std::abort();
      }
    }
  }

  asio::io_context& io_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  steady::time_point last_ = steady::now();
  std::jthread thread_{[this](const std::stop_token& over) { watch(over); }};
};

/// @return How many steps were made.
std::uint64_t run_lap(asio::io_context& io, std::uint64_t seed, std::size_t threads,
                      std::chrono::milliseconds length) {
  lap l(io, seed, length);
  std::vector<std::function<void()>> checks;
  for (const auto start : {start_traders, start_clocks, start_workers, start_network})
    checks.push_back(start(l));
  io.restart();
  sluice::run_threads(io, threads, [](const std::exception_ptr& e) { lap::check(e); });
  if (l.people() != 0) wrong("somebody has not ended");
  if (const auto left = sluice::goroutine_count(io); left != 0)
    wrong("goroutines are left:\n" + sluice::describe_goroutines(io));
  for (const auto& check : checks) check();
  checks.clear();
  return l.steps;
}

}  // namespace

int main(int count, char** arguments) {
  const auto number = [&](int i, double otherwise) {
    return i < count ? std::strtod(arguments[i], nullptr) : otherwise;
  };
  const auto seconds = std::chrono::duration<double>(number(1, 10));
  const auto threads = static_cast<std::size_t>(number(2, 4));
  const auto seed = static_cast<std::uint64_t>(number(3, 1));
  const auto begin = steady::now();
  const auto length = std::min<std::chrono::duration<double>>(1s, seconds / 10);

  asio::io_context io(static_cast<int>(threads));
  watcher watching(io);
  std::uint64_t steps = 0;
  std::size_t laps = 0;
  std::vector<std::size_t> memory;
  while (steady::now() - begin < seconds) {
    watching.wound();
    steps += run_lap(io, seed + laps, threads,
                     std::chrono::duration_cast<std::chrono::milliseconds>(length));
    ++laps;
    if (parcel::alive != 0 || fragile_parcel::alive != 0)
      wrong(std::to_string(parcel::alive) + " and " + std::to_string(fragile_parcel::alive) +
            " values are left");
    memory.push_back(resident());
  }

  const auto most = [&](std::size_t from, std::size_t to) {
    return *std::max_element(memory.begin() + static_cast<std::ptrdiff_t>(from),
                             memory.begin() + static_cast<std::ptrdiff_t>(to));
  };
  const auto first = most(0, (laps + 1) / 2);
  const auto last = most(laps / 2, laps);
  std::printf(
      "soak: %zu laps, %llu steps, seed %llu, memory %zu KB in the first half, %zu KB in the "
      "second\n",
      laps, static_cast<unsigned long long>(steps), static_cast<unsigned long long>(seed), first,
      last);
  // The sanitizers keep what was freed.
  if (!sanitized && laps >= 4 && last > first + first / 10 + 2'048) wrong("memory has grown");
}
