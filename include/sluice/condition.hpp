// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/sync/grant_queue.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <source_location>
#include <type_traits>
#include <utility>

namespace sluice {

/// Waits, with a lock given up meanwhile, to be notified. Go's `sync.Cond`.
/**
 * After `std::condition_variable_any`; it works with any guard of `mutex` or `shared_mutex`. Nobody
 * is woken without a notification, and waiters are notified in the order in which they began to
 * wait, only those who had begun before. It may be destroyed as soon as all waiters have been
 * notified; others stay parked. So may the mutex: whoever comes back then has a guard of a lock
 * that nobody else asks for any more.
 *
 * @par Thread safety
 * Safe. What happened before a notification happened before the return of the wait that it ends.
 *
 * @code
 * auto guard = co_await m.lock();
 * while (queue.empty()) co_await not_empty.wait(guard);
 * @endcode
 */
class condition {
 public:
  /// @throws std::bad_alloc
  condition() : queue_(0) {}
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Unlocks the guard and waits, as one step; locks again before it returns or throws.
  /**
   * A task: await it, or start it with a token, `go(where, c.wait(guard), token)`.
   *
   * @par Errors
   * `asio::error::operation_aborted` or `error::deadline_exceeded` if cancelled; std::logic_error
   * if the guard does not own a lock.
   *
   * @par Cancellation
   * A cancelled wait has taken no notification. It holds the lock again, and waiting for that is
   * not cancelled.
   */
  template <detail::lock_guard Guard>
  [[nodiscard]] task<> wait(Guard& guard,
                            std::source_location here = std::source_location::current()) {
    return wait_with(guard, here);
  }

  /// Waits until `predicate()` is true. It is called with the lock held.
  template <detail::lock_guard Guard, std::predicate Predicate>
  [[nodiscard]] task<> wait(Guard& guard, Predicate&& predicate,
                            std::source_location here = std::source_location::current()) {
    static_assert(
        detail::safe_in_co_await_expression<Predicate>,
        "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression "
        "and destroys it twice: capture by reference, or name the closure first and pass the name");
    return wait_until_true<std::decay_t<Predicate>>(guard, std::forward<Predicate>(predicate),
                                                    here);
  }

  /// Wakes the goroutine that has waited longest, if any waits. Go's `Signal`.
  void notify_one() noexcept { queue_->grant_first(1); }

  /// Wakes all that wait. Go's `Broadcast`.
  void notify_all() noexcept { queue_->grant_first(std::numeric_limits<std::size_t>::max()); }

 private:
  [[nodiscard]] SLUICE_DECL task<> wait_with(detail::grant& guard, std::source_location here);

  template <class Predicate>
  task<> wait_until_true(detail::grant& guard, Predicate predicate, std::source_location here) {
    while (!predicate()) co_await wait_with(guard, here);
  }

  // It has nothing to give: a notification is a grant beyond its capacity.
  detail::grant_queue::owner queue_;
};

}  // namespace sluice
