// SPDX-License-Identifier: BSL-1.0
// An operation that waits for children: awaited by a task, or given a completion token.
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/operation/handler_operation.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/started_once.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/detail/sync/child_outcomes.hpp>
#include <sluice/detail/sync/children_wait.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/error.hpp>

#include <boost/asio/async_result.hpp>

#include <coroutine>
#include <exception>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// Makes a child's goroutine; that it cannot be made is a failure of its own.
template <class Child>
[[nodiscard]] goroutine* make_child(children_wait& wait, Child& c, bool is_last) noexcept {
  SLUICE_TRY {
    return wait.make(c, c.body(), is_last);
  }
  SLUICE_CATCH_ALL {
    c.thrown = std::current_exception();
    wait.failed(c.thrown);
    return nullptr;
  }
}

/// What `when_all` and `for_each` return.
/**
 * @tparam Children Owns the children, and has
 * - `value_type`: what awaiting gives, and `take_values()` which gives it;
 * - `result_type`: what a token gets, default-constructible, with `take_values(Children&)` and
 *   `hold(error_type)`;
 * - `error_type`: what is held by the error, constructible from `Children&`;
 * - `gives_exceptions`, `reason`, `handler_dispatcher()`, `keep()`;
 * - `make_next(wait)` for `children_wait::launch`, `most_at_a_time()`, and `succeeded()` when all
 *   have ended.
 */
template <class Children>
class children_operation {
 public:
  /// For select, that it is launched; for a task, that it is awaited as it is.
  using awaited_in_place = void;
  using value_type = typename Children::value_type;
  using result_type = typename Children::result_type;
  /// What the error holds that is thrown: what had completed by then.
  using error_type = typename Children::error_type;
  using failure_type = std::conditional_t<has_exceptions && Children::gives_exceptions,
                                          std::exception_ptr, error_code>;
  /// What a completion handler takes.
  using signature = void(failure_type, result_type);

  template <class... Arguments>
  explicit children_operation(std::in_place_t, Arguments&&... arguments)
      : children_(std::forward<Arguments>(arguments)...) {}
  children_operation(children_operation&& other)
      : children_(std::move(other.children_)), used_up_(other.was_started()) {
    other.used_up_ = true;
  }
  children_operation& operator=(children_operation&&) = delete;
  ~children_operation() = default;

  /// Starts it with a completion token. @throws std::logic_error if it has been started.
  template <class Token, class Self = children_operation>
    requires asio::completion_token_for<Token, typename Self::signature>
  auto operator()(Token&& token) && {
    if (was_started()) throw_started_before();
    const auto start = []<bool OnTheSpot, class Handler>(std::bool_constant<OnTheSpot>,
                                                         pinned_dispatcher& own, Handler&& handler,
                                                         children_operation&& op) {
      handler_operation<children_operation, Handler, OnTheSpot>::start(own, std::move(op),
                                                                       std::move(handler));
    };
    return detail::initiate<signature>(*this, std::forward<Token>(token), start);
  }

  /// Refuses a handler of something else; the compiler shows the line.
  template <class T, class Self = children_operation>
    requires no_token_for<T, typename Self::signature>
  void operator()(T&&) && = delete;  // A handler takes (exception_ptr or error_code, result).

  // For a task.
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    if (was_started()) throw_started_before();
    goroutine& g = *h.promise().g;
    if (!wait_.begin(g)) return g.must_yield();
    launch({g.start_dispatcher(), g.counts_as_work()}, g.location,
           children_wait::launched_by::suspending);
    return true;
  }
  value_type await_resume() {
    wait_.end();
    if (children_.succeeded()) return children_.take_values();
    failure_type e{};
    wait_.failure(e);
    detail::rethrow_holding(e, Children::name, error_type(children_));
  }

  // For a handler.
  static constexpr bool needs_executor = true;
  template <class Where>
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h, Where where) {
    const pinned_scheduler until_launched(*p.home->link());
    wait_.begin(p);
    // In a goroutine of the handler's context, where that starts others.
    start_point at{where(), false};
    const goroutine* const around = this_goroutine_or_null();
    if (around && around->home == p.home) at.where = around->start_dispatcher();
    if (!p.home->try_add(h)) return begun::refused;
    launch(std::move(at), std::source_location(), children_wait::launched_by::another);
    return begun::waits;
  }
  [[nodiscard]] static bool abandoned() noexcept { return false; }
  [[nodiscard]] bool cancel_for_handler() noexcept { return wait_.cancel_for_handler(); }
  static void woken_for_handler(bool) noexcept {}
  static void forget() noexcept {}
  static void end_for_handler() noexcept {}
  [[nodiscard]] std::tuple<failure_type, result_type> take_arguments() {
    std::tuple<failure_type, result_type> all;
    auto& [failure, result] = all;
    SLUICE_TRY {
      if (children_.succeeded()) {
        result.take_values(children_);
      } else {
        wait_.failure(failure);
        const error_type held(children_);
        failure = detail::failure_holding(failure, held);
        result.hold(held);
      }
    }
    SLUICE_CATCH_ALL {
      if constexpr (has_exceptions && Children::gives_exceptions)
        failure = std::current_exception();
      else
        failure = error::move_failed;
    }
    return all;
  }
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return children_.handler_dispatcher();
  }
  void keep() noexcept { children_.keep(); }

 private:
  [[nodiscard]] bool was_started() const noexcept { return used_up_ || wait_.was_begun(); }

  void launch(start_point at, std::source_location where, children_wait::launched_by by) noexcept {
    wait_.launch(
        [](void* children, children_wait& wait) noexcept {
          return static_cast<Children*>(children)->make_next(wait);
        },
        &children_, std::move(at), where, children_.most_at_a_time(), by);
  }

  Children children_;
  children_wait wait_{Children::reason};
  bool used_up_ = false;  ///< what it was moved from, or has been moved to
};

/// What awaiting a completion with a `Result` of children gives: that, or the failure with what had
/// completed.
template <class Failure, class Result>
struct completion_of_children {
  using type = Result;
  static bool throws_failure(const std::tuple<Failure, Result>& all) noexcept {
    return static_cast<bool>(std::get<0>(all));
  }
  static type get(std::tuple<Failure, Result>&& all) {
    auto& [failure, result] = all;
    if (failure && result.held()) detail::rethrow_holding(failure, Result::name, *result.held());
    detail::throw_failure(failure);
    return std::move(result);
  }
};

}  // namespace sluice::detail
