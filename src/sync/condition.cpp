// SPDX-License-Identifier: BSL-1.0
// Waiting for a condition: the lock is given up when the wait has been registered, and taken again
// whatever has ended the wait.

#include <sluice/condition.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/goroutine/await.hpp>

#include <stdexcept>

namespace sluice {

namespace detail {

namespace {

/// Waiting to be notified, with a guard that is unlocked once the wait has been registered.
class notification : public operation<notification, grant_waiter> {
 public:
  static constexpr const waiter_functions& functions = condition_functions;

  notification(grant_queue& q, grant& guard) noexcept : guard_(guard) {
    queue = &q;
    weight = 1;
  }

  // Nothing of this object is touched once it has been registered: it may have been resumed.
  bool start(goroutine& g) {
    const grant unlocked_at_end(std::move(guard_));
    return await_waiter(g, *this, functions);
  }
  [[nodiscard]] error_code take() const noexcept { return outcome_error(outcome); }

 private:
  grant& guard_;
};

/// Taking a lock again, whatever has been asked of the goroutine, for one that is bound to it.
class relock : public operation<relock, grant_waiter> {
 public:
  static constexpr const waiter_functions& functions = mutex_functions;

  relock(grant_queue& q, std::size_t n) noexcept {
    queue = &q;
    weight = n;
    comes_back = true;
    joined_as = role::queued;
  }

  [[nodiscard]] bool try_now(goroutine& g) noexcept {
    return g.try_now([this] { return queue->try_give(*this); });
  }
  bool start(goroutine& g) { return await_waiter_to_its_end(g, *this, functions); }
  [[nodiscard]] grant take() noexcept {
    joined_as = role::none;
    return grant(*queue, weight);
  }
};

}  // namespace

}  // namespace detail

task<> condition::wait_with(detail::grant& guard, std::source_location here) {
  if (!guard)
    detail::throw_exception(std::logic_error("sluice: condition::wait with an unlocked guard"));
  detail::grant_queue& mutex = *guard.queue_;
  detail::grant kept = mutex.keep();
  const std::size_t weight = guard.weight_;
  detail::notification notified(*queue_, guard);
  const error_code e = co_await detail::awaited_at(notified, here);
  kept.queue_ = nullptr;  // the waiter is bound to it now
  detail::relock locked(mutex, weight);
  guard = co_await detail::awaited_at(locked, here);
  if (e) detail::throw_error(e, "sluice: condition");
}

}  // namespace sluice
