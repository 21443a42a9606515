// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/context/context_state.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <utility>

namespace sluice::detail {

struct context_waiter : waiter {
  context_ref state;
};

SLUICE_DECL extern const waiter_functions context_functions;

/// Waiting for a context to be done.
class done_wait : public operation<done_wait, context_waiter> {
 public:
  static constexpr const waiter_functions& functions = context_functions;

  explicit done_wait(context_ref s) noexcept { state = std::move(s); }
  done_wait(done_wait&& other) noexcept { state = other.state; }
};

}  // namespace sluice::detail
