// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/executor.hpp>
#include <sluice/task.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution_context.hpp>

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

// What a goroutine can be made of, and where one can be started.

namespace sluice {

class untracked_executor;

}  // namespace sluice

namespace sluice::detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

template <class T>
inline constexpr bool is_awaitable = false;
template <class T, class Executor>
inline constexpr bool is_awaitable<asio::awaitable<T, Executor>> = true;

/// What a call returns that is to be awaited.
template <class T>
inline constexpr bool is_awaited = is_task<T> || is_awaitable<T> || becomes_task_or_nothing<T>;

/// What starting a `T`, or what calling it returned, gives: the task's, awaitable's or plain
/// result.
template <class T>
struct result_of_start {
  using type = T;
};
template <class T>
struct result_of_start<task<T>> {
  using type = T;
};
template <class T, class Executor>
struct result_of_start<asio::awaitable<T, Executor>> {
  using type = T;
};

/// A task, an awaitable, or a callable without arguments.
template <class T>
concept startable = is_task<std::remove_cvref_t<T>> || is_awaitable<std::remove_cvref_t<T>> ||
                    std::invocable<std::decay_t<T>&>;

/// What a call has given that returned an `R`: of what becomes a task when it is awaited the task.
template <class R>
struct given_by_call {
  using type = R;
};
template <becomes_task_or_nothing R>
struct given_by_call<R> {
  using type = decltype(std::declval<R>().into_task());
};

template <class What>
struct start_traits {};
template <class What>
  requires(std::invocable<What&> && !is_task<What> && !is_awaitable<What>)
struct start_traits<What> {
  using type = typename given_by_call<std::invoke_result_t<What&>>::type;
};
template <class What>
  requires(is_task<What> || is_awaitable<What>)
struct start_traits<What> {
  using type = What;
};

/// What kind of thing runs when a `What` is started.
template <class What>
using started_t = typename start_traits<std::decay_t<What>>::type;
template <class What>
using result_of_start_t = typename result_of_start<started_t<What>>::type;

template <class T>
concept execution_context_like =
    std::derived_from<T, asio::execution_context> && requires(T& c) { c.get_executor(); };

template <class T>
concept executor_or_context =
    execution_context_like<std::remove_cvref_t<T>> || has_execution_context<std::remove_cvref_t<T>>;

/// The same, or `untracked(...)` of one.
template <class T>
concept executor_for_go =
    executor_or_context<T> || std::same_as<std::remove_cvref_t<T>, untracked_executor>;

/// Calls `f` and awaits what it returns; `f` lives in this coroutine's frame until then.
template <class F, class T>
task<T> call_and_await(F f) {
  co_return co_await std::invoke(f);
}
template <class F, class T>
task<T> call_plainly(F f) {
  if constexpr (std::is_void_v<T>) {
    std::invoke(f);
    co_return;
  } else {
    co_return std::invoke(f);
  }
}

/// The task that runs a `What`.
template <class What>
[[nodiscard]] auto make_task(What&& what) {
  using decayed = std::decay_t<What>;
  using result = result_of_start_t<What>;
  static_assert(!is_task<decayed> || !std::is_lvalue_reference_v<What>,
                "a task is started by its owner: go(std::move(task))");
  if constexpr (is_task<decayed>)
    return task<result>(std::forward<What>(what));
  else if constexpr (is_awaitable<decayed>)
    return detail::await_awaitable(std::forward<What>(what));
  else if constexpr (is_task<started_t<What>> || is_awaitable<started_t<What>>)
    return detail::call_and_await<decayed, result>(std::forward<What>(what));
  else
    return detail::call_plainly<decayed, result>(std::forward<What>(what));
}

/// Whether it runs on an explicit strand from the start.
template <class What>
inline constexpr bool starts_serial = !is_task<started_t<What>>;

/// Where to start, and whether the goroutine counts as work all its life.
struct start_point {
  dispatcher_ptr where;
  bool counts_as_work = true;
};

template <class Where>
[[nodiscard]] start_point start_point_of(Where&& where) {
  if constexpr (std::same_as<std::remove_cvref_t<Where>, untracked_executor>)
    return {access::dispatcher_of(where), false};
  else if constexpr (execution_context_like<std::remove_cvref_t<Where>>)
    return {detail::dispatcher_of(where.get_executor())};
  else
    return {detail::dispatcher_of(where)};
}

/// The time of sleeps on `where`.
template <class Where>
[[nodiscard]] auto now_on(Where&& where) {
  return detail::start_point_of(where).where->owner().now();
}

/// Where the goroutine that is running starts others.
[[nodiscard]] SLUICE_DECL start_point current_start_point(const char* caller);

}  // namespace sluice::detail
