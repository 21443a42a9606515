// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "scheduler/current_worker.hpp"

#include <sluice/detail/scheduler/scheduler.hpp>

namespace sluice::detail {

/// Counts goroutines that are not registered: on the worker, if this is one of their scheduler.
inline void count_owned(scheduler& s, int n) noexcept {
  if (worker* const w = current_worker; w && &w->owner == &s)
    w->owned += n;
  else
    s.count_owned(n);
}

}  // namespace sluice::detail
