// SPDX-License-Identifier: BSL-1.0
// A bucket that fills with time, and those who wait for it. Exactly the first of them has a timer;
// all of it is under the lock of the scheduler's timers.

#include <sluice/rate_limiter.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <algorithm>
#include <limits>
#include <mutex>
#include <stdexcept>

namespace sluice {

namespace detail {

namespace {

rate_waiter& rate_of(waiter& w) noexcept {
  return static_cast<rate_waiter&>(w);
}
const rate_waiter& rate_of(const waiter& w) noexcept {
  return static_cast<const rate_waiter&>(w);
}

rate_time::duration times(clock::duration d, std::size_t n) noexcept {
  return rate_time::duration(d) * n;
}

/// Not earlier than `t`.
clock::time_point to_clock(rate_time t) noexcept {
  if (t >= rate_time(clock::time_point::max())) return clock::time_point::max();
  return std::chrono::ceil<clock::duration>(t);
}

}  // namespace

const waiter_functions rate_functions{
    wait_reason::rate_limiter,
    [](waiter& w) noexcept {
      return rate_of(w).state->possible(rate_of(w).weight) ? &rate_of(w).state->lock() : nullptr;
    },
    [](const waiter& w) noexcept { return rate_of(w).state->possible(rate_of(w).weight); },
    [](waiter& w, wake_list&) noexcept {
      if (!rate_of(w).state->take(rate_of(w).weight)) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) { rate_of(w).state->enlist(rate_of(w)); },
    [](waiter& w) noexcept { return rate_of(w).state->withdraw(rate_of(w)); },
};

const timer_node::kind rate_waiter::wakes{
    [](timer_node& node) noexcept {
      auto& w = static_cast<rate_waiter&>(node);
      return w.state->claim_due(w);
    },
    [](timer_node& node) noexcept { wake(static_cast<rate_waiter&>(node)); },
};

rate_state::rate_state(const dispatcher_ptr& where, clock::duration interval, std::size_t burst)
    : where_(where), interval_(interval), burst_(burst) {
  if (interval <= clock::duration::zero() || burst == 0)
    detail::throw_exception(
        std::invalid_argument("sluice::rate_limiter: interval and burst must be positive"));
}

queue_lock& rate_state::lock() const noexcept {
  return where_->owner().timers.lock;
}

rate_time rate_state::full_after(std::size_t n, clock::time_point now) const noexcept {
  return std::max(full_at_, rate_time(now)) + times(interval_, n);
}

rate_time rate_state::covered(rate_time full) const noexcept {
  return full - times(interval_, burst_);
}

// The losing cases of selects, which have not gone on yet, are not waited for.
void rate_state::drop_decided() noexcept {
  bool dropped = false;
  while (waiter* const first = waiters_.front()) {
    if (!decided(*first)) break;
    where_->owner().timers.remove(rate_of(*first));
    waiter_list::remove(*first);
    dropped = true;
  }
  if (!dropped) return;
  set_timer_of_first();
  where_->owner().timers_changed();
}

bool rate_state::take(std::size_t n) noexcept {
  drop_decided();
  const auto now = where_->owner().now();
  const auto full = full_after(n, now);
  if (!waiters_.empty() || covered(full) > now) return false;
  full_at_ = full;
  return true;
}

void rate_state::enlist(rate_waiter& w) {
  const bool first = waiters_.empty();
  if (first) set_timer(w);
  waiters_.push_back(w);
  if (first) where_->owner().timer_set(*w.who);
}

// The bucket is not full, or nobody would wait.
void rate_state::set_timer(rate_waiter& w) {
  w.deadline = to_clock(covered(full_at_ + times(interval_, w.weight)));
  where_->owner().timers.insert(w);
}

// The queue of timers has room: the one who was first has just left it.
void rate_state::set_timer_of_first() noexcept {
  if (waiter* const first = waiters_.front()) set_timer(rate_of(*first));
}

bool rate_state::withdraw(rate_waiter& w) noexcept {
  {
    const std::lock_guard guard(lock());
    if (!waiter_list::remove_if_linked(w)) return false;
    if (!w.queued()) return true;
    where_->owner().timers.remove(w);
    set_timer_of_first();
  }
  where_->owner().timers_changed();
  return true;
}

// Counted from when it was due, not from now: who is late keeps the rate.
bool rate_state::claim_due(rate_waiter& w) noexcept {
  const bool claimed = claim(w);
  waiter_list::remove(w);
  if (claimed) {
    full_at_ += times(interval_, w.weight);
    w.outcome = waiter::state::done;
  }
  set_timer_of_first();
  return claimed;
}

}  // namespace detail

bool rate_limiter::try_acquire(std::size_t n) noexcept {
  const std::lock_guard guard(state_->lock());
  return state_->possible(n) && state_->take(n);
}

}  // namespace sluice
