#include <sluice/detail/waiter.hpp>

#include "waking.hpp"

#include <sluice/detail/goroutine.hpp>
#include <sluice/detail/operation.hpp>
#include <sluice/detail/scheduler.hpp>

#include <boost/asio/error.hpp>

#include <mutex>

namespace sluice::detail {

error_code outcome_error(waiter::state outcome) noexcept {
  switch (outcome) {
    case waiter::state::closed:
      return error::closed;
    case waiter::state::aborted:
      return asio::error::operation_aborted;
    case waiter::state::timed_out:
      return error::deadline_exceeded;
    case waiter::state::failed:
      return error::move_failed;
    case waiter::state::idle:
    case waiter::state::waiting:
    case waiter::state::done:
      break;
  }
  return {};
}

namespace {

// The cancellation is locked until the waiter is enlisted, so no request falls between.
bool await_cancellable_waiter(goroutine& g, waiter& w, const waiter_functions& f) {
  g.waiting_on = f.name;
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
  g.waiting_on = f.name;
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

void wake_list::wake_from_head() noexcept {
  while (head_) {
    waiter& w = *head_;
    head_ = static_cast<waiter*>(w.previous);
    wake(w);
  }
}

// Whoever had taken it may have put it back, because its element could not be moved.
void forget_waiter(waiter& w, const waiter_functions& f) noexcept {
  if (!f.lock(w)) return;
  while (!f.withdraw(w) && w.who->home) {
    w.who->home->wait_for_pins();
    if (!w.linked()) return;
  }
}

}  // namespace sluice::detail
