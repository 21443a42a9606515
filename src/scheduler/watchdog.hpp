// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>

namespace sluice::detail {

class worker;

/// Reports goroutines that hold their thread for long: as long as the environment variable
/// SLUICE_WATCHDOG says, or two seconds in a debug build.
namespace watchdog {

/// Looks at the environment, once in the process, and is on or not from then on.
/** @throws std::invalid_argument if the variable is no duration. */
void start_if_asked();

/// A worker begins and ends. Called on its thread.
void enter(worker& w);
void leave(worker& w) noexcept;

extern constinit std::atomic<bool> is_on;

}  // namespace watchdog

}  // namespace sluice::detail
