// SPDX-License-Identifier: BSL-1.0
#pragma once

#ifdef SLUICE_TEST_POINTS

#include <atomic>

namespace sluice::detail {

/// What is called at each test point; set by the tests of test/interleaving.
inline std::atomic<void (*)(const char* where) noexcept> at_test_point{nullptr};

/// A point between two steps of a protocol where a test can hold a thread, as a preemption would.
/** It exists only in the library that test/interleaving is linked with. */
inline void test_point(const char* where) noexcept {
  if (auto* const f = at_test_point.load(std::memory_order_acquire)) f(where);
}

}  // namespace sluice::detail

#else

namespace sluice::detail {

/// A point between two steps of a protocol where a test can hold a thread, as a preemption would.
inline constexpr void test_point(const char*) noexcept {}

}  // namespace sluice::detail

#endif
