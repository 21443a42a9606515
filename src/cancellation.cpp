#include <sluice/detail/cancellation.hpp>

#include "put_off.hpp"
#include "waking.hpp"

#include <sluice/detail/asio_operation.hpp>
#include <sluice/detail/goroutine.hpp>
#include <sluice/detail/test_point.hpp>

#include <mutex>
#include <utility>

namespace sluice::detail {

void cancellation::request(asio::cancellation_type type, waiter::state reason) noexcept {
  goroutine* to_wake = nullptr;
  scheduler* held = nullptr;
  const put_off ends;
  {
    const std::lock_guard guard(lock_);
    type = type & filter_;
    if (!goroutine_ || type == asio::cancellation_type::none) return;
    requested_ = requested_ | type;
    if (outcome_ == waiter::state::waiting) outcome_ = reason;
    if (told_) emission::post(told_, goroutine_->where, type);
    if (!wait_ || !wait_->cancel(*wait_, type, outcome_)) return;
    wait_ = nullptr;
    to_wake = goroutine_;
    held = to_pin(*to_wake);
    if (held) held->pin();
  }
  test_point("a cancelled wait has ended");
  to_wake->make_ready();
  if (held) held->unpin();
}

// Noted first: a reset between the two steps finds it.
void cancellation::context_done(waiter::state reason) noexcept {
  {
    const std::lock_guard guard(lock_);
    context_outcome_ = reason;
  }
  request(asio::cancellation_type::all, reason);
}

waiter::state cancellation::begin(cancellable& wait) noexcept {
  if (outcome_ == waiter::state::waiting) wait_ = &wait;
  return outcome_;
}

waiter::state cancellation::begin(waiter& w, const waiter_functions& f) noexcept {
  single_.w = &w;
  single_.functions = &f;
  return begin(single_);
}

// Types do not matter: a wait that is cancelled has had no effect.
bool cancellation::cancel_single(cancellable& wait, asio::cancellation_type,
                                 waiter::state outcome) noexcept {
  auto& single = static_cast<single_wait&>(wait);
  if (single.functions->lock(*single.w) && !single.functions->withdraw(*single.w)) return false;
  single.w->outcome = outcome;
  return true;
}

void cancellation::end() noexcept {
  const std::lock_guard guard(lock_);
  wait_ = nullptr;
}

waiter::state cancellation::outcome() noexcept {
  const std::lock_guard guard(lock_);
  return outcome_;
}

asio::cancellation_type cancellation::requested() noexcept {
  const std::lock_guard guard(lock_);
  return requested_;
}

void cancellation::reset(asio::cancellation_type filter) noexcept {
  const std::lock_guard guard(lock_);
  filter_ = filter;
  const bool done = context_outcome_ != waiter::state::waiting;
  requested_ = done ? filter : asio::cancellation_type::none;
  outcome_ =
      requested_ == asio::cancellation_type::none ? waiter::state::waiting : context_outcome_;
  if (told_ && outcome_ != waiter::state::waiting)
    emission::post(told_, goroutine_->where, requested_);
}

// A request that comes before this is seen by the goroutine, which goes on; a later one is posted
// to the strand behind it.
void cancellation::tell_slot() {
  const std::lock_guard guard(lock_);
  if (!told_) told_ = std::make_shared<emission>();
}

asio::cancellation_slot cancellation::slot() noexcept {
  const std::lock_guard guard(lock_);
  return told_ ? told_->slot() : asio::cancellation_slot();
}

bool cancellation::throws() noexcept {
  const std::lock_guard guard(lock_);
  return throws_;
}

void cancellation::set_throws(bool on) noexcept {
  const std::lock_guard guard(lock_);
  throws_ = on;
}

void cancellation::keep(std::shared_ptr<void> source) {
  const std::lock_guard guard(lock_);
  source_ = std::move(source);
}

bool cancellation::runs_on(const target& strand) {
  const std::lock_guard guard(lock_);
  return goroutine_ && goroutine_->where.get() == &strand;
}

void cancellation::detach() noexcept {
  std::shared_ptr<void> source;
  std::shared_ptr<emission> told;
  {
    const std::lock_guard guard(lock_);
    goroutine_ = nullptr;
    wait_ = nullptr;
    source.swap(source_);
    told.swap(told_);
  }
  if (told) told->complete();
}

}  // namespace sluice::detail
