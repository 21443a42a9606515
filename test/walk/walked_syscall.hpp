#pragma once

#include "walk/walk.hpp"

// Before the sources that are walked: these headers are theirs, too, and `std` is the real one
// here.
#if defined(__linux__)
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#endif

/// The barrier of all threads, and a futex, which may always wake for no reason.
template <class... Arguments>
long walked_syscall(long number, Arguments...) {
  if (!sluice_test::walk::is_running()) return 0;  // before main
  if (number == SYS_membarrier)
    sluice_test::walk::fence_in_all_threads();
  else
    sluice_test::walk::wait_for_a_write();
  return 0;
}
