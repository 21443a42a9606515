#pragma once

#include "measure.hpp"

#include <cstddef>
#include <cstdint>

/// What the pipelines of all sides share: each stage computes for some microseconds.
namespace measure {

inline constexpr std::size_t stages = 4;
/// Of a stage's computation.
inline constexpr std::size_t steps = 10'000;
/// What a channel between two stages has room for.
inline constexpr std::size_t between_stages = 16;

/// What a stage does to a value: steps of Knuth's generator, each of which needs the one before.
[[nodiscard]] inline std::int64_t compute(std::int64_t value) {
  auto x = static_cast<std::uint64_t>(value);
  for (std::size_t i = 0; i < steps; ++i) x = x * 6364136223846793005U + 1442695040888963407U;
  return static_cast<std::int64_t>(x);
}

/// What comes out of the last stage.
class sum_of_stages {
 public:
  void add(std::int64_t value) { sum_ += static_cast<std::uint64_t>(value); }

  /// @throws wrong if it is not what `n` values give: all steps of all stages are one linear
  /// function of a value
  void check(std::size_t n) const {
    std::uint64_t factor = 1;
    std::uint64_t summand = 0;
    for (std::size_t i = 0; i < stages * steps; ++i) {
      factor *= 6364136223846793005U;
      summand = summand * 6364136223846793005U + 1442695040888963407U;
    }
    const auto values = static_cast<std::uint64_t>(sum_below(n));
    measure::check(static_cast<std::int64_t>(sum_),
                   static_cast<std::int64_t>(factor * values + summand * n));
  }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace measure
