// SPDX-License-Identifier: BSL-1.0
#pragma once

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sluice::detail {

/// Asks the kernel for such barriers. False if it has none.
inline bool register_barriers_in_all_threads() noexcept {
#if defined(__linux__) && defined(SYS_membarrier)
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
  return false;
#endif
}

/// Orders the memory operations of every thread of the process. False if the kernel refuses.
inline bool barrier_in_all_threads() noexcept {
#if defined(__linux__) && defined(SYS_membarrier)
  return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
  return false;
#endif
}

}  // namespace sluice::detail
