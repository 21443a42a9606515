// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/context/context_state.hpp>

#include <utility>

namespace sluice::detail {

class goroutine;

/// What the waits of those end with who are bound to a context that is done.
[[nodiscard]] waiter::state outcome_of_waits(context_state& done) noexcept;

/// Makes every wait of a goroutine end when `ctx` is done.
SLUICE_DECL void bind_to_context(goroutine& g, const context_ref& ctx);

/// What is done to a goroutine before it is made ready: it is bound to a context.
class bound_to {
 public:
  explicit bound_to(context_ref ctx) noexcept : ctx_(std::move(ctx)) {}
  void operator()(goroutine& g) const { detail::bind_to_context(g, ctx_); }

 private:
  context_ref ctx_;
};

}  // namespace sluice::detail
