// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/queue_lock.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>

#include <cstddef>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <utility>

namespace sluice {

namespace detail {

/// A wait group's counter and who waits for it. Members and waiters keep it, because goroutines and
/// handlers may be destroyed after the group.
class wait_group_state {
 public:
  SLUICE_DECL void add(std::ptrdiff_t delta);
  /// Under the lock: who sees zero may destroy the group, so whoever has made it zero must be out.
  [[nodiscard]] SLUICE_DECL std::ptrdiff_t count() const noexcept;

  // For waiter_functions; all but the hint and `withdraw` under the lock.
  [[nodiscard]] queue_lock& lock() noexcept { return lock_; }
  [[nodiscard]] bool ready() const noexcept { return count_ == 0; }
  void enlist(waiter& w) noexcept { waiters_.push_back(w); }
  [[nodiscard]] SLUICE_DECL bool withdraw(waiter& w) noexcept;

 protected:
  /// Under the lock. Who waits for zero is claimed, and woken by `woken`.
  void change(std::ptrdiff_t delta, wake_list& woken) noexcept;

 private:
  mutable queue_lock lock_;
  relaxed<std::ptrdiff_t> count_ = 0;
  waiter_list waiters_;
};

/// A wait for a wait group.
struct wait_group_waiter : waiter {
  std::shared_ptr<wait_group_state> group;
};

SLUICE_DECL extern const waiter_functions wait_group_functions;

/// Waiting for a group's counter to be zero.
class wait_group_wait : public operation<wait_group_wait, wait_group_waiter> {
 public:
  static constexpr const waiter_functions& functions = wait_group_functions;

  /// @param where For handlers that have no executor of their own.
  explicit wait_group_wait(std::shared_ptr<wait_group_state> g,
                           lasting_dispatcher where = {}) noexcept
      : where_(std::move(where)) {
    group = std::move(g);
  }
  wait_group_wait(wait_group_wait&& other) noexcept : where_(std::move(other.where_)) {
    group = other.group;
  }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const noexcept {
    return pinned_dispatcher(lasting_dispatcher(where_));
  }

 private:
  lasting_dispatcher where_;
};

}  // namespace detail

/// Waiting for a group's counter to be zero: what `wait_group::wait` returns.
/** In a task it is awaited and gives nothing; with a token its signature is `void(error_code)`. */
class wait_group_operation : public detail::public_operation<detail::wait_group_wait> {
 public:
  /// Used by `wait_group::wait`.
  using public_operation::public_operation;
};

/// Waits for a number of goroutines to finish. Go's `sync.WaitGroup`.
/**
 * The nearest in the standard library is `std::latch`; unlike it the counter may go up again, and a
 * group may be used for another round once `wait` has returned. It may be destroyed while its
 * members still run: those parked in `wait` are woken when the last member has ended.
 *
 * @par Thread safety
 * Safe. What happened before a `done` happened before the `wait` that it ends.
 *
 * @code
 * sluice::wait_group wg;
 * for (int i = 0; i < 5; ++i) wg.go([&, i]() -> sluice::task<> { co_await work(i); });
 * co_await wg.wait();
 * @endcode
 */
class wait_group {
 public:
  /// @throws std::bad_alloc
  wait_group() : state_(std::make_shared<detail::wait_group_state>()) {}
  wait_group(const wait_group&) = delete;  // Others refer to it: go(f, std::ref(wg)).
  wait_group& operator=(const wait_group&) = delete;
  ~wait_group() = default;

  /// Adds `delta`, which may be negative, to the counter; at zero everybody waiting is woken.
  /** @throws std::logic_error if the counter would become negative; it is unchanged then. */
  void add(std::ptrdiff_t delta = 1) { state_->add(delta); }

  /// Takes one off the counter. @throws std::logic_error as `add`.
  void done() { add(-1); }

