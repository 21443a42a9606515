// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

namespace sluice::detail {

/// The next random number of a state, which may be any number.
/** SplitMix64, after G. Steele et al., "Fast Splittable Pseudorandom Number Generators". */
[[nodiscard]] inline std::uint64_t split_mix(std::uint64_t& state) noexcept {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// The same as a number below `bound`, which is less than 2^32.
[[nodiscard]] inline std::uint32_t split_mix_below(std::uint64_t& state,
                                                   std::uint64_t bound) noexcept {
  return static_cast<std::uint32_t>(((split_mix(state) >> 32) * bound) >> 32);
}

}  // namespace sluice::detail
