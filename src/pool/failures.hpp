// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/pool/submission.hpp>

namespace sluice::detail {

/// What a worker pool tells by itself. Made with the first pool: telling needs no memory for it.
struct pool_failures {
  [[nodiscard]] static const pool_failures& all();

  const job_failure closed;
  const job_failure cancelled;
  const job_failure timed_out;
};

}  // namespace sluice::detail
