// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/task/bound_call.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/task/start.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>
#include <sluice/task.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace sluice {

/// An executor whose goroutines are outstanding work only while they can run by themselves.
/** Made by `untracked(where)`. */
class untracked_executor {
  friend struct detail::access;

  explicit untracked_executor(detail::dispatcher_ptr where) noexcept
      : dispatcher_(std::move(where)) {}

  detail::dispatcher_ptr dispatcher_;
};

/// Lets goroutines started at `where` be outstanding work only while they are ready, running,
/// sleeping or awaiting an Asio operation, not while they are parked.
/**
 * `io_context::run` then returns when all that is left is parked. For programs that find deadlocks
 * that way, as `sluice::run` does; a foreign thread that will wake one holds a `work_guard`.
 *
 * @param where An executor or an execution context.
 */
template <detail::executor_or_context Where>
[[nodiscard]] untracked_executor untracked(Where&& where) {
  return detail::access::make<untracked_executor>(detail::start_point_of(where).where);
}

/// Starts a goroutine.
/**
 * Go's `go` statement. The goroutine runs beside the caller, never inside this call; it is a strand
 * over `where`: its steps never overlap. If `where` is a strand, that is the goroutine's own,
 * shared with all that runs on it.
 *
 * @param where An executor or an execution context (`io_context`, `thread_pool`, a strand,
 * `any_io_executor`, one of your own that has an execution context), or `untracked(...)` of one.
 * @param what A `task`; or a callable without arguments that returns a task, an `asio::awaitable`
 * or a plain value. The callable is moved or copied and kept until the goroutine ends. Plain
 * callables and awaitables run on an explicit strand.
 *
 * An exception that leaves the goroutine leaves the context's `run()`, which may be called again;
 * other goroutines are unharmed. If it is a `runtime_error`, a `logic_error`, one of the standard
 * exceptions with a text that derive from them, or a `system_error`, it has then the same type and
 * a text that says which goroutine's it was and where that was started. It ends there if it is only
 * what the end of the `sluice::context` that the goroutine is bound to gave its waits: that error
 * or `operation_aborted`, once it is done.
 *
 * @par Outstanding work
 * The goroutine is work of its context until it ends; of a `runtime`'s, which finds deadlocks, only
 * while it can run by itself (see `untracked`).
 *
 * @par Shutdown
 * A context that is destroyed destroys its goroutines, youngest first.
 *
 * @throws std::bad_alloc; std::invalid_argument for a task that was moved from; what moving the
 * callable throws.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * sluice::go(io, [&]() -> sluice::task<> { co_await ch.send(42); });
 * @endcode
 */
template <detail::executor_for_go Where, detail::startable What>
void go(Where&& where, What&& what,
        std::source_location location = std::source_location::current()) {
  detail::start(detail::start_point_of(where), detail::make_task(std::forward<What>(what)),
                detail::starts_serial<What>, location);
}

/// Starts a goroutine beside the one that is running, on the same scheduler.
/**
 * As `go(where, what)`. Works while a task's body runs. The new goroutine is a strand of its own,
 * as one of Go's: also when the running one was started on a strand it is not on that, but on what
 * the strand was made over, and may run at the same time. Two that must not share their strand by
 * name:
 * @code
 * const auto strand = co_await asio::this_coro::executor;
 * sluice::go(strand, part);
 * @endcode
 *
 * @throws system_error `error::not_in_goroutine` elsewhere.
 */
template <detail::startable What>
void go(What&& what, std::source_location location = std::source_location::current()) {
  detail::start(detail::current_start_point("sluice::go"),
                detail::make_task(std::forward<What>(what)), detail::starts_serial<What>, location);
}

/// Starts a goroutine and tells a completion token when it has ended.
/**
 * @param where As of `go(where, what)`.
 * @param what As of `go(where, what)`.
 * @param token Any completion token; its signature is `void(std::exception_ptr)` or, for a result
 * `T` other than void, `void(std::exception_ptr, T)`. The handler runs on its associated executor,
 * by default the goroutine's. `T` is default-constructible; a reference is given as a pointer.
 */
