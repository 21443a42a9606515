// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/wait/waiter.hpp>

namespace sluice::detail {

class goroutine;

/// Waits in a goroutine that is suspending.
/** @return True if it stays suspended; otherwise the waiter has its outcome. */
[[nodiscard]] SLUICE_DECL bool await_waiter(goroutine& g, waiter& w, const waiter_functions& f);
/// The same, without looking at what is asked of the goroutine.
[[nodiscard]] SLUICE_DECL bool await_waiter_to_its_end(goroutine& g, waiter& w,
                                                       const waiter_functions& f);

}  // namespace sluice::detail
