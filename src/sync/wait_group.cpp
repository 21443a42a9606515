// SPDX-License-Identifier: BSL-1.0
// A counter and those who wait for it to be zero. Whoever brings it to zero claims all of them
// under the lock, and wakes them when it is free: the group may be gone then.

#include <sluice/wait_group.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/test_point.hpp>

#include <mutex>
#include <stdexcept>

namespace sluice::detail {

namespace {

wait_group_state& group_of(const waiter& w) noexcept {
  return *static_cast<const wait_group_waiter&>(w).group;
}

}  // namespace

const waiter_functions wait_group_functions{
    wait_reason::wait_group,
    [](waiter& w) noexcept { return &group_of(w).lock(); },
    [](const waiter& w) noexcept { return group_of(w).ready(); },
    [](waiter& w, wake_list&) noexcept {
      if (!group_of(w).ready()) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) { group_of(w).enlist(w); },
    [](waiter& w) noexcept { return group_of(w).withdraw(w); },
};

bool wait_group_state::withdraw(waiter& w) noexcept {
  const std::lock_guard guard(lock_);
  return waiter_list::remove_if_linked(w);
}

std::ptrdiff_t wait_group_state::count() const noexcept {
  const std::lock_guard guard(lock_);
  return count_;
}

void wait_group_state::add(std::ptrdiff_t delta) {
  wake_list woken;
  {
    const std::lock_guard guard(lock_);
    if (count_ + delta < 0)
      detail::throw_exception(std::logic_error("sluice: negative wait_group counter"));
    change(delta, woken);
  }
  woken.wake_all();
}

void wait_group_state::change(std::ptrdiff_t delta, wake_list& woken) noexcept {
  count_ = count_ + delta;
  test_point("a wait group has counted");
  if (count_ != 0) return;
  while (waiter* const w = pop_claimed(waiters_)) {
    w->outcome = waiter::state::done;
    woken.add(*w);
  }
}

}  // namespace sluice::detail