template <detail::executor_for_go Where, detail::startable What, detail::start_token<What> Token>
  requires(!detail::function_with<What, Token>)
auto go(Where&& where, What&& what, Token&& token,
        std::source_location location = std::source_location::current()) {
  detail::refuse_unsafe_in_co_await<What, Token>();
  return detail::start_with_token(detail::start_point_of(where), std::forward<What>(what),
                                  std::forward<Token>(token), location);
}

/// Starts a goroutine that calls `f` with copies of the arguments. Go's `go f(x, y)`.
/**
 * As `go([=] { return f(x, y); })`: function and arguments are moved or copied by this call, kept
 * until the goroutine ends, and given to `f` as rvalues, once. `std::ref(x)` refers to x instead.
 * `f` may be a coroutine lambda with captures, or a member function, whose object comes first: a
 * copy, a pointer, or `std::ref`. At most six arguments.
 * @code
 * sluice::go(worker, 1, jobs, results);
 * sluice::go(&server::run, &s);
 * @endcode
 */
template <class F, class A1, class A2 = detail::absent, class A3 = detail::absent,
          class A4 = detail::absent, class A5 = detail::absent, class A6 = detail::absent>
  requires detail::function_with<F, A1, A2, A3, A4, A5, A6>
void go(F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {}, A6&& a6 = {},
        std::source_location location = std::source_location::current()) {
  detail::start_call(detail::current_start_point("sluice::go"), location, detail::as_it_is(),
                     std::forward<F>(f), std::forward<A1>(a1), std::forward<A2>(a2),
                     std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5),
                     std::forward<A6>(a6));
}
/// The same on an executor or execution context, and with a completion token as `go(where, what,
/// token)`: the last argument is one if `f` cannot be called with it.
template <detail::executor_for_go Where, class F, class A1, class A2 = detail::absent,
          class A3 = detail::absent, class A4 = detail::absent, class A5 = detail::absent,
          class A6 = detail::absent>
  requires(detail::function_with<F, A1, A2, A3, A4, A5, A6> ||
           detail::function_with_and_token<F, A1, A2, A3, A4, A5, A6>)
auto go(Where&& where, F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {},
        A6&& a6 = {}, std::source_location location = std::source_location::current()) {
  return detail::start_call(detail::start_point_of(where), location, detail::as_it_is(),
                            std::forward<F>(f), std::forward<A1>(a1), std::forward<A2>(a2),
                            std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5),
                            std::forward<A6>(a6));
}

/// Refuses a function that takes a reference; the compiler shows the line.
template <class F, class... Args>
  requires detail::only_with_references<F, Args...>
void go(F&&, Args&&...) = delete;  // f gets copies: for a reference, go(f, std::ref(x)).
/// Refuses the same with an executor.
template <detail::executor_for_go Where, class F, class... Args>
  requires detail::only_with_references<F, Args...>
void go(Where&&, F&&, Args&&...) = delete;  // f gets copies: for a reference, std::ref(x).
/// Refuses what cannot be copied.
template <class F, class... Args>
  requires detail::not_to_be_copied<F, Args...>
void go(F&&, Args&&...) = delete;  // x cannot be copied: go(f, std::move(x)), or std::ref(x).
/// Refuses the same with an executor.
template <detail::executor_for_go Where, class F, class... Args>
  requires detail::not_to_be_copied<F, Args...>
void go(Where&&, F&&, Args&&...) = delete;  // x cannot be copied: std::move(x), or std::ref(x).
/// Refuses an I/O object where an executor stands.
template <detail::has_an_executor Object, class... Rest>
void go(Object&&, Rest&&...) = delete;  // An I/O object has an executor: go(x.get_executor(), ...).
/// Refuses what cannot be called with these arguments; the compiler shows the line.
template <class What, class... Rest>
  requires detail::not_to_be_started<What, Rest...>
void go(What&&, Rest&&...) = delete;  // go(f, arguments...), go(task), after executor or context.

}  // namespace sluice
