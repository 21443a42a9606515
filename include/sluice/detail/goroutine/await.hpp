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
/// Waits in a goroutine that has not begun, and can be cancelled: its first step comes when the
/// wait has ended.
/** For whoever has made it. @return True if it waits; it may run, and have ended, by then.
 * Otherwise the waiter has its outcome, and the goroutine is to be started. */
[[nodiscard]] bool wait_before_start(goroutine& g, waiter& w, const waiter_functions& f);

}  // namespace sluice::detail
