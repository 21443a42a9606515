#pragma once

#include <atomic>

namespace sluice::detail {

/// A lock that costs its owner two plain stores and a load, and its rare other user a system call.
/**
 * An owner thread and one other thread at a time (callers serialise the others). The owner's side
 * has only a compiler barrier; the other side makes up for it with `membarrier(2)`, which orders
 * the memory operations of every thread of the process. Where the kernel lacks it both sides use a
 * fence. Source: P. Dice et al., "Quickly Reacquirable Locks".
 */
class biased_lock {
 public:
  void lock_as_owner() noexcept {
    busy_.store(true, std::memory_order_relaxed);
    if (asymmetric)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    else
      std::atomic_thread_fence(std::memory_order_seq_cst);
    if (revoked_.load(std::memory_order_acquire)) [[unlikely]]
      lock_as_owner_slowly();
  }

  void unlock_as_owner() noexcept { busy_.store(false, std::memory_order_release); }

  void lock_as_other() noexcept;
  void unlock_as_other() noexcept;

 private:
  void lock_as_owner_slowly() noexcept;

  static const bool asymmetric;

  std::atomic<bool> busy_{false};
  std::atomic<bool> revoked_{false};
};

}  // namespace sluice::detail
