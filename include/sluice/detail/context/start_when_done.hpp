// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/context/context_registration.hpp>
#include <sluice/detail/context/context_state.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/task/startable.hpp>

#include <memory>
#include <source_location>
#include <utility>

namespace sluice::detail {

/// Starts `f` in a goroutine once `ctx` is done, unless the registration is stopped before.
/** @return Null for a context that never is. */
template <startable F>
std::shared_ptr<context_registration> start_when_done(const start_point& at, context_ref ctx,
                                                      F&& f) {
  if (!ctx) return nullptr;
  struct shared {
    explicit shared(const dispatcher_ptr& t) : where(t) {}
    std::shared_ptr<context_registration> self;
    lasting_dispatcher where;
  };
  auto keep = std::make_shared<shared>(at.where);
  using body = decltype(detail::make_task(std::forward<F>(f)));
  auto start = [counts = at.counts_as_work, keep,
                what = std::make_shared<body>(detail::make_task(std::forward<F>(f)))] {
    keep->self.reset();
    if (const pinned_dispatcher where{keep->where})
      detail::start({*where, counts}, std::move(*what), starts_serial<F>,
                    std::source_location::current());
  };
  auto registration = std::make_shared<context_registration>(std::move(ctx), start);
  keep->self = registration;
  if (!registration->start()) start();
  return registration;
}

}  // namespace sluice::detail
