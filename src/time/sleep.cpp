// SPDX-License-Identifier: BSL-1.0
// The time that sleeps go by.

#include <sluice/sleep.hpp>

#include <sluice/detail/scheduler/scheduler.hpp>

namespace sluice {

clock::time_point now() noexcept {
  return detail::scheduler::now_here();
}

}  // namespace sluice
