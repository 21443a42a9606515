#pragma once

#include <chrono>
#include <cstdint>

namespace sluice::detail {

/// How far a counter has come that is cheaper to read than a clock.
/** It goes up at least `cycles_per_nanosecond` times in a nanosecond: that of a processor is much
 * faster than 1 GHz. On another thread it may stand elsewhere. */
[[nodiscard]] inline std::uint64_t cycle_count() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_ia32_rdtsc();
#else
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
#endif
}

/// Not constant for the program that counts instructions, which wants no time to pass.
inline constinit std::uint64_t cycles_per_nanosecond = 1;

}  // namespace sluice::detail
