#pragma once

#include "innermost.hpp"

#include <sluice/detail/party.hpp>
#include <sluice/detail/scheduler.hpp>
#include <sluice/detail/waiter.hpp>

#include <atomic>

// Claiming waiters under a lock, and waking them once it is free.

namespace sluice::detail {

/// The scheduler that this thread must pin while it wakes `p`; null if it need not.
/** A thread that is draining the party's scheduler need not, because no shutdown can begin there.
 */
[[nodiscard]] inline scheduler* to_pin(const party& p) noexcept {
  return innermost && &innermost->owner == p.home ? nullptr : p.home;
}

/// Keeps `p` from being destroyed by its context's shutdown until this thread has woken it.
/** Called in the critical section that claims the party's waiter. */
inline void pin(party& p) noexcept {
  if (scheduler* const s = to_pin(p)) s->pin();
}

/// Undoes a pin by this thread.
inline void unpin(party& p) noexcept {
  if (scheduler* const s = to_pin(p)) s->unpin();
}

/// Whether `w`, found in a waiting place under its lock, is still to be had; if so it now is taken.
/** Pinned before it is claimed: who sees the claim sees the pin as well. */
inline bool claim(waiter& w) noexcept {
  pin(*w.who);
  if (!w.shared_claim || w.shared_claim->claim(w.index)) return true;
  unpin(*w.who);
  return false;
}

/// The same for the select as a whole that `w` is a case of.
inline bool claim_whole(waiter& w) noexcept {
  pin(*w.who);
  if (w.shared_claim->claim(selection::cancelled)) return true;
  unpin(*w.who);
  return false;
}

/// Whether `w`, found in a waiting place under its lock, is a case of a select that has been
/// decided elsewhere.
[[nodiscard]] inline bool decided(const waiter& w) noexcept {
  return w.shared_claim && w.shared_claim->winner() != selection::none;
}

/// Resumes the party of a waiter that was claimed and completed, once its lock is free again.
inline void wake(waiter& w) noexcept {
  party& p = *w.who;
  scheduler* const held = to_pin(p);
  if (!w.shared_claim || w.shared_claim->arrive_second()) p.wake(p);
  if (held) held->unpin();
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
