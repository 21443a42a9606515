// SPDX-License-Identifier: BSL-1.0
// How waiters are claimed under the lock of their queue, and woken once it is free. A thread
// outside the waker's context pins that before it claims: who sees the claim, or sees that the
// waiter has left its list, sees the pin too.

#pragma once

#include "scheduler/current_worker.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <atomic>
#include <cstdint>

namespace sluice::detail {

/// The scheduler that this thread must pin while it wakes `p`; null if it need not.
/** A thread that is draining the waker's scheduler need not, because no shutdown can begin there.
 */
[[nodiscard]] inline scheduler* to_pin(const waker& p) noexcept {
  return current_worker && &current_worker->owner == p.home ? nullptr : p.home;
}

/// Claims `w` as `index` for a thread that must pin `s`.
[[nodiscard]] bool claim_pinned(waiter& w, std::uint32_t index, scheduler& s) noexcept;
/// Calls the waker of such a waiter, and gives back the pin.
void wake_pinned(waiter& w, scheduler& s) noexcept;

inline bool claim_as(waiter& w, std::uint32_t index) noexcept {
  SLUICE_ASSERT(w.who && w.outcome == waiter::state::waiting, "a waiter that is claimed waits");
  if (scheduler* const s = to_pin(*w.who)) return claim_pinned(w, index, *s);
  return !w.shared_claim || w.shared_claim->claim(index);
}

/// Whether `w`, found in a wait queue under its lock, is still to be had; if so it now is taken.
/** Pinned before it is claimed: who sees the claim sees the pin as well. So the waker is not
 * destroyed by its context's shutdown until this thread has woken it. */
inline bool claim(waiter& w) noexcept {
  return claim_as(w, w.index);
}

/// The same for the select as a whole that `w` is a case of.
inline bool claim_whole(waiter& w) noexcept {
  return claim_as(w, selection::cancelled);
}

/// Gives back the claim of a waiter that is alone.
inline void unclaim(waiter& w) noexcept {
  SLUICE_ASSERT(!w.shared_claim, "the claim of a select is not given back");
  SLUICE_ASSERT(w.linked(), "a waiter whose claim is given back has stayed in its queue");
  if (scheduler* const s = to_pin(*w.who)) s->unpin(w.pinned);
}

/// Whether `w`, found in a wait queue under its lock, is a case of a select that has been
/// decided elsewhere.
[[nodiscard]] inline bool decided(const waiter& w) noexcept {
  return w.shared_claim && w.shared_claim->winner() != selection::none;
}

/// Calls the waker of a waiter that was claimed and completed, once its lock is free again.
inline void wake(waiter& w) noexcept {
  waker& p = *w.who;
  if (scheduler* const s = to_pin(p)) return wake_pinned(w, *s);
  if (!w.shared_claim || w.shared_claim->arrive_second()) p.wake(p);
}

/// Takes a claimed waiter out of its list.
/** It is pinned already: who finds, without the lock, that it has left its list finds the pin as
 * well. */
inline void take_out(waiter& w) noexcept {
  std::atomic_thread_fence(std::memory_order_release);
  waiter_list::remove(w);
}

/// Claims the first waiter that can be claimed, which stays in its list until `take_out`; for each
/// that was decided elsewhere, and is dropped on the way, `dropped` is called.
template <class Dropped>
waiter* first_claimed(waiter_list& line, Dropped dropped) noexcept {
  while (waiter* const w = line.front()) {
    if (claim(*w)) return w;
    take_out(*w);
    dropped();
  }
  return nullptr;
}

/// Pops waiters until one can be claimed.
inline waiter* pop_claimed(waiter_list& line) noexcept {
  waiter* const w = first_claimed(line, [] {});
  if (w) take_out(*w);
  return w;
}

}  // namespace sluice::detail
