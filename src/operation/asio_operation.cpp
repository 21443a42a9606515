// SPDX-License-Identifier: BSL-1.0
// How a goroutine waits for an operation that Asio completes. The launch and the completion meet
// in one exchange, and the second goes on: so the goroutine is resumed once, and not before it has
// suspended.

#include <sluice/detail/operation/asio_operation.hpp>

#include "scheduler/current_worker.hpp"

#include <sluice/detail/base/exceptions.hpp>
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

// What was cancelled before its launch, or failed in it, may be awaited again: nothing is
// outstanding.
void handler_wait::begin_anew(goroutine& g) noexcept {
  g_ = &g;
  not_launched_ = false;
  outcome_ = waiter::state::waiting;
  if (!met_.load(std::memory_order_relaxed)) [[likely]]
    return;
  met_.store(false, std::memory_order_relaxed);
  abandoned_ = false;
  failure_ = nullptr;
}

bool handler_wait::start(goroutine& g, void (*launch)(void*), void* arg, time_limit* limit) {
  begin_anew(g);
  limit_ = limit;
  if (g.on_its_strand()) {
    if (!begin(true)) return g.must_yield();
    SLUICE_TRY {
      launch(arg);
    }
    SLUICE_CATCH_ALL {
      if (g.cancel) g.cancel->end();
      if (limit && limit->emission) std::exchange(limit->emission, nullptr)->end();
      detail::rethrow();
    }
    if (!met_.exchange(true, std::memory_order_acq_rel)) return true;
    if (!abandoned_) return g.must_yield();
    g.abandon();
    return true;
  }
  g.become_serial();
  detail::queue(detail::executor_on(g.where), [this, launch, arg, held = goroutine_ref(g)] {
    if (held->ended()) return;
    SLUICE_TRY {
      if (!begin(false)) return held->make_ready();
      const on_behalf_of current(*held.get());
      launch(arg);
    }
    SLUICE_CATCH_ALL {
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
  if (!g_->cancel && !limit_) return true;
  if (limit_ && !begin_limit(in_step)) {
    not_launched_ = true;
    if (g_->cancel) outcome_ = g_->cancel->outcome();
    return false;
  }
  if (!g_->cancel) return true;
  if (!emission_) emission_ = emission::make();
  const std::lock_guard guard(g_->cancel->lock());
  return may_launch(g_->cancel->begin(*this));
}

// False if there is no time for it.
bool handler_wait::begin_limit(bool in_step) {
  limit_->too_late = limit_->longest <= limit_->longest.zero();
  if (limit_->too_late) return false;
  if (limit_->longest == time_limit::none) return true;
  emission_ =
      limited_emission::begin(*g_, in_step, add_saturated(g_->home->now(), limit_->longest));
  limit_->emission = static_cast<limited_emission*>(emission_.get());
  return true;
}

// The goroutine's cancellation first: whoever asks for it comes to the emission.
void handler_wait::finish(time_limit& limit) {
  if (g_->cancel) g_->cancel->end();
  if (limit.emission)
    limit.too_late = std::exchange(limit.emission, nullptr)->end_in_step(std::move(emission_));
  if (failure_) std::rethrow_exception(failure_);
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
  begin_anew(g);
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
