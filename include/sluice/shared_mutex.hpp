// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/sync/grant_queue.hpp>

#include <cstddef>
#include <limits>

namespace sluice {

/// A lock that many readers or one writer hold. Go's `sync.RWMutex`.
/**
 * After `std::shared_mutex`, with guards as the only way to unlock. First come, first served: a
 * writer who waits holds up the readers who come after it, and readers next to each other in the
 * queue are let in together, so neither kind starves. A goroutine that holds it must therefore not
 * lock it again, not even shared. Guards belong to no goroutine, and the mutex may be destroyed
 * before them, as with `mutex`.
 *
 * @par Thread safety
 * Safe. What happened before an unlock happened before the next lock that it excluded.
 *
 * @code
 * sluice::shared_mutex m;
 * {
 *   const auto reading = co_await m.lock_shared();
 *   use(table);
 * }
 * const auto writing = co_await m.lock();
 * change(table);
 * @endcode
 */
class shared_mutex {
  // A reader takes one unit, a writer all.
  static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

 public:
  /// The lock of the writer, as long as it lives. Move-only; by default it owns none.
  class [[nodiscard]] guard : public detail::grant {
   public:
    using grant::grant;

    /// Whether it owns the lock.
    [[nodiscard]] bool owns_lock() const noexcept { return static_cast<bool>(*this); }

    /// Unlocks early. @throws std::logic_error if it does not own the lock.
    void unlock() { give_back("sluice: unlock of unlocked shared_mutex"); }
  };

  /// The lock of a reader, as long as it lives. Move-only; by default it owns none.
  class [[nodiscard]] shared_guard : public detail::grant {
   public:
    using grant::grant;

    /// Whether it owns the lock.
    [[nodiscard]] bool owns_lock() const noexcept { return static_cast<bool>(*this); }

    /// Unlocks early. @throws std::logic_error if it does not own the lock.
    void unlock() { give_back("sluice: unlock of unlocked shared_mutex (shared)"); }
  };

  /// What `lock` returns.
  using lock_operation = detail::grant_operation<guard, detail::shared_mutex_functions>;
  /// What `lock_shared` returns.
  using lock_shared_operation =
      detail::grant_operation<shared_guard, detail::shared_mutex_functions>;

  /// @throws std::bad_alloc
  shared_mutex() : queue_(all) {}
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  /// Waits until nobody else holds the lock. Go's `Lock`.
  /**
   * Awaited: a `guard`. With a token: `void(error_code, guard)`; the handler needs an executor of
   * its own. As a case of a select that loses it has not locked.
   *
   * @par Errors
   * `asio::error::operation_aborted` or `error::deadline_exceeded` if cancelled, also if the lock
   * is free.
   *
   * @par Cancellation
   * A cancelled wait has left the queue and holds nothing; readers that it held up are let in.
   */
  [[nodiscard("co_await it, or give it a completion token")]] lock_operation lock() noexcept {
    return {*queue_, all};
  }

  /// Waits until no writer holds the lock or has waited for longer. Go's `RLock`.
  /** Awaited: a `shared_guard`. With a token: `void(error_code, shared_guard)`. As `lock`. */
  [[nodiscard("co_await it, or give it a completion token")]] lock_shared_operation
  lock_shared() noexcept {
    return lock_shared_operation(*queue_);
  }

  /// Locks if nobody holds the lock; otherwise the guard owns none.
  [[nodiscard]] guard try_lock() noexcept {
    return queue_->try_acquire(all) ? guard(*queue_, all) : guard();
  }

  /// Locks if no writer holds the lock or waits for it; otherwise the guard owns none.
  [[nodiscard]] shared_guard try_lock_shared() noexcept {
    return queue_->try_acquire(1) ? shared_guard(*queue_, 1) : shared_guard();
  }

 private:
  detail::grant_queue::owner queue_;
};

}  // namespace sluice
