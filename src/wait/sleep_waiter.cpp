// SPDX-License-Identifier: BSL-1.0
// The wait for an instant, in the timers of the waiting waker's scheduler. What is due is claimed
// under the queue's lock, when it has left the queue, and woken when the lock is free.

#include <sluice/detail/wait/sleep_waiter.hpp>

#include "waking.hpp"

#include <sluice/detail/scheduler/scheduler.hpp>

#include <chrono>
#include <mutex>

namespace sluice::detail {

namespace {

sleep_waiter& sleeper(waiter& w) noexcept {
  return static_cast<sleep_waiter&>(w);
}
const sleep_waiter& sleeper(const waiter& w) noexcept {
  return static_cast<const sleep_waiter&>(w);
}

bool over(const sleep_waiter& w) noexcept {
  if (w.delay != sleep_waiter::until_deadline) return w.delay == sleep_waiter::duration::zero();
  return w.deadline == timer_node::time_point::min() ||
         (w.deadline != timer_node::time_point::max() && w.deadline <= w.who->home->now());
}

}  // namespace

const timer_node::kind sleep_waiter::wakes{
    [](timer_node& node) noexcept {
      auto& w = static_cast<sleep_waiter&>(node);
      if (!detail::claim(w)) return false;
      w.outcome = state::done;
      return true;
    },
    [](timer_node& node) noexcept { wake(static_cast<sleep_waiter&>(node)); },
};

const waiter_functions sleep_functions{
    wait_reason::sleep,
    [](waiter& w) noexcept { return &w.who->home->timers.lock; },
    [](const waiter& w) noexcept { return over(sleeper(w)); },
    [](waiter& w, wake_list&) noexcept {
      if (!over(sleeper(w))) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) {
      if (sleeper(w).delay != sleep_waiter::until_deadline)
        sleeper(w).deadline = add_saturated(w.who->home->now(), sleeper(w).delay);
      w.who->home->timers.insert(sleeper(w));
      w.who->home->timer_set(*w.who);
    },
    [](waiter& w) noexcept {
      scheduler& s = *w.who->home;
      {
        const std::lock_guard guard(s.timers.lock);
        if (!sleeper(w).queued()) return false;
        s.timers.remove(sleeper(w));
      }
      s.timers_changed();
      return true;
    },
};

}  // namespace sluice::detail
