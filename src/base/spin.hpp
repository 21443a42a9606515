// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace sluice::detail {

/// How often a thread looks again before it sleeps.
inline constexpr int spins = 100;

/// Tells the processor that this thread only waits for another.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace sluice::detail
