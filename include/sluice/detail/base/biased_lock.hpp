// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

#include <atomic>

namespace sluice::detail {

/// A lock that costs its owner two plain stores and a load, and its rare other user a system call.
/**
 * An owner thread and one other thread at a time (callers serialise the others). The owner's side
 * has only a compiler barrier; the other side makes up for it with `membarrier(2)`, which orders
 * the memory operations of every thread of the process. Where the kernel lacks it both sides use a
 * fence. Where it is forbidden later, as in a sandbox that is entered after the start, the owners
 * use a fence from then on, and the other has a lock whose owner has noted that it did: what the
 * owner did before, without one, is seen with the note.
 * Source: P. Dice et al., "Quickly Reacquirable Locks".
 */
class biased_lock {
 public:
  void lock_as_owner() noexcept {
    busy_.store(true, std::memory_order_relaxed);
    if (barriers_.load(std::memory_order_relaxed) == barriers::asymmetric) [[likely]]
      std::atomic_signal_fence(std::memory_order_seq_cst);
    else
      fence_as_owner();
    if (revoked_.load(std::memory_order_acquire)) [[unlikely]]
      lock_as_owner_slowly();
  }

  void unlock_as_owner() noexcept { busy_.store(false, std::memory_order_release); }

  /// @return False if it was not to be had.
  [[nodiscard]] bool lock_as_other() noexcept;
  void unlock_as_other() noexcept;

 private:
  enum class barriers : unsigned char { fences, asymmetric, failed };

  SLUICE_DECL void fence_as_owner() noexcept;
  SLUICE_DECL void lock_as_owner_slowly() noexcept;

  SLUICE_DECL static std::atomic<barriers> barriers_;

  std::atomic<bool> busy_{false};
  std::atomic<bool> revoked_{false};
  /// The owner has used a fence since the asymmetric barrier has failed.
  std::atomic<bool> fenced_{false};
};

}  // namespace sluice::detail
