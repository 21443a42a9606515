// How a goroutine waits for an operation that Asio completes. The launch and the completion meet
// in one exchange, and the second goes on: so the goroutine is resumed once, and not before it has
// suspended.

#include <sluice/detail/operation/asio_operation.hpp>

#include "scheduler/current_worker.hpp"

#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/executor/post_by.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/wait/sleep_waiter.hpp>

#include <mutex>

namespace sluice::detail {

bool completion_may_stay(const goroutine& g) noexcept {
  worker* const w = current_worker;
  if (!w || g.is_without_frames() || w->where != worker::extent::whole_handler ||
      w->local.size() != 0)
    return false;
  w->launched = true;
  w->use_up_ticks();
  return true;
}

bool handler_wait::start(goroutine& g, void (*launch)(void*), void* arg, duration longest) {
  g_ = &g;
  longest_ = longest;
  if (g.on_its_strand()) {
    if (!begin(true)) return g.must_yield();
    try {
      launch(arg);
    } catch (...) {
      if (g.cancel) g.cancel->end();
      if (limit_) std::exchange(limit_, nullptr)->end();
      throw;
    }
    if (!met_.exchange(true, std::memory_order_acq_rel)) return true;
    if (!abandoned_) return g.must_yield();
    g.abandon();
    return true;
  }
  g.become_serial();
  detail::queue(detail::executor_on(g.where), [this, launch, arg, held = goroutine_ref(g)] {
    if (held->ended()) return;
    try {
      if (!begin(false)) return held->make_ready();
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

// On the strand right before the launch: a request that comes later, of the limit too, is posted to
// the strand and finds the operation launched, an earlier one prevents the launch.
bool handler_wait::begin(bool in_step) {
  if (!g_->cancel && longest_ == no_limit) return true;
  too_late_ = longest_ <= longest_.zero();
  if (longest_ != no_limit && !too_late_) {
    emission_ = limited_emission::begin(*g_, in_step, add_saturated(scheduler::now(), longest_));
    limit_ = static_cast<limited_emission*>(emission_.get());
  } else {
    emission_ = emission::make();
  }
  if (g_->cancel) {
    const std::lock_guard guard(g_->cancel->lock());
    if (!may_launch(g_->cancel->begin(*this))) return false;
  }
  not_launched_ = too_late_;
  return !not_launched_;
}

// A request for cancellation that came before the launch prevents the launch.
bool handler_wait::may_launch(waiter::state asked) noexcept {
  outcome_ = asked;
  not_launched_ = asked != waiter::state::waiting;
  return !not_launched_;
}

// The handler was called. Whether the goroutine is to be resumed for it.
bool handler_wait::meets_launch() noexcept {
  if (emission_) emission_->complete();
  return met_.exchange(true, std::memory_order_acq_rel);
}

void handler_wait::completed() {
  if (meets_launch() && !g_->resumed_here()) g_->make_ready();
}

// Inside a handler of an exception the goroutine would take that for its own: it goes on later.
void handler_wait::failed() noexcept {
  failure_ = std::current_exception();
  if (meets_launch()) g_->make_ready();
}

// Nothing of the frame is touched after the launch: whoever calls the handler resumes the
// goroutine, perhaps inside the launch, perhaps on another thread before it has returned.
bool handler_wait::start_moving(goroutine& g, void (*launch)(void*), void* arg) {
  g_ = &g;
  moving_ = true;
  if (g.cancel && !may_launch(g.cancel->outcome())) return g.must_yield();
  if (!g.where->is_serial()) g.become_serial();
  detail::queue(detail::executor_on(g.where), [launch, arg, held = goroutine_ref(g)] {
    if (held->ended()) return;
    const on_behalf_of current(*held.get());
    launch(arg);
  });
  return true;
}

const std::shared_ptr<scheduler_link>& handler_wait::home_link() const noexcept {
  return g_->home->link();
}

void handler_wait::completed_moving(bool on_its_own) {
  goroutine& g = *g_;
  if (on_its_own) {
    g.note_moved();
    g.home->run_here(g);
  } else if (!g.resumed_here()) {
    g.make_ready();
  }
}

void handler_wait::abandoned() noexcept {
  abandoned_ = true;
  if (moving_ || met_.exchange(true, std::memory_order_acq_rel)) g_->abandon();
}

error_code handler_wait::cancelled_error() const noexcept {
  return timed_out() ? make_error_code(error::deadline_exceeded) : asio::error::operation_aborted;
}

bool handler_wait::emit(cancellable& wait, asio::cancellation_type type, waiter::state outcome,
                        ready_list& steps) noexcept {
  auto& self = static_cast<handler_wait&>(wait);
  self.outcome_ = outcome;
  emission::request(self.emission_, type, steps);
  return false;
}

}  // namespace sluice::detail
