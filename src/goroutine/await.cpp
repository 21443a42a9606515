#include <sluice/detail/goroutine/await.hpp>

#include <sluice/detail/goroutine/goroutine.hpp>

#include <mutex>

namespace sluice::detail {

namespace {

// The cancellation is locked until the waiter is enlisted, so no request falls between.
bool await_cancellable_waiter(goroutine& g, waiter& w, const waiter_functions& f) {
  g.waiting_on = f.reason;
  byte_lock* const lock = f.lock(w);
  wake_list woken;
  {
    const std::lock_guard cancellation_guard(g.cancel->lock());
    w.outcome = g.cancel->begin(w, f);
    if (w.outcome == waiter::state::waiting) {
      if (!lock) return true;
      const std::lock_guard guard(*lock);
      if (!f.attempt(w, woken)) {
        f.enlist(w);
        return true;
      }
    }
  }
  woken.wake_all();
  return g.must_yield();
}

}  // namespace

bool await_waiter(goroutine& g, waiter& w, const waiter_functions& f) {
  if (!g.cancel) return await_waiter_to_its_end(g, w, f);
  w.begin(g);
  return await_cancellable_waiter(g, w, f);
}

bool await_waiter_to_its_end(goroutine& g, waiter& w, const waiter_functions& f) {
  w.begin(g);
  g.waiting_on = f.reason;
  byte_lock* const lock = f.lock(w);
  if (!lock) return true;
  wake_list woken;
  {
    const std::lock_guard guard(*lock);
    if (!f.attempt(w, woken)) {
      f.enlist(w);
      return true;
    }
  }
  woken.wake_all();
  return g.must_yield();
}

}  // namespace sluice::detail
