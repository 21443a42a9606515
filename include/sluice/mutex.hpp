// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/sync/grant_queue.hpp>

#include <mutex>

namespace sluice {

/// Mutual exclusion between goroutines and handlers. Go's `sync.Mutex`.
/**
 * After `std::mutex`, with a guard like `std::unique_lock` as the only way to unlock. Waiting parks
 * the goroutine, never the thread. The lock is handed to those who wait in the order in which they
 * came; nobody overtakes. It belongs to the guard, not to a goroutine or a thread: the guard may be
 * sent through a channel and unlock elsewhere.
 *
 * A mutex may be destroyed before those who hold it or wait for it: waiters stay parked, guards
 * unlock nothing; those who come back from a `condition` still take turns.
 *
 * @par Thread safety
 * Safe. What happened before an unlock happened before the next lock.
 *
 * @code
 * sluice::mutex m;
 * const auto guard = co_await m.lock();
 * co_await change_what_m_protects();
 * @endcode
 */
class mutex {
 public:
  /// The lock, as long as it lives. Move-only; by default it owns none.
  class [[nodiscard]] guard : public detail::grant {
   public:
    using grant::grant;

    /// Whether it owns the lock.
    [[nodiscard]] bool owns_lock() const noexcept { return static_cast<bool>(*this); }

    /// Unlocks early. @throws std::logic_error if it does not own the lock.
    void unlock() { give_back("sluice: unlock of unlocked mutex"); }
  };

  /// What `lock` returns.
  using lock_operation = detail::grant_operation<guard, detail::mutex_functions>;

  /// @throws std::bad_alloc
  mutex() : queue_(1) {}
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  /// Waits for the lock.
  /**
   * Awaited: a `guard`. With a token: `void(error_code, guard)`; the handler needs an executor of
   * its own. As a case of a select that loses it has not locked.
   *
   * @par Errors
   * `asio::error::operation_aborted` or `error::deadline_exceeded` if cancelled, also if the lock
   * is free.
   *
   * @par Cancellation
   * A cancelled wait has left the queue and holds nothing.
   */
  [[nodiscard("co_await it, or give it a completion token")]] lock_operation lock() noexcept {
    return lock_operation(*queue_);
  }

  /// Locks if nobody holds the lock; otherwise the guard owns none.
  [[nodiscard]] guard try_lock() noexcept {
    return queue_->try_acquire(1) ? guard(*queue_, 1) : guard();
  }

 private:
  detail::grant_queue::owner queue_;
};

}  // namespace sluice

// Those of the standard wait with their thread.
template <>
class std::lock_guard<sluice::mutex> {
 public:
  explicit lock_guard(sluice::mutex&) = delete;  // const auto guard = co_await m.lock();
};
template <>
class std::unique_lock<sluice::mutex> {
 public:
  explicit unique_lock(sluice::mutex&) = delete;  // auto guard = co_await m.lock();
};
template <>
class std::scoped_lock<sluice::mutex> {
 public:
  explicit scoped_lock(sluice::mutex&) = delete;  // const auto guard = co_await m.lock();
};
