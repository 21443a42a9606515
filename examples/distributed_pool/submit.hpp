// SPDX-License-Identifier: BSL-1.0
// The process that has work: reads jobs, one a line, and appends them to a queue.
#pragma once

#include "job_queue.hpp"

#include <sluice.hpp>

#include <cstddef>

/// How jobs are submitted.
struct submit_options {
  unsigned limit = 10'000;     ///< how many jobs may be in the queue
  std::size_t at_a_time = 32;  ///< how many are on their way to the server
};

/// What has become of the lines.
struct submit_counts {
  std::size_t added = 0;
  std::size_t known = 0;    ///< jobs whose key had been submitted before
  std::size_t refused = 0;  ///< lines that were no job, or too large
  bool interrupted = false;
};

/// Submits the jobs on the standard input: "KEY TYPE PAYLOAD" in each line.
/**
 * Waits while the queue is full. SIGINT or SIGTERM ends the reading; what has been read is
 * submitted, unless a second one comes.
 * @throws std::runtime_error if the client has given up; the keys make it safe to submit all again
 */
[[nodiscard]] sluice::task<submit_counts> submit(job_queue& queue, submit_options options);
