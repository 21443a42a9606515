#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>

namespace sluice_test {

#if SLUICE_TEST_SANITIZED
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// How often a test does something: `n` times what SLUICE_STRESS says, or a tenth under a
/// sanitizer.
inline std::size_t rounds(std::size_t n) {
  static const double factor = [] {
    const char* const stress = std::getenv("SLUICE_STRESS");
    return (stress ? std::strtod(stress, nullptr) : 1.0) * (sanitized ? 0.1 : 1.0);
  }();
  return std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(n) * factor));
}

}  // namespace sluice_test
