// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

namespace sluice::detail {

/// Says where which invariant is broken, and aborts.
/** Always in the library: a program may be built with assertions and the library without. */
[[noreturn]] SLUICE_DECL void report_broken_invariant(const char* file, int line,
                                                      const char* invariant) noexcept;

}  // namespace sluice::detail

/// States what must hold, as Go's runtime throws do: `SLUICE_ASSERT(linked(), "a waiter that is
/// taken out of a list is in one")`.
/**
 * Looked at where `NDEBUG` is not defined: in debug builds and under sanitizers. Where it is, the
 * condition is compiled and never evaluated, so it must have no effects. What it looks at must be
 * there in every build, because a program and the library may differ in `NDEBUG`.
 */
#ifdef NDEBUG
#define SLUICE_ASSERT(condition, invariant) static_cast<void>(sizeof((condition) ? 1 : 0))
#else
#define SLUICE_ASSERT(condition, invariant) \
  ((condition) ? static_cast<void>(0)       \
               : ::sluice::detail::report_broken_invariant(__FILE__, __LINE__, invariant))
#endif