  /// Waits until the counter is zero.
  /**
   * Awaited: void. With a token: `void(error_code)`, `asio::error::operation_aborted` if cancelled.
   */
  [[nodiscard("co_await it, or give it a completion token")]] wait_group_operation wait() noexcept {
    return wait_group_operation(state_);
  }
  /// The counter now. Thread safe, but it may have changed when this returns.
  [[nodiscard]] std::ptrdiff_t count() const noexcept { return state_->count(); }

  /// Starts a goroutine as `sluice::go(what)` does and counts it until it has ended, however it
  /// ends.
  /**
   * As there it is a strand of its own; `go(where, what)` with one strand for several lets them
   * share it.
   *
   * One that throws is counted until its exception is about to leave `run()`: those who wait go on
   * only if `run()` is called again or other threads run the context, and under `sluice::run`
   * never.
   */
  template <detail::startable What>
  void go(What&& what, std::source_location location = std::source_location::current()) {
    go_at(detail::current_start_point("sluice::wait_group::go"), std::forward<What>(what),
          location);
  }
  /// The same on an executor or execution context.
  template <detail::executor_or_context Where, detail::startable What>
  void go(Where&& where, What&& what,
          std::source_location location = std::source_location::current()) {
    go_at(detail::start_point_of(where), std::forward<What>(what), location);
  }

  /// The same with a function and copies of its arguments, as `sluice::go(f, args...)`.
  template <class F, class A1, class A2 = detail::absent, class A3 = detail::absent,
            class A4 = detail::absent, class A5 = detail::absent, class A6 = detail::absent>
    requires detail::function_with<F, A1, A2, A3, A4, A5, A6>
  void go(F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {}, A6&& a6 = {},
          std::source_location location = std::source_location::current()) {
    go(detail::bind_given(std::forward<F>(f), std::forward<A1>(a1), std::forward<A2>(a2),
                          std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5),
                          std::forward<A6>(a6)),
       location);
  }
  /// The same on an executor or execution context.
  template <detail::executor_or_context Where, class F, class A1, class A2 = detail::absent,
            class A3 = detail::absent, class A4 = detail::absent, class A5 = detail::absent,
            class A6 = detail::absent>
    requires detail::function_with<F, A1, A2, A3, A4, A5, A6>
  void go(Where&& where, F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {},
          A6&& a6 = {}, std::source_location location = std::source_location::current()) {
    go(std::forward<Where>(where),
       detail::bind_given(std::forward<F>(f), std::forward<A1>(a1), std::forward<A2>(a2),
                          std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5),
                          std::forward<A6>(a6)),
       location);
  }

 private:
  friend struct detail::access;

  /// Calls `done` when the goroutine's frame is destroyed.
  class member {
   public:
    explicit member(std::shared_ptr<detail::wait_group_state> s) : state_(std::move(s)) {
      state_->add(1);
    }
    member(member&&) noexcept = default;
    member& operator=(member&&) = delete;
    ~member() {
      if (state_) state_->add(-1);
    }

    /// It fails: it is counted until the context has its next turn after that.
    void fails() {
      detail::after_failure([last = std::move(*this)] {});
    }

   private:
    std::shared_ptr<detail::wait_group_state> state_;
  };

  template <class T>
  static task<> run_member(task<T> what, member counted) {
    SLUICE_TRY {
      co_await std::move(what);
    }
    SLUICE_CATCH_ALL {
      counted.fails();
      detail::rethrow();
    }
  }

  template <class What>
  void go_at(detail::start_point at, What&& what, std::source_location location) {
    auto body = detail::make_task(std::forward<What>(what));
    if (!body)
      detail::throw_exception(
          std::invalid_argument("sluice: wait_group::go with a task that was moved from"));
    detail::start(std::move(at), run_member(std::move(body), member(state_)),
                  detail::starts_serial<What>, location);
  }

  const std::shared_ptr<detail::wait_group_state> state_;
};

}  // namespace sluice
