#include <sluice/detail/waiter.hpp>

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
    case waiter::state::failed:
      return error::move_failed;
    case waiter::state::idle:
    case waiter::state::waiting:
    case waiter::state::done:
      break;
  }
  return {};
}

bool await_waiter(goroutine& g, waiter& w, const waiter_functions& f) {
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

void forget_waiter(waiter& w, const waiter_functions& f) noexcept {
  if (f.lock(w) && !f.withdraw(w) && w.who->home) w.who->home->wait_for_pins();
}

}  // namespace sluice::detail
