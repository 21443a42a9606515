// SPDX-License-Identifier: BSL-1.0
// How a goroutine that is suspending waits for a waiter: one attempt, and if that fails the waiter
// is enlisted, both under the lock of its queue. After that lock is free the goroutine may be
// running elsewhere, so nothing of its frame is touched.

#include <sluice/detail/goroutine/await.hpp>

#include <sluice/detail/goroutine/goroutine.hpp>

#include <mutex>

namespace sluice::detail {

namespace {

/// Does what `w` waits for, or has it wait in its queue.
/** @param woken Whom doing it has woken; they go on when no lock is held any more.
 * @return Whether it waits. Then it may have been resumed by now: nothing of it is touched. */
// In the place of each call: a lock that nobody holds takes fewer instructions than a call would
// add.
[[gnu::always_inline]] inline bool enlisted_or_done(waiter& w, const waiter_functions& f,
                                                    wake_list& woken) {
  queue_lock* const lock = f.lock(w);
  if (!lock) return true;
  const std::lock_guard guard(*lock);
  if (f.attempt(w, woken)) return false;
  f.enlist(w);
  return true;
}

// The cancellation is locked until the waiter is enlisted, so no request falls between.
bool enlisted_or_ended(goroutine& g, waiter& w, const waiter_functions& f, wake_list& woken) {
  const std::lock_guard guard(g.cancel->lock());
  w.outcome = g.cancel->begin(w, f);
  return w.outcome == waiter::state::waiting && enlisted_or_done(w, f, woken);
}

}  // namespace

bool await_waiter(goroutine& g, waiter& w, const waiter_functions& f) {
  if (!g.cancel) return await_waiter_to_its_end(g, w, f);
  g.before_wait();
  w.begin(g);
  g.waiting_on = f.reason;
  {
    wake_list woken;
    if (enlisted_or_ended(g, w, f, woken)) return true;
  }
  return g.must_yield();
}

bool await_waiter_to_its_end(goroutine& g, waiter& w, const waiter_functions& f) {
  g.before_wait();
  w.begin(g);
  g.waiting_on = f.reason;
  {
    wake_list woken;
    if (enlisted_or_done(w, f, woken)) return true;
  }
  return g.must_yield();
}

bool wait_before_start(goroutine& g, waiter& w, const waiter_functions& f) {
  w.begin(g);
  g.waiting_on = f.reason;
  {
    wake_list woken;
    if (enlisted_or_ended(g, w, f, woken)) return true;
  }
  g.waiting_on = wait_reason::start;
  g.cancel->end();
  w.who = nullptr;
  return false;
}

}  // namespace sluice::detail
