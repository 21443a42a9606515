#pragma once

#include "measure.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace measure {

/// Keeps a processor busy for a time that is set by the clock, so that no compiler decides it.
class work {
 public:
  explicit work(std::chrono::nanoseconds each) {
    double least = 1e9;
    for (int i = 0; i < 20; ++i) {
      const stopwatch watch;
      turn(calibrated);
      least = std::min(least, watch.nanoseconds_each(calibrated));
    }
    rounds_ = std::max(1.0, static_cast<double>(each.count()) / least);
  }

  void operator()() const noexcept { turn(static_cast<std::uint64_t>(rounds_)); }

 private:
  static constexpr std::uint64_t calibrated = 100'000;

  static void turn(std::uint64_t rounds) noexcept {
    std::uint64_t state = rounds;
    for (std::uint64_t i = 0; i < rounds; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      asm volatile("" : "+r"(state));
    }
  }

  double rounds_;
};

/// Many pieces of work of one length that are started at once, and then waited for.
struct burst {
  std::size_t pieces;
  std::chrono::microseconds each;
  std::chrono::milliseconds pause;  ///< before each burst
};

/// Makes known the workloads of bursts: burst_PIECES_MICROSECONDS, and after_pause_ of the same.
class burst_workloads {
 public:
  explicit burst_workloads(results (*run)(const setting&, const burst&)) {
    using namespace std::chrono_literals;
    static constexpr std::array<burst, 4> all{
        {{4096, 2us, 0ms}, {500, 2us, 0ms}, {100, 20us, 0ms}, {4, 200us, 0ms}}};
    for (burst b : all) {
      const auto name = std::to_string(b.pieces) + "_" + std::to_string(b.each.count());
      workload("burst_" + name, [=](const setting& s) { return run(s, b); });
      b.pause = 20ms;
      workload("after_pause_" + name, [=](const setting& s) { return run(s, b); });
    }
  }
};

/// The time of one of many rounds, of which half took longer: on a machine that does something
/// else, too, that says more than the mean.
[[nodiscard]] inline double median(std::vector<double> samples) {
  const auto p = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), p, samples.end());
  return *p;
}

}  // namespace measure
