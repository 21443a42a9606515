// SPDX-License-Identifier: BSL-1.0
// What a thread leaves to the context's end, or keeps for a while, because it is waking something
// under a pin. While a thread has the pin, it destroys nothing of the user's.

#include <sluice/detail/executor/pinned_wake.hpp>

#include <sluice/detail/scheduler/scheduler.hpp>

#include <utility>

namespace sluice::detail {

namespace {
thread_local constinit pinned_wake* innermost_wake = nullptr;
}  // namespace

pinned_wake::pinned_wake(pinned_scheduler pinned) noexcept
    : pinned_(std::move(pinned)), outer_(std::exchange(innermost_wake, this)) {}

pinned_wake::~pinned_wake() {
  innermost_wake = outer_;
}

pinned_wake* pinned_wake::under_way() noexcept {
  return innermost_wake;
}

bool pinned_wake::leave_to_end(const scheduler* home, parked_handler& h) noexcept {
  for (const pinned_wake* w = innermost_wake; w; w = w->outer_)
    if (w->pinned_ && &*w->pinned_ == home) {
      w->pinned_->add_pinned(h);
      return true;
    }
  return false;
}

}  // namespace sluice::detail
