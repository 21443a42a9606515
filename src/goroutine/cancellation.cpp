// SPDX-License-Identifier: BSL-1.0
// Requests for cancellation: what they end, and what is remembered of them. A wait is registered
// under the lock under which requests come, so each request comes before the wait, or finds it.

#include <sluice/detail/goroutine/cancellation.hpp>

#include "wait/put_off.hpp"
#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/test_point.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/goroutine/emission.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>

#include <mutex>
#include <optional>
#include <utility>

namespace sluice::detail {

namespace {

/// Queues steps on a goroutine's strand once the lock is free under which they were found.
struct steps_on_strand {
  steps_on_strand() noexcept = default;
  steps_on_strand(const steps_on_strand&) = delete;
  steps_on_strand& operator=(const steps_on_strand&) = delete;
  ~steps_on_strand() {
    while (ready_node* const n = nodes.pop_front()) strand->schedule(*n);
  }

  ready_list nodes;
  dispatcher_ptr strand;
};

}  // namespace

void cancellation::request(asio::cancellation_type type, waiter::state reason) noexcept {
  goroutine* to_wake = nullptr;
  const put_off ends;
  std::optional<pinned_wake> held;
  steps_on_strand steps;
  {
    const std::lock_guard guard(lock_);
    type = type & filter_;
    if (!goroutine_ || type == asio::cancellation_type::none) return;
    requested_ = requested_ | type;
    if (outcome_ == waiter::state::waiting) outcome_ = reason;
    if (told_) emission::request(told_, type, steps.nodes);
    if (wait_ && wait_->cancel(*wait_, type, outcome_, steps.nodes)) {
      wait_ = nullptr;
      to_wake = goroutine_;
    }
    if (!to_wake && steps.nodes.empty()) return;
    held.emplace(pinned_scheduler(to_pin(*goroutine_)));
    if (!steps.nodes.empty()) steps.strand = goroutine_->where;
  }
  test_point("a cancelled wait has ended");
  if (to_wake) to_wake->make_ready();
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
  SLUICE_ASSERT(!wait_, "a goroutine begins a wait when it has none");
  if (outcome_ == waiter::state::waiting) wait_ = &wait;
  return outcome_;
}

waiter::state cancellation::begin(waiter& w, const waiter_functions& f) noexcept {
  single_.w = &w;
  single_.functions = &f;
  return begin(single_);
}

// Types do not matter: a wait that is cancelled has had no effect.
bool cancellation::cancel_single(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                                 ready_list&) noexcept {
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

waiter::state cancellation::context_outcome() noexcept {
  const std::lock_guard guard(lock_);
  return context_outcome_;
}

asio::cancellation_type cancellation::requested() noexcept {
  const std::lock_guard guard(lock_);
  return requested_;
}

void cancellation::reset(asio::cancellation_type filter) noexcept {
  steps_on_strand steps;
  const std::lock_guard guard(lock_);
  filter_ = filter;
  const bool done = context_outcome_ != waiter::state::waiting;
  requested_ = done ? filter : asio::cancellation_type::none;
  outcome_ =
      requested_ == asio::cancellation_type::none ? waiter::state::waiting : context_outcome_;
  if (!told_ || outcome_ == waiter::state::waiting) return;
  emission::request(told_, requested_, steps.nodes);
  steps.strand = goroutine_->where;
}

// A request that comes before this is seen by the goroutine, which goes on; a later one is posted
// to the strand behind it.
void cancellation::tell_slot() {
  const std::lock_guard guard(lock_);
  if (!told_) told_ = emission::make();
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

void cancellation::move_to(cancellation& other, std::atomic<cancellation*>& seen) noexcept {
  const std::lock_guard guard(lock_);
  SLUICE_ASSERT(!wait_, "a goroutine that goes on in another block waits for nothing");
  other.requested_ = requested_;
  other.filter_ = filter_;
  other.outcome_ = outcome_;
  other.context_outcome_ = context_outcome_;
  other.throws_ = throws_;
  other.source_ = std::move(source_);
  other.told_ = std::move(told_);
  other.owned = owned;
  goroutine_ = nullptr;
  seen.store(&other, std::memory_order_release);
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
  if (told) told->end();
}

}  // namespace sluice::detail
