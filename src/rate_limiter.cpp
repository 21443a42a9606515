#include <sluice/rate_limiter.hpp>

#include "waking.hpp"

#include <sluice/detail/scheduler.hpp>

#include <algorithm>
#include <limits>
#include <mutex>
#include <stdexcept>

namespace sluice {

namespace detail {

namespace {

rate_waiter& of(waiter& w) noexcept {
  return static_cast<rate_waiter&>(w);
}
const rate_waiter& of(const waiter& w) noexcept {
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
    "rate_limiter",
    [](waiter& w) noexcept {
      return of(w).state->possible(of(w).weight) ? &of(w).state->lock() : nullptr;
    },
    [](const waiter& w) noexcept { return of(w).state->possible(of(w).weight); },
    [](waiter& w, wake_list&) noexcept {
      if (!of(w).state->take(of(w).weight)) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) { of(w).state->enlist(of(w)); },
    [](waiter& w) noexcept { return of(w).state->withdraw(of(w)); },
};

void rate_waiter::wake_waiter(timer_node& node, wake_list& woken) noexcept {
  auto& w = static_cast<rate_waiter&>(node);
  if (!claim(w)) return w.state->refund(w);
  w.state->forget(w);
  w.outcome = waiter::state::done;
  woken.add(w);
}

rate_state::rate_state(const target_ptr& where, clock::duration interval, std::size_t burst)
    : where_(where), interval_(interval), burst_(burst) {
  if (interval <= clock::duration::zero() || burst == 0)
    throw std::invalid_argument("sluice::rate_limiter: interval and burst must be positive");
}

byte_lock& rate_state::lock() const noexcept {
  return where_->owner().timers.lock;
}

rate_time rate_state::full_after(std::size_t n, clock::time_point now) const noexcept {
  return std::max(full_at_, rate_time(now)) + times(interval_, n);
}

rate_time rate_state::covered(rate_time full) const noexcept {
  return full - times(interval_, burst_);
}

// Not before what was promised to cases of selects that were decided elsewhere has come back.
bool rate_state::take(std::size_t n) noexcept {
  return take_now(n) || (refund_decided() && take_now(n));
}

bool rate_state::take_now(std::size_t n) noexcept {
  const auto now = scheduler::now();
  const auto full = full_after(n, now);
  if (covered(full) > now) return false;
  full_at_ = full;
  return true;
}

void rate_state::enlist(rate_waiter& w) {
  scheduler& s = where_->owner();
  const auto full = full_after(w.weight, scheduler::now());
  w.due = covered(full);
  w.deadline = to_clock(w.due);
  s.timers.insert(w);
  full_at_ = full;
  waiters_.push_back(w);
  s.timer_set(*w.who);
}

/// @return Whether anything has come back.
bool rate_state::refund_decided() noexcept {
  bool any = false;
  for (waiter* w = waiters_.front(); w;) {
    waiter* const behind = waiters_.after(*w);
    if (decided(*w)) {
      where_->owner().timers.remove(of(*w));
      refund(of(*w));
      any = true;
    }
    w = behind;
  }
  if (any) where_->owner().timers_changed();
  return any;
}

bool rate_state::withdraw(rate_waiter& w) noexcept {
  {
    const std::lock_guard guard(lock());
    if (!w.queued()) return false;
    where_->owner().timers.remove(w);
    refund(w);
  }
  where_->owner().timers_changed();
  return true;
}

void rate_state::refund(rate_waiter& w) noexcept {
  const auto earlier = times(interval_, w.weight);
  auto& timers = where_->owner().timers;
  for (waiter* behind = waiters_.after(w); behind; behind = waiters_.after(*behind)) {
    timers.remove(of(*behind));
    of(*behind).due -= earlier;
    of(*behind).deadline = to_clock(of(*behind).due);
    timers.insert(of(*behind));
  }
  waiter_list::remove(w);
  full_at_ -= earlier;
}

}  // namespace detail

bool rate_limiter::try_acquire(std::size_t n) noexcept {
  const std::lock_guard guard(state_->lock());
  return state_->possible(n) && state_->take(n);
}

}  // namespace sluice
