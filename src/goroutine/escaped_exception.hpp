// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <exception>

namespace sluice::detail {

struct scheduled_goroutine;

/// What leaves `run()` for an exception that has escaped `g`: the same type, and a text that says
/// which goroutine and where it was started.
/** Only the standard library's types and `system_error` let themselves be made with another text;
 * what is of a type of its own stays as it is. Called before `g` leaves its scheduler. */
[[nodiscard]] std::exception_ptr with_origin(const std::exception_ptr& e,
                                             const scheduled_goroutine& g) noexcept;

}  // namespace sluice::detail
