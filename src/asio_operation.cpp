#include <sluice/detail/asio_operation.hpp>

#include "innermost.hpp"

#include <sluice/detail/make_target.hpp>
#include <sluice/detail/operation.hpp>
#include <sluice/detail/post_by.hpp>
#include <sluice/detail/scheduler.hpp>

#include <mutex>

namespace sluice::detail {

void emission::post(const std::shared_ptr<emission>& self, const target_ptr& strand,
                    asio::cancellation_type type) {
  detail::queue(executor(strand), [self, type] { self->emit(type); });
}

bool handler_wait::start(goroutine& g, void (*launch)(void*), void* arg) {
  g_ = &g;
  if (g.on_its_strand()) {
    if (!begin()) return g.must_yield();
    try {
      launch(arg);
    } catch (...) {
      if (g.cancel) g.cancel->end();
      throw;
    }
    if (!met_.exchange(true, std::memory_order_acq_rel)) return true;
    if (!abandoned_) return g.must_yield();
    g.abandon();
    return true;
  }
  g.become_serial();
  detail::queue(executor(g.where), [this, launch, arg, held = ticket(g)] {
    if (held->ended()) return;
    try {
      if (!begin()) return held->make_ready();
      const on_behalf_of current(*held.get());
      launch(arg);
    } catch (...) {
      failure_ = std::current_exception();
      met_.store(true, std::memory_order_relaxed);
    }
    if (!met_.exchange(true, std::memory_order_acq_rel)) return;
    if (abandoned_ && !failure_)
      held->abandon();
    else
      held->make_ready();
  });
  return true;
}

// On the strand right before the launch: a request that comes later is posted to the strand and
// finds the operation launched, an earlier one prevents the launch.
bool handler_wait::begin() {
  if (!g_->cancel) return true;
  const std::lock_guard guard(g_->cancel->lock());
  emission_ = std::make_shared<emission>();
  outcome_ = g_->cancel->begin(*this);
  not_launched_ = outcome_ != waiter::state::waiting;
  return !not_launched_;
}

void handler_wait::completed() {
  if (emission_) emission_->complete();
  if (!met_.exchange(true, std::memory_order_acq_rel)) return;
  goroutine& g = *g_;
  if (g.resumed_here()) return;
  note_completion(g);
  g.make_ready();
}

// Inside a handler of an exception the goroutine would take that for its own: it goes on later.
void handler_wait::failed() noexcept {
  failure_ = std::current_exception();
  if (emission_) emission_->complete();
  if (met_.exchange(true, std::memory_order_acq_rel)) g_->make_ready();
}

// Nothing of the frame is touched after the launch: whoever calls the handler resumes the
// goroutine, perhaps inside the launch, perhaps on another thread before it has returned.
bool handler_wait::start_moving(goroutine& g, void (*launch)(void*), void* arg) {
  g_ = &g;
  moving_ = true;
  if (g.cancel) {
    const auto asked = g.cancel->outcome();
    not_launched_ = asked != waiter::state::waiting;
    if (not_launched_) {
      outcome_ = asked;
      return g.must_yield();
    }
  }
  if (!g.where->is_serial()) g.become_serial();
  detail::queue(executor(g.where), [launch, arg, held = ticket(g)] {
    if (held->ended()) return;
    const on_behalf_of current(*held.get());
    launch(arg);
  });
  return true;
}

void handler_wait::completed_moving(bool on_its_own) {
  goroutine& g = *g_;
  if (!on_its_own && g.resumed_here()) return;
  if (!on_its_own || !g.home->has_native_executor() || !g.home->running_in_this_thread())
    return g.make_ready();
  g.note_moved();
  run_here(*g.home, g);
}

void handler_wait::abandoned() noexcept {
  abandoned_ = true;
  if (moving_ || met_.exchange(true, std::memory_order_acq_rel)) g_->abandon();
}

error_code handler_wait::cancelled_error() const noexcept {
  return timed_out() ? make_error_code(error::deadline_exceeded) : asio::error::operation_aborted;
}

bool handler_wait::emit(cancellable& wait, asio::cancellation_type type,
                        waiter::state outcome) noexcept {
  auto& self = static_cast<handler_wait&>(wait);
  self.outcome_ = outcome;
  emission::post(self.emission_, self.g_->where, type);
  return false;
}

}  // namespace sluice::detail
