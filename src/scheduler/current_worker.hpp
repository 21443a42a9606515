// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/scheduler/worker.hpp>

#include <utility>

namespace sluice::detail {

/// What `this_worker` returns. Only functions that no coroutine's body is inlined into may read it.
/** Initial-exec, so that the read is one instruction in the shared library too. */
[[gnu::tls_model("initial-exec")]] extern thread_local constinit worker* current_worker;

/// Says that this thread does something for a goroutine that is suspended: what is made in it is
/// made in that goroutine.
class on_behalf_of {
 public:
  explicit on_behalf_of(scheduled_goroutine& g) noexcept
      : outer_(current_worker ? std::exchange(current_worker->current, &g) : nullptr) {}
  on_behalf_of(const on_behalf_of&) = delete;
  on_behalf_of& operator=(const on_behalf_of&) = delete;
  ~on_behalf_of() {
    if (current_worker) current_worker->current = outer_;
  }

 private:
  scheduled_goroutine* const outer_;
};

}  // namespace sluice::detail
