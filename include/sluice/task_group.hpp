// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/base/access.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/intrusive_list.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/context/context_registration.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/sync/grant_queue.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/detail/task/uncancelled.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/go.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/task.hpp>
#include <sluice/wait_group.hpp>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace sluice {

/// What `with_task_group` throws if it was asked for all errors and there were any.
class SLUICE_DECL task_group_error : public std::runtime_error {
 public:
  /// @param errors At least one, in the order in which they came.
  SLUICE_DECL explicit task_group_error(std::vector<std::exception_ptr> errors);

  /// The errors, in the order in which they came.
  [[nodiscard]] const std::vector<std::exception_ptr>& errors() const noexcept { return *errors_; }

 private:
  std::shared_ptr<const std::vector<std::exception_ptr>> errors_;
};

/// Which errors a group reports.
enum class group_errors {
  first,  ///< the first, which cancels the others
  all,    ///< every one, as a `task_group_error`; none cancels anything
};

namespace detail {

class group_member;

/// What a group, its goroutines and the coroutine that waits for them share.
/** The count of a wait group, and under its lock a list of those who are to be cancelled. Who
 * cancels it may be the last to keep it, when the contexts of all of them have gone: it refers to
 * no executor. */
class group_state : public wait_group_state, public std::enable_shared_from_this<group_state> {
 public:
  /// @throws std::bad_alloc
  [[nodiscard]] SLUICE_DECL static std::shared_ptr<group_state> make(const context& parent,
                                                                     group_errors policy);
  group_state(const context& parent, group_errors policy);

  /// Starts a goroutine.
  /** @param turn What it waits for before its first step; null for nothing.
   * @throws std::bad_alloc; what its executor throws */
  template <class T>
  void start(const start_point& at, task<T> what, bool serial, std::source_location where_started,
             grant_waiter* turn = nullptr) {
    const auto frame = what.release();
    start(at, frame, frame.promise(), serial, where_started, turn);
  }

  /// Notes a failure, which cancels the others if it is the first that is to be reported.
  void fail(const std::exception_ptr& failure) noexcept;
  /// Notes the exception that is being handled, and cancels the goroutines whatever the policy is.
  SLUICE_DECL void interrupt() noexcept;
  void cancel() noexcept { tree_.cancel(); }
  /// Throws if the goroutines have been cancelled.
  SLUICE_DECL void throw_if_cancelled() const;
  /// Throws what has been noted, if anything.
  SLUICE_DECL void rethrow() const;

  SLUICE_DECL void set_limit(std::size_t n);
  /// @throws std::logic_error if there is no limit.
  [[nodiscard]] SLUICE_DECL semaphore& permits();
  [[nodiscard]] bool limited() const noexcept { return permits_.has_value(); }

  [[nodiscard]] const context& ctx() const noexcept { return tree_.ctx; }

 private:
  friend class group_member;

  SLUICE_DECL void start(const start_point& at, std::coroutine_handle<> frame, promise_base& root,
                         bool serial, std::source_location where_started, grant_waiter* turn);
  void expect_one_more();
  void add(group_member& m) noexcept;
  void one_has_ended(group_member& m, const std::exception_ptr& failure) noexcept;
  void cancel_members() noexcept;

  cancellable_context tree_;
  const group_errors policy_;
  std::optional<semaphore> permits_;

  // Under the lock.
  intrusive_list<group_member> members_;
  /// What the waits of those end with who come now; `waiting` while they are not cancelled.
  waiter::state cancelled_ = waiter::state::waiting;
  /// As long as there are members.
  std::shared_ptr<group_state> self_;

  std::mutex errors_mutex_;
  /// How many there may be: the goroutines', the body's, and what the wait ended with.
  std::size_t possible_ = 2;
  std::vector<std::exception_ptr> errors_;
  std::optional<context_registration> told_by_context_;
};

/// The place of a goroutine in the line for a group's limit: it has it before its first step.
using place_in_line = std::unique_ptr<semaphore::acquire_operation>;

/// Runs a goroutine of a group with a limit.
/** @param turn None if its permit has been waited for. */
template <class T>
task<> run_in_turn(task<T> what, const group_state& group, place_in_line turn,
                   semaphore::permit permit) {
  if (turn) {
    permit = access::wait_of(*turn).await_resume();
    group.throw_if_cancelled();
  }
  static_cast<void>(co_await std::move(what));
}

}  // namespace detail

