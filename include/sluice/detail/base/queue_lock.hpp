// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>

#include <atomic>
#include <cstdint>

namespace sluice::detail {

/// The lock of a wait queue: a `byte_lock` that may be biased to a thread which has been alone with
/// it for a while, and then costs that thread two stores and two loads instead of an exchange.
/**
 * Another thread takes the bias away: it has the `byte_lock`, puts its own mark in the place of
 * the other's, and has a barrier in all threads. After that the other one either is seen inside,
 * and is waited for, or finds that the lock is not its own any more. Such a barrier takes some ten
 * microseconds, so after each the lock waits twice as long before it is biased again. Where the
 * kernel has none no lock is ever biased.
 *
 * The other one may find that out much later, when it has written to `inside_` and is about to
 * write to it again. So nobody else has a bias until the other one has come by in turn.
 *
 * As a `byte_lock` it is not touched after the store that frees it.
 *
 * Source: D. Dice, M. Moir, W. Scherer, "Quickly Reacquirable Locks".
 */
class queue_lock {
 public:
  /// For what lives long, and is used often: the exchanges that a bias saves repay its end.
#if defined(SLUICE_TEST_POINTS)
  static constexpr std::uint16_t usual_patience = 4;
#else
  static constexpr std::uint16_t usual_patience = 256;
#endif

  /// One that is never biased.
  queue_lock() noexcept = default;
  /// One that is biased to who has come so often in a row.
  explicit queue_lock(std::uint16_t patience) noexcept
      : can_be_biased_(true), patience_(patience), left_(patience) {}
  queue_lock(const queue_lock&) = delete;
  queue_lock& operator=(const queue_lock&) = delete;

  void lock() noexcept {
    if (can_be_biased_) return lock_or_enter();
    turn_.lock();
    in_turn_ = true;
  }

  void unlock() noexcept {
    if (!in_turn_) {
      inside_.store(false, std::memory_order_release);
      return;
    }
    in_turn_ = false;
    turn_.unlock();
  }

 private:
  static constexpr std::uintptr_t biased = 1;

  /// Not in line: no coroutine's body may keep where its thread's mark is.
  SLUICE_DECL void lock_or_enter() noexcept;
  void lock_in_turn() noexcept;
  void give_bias(std::uintptr_t thread) noexcept;
  void take_bias_away() noexcept;

  /// Whether it is ever biased.
  const bool can_be_biased_ = false;
  /// Who has the lock has `turn_`. Under the lock.
  bool in_turn_ = false;
  /// The owner has it without `turn_`, or is about to find that it is biased to him no more.
  std::atomic<bool> inside_{false};
  /// The thread that had it last, and whether it is biased to that one. Written by who has `turn_`.
  std::atomic<std::uintptr_t> user_{0};
  /// The thread that `inside_` belongs to, or 0. Under `turn_`.
  std::uintptr_t owner_ = 0;
  byte_lock turn_;
  /// How often the same thread has to come before it is biased, and how often it still has to.
  std::uint16_t patience_ = 0;
  std::uint16_t left_ = 0;
};

}  // namespace sluice::detail
