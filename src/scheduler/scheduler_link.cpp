// SPDX-License-Identifier: BSL-1.0
// How a scheduler is pinned by somebody who may outlive it. The link is cleared under the lock
// under which it is pinned, so whoever has pinned comes before the end, which waits for him.

#include <sluice/detail/scheduler/scheduler_link.hpp>

#include <sluice/detail/scheduler/scheduler.hpp>

#include <mutex>

namespace sluice::detail {

scheduler* scheduler_link::pin(pin_count::epoch& p) noexcept {
  const std::lock_guard guard(lock_);
  if (scheduler_) p = scheduler_->pin();
  return scheduler_;
}

void scheduler_link::clear() noexcept {
  const std::lock_guard guard(lock_);
  scheduler_ = nullptr;
}

pinned_scheduler::pinned_scheduler(scheduler* s) noexcept
    : epoch_(s ? s->pin() : pin_count::epoch()), scheduler_(s) {}

void pinned_scheduler::unpin() noexcept {
  scheduler_->unpin(epoch_);
}

}  // namespace sluice::detail
