// SPDX-License-Identifier: BSL-1.0
// A goroutine that is bound to a context: its cancellation is registered with the context, and
// keeps that registration until the goroutine ends.

#include <sluice/detail/context/bound_to.hpp>

#include <sluice/detail/context/context_registration.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>

#include <memory>

namespace sluice::detail {

waiter::state outcome_of_waits(context_state& done) noexcept {
  return done.err() == error::deadline_exceeded ? waiter::state::timed_out : waiter::state::aborted;
}

void bind_to_context(goroutine& g, const context_ref& ctx) {
  if (!ctx) return;
  const auto cancel = g.become_cancellable();
  const auto request = [cancel, state = ctx] {
    cancel->context_done(outcome_of_waits(*state.get()));
  };
  const auto registration = std::make_shared<context_registration>(ctx, request);
  if (registration->start())
    cancel->keep(registration);
  else
    request();
}

}  // namespace sluice::detail
