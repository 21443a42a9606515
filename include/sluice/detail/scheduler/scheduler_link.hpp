// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/pin_count.hpp>

#include <utility>

namespace sluice::detail {

class scheduler;

/// A scheduler as those know it who may outlive it: timers, and contexts with deadlines.
class scheduler_link {
 public:
  /// One whose scheduler has ended.
  scheduler_link() noexcept = default;
  explicit scheduler_link(scheduler& s) noexcept : scheduler_(&s) {}

  /// Pins the scheduler, so that its end waits; null if that has begun. What registers with it
  /// meanwhile is not refused.
  [[nodiscard]] SLUICE_DECL scheduler* pin(pin_count::epoch& p) noexcept;
  /// The scheduler's end begins: nobody pins it this way any more.
  SLUICE_DECL void clear() noexcept;

 private:
  byte_lock lock_;
  scheduler* scheduler_ = nullptr;
};

/// A scheduler that does not end while this exists; none if its end has begun.
/** Nothing of the user's is called or destroyed meanwhile, because that might wait for the same
 * end: see `pinned_wake`. */
class pinned_scheduler {
 public:
  pinned_scheduler() noexcept = default;
  explicit pinned_scheduler(scheduler_link& link) noexcept : scheduler_(link.pin(epoch_)) {}
  /// One that is known to be there, or none.
  SLUICE_DECL explicit pinned_scheduler(scheduler* s) noexcept;
  /// The same, which this thread has pinned.
  pinned_scheduler(scheduler* s, pin_count::epoch p) noexcept : epoch_(p), scheduler_(s) {}
  pinned_scheduler(pinned_scheduler&& other) noexcept
      : epoch_(other.epoch_), scheduler_(std::exchange(other.scheduler_, nullptr)) {}
  pinned_scheduler& operator=(pinned_scheduler other) noexcept {
    std::swap(epoch_, other.epoch_);
    std::swap(scheduler_, other.scheduler_);
    return *this;
  }
  ~pinned_scheduler() {
    if (scheduler_) unpin();
  }

  explicit operator bool() const noexcept { return scheduler_ != nullptr; }
  [[nodiscard]] scheduler& operator*() const noexcept { return *scheduler_; }
  [[nodiscard]] scheduler* operator->() const noexcept { return scheduler_; }

 private:
  SLUICE_DECL void unpin() noexcept;

  pin_count::epoch epoch_ = 0;
  scheduler* scheduler_ = nullptr;
};

}  // namespace sluice::detail
