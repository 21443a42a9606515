// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

#include <atomic>
#include <cstdint>

namespace sluice::detail {

/// The lock of channels, other wait queues, and what else is held for a few dozen instructions:
/// one exchange to lock, one store to unlock.
/**
 * Never held across user code that could come back. A thread that finds it taken spins shortly,
 * then sleeps in the kernel. `unlock` does not touch the lock after its store, so whoever locks
 * next may destroy it.
 */
class byte_lock {
 public:
  byte_lock() noexcept = default;
  byte_lock(const byte_lock&) = delete;
  byte_lock& operator=(const byte_lock&) = delete;

  void lock() noexcept {
    if (state_.exchange(locked, std::memory_order_acquire) != free) [[unlikely]]
      lock_slowly();
  }

  void unlock() noexcept {
    const auto seen = state_.load(std::memory_order_relaxed);
    auto* const address = &state_;
    state_.store(free, std::memory_order_release);
    if (seen == contended) [[unlikely]]
      wake_one(address);
  }

 private:
  static constexpr std::uint32_t free = 0, locked = 1, contended = 2;

  SLUICE_DECL void lock_slowly() noexcept;
  SLUICE_DECL static void wake_one(std::atomic<std::uint32_t>* address) noexcept;

  std::atomic<std::uint32_t> state_{free};
};

}  // namespace sluice::detail