/// Goroutines that work on one thing and are waited for together. Go's
/// `golang.org/x/sync/errgroup`.
/**
 * Made by `with_task_group`, which is not left while one of them runs. A goroutine that throws
 * cancels `ctx()`, to which all of them are bound: their waits, Asio's included, end.
 *
 * @par Thread safety
 * Safe, and for the group's own goroutines too.
 */
class task_group {
 public:
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;
  ~task_group() { state_->cancel(); }

  /// Done when one of them has failed, the parent is done, or the group is left.
  [[nodiscard]] const context& ctx() const noexcept { return state_->ctx(); }

  /// Lets at most `n` of them run at a time. Before the first `go`.
  /** @throws std::logic_error if goroutines have been started; std::invalid_argument if `n` is 0 */
  void set_limit(std::size_t n) { state_->set_limit(n); }

  /// Starts a goroutine, as `sluice::go(what)` does, where the group was made.
  /**
   * It is a strand of its own, beside the body and the others, unless the group was given a strand
   * for all of them: `with_task_group(where, ctx, body)`.
   *
   * With a limit it begins to run when its turn comes, in the order of these calls, and of the
   * `slot()`s that are awaited between them; this call does not wait. To wait for the turn before
   * there is one more goroutine:
   * @code
   * auto permit = co_await g.slot();
   * g.go(std::move(permit), work);
   * @endcode
   * With a limit one that has not begun when the group is cancelled does not run, unless it was
   * given its permit.
   *
   * @throws std::bad_alloc; std::invalid_argument for a task that was moved from
   */
  template <detail::startable What>
  void go(What&& what, std::source_location location = std::source_location::current()) {
    start({}, std::forward<What>(what), location);
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
  /// The same, with a turn that `permit` has waited for.
  template <detail::startable What>
  void go(semaphore::permit permit, What&& what,
          std::source_location location = std::source_location::current()) {
    start(std::move(permit), std::forward<What>(what), location);
  }

  /// Waits for a goroutine's turn: an operation that gives a permit. Go's `Go` waits like that.
  /** @throws std::logic_error if there is no limit */
  [[nodiscard]] semaphore::acquire_operation slot() { return state_->permits().acquire(); }

  /// Starts a goroutine if the limit allows it at once. Go's `TryGo`.
  template <detail::startable What>
  [[nodiscard]] bool try_go(What&& what,
                            std::source_location location = std::source_location::current()) {
    semaphore::permit permit;
    if (state_->limited() && !(permit = state_->permits().try_acquire())) return false;
    start(std::move(permit), std::forward<What>(what), location);
    return true;
  }

  /// Waits until none of them is left: an operation, for use in the group's body.
  [[nodiscard("co_await it, or give it a completion token")]] wait_group_operation wait() noexcept {
    return wait_group_operation(state_);
  }

 private:
  friend struct detail::access;

  task_group(detail::start_point at, std::shared_ptr<detail::group_state> s) noexcept
      : at_(std::move(at)), state_(std::move(s)) {}

  template <class What>
  void start(semaphore::permit permit, What&& what, std::source_location location) {
    auto work = detail::make_task(std::forward<What>(what));
    if (!work)
      detail::throw_exception(
          std::invalid_argument("sluice: task_group::go with a task that was moved from"));
    if (!state_->limited() && !permit)
      return state_->start(at_, std::move(work), detail::starts_serial<What>, location);
    detail::place_in_line turn;
    if (!permit) turn = std::make_unique<semaphore::acquire_operation>(state_->permits().acquire());
    detail::grant_waiter* const wait = turn ? &detail::access::wait_of(*turn) : nullptr;
    state_->start(at_,
                  detail::run_in_turn(std::move(work), *state_, std::move(turn), std::move(permit)),
                  detail::starts_serial<What>, location, wait);
  }

  const detail::start_point at_;
  const std::shared_ptr<detail::group_state> state_;
};

namespace detail {

/// @param at Where the goroutines run; no dispatcher means where the awaiting one does.
template <class T, class Body>
task<T> run_group(start_point at, context parent, Body body, group_errors policy,
                  std::source_location here) {
  if (!at.where) at = current_start_point("sluice::with_task_group");
  const auto state = group_state::make(parent, policy);
  auto group = access::make<task_group>(std::move(at), state);
  std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> result;
  SLUICE_TRY {
    if constexpr (std::is_void_v<T>)
      co_await std::invoke(body, group);
    else
      result.emplace(co_await std::invoke(body, group));
  }
  SLUICE_CATCH_ALL {
    state->interrupt();
  }
  SLUICE_TRY {
    wait_group_operation end(state);
    co_await awaited_at(end, here);
  }
  SLUICE_CATCH_ALL {
    state->interrupt();
  }
  uncancelled end(wait_group_operation{state});
  co_await awaited_at(end, here);
  state->rethrow();
  if constexpr (!std::is_void_v<T>) co_return *std::move(result);
}

/// What makes a group with such a body.
template <class Body>
concept group_body = std::invocable<std::decay_t<Body>&, task_group&>;

template <class Body>
auto make_group(start_point at, context parent, Body&& body, group_errors policy,
                std::source_location here) {
  static_assert(detail::safe_in_co_await_expression<Body>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  using started = std::invoke_result_t<std::decay_t<Body>&, task_group&>;
  static_assert(detail::is_task<started>, "the body of a task group returns a sluice::task");
  return detail::run_group<typename started::value_type, std::decay_t<Body>>(
      std::move(at), std::move(parent), std::forward<Body>(body), policy, here);
}

}  // namespace detail

/// Runs `body` with a group of goroutines and returns when it and all of them have ended.
/**
 * A task: await it, or start it, `go(where, with_task_group(...), token)`. `body` is a callable
 * that takes a `task_group&` and returns a task, whose result this gives. It is kept until the end,
 * with what it has captured; its local variables go when it ends, and its goroutines may go on:
 * they refer to what stands before this call.
 *
 * @param parent When it is done the goroutines are cancelled.
 * @param body Does the work; `task_group::go` starts goroutines that do it with it.
 * @param policy Which errors are thrown.
 *
 * @par Errors
 * The first exception that left the body or one of the goroutines, when all have ended; or, with
 * `group_errors::all`, a `task_group_error` with every one. A body that throws cancels the
 * goroutines under both policies. `error::not_in_goroutine` if it is not run by a goroutine.
 *
 * @par Cancellation
 * Cancelling the goroutine that waits cancels those of the group; it goes on when they have ended.
 *
 * @code
 * co_await sluice::with_task_group(ctx, [&](sluice::task_group& g) -> sluice::task<> {
 *   g.set_limit(8);
 *   for (auto& url : urls) g.go([&] { return fetch(url); });
 *   co_return;
 * });
 * @endcode
 */
template <detail::group_body Body>
[[nodiscard]] auto with_task_group(context parent, Body&& body,
                                   group_errors policy = group_errors::first,
                                   std::source_location here = std::source_location::current()) {
  return detail::make_group({}, std::move(parent), std::forward<Body>(body), policy, here);
}

/// The same with an executor for the group's goroutines; the body stays with the one that awaits
/// it.
/**
 * A strand is shared by all of them. With the awaiting goroutine's own no two of them, nor the
 * body, run at the same time:
 * @code
 * const auto strand = co_await asio::this_coro::executor;
 * co_await sluice::with_task_group(strand, ctx, body);
 * @endcode
 *
 * @param where An executor or an execution context, which outlives the group.
 * @param parent, body, policy As above.
 */
template <detail::executor_or_context Where, detail::group_body Body>
[[nodiscard]] auto with_task_group(Where&& where, context parent, Body&& body,
                                   group_errors policy = group_errors::first,
                                   std::source_location here = std::source_location::current()) {
  return detail::make_group(detail::start_point_of(where), std::move(parent),
                            std::forward<Body>(body), policy, here);
}

}  // namespace sluice
