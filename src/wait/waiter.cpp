// SPDX-License-Identifier: BSL-1.0
// How the wait of a handler begins and ends, and how claimed waiters are woken. A handler is
// enlisted with its context under the lock of its queue, so whoever takes its waiter from there
// finds it enlisted.

#include <sluice/detail/wait/waiter.hpp>

#include "put_off.hpp"
#include "waking.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <boost/asio/error.hpp>

#include <mutex>
#include <string>

namespace sluice::detail {

thread_local constinit put_off* put_off::innermost_ = nullptr;

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

void throw_wait_error(waiter::state outcome, wait_reason reason) {
  detail::throw_exception(
      system_error(outcome_error(outcome), std::string("sluice: ") + text_of(reason)));
}

// Registered under the lock of its queue: whoever takes it from there finds it registered.
begun begin_handler_wait(waker& p, parked_handler* h, waiter& w, const waiter_functions& f) {
  w.begin(p);
  queue_lock* const lock = f.lock(w);
  wake_list woken;
  const auto guard = lock ? std::unique_lock(*lock) : std::unique_lock<queue_lock>();
  if (lock && f.attempt(w, woken)) {
    if (!h) w.who = nullptr;
    return begun::done;
  }
  if (!h) {
    w.who = nullptr;
    return begun::refused;
  }
  if (lock) f.enlist(w);
  return !p.home || p.home->try_add(*h) ? begun::waits : begun::refused;
}

// A wait for what can never happen is in no list; its outcome says whether it has been cancelled.
bool end_handler_wait(waiter& w, const waiter_functions& f) noexcept {
  if (f.lock(w) ? !f.withdraw(w) : w.outcome != waiter::state::waiting) return false;
  w.outcome = waiter::state::aborted;
  return true;
}

void wake_list::wake_from_head() noexcept {
  while (head_) {
    waiter& w = *head_;
    head_ = static_cast<waiter*>(w.previous);
    wake(w);
  }
}

// Whoever had taken it may have put it back, because its element could not be moved. A case that
// stays its caller's may go before its select: the frame of a goroutine, which its context destroys
// before the handlers that wait for it.
void forget_waiter(waiter& w, const waiter_functions& f) noexcept {
  if (w.shared_claim) return w.shared_claim->forget(*w.shared_claim);
  if (!f.lock(w)) return;
  while (!f.withdraw(w) && w.who->home) {
    w.who->home->wait_for_pins();
    if (!w.linked()) return;
  }
}

}  // namespace sluice::detail
