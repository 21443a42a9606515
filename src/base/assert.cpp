// SPDX-License-Identifier: BSL-1.0
// What a broken invariant leads to: one line on standard error, then the end of the process, while
// what broke it still stands on the stack.

#include <sluice/detail/base/assert.hpp>

#include <cstdio>
#include <cstdlib>

namespace sluice::detail {

void report_broken_invariant(const char* file, int line, const char* invariant) noexcept {
  std::fprintf(stderr, "%s:%d: sluice: broken invariant: %s\n", file, line, invariant);
  std::abort();
}

}  // namespace sluice::detail
