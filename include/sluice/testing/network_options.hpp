// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/sleep.hpp>

#include <chrono>
#include <cstdint>

namespace sluice::testing {

/// How the connections of a simulated network behave.
struct network_options {
  /// How long what is written is on its way: between these, by the seed.
  clock::duration least_latency = std::chrono::milliseconds(1);
  /// The longest.
  clock::duration most_latency = std::chrono::milliseconds(10);
  /// Whether a read or a write may transfer less than it could, by the seed.
  bool short_operations = true;
  /// One of so many writes breaks its connection, by the seed; 0: none does.
  std::uint32_t resets_one_of = 0;
};

}  // namespace sluice::testing
