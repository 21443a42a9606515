// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/sync/grant_queue.hpp>

#include <cstddef>
#include <stdexcept>

namespace sluice {

/// A number of units, to be acquired one or several at a time. Go's `golang.org/x/sync/semaphore`.
/**
 * The names are those of `std::counting_semaphore`; unlike it this one has a fixed capacity, an
 * acquire may take several units, and it gives a permit that brings them back when it is destroyed.
 * First come, first served: an acquire that waits for many units holds up those after it, so it is
 * not starved; one that asks for more than the capacity holds up nobody and only ends when it is
 * cancelled. Permits belong to no goroutine, and the semaphore may be destroyed before them.
 *
 * @par Thread safety
 * Safe. What happened before a release happened before the acquires that it lets in.
 *
 * @code
 * sluice::semaphore connections(10);
 * const auto permit = co_await connections.acquire();
 * co_await talk_to(server);
 * @endcode
 */
class semaphore {
 public:
  /// Acquired units, given back when it is destroyed. Move-only; by default it holds none.
  class [[nodiscard]] permit : public detail::grant {
   public:
    using grant::grant;

    /// How many units it holds.
    [[nodiscard]] std::size_t count() const noexcept { return units(); }

    /// Gives them back early. @throws std::logic_error if it holds no permission.
    void release() { give_back("sluice: release of a semaphore that was not acquired"); }

    /// Leaves giving them back to `semaphore::release`. @throws std::logic_error as `release`.
    void detach() { grant::detach("sluice: detach of a semaphore that was not acquired"); }
  };

  /// What `acquire` returns.
  using acquire_operation = detail::grant_operation<permit, detail::semaphore_functions>;

  /// @throws std::bad_alloc
  explicit semaphore(std::size_t capacity) : queue_(capacity) {}
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Waits for `n` units.
  /**
   * Awaited: a `permit`. With a token: `void(error_code, permit)`; the handler needs an executor of
   * its own. As a case of a select that loses it has acquired nothing.
   *
   * @par Errors
   * `asio::error::operation_aborted` or `error::deadline_exceeded` if cancelled, also if the units
   * are there.
   *
   * @par Cancellation
   * A cancelled acquire has left the queue and holds nothing; those that it held up are let in.
   */
  [[nodiscard("co_await it, or give it a completion token")]] acquire_operation acquire(
      std::size_t n = 1) noexcept {
    return {*queue_, n};
  }

  /// Acquires if `n` units are there and nobody waits; otherwise the permit holds none.
  [[nodiscard]] permit try_acquire(std::size_t n = 1) noexcept {
    return queue_->try_acquire(n) ? permit(*queue_, n) : permit();
  }

  /// Gives back units of detached permits.
  /** @throws std::logic_error if there are fewer; nothing has changed then. */
  void release(std::size_t n = 1) {
    if (!queue_->release_detached(n))
      detail::throw_exception(
          std::logic_error("sluice: semaphore released more than was detached from permits"));
  }

  /// How many units there are altogether.
  [[nodiscard]] std::size_t capacity() const noexcept { return queue_->capacity(); }

 private:
  detail::grant_queue::owner queue_;
};

}  // namespace sluice
