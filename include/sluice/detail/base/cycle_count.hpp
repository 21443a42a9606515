// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice::detail {

/// How far a counter has come that is cheaper to read than a clock.
/** It goes up at least once in a nanosecond, that of a processor some times, and begins anew when
 * it is full. On another thread it may stand elsewhere. */
[[nodiscard]] inline std::uint32_t cycle_count() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  return static_cast<std::uint32_t>(__builtin_ia32_rdtsc());
#else
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
#endif
}

/// Whether the counter is gone by. Not for the program that counts instructions: there no time
/// passes but what its clock says.
inline constinit bool cycles_count = true;

}  // namespace sluice::detail
