#pragma once

namespace sluice::detail {

class scheduler;

/// Whoever waits for something and can be told that it has come: a goroutine or a handler.
struct party {
  using function = void(party&) noexcept;

  party(function* f, scheduler* s) noexcept : wake(f), home(s) {}

  /// Makes it run again, on its own executor, never inside the call.
  function* wake;
  /// Whose shutdown destroys it; null for a handler whose executor has no context.
  scheduler* home;
};

/// Keeps `p` from being destroyed by its context's shutdown until this thread has woken it.
/**
 * Called in the critical section that claims the party's waiter. Costs nothing on a thread that is
 * draining the party's scheduler, where a shutdown cannot begin.
 */
void pin(party& p) noexcept;

/// The scheduler that `pin(p)` pinned on this thread; null if it had nothing to do.
[[nodiscard]] scheduler* pinned(const party& p) noexcept;

/// Undoes a pin.
void unpin(scheduler& s) noexcept;

}  // namespace sluice::detail
