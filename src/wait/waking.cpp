// SPDX-License-Identifier: BSL-1.0
// The slow ways of `waking.hpp`, for a thread that does not drain the waker's scheduler: it pins
// that from before the claim until it has woken.

#include "waking.hpp"

#include <sluice/detail/executor/pinned_wake.hpp>

namespace sluice::detail {

bool claim_pinned(waiter& w, std::uint32_t index, scheduler& s) noexcept {
  const pin_count::epoch pinned = s.pin();
  if (!w.shared_claim || w.shared_claim->claim(index)) {
    w.pinned = pinned;
    return true;
  }
  s.unpin(pinned);
  return false;
}

void wake_pinned(waiter& w, scheduler& s) noexcept {
  const pinned_wake here(pinned_scheduler(&s, w.pinned));
  waker& p = *w.who;
  if (!w.shared_claim || w.shared_claim->arrive_second()) p.wake(p);
}

}  // namespace sluice::detail
