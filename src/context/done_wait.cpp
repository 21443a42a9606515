// SPDX-License-Identifier: BSL-1.0
// How one waits until a context is done: in the context's own list, under its lock.

#include <sluice/detail/context/done_wait.hpp>

namespace sluice::detail {

namespace {

const context_ref& state_of(const waiter& w) noexcept {
  return static_cast<const context_waiter&>(w).state;
}

}  // namespace

const waiter_functions context_functions{
    wait_reason::context,
    [](waiter& w) noexcept -> queue_lock* { return state_of(w) ? &state_of(w)->lock() : nullptr; },
    [](const waiter& w) noexcept { return state_of(w) && state_of(w)->done(); },
    [](waiter& w, wake_list&) noexcept {
      if (!state_of(w)->done()) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) { state_of(w)->enlist(w); },
    [](waiter& w) noexcept { return state_of(w)->withdraw(w); },
};

}  // namespace sluice::detail
