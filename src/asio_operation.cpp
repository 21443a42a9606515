#include <sluice/detail/asio_operation.hpp>

#include <sluice/detail/operation.hpp>

#include <mutex>

namespace sluice::detail {

void emission::post(const std::shared_ptr<emission>& self, const target_ptr& strand,
                    asio::cancellation_type type) {
  executor(strand).require(asio::execution::blocking.never).execute([self, type] {
    self->emit(type);
  });
}

bool handler_wait::start(goroutine& g, void (*launch)(void*), void* arg) {
  g_ = &g;
  const bool cancellable_goroutine = static_cast<bool>(g.cancel);
  if (cancellable_goroutine) {
    const std::lock_guard guard(g.cancel->lock());
    emission_ = std::make_shared<emission>();
    outcome_ = g.cancel->begin(*this);
    if (outcome_ != waiter::state::waiting) {
      not_launched_ = true;
      return g.must_yield();
    }
  }
  if (!cancellable_goroutine || g.where->is_serial()) {
    try {
      launch(arg);
    } catch (...) {
      if (cancellable_goroutine) g.cancel->end();
      throw;
    }
    if (!met_.exchange(true, std::memory_order_acq_rel)) return true;
    if (!abandoned_) return g.must_yield();
    g.abandon();
    return true;
  }
  g.become_serial();
  executor(g.where)
      .require(asio::execution::blocking.never)
      .execute([this, launch, arg, held = ticket(g)] {
        if (held->ended()) return;
        try {
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

void handler_wait::completed() noexcept {
  if (emission_) emission_->complete();
  if (met_.exchange(true, std::memory_order_acq_rel)) g_->make_ready();
}

void handler_wait::abandoned() noexcept {
  abandoned_ = true;
  if (met_.exchange(true, std::memory_order_acq_rel)) g_->abandon();
}

error_code handler_wait::cancelled_error() const noexcept {
  return outcome_error(outcome_ == waiter::state::timed_out ? outcome_ : waiter::state::aborted);
}

bool handler_wait::emit(cancellable& wait, asio::cancellation_type type,
                        waiter::state outcome) noexcept {
  auto& self = static_cast<handler_wait&>(wait);
  self.outcome_ = outcome;
  emission::post(self.emission_, self.g_->where, type);
  return false;
}

}  // namespace sluice::detail
