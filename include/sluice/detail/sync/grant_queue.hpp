// SPDX-License-Identifier: BSL-1.0
// Units that are given out first come, first served: locks and semaphores are made of nothing
// else. What is tied to a queue, a waiter or a grant, keeps it.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/queue_lock.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

namespace sluice {

class condition;

}  // namespace sluice

namespace sluice::detail {

class grant;
class grant_queue;

/// A wait for a grant; the queue is null if the grant can never be given.
struct grant_waiter : waiter {
  /// How it is bound to its queue, which it keeps alive.
  enum class role : std::uint8_t { none, queued, granted };

  grant_waiter() noexcept = default;
  grant_waiter(const grant_waiter&) = delete;
  grant_waiter& operator=(const grant_waiter&) = delete;
  /// Gives back a grant that nobody has taken.
  ~grant_waiter() {
    if (joined_as != role::none) leave();
  }

  void leave() noexcept;

  relaxed<role> joined_as = role::none;
  /// It had the lock and gave it up to wait for a condition; it has been bound to the queue since.
  bool comes_back = false;
  grant_queue* queue = nullptr;
  std::size_t weight = 0;
};

SLUICE_DECL extern const waiter_functions mutex_functions;
SLUICE_DECL extern const waiter_functions shared_mutex_functions;
SLUICE_DECL extern const waiter_functions semaphore_functions;
extern const waiter_functions condition_functions;

/// Gives out `capacity` units, first come, first served: all that locks and semaphores are.
/**
 * Whoever finds others waiting, or too few units, waits behind them. Units that come back go
 * straight to those at the head, so a large request is not starved by small ones.
 *
 * The queue outlives its owner until the last waiter and the last grant have left, because
 * goroutines and handlers may be destroyed after what they wait for or hold. Nobody is granted
 * anything any more then, but those who come back from a condition, which they have been promised.
 */
class grant_queue {
 public:
  /// The one who made the queue.
  class owner {
   public:
    explicit owner(std::size_t capacity) : queue_(*new grant_queue(capacity)) {}
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;
    ~owner() { queue_.close(); }

    [[nodiscard]] grant_queue& operator*() const noexcept { return queue_; }
    grant_queue* operator->() const noexcept { return &queue_; }

   private:
    grant_queue& queue_;
  };

  grant_queue(const grant_queue&) = delete;
  grant_queue& operator=(const grant_queue&) = delete;

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Takes `weight` units if nobody waits and they are there.
  [[nodiscard]] SLUICE_DECL bool try_acquire(std::size_t weight) noexcept;
  /// Gives `w` its units if nobody is in the queue and they are there.
  [[nodiscard]] SLUICE_DECL bool try_give(grant_waiter& w) noexcept;
  /// Ends a grant.
  SLUICE_DECL void release(std::size_t weight) noexcept;
  /// Keeps the queue, by a grant of nothing, for somebody who holds a grant and will come back.
  [[nodiscard]] SLUICE_DECL grant keep() noexcept;

  /// Ends a grant, but its units stay out until `release_detached`.
  SLUICE_DECL void detach(std::size_t weight) noexcept;
  /// @return False, and nothing has changed, if fewer units are detached.
  [[nodiscard]] SLUICE_DECL bool release_detached(std::size_t weight) noexcept;

  /// Grants to the first `most` waiters, whatever the capacity is.
  SLUICE_DECL void grant_first(std::size_t most) noexcept;

  /// A waiter gives back its grant, or leaves the queue if it still has one.
  SLUICE_DECL void leave(grant_waiter& w) noexcept;

  // For waiter_functions; all but the hint and `withdraw` under the lock. Whether somebody waits is
  // for the attempt to say, which drops the losing cases of selects.
  [[nodiscard]] queue_lock& lock() noexcept { return lock_; }
  [[nodiscard]] bool ready(std::size_t weight) const noexcept { return fits(weight); }
  [[nodiscard]] SLUICE_DECL bool attempt(grant_waiter& w) noexcept;
  SLUICE_DECL void enlist(grant_waiter& w) noexcept;
  [[nodiscard]] SLUICE_DECL bool withdraw(grant_waiter& w) noexcept;

 private:
  explicit grant_queue(std::size_t capacity) noexcept : capacity_(capacity) {}
  ~grant_queue() = default;

