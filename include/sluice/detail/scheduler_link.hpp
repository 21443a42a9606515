#pragma once

#include <sluice/detail/byte_lock.hpp>

namespace sluice::detail {

class scheduler;

/// A scheduler as those know it who may outlive it: timers, and contexts with deadlines.
class scheduler_link {
 public:
  /// One whose scheduler has ended.
  scheduler_link() noexcept = default;
  explicit scheduler_link(scheduler& s) noexcept : scheduler_(&s) {}

  /// Pins the scheduler, so that its end waits; null if that has begun.
  [[nodiscard]] scheduler* pin() noexcept;
  /// The scheduler's end begins: nobody pins it this way any more.
  void clear() noexcept;

 private:
  byte_lock lock_;
  scheduler* scheduler_ = nullptr;
};

/// A scheduler that does not end while this exists; none if its end has begun.
/** Nothing of the user's is called or destroyed meanwhile: that might wait for the same end. */
class pinned_scheduler {
 public:
  explicit pinned_scheduler(scheduler_link& link) noexcept : scheduler_(link.pin()) {}
  pinned_scheduler(const pinned_scheduler&) = delete;
  pinned_scheduler& operator=(const pinned_scheduler&) = delete;
  ~pinned_scheduler() {
    if (scheduler_) unpin();
  }

  explicit operator bool() const noexcept { return scheduler_ != nullptr; }
  [[nodiscard]] scheduler& operator*() const noexcept { return *scheduler_; }
  [[nodiscard]] scheduler* operator->() const noexcept { return scheduler_; }

 private:
  void unpin() noexcept;

  scheduler* const scheduler_;
};

}  // namespace sluice::detail
