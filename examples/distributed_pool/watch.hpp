// SPDX-License-Identifier: BSL-1.0
// The process that looks on: what stands in a queue, and how fast it moves.
#pragma once

#include "job_queue.hpp"

#include <sluice.hpp>

#include <chrono>

/// How a queue is watched.
struct watch_options {
  std::chrono::milliseconds period{1000};
  unsigned times = 0;  ///< how often to look; 0: until a signal comes
};

/// Prints the counts of a queue in every period: over the last ones in a terminal, in lines of
/// their own elsewhere.
[[nodiscard]] sluice::task<> watch(job_queue& queue, watch_options options);