  SLUICE_DECL void close() noexcept;
  template <class Change>
  void change(Change c) noexcept;
  void admit_and_unlock() noexcept;
  void join(const grant_waiter& w) noexcept {
    if (!w.comes_back) ++members_;
  }
  [[nodiscard]] bool fits(std::size_t weight) const noexcept {
    const std::size_t held = held_;
    return held <= capacity_ && weight <= capacity_ - held;
  }
  [[nodiscard]] grant_waiter* first_candidate() noexcept;
  [[nodiscard]] grant_waiter* first_undecided() noexcept;
  void give(grant_waiter& w) noexcept;
  void take_back(std::size_t weight) noexcept;
  void untie() noexcept;
  [[nodiscard]] bool grant_if_claimed(grant_waiter& w, wake_list& woken) noexcept;
  void admit(wake_list& woken) noexcept;

  queue_lock lock_{queue_lock::usual_patience};
  bool orphaned_ = false;
  const std::size_t capacity_;
  relaxed<std::size_t> held_ = 0;
  std::size_t detached_ = 0;
  std::size_t members_ = 0;
  waiter_list waiters_;
};

inline void grant_waiter::leave() noexcept {
  queue->leave(*this);
}

/// Units of a queue, given back when it is destroyed. Move-only; by default none.
class grant {
 public:
  grant() noexcept = default;
  grant(grant_queue& q, std::size_t weight) noexcept : queue_(&q), weight_(weight) {}
  grant(grant&& other) noexcept
      : queue_(std::exchange(other.queue_, nullptr)), weight_(other.weight_) {}
  grant& operator=(grant&& other) noexcept {
    grant taken(std::move(other));
    std::swap(queue_, taken.queue_);
    std::swap(weight_, taken.weight_);
    return *this;
  }
  ~grant() {
    if (queue_) queue_->release(weight_);
  }

  /// Whether it holds anything.
  [[nodiscard]] explicit operator bool() const noexcept { return queue_ != nullptr; }

 protected:
  /// How many units it holds.
  [[nodiscard]] std::size_t units() const noexcept { return queue_ ? weight_ : 0; }
  /// Gives it back now. @throws std::logic_error with that text if it holds nothing.
  SLUICE_DECL void give_back(const char* otherwise);
  /// Forgets the units; they stay out.
  SLUICE_DECL void detach(const char* otherwise);

 private:
  friend class sluice::condition;

  grant_queue* queue_ = nullptr;
  std::size_t weight_ = 0;
};

/// A guard of a `mutex` or a `shared_mutex`.
template <class T>
concept lock_guard = std::derived_from<T, grant> && requires(const T& guard) { guard.owns_lock(); };

/// Waiting for a grant. It is not kept longer than what it was made from.
template <class Grant, const waiter_functions& Functions>
class grant_wait : public operation<grant_wait<Grant, Functions>, grant_waiter> {
 public:
  using signature = void(error_code, Grant);
  static constexpr const waiter_functions& functions = Functions;

  grant_wait(grant_queue& q, std::size_t n) noexcept
      : grant_wait(n <= q.capacity() ? &q : nullptr, n) {}
  /// One unit of a queue that has some.
  explicit grant_wait(grant_queue& q) noexcept : grant_wait(&q, 1) {}
  grant_wait(grant_wait&& other) noexcept : grant_wait(other.queue, other.weight) {}

  /// Takes what is there without suspending, for a goroutine that cannot be cancelled.
  [[nodiscard]] bool try_now(goroutine& g) noexcept {
    return this->queue && !g.cancel && g.try_now([this] { return this->queue->try_give(*this); });
  }
  [[nodiscard]] Grant take_now() noexcept {
    this->joined_as = grant_waiter::role::none;
    return Grant(*this->queue, this->weight);
  }

  Grant take() {
    this->throw_unless_done();
    return take_now();
  }
  [[nodiscard]] std::tuple<error_code, Grant> take_arguments() {
    return {outcome_error(this->outcome), take_grant()};
  }

 private:
  grant_wait(grant_queue* q, std::size_t n) noexcept {
    this->queue = q;
    this->weight = n;
  }

  Grant take_grant() noexcept {
    return this->joined_as == grant_waiter::role::granted ? take_now() : Grant();
  }
};

/// Waiting for a grant: what `mutex::lock`, `shared_mutex::lock_shared`, `semaphore::acquire`
/// return.
/**
 * In a task it is awaited and gives a `Grant`; with a token its signature is `void(error_code,
 * Grant)`. Do not keep it longer than what it was made from.
 */
template <class Grant, const waiter_functions& Functions>
class grant_operation : public public_operation<grant_wait<Grant, Functions>> {
 public:
  using public_operation<grant_wait<Grant, Functions>>::public_operation;
};

}  // namespace sluice::detail
