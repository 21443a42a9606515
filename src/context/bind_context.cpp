// SPDX-License-Identifier: BSL-1.0
// The binding of an Asio operation to a context: when that is done, the operation is cancelled
// through its slot, on its executor. A request that finds the operation completed does nothing.

#include <sluice/bind_context.hpp>

#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <boost/asio/execution/context.hpp>

namespace sluice::detail {

context_binding::context_binding(const context& ctx, asio::any_io_executor where)
    : ctx_(ctx),
      where_(std::move(where)),
      link_(scheduler::of(asio::query(where_, asio::execution::context)).link()) {}

void context_binding::prepare() {
  if (!access::state_of(ctx_)) return;
  registration_ =
      std::make_unique<context_registration>(access::state_of(ctx_), [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->request();
      });
}

// A context that is done already cancels here, where the operation was launched.
void context_binding::start() noexcept {
  std::unique_ptr<context_registration> registration;
  {
    const std::lock_guard guard(mutex_);
    if (completed_) return;
    registration = std::move(registration_);
  }
  if (!registration) return;
  if (!registration->start()) return emit(asio::cancellation_type::all);
  const std::lock_guard guard(mutex_);
  if (!completed_) registration_.swap(registration);
}

// The executor's context may be ending on another thread. What strands have in flight ends before
// the operations do, so `completed_` alone would come too late.
void context_binding::request() {
  const pinned_wake home{pinned_scheduler(*link_)};
  asio::any_io_executor where;
  {
    const std::lock_guard guard(mutex_);
    if (!home || completed_) return;
    where = where_;
  }
  keep_while_waking(where);
  asio::post(where, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->emit(asio::cancellation_type::all);
  });
}

void context_binding::emit(asio::cancellation_type type) {
  {
    const std::lock_guard guard(mutex_);
    if (completed_) return;
  }
  signal_.emit(type);
}

void context_binding::complete() noexcept {
  signal_.slot().clear();
  std::unique_ptr<context_registration> registration;
  asio::any_io_executor where;
  const std::lock_guard guard(mutex_);
  completed_ = true;
  registration.swap(registration_);
  where.swap(where_);
}

}  // namespace sluice::detail
