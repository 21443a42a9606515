// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/stop.hpp>
#include <sluice/detail/context/bound_to.hpp>
#include <sluice/detail/context/context_registration.hpp>
#include <sluice/detail/context/context_state.hpp>
#include <sluice/detail/context/context_value.hpp>
#include <sluice/detail/context/done_wait.hpp>
#include <sluice/detail/context/moved_out.hpp>
#include <sluice/detail/context/start_when_done.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice {

class context;
class cancel_function;

/// Waiting for a context to be done: what `context::done` returns.
/** In a task it is awaited and gives nothing; with a token its signature is `void(error_code)`. */
class done_operation : public detail::public_operation<detail::done_wait> {
 public:
  /// Used by `context::done`.
  using public_operation::public_operation;
};

/// A key of a context's values: the object is the key, `T` the value's type.
/** @code inline const sluice::context_key<std::string> user; @endcode */
template <class T>
class context_key {
 public:
  constexpr context_key() noexcept = default;
  context_key(const context_key&) = delete;
  context_key& operator=(const context_key&) = delete;

 private:
  [[maybe_unused]] char unique_ = 0;
};

/// Carries cancellation, a deadline and values down a tree of calls. Go's `context.Context`.
/**
 * A handle: copies are the same context. It is done when its cancel function is called, its
 * deadline passes or its parent is done; the first of these gives its error and cause. It is then
 * done at once, and so is every context derived from it, before the call that did it returns.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * auto [ctx, cancel] = sluice::with_timeout(sluice::context::background(), 1s);
 * sluice::go(ctx, fetch(url));                     // every wait in it ends when ctx is done
 * co_await ctx.done();
 * @endcode
 *
 * Source: Go's package context.
 */
class context {
 public:
  /// The root: never done, no values. Also a default-constructed context.
  [[nodiscard]] static context background() noexcept { return {}; }
  context() noexcept = default;

  /// Waits until it is done; for ever if it never will be.
  /** Awaited: void. With a token: `void(error_code)`, `operation_aborted` if the wait is cancelled.
   */
  [[nodiscard("co_await it, or give it a completion token")]] done_operation done() const noexcept {
    return done_operation(state_);
  }

  /// Why it is done: no error while it is not, `asio::error::operation_aborted` if it was
  /// cancelled, `error::deadline_exceeded`, which equals `std::errc::timed_out`, if its deadline
  /// has passed.
  /**
   * It looks at the clock, so `while (!ctx.err())` ends at the deadline although its goroutine
   * never waits: a context that is found late becomes done by this call.
   */
  [[nodiscard]] error_code err() const noexcept { return state_ ? state_->err() : error_code(); }

  /// The cause given to the cancel function, or the error as a `system_error`; null while not done.
  [[nodiscard]] std::exception_ptr cause() const noexcept {
    return state_ ? state_->cause() : nullptr;
  }

  /// When it will be done at the latest, if it has a deadline.
  [[nodiscard]] std::optional<clock::time_point> deadline() const noexcept {
    return state_ ? state_->deadline() : std::nullopt;
  }

  /// The value of `key`, from the nearest context that has one; null if none has.
  /** The pointer is valid while this context or one derived from it lives. */
  template <class T>
  [[nodiscard]] const T* value(const context_key<T>& key) const noexcept {
    for (auto* v = values_.get(); v; v = v->outer.get())
      if (v->key == &key) return static_cast<const T*>(v->value.get());
    return nullptr;
  }

  /// How many contexts derived from it have not ended; for tests and diagnosis.
  [[nodiscard]] std::size_t child_count() const noexcept {
    return state_ ? state_->child_count() : 0;
  }

 private:
  friend struct detail::access;

  context(detail::context_ref s, detail::context_value::pointer v) noexcept
      : state_(std::move(s)), values_(std::move(v)) {}

  detail::context_ref state_;
  detail::context_value::pointer values_;
  detail::moved_out moved_out_;
};

/// Makes a context done. Move-only; the destructor cancels too, so a forgotten cancel cannot leak,
/// and so does assigning over it.
/** Go's CancelFunc and CancelCauseFunc. Calling it again does nothing. Thread safe. */
class [[nodiscard]] cancel_function {
 public:
  /// The context is now for this one to cancel.
  cancel_function(cancel_function&& other) noexcept = default;
  /// Cancels the context that was its own, and takes over that of `other`.
  cancel_function& operator=(cancel_function&& other) noexcept {
    if (this == &other) return *this;
    (*this)();
    state_ = std::move(other.state_);
    return *this;
  }
  ~cancel_function() { (*this)(); }

  /// Cancels with `cause`; null means that the error is the cause.
  /** What the program has registered with the context runs in this call: callbacks of stop tokens,
   * which may not throw. */
  void operator()(std::exception_ptr cause = nullptr) const noexcept {
    if (state_) state_->cancel(asio::error::operation_aborted, cause);
  }

 private:
  friend struct cancellable_context;
  friend struct detail::access;

  explicit cancel_function(detail::context_ref s) noexcept : state_(std::move(s)) {}

  /// Will not cancel it any more.
  void give_up() noexcept {
    if (state_) state_->remove_canceller();
    state_ = {};
  }

  detail::context_ref state_;
};

/// A context and the function that cancels it: `auto [ctx, cancel] = with_cancel(parent);`
/**
 * The end of the pair cancels the context, unless `ctx` has been moved out of it: then it has been
 * handed on, and only its parent, its deadline or a call of `cancel` ends it. So a `ctx` that is
 * taken from a pair without a name lives on: `const auto ctx = with_timeout(parent, 5s).ctx;` A
 * `ctx` that another context is assigned to has not been handed on.
 */
struct cancellable_context {
  /// Of a context and what cancels it.
  cancellable_context(context c, cancel_function f) noexcept
      : ctx(std::move(c)), cancel(std::move(f)) {}
  /// What has been handed on stays so.
  cancellable_context(cancellable_context&& other) noexcept : cancel(std::move(other.cancel)) {
    detail::access::move_whole(other.ctx, ctx);
  }
  /// Ends what was here before, as the destructor does.
  cancellable_context& operator=(cancellable_context other) noexcept {
    const cancellable_context ended(std::move(*this));
    detail::access::move_whole(other.ctx, ctx);
    cancel = std::move(other.cancel);
    return *this;
  }
  ~cancellable_context() {
    if (detail::access::is_moved_out(ctx)) cancel.give_up();
  }

  /// The context.
  context ctx;
  /// Cancels it.
  cancel_function cancel;
};

/// A context that is done when `cancel` is called or `parent` is done.
/** @throws std::bad_alloc */
[[nodiscard]] SLUICE_DECL cancellable_context with_cancel(context parent);

/// The same, done with `error::deadline_exceeded` at `t` at the latest.
/**
 * The timer runs on the running goroutine's scheduler. Should that end before `t`, the context is
 * done then, with `asio::error::operation_aborted`.
 * @param parent When it is done, the context is.
 * @param t The deadline.
 * @param cause What `cause()` then gives; null means that the error is the cause. Go's
 * `WithDeadlineCause`.
 * @throws system_error `error::not_in_goroutine`; std::bad_alloc
 */
[[nodiscard]] SLUICE_DECL cancellable_context with_deadline(context parent, clock::time_point t,
                                                            std::exception_ptr cause = nullptr);
/// The same with the timer on `where`, an executor or an execution context.
template <detail::executor_or_context Where>
[[nodiscard]] cancellable_context with_deadline(Where&& where, context parent, clock::time_point t,
                                                std::exception_ptr cause = nullptr);

/// The same with a deadline `d` from now. Go's `WithTimeout` and `WithTimeoutCause`.
/**
 * A loop that tries again asks the context whether to:
 * @code
 * while (!ctx.err()) {
 *   try {
 *     co_return co_await sluice::timeout(attempt(), 100ms);
 *   } catch (const sluice::system_error& e) {
 *     if (e.code() != asio::error::timed_out) throw;  // the context's deadline says another error
 *   }
 * }
 * @endcode
 */
template <class Rep, class Period>
[[nodiscard]] cancellable_context with_timeout(context parent, std::chrono::duration<Rep, Period> d,
                                               std::exception_ptr cause = nullptr) {
  return with_deadline(std::move(parent), detail::add_saturated(sluice::now(), detail::saturate(d)),
                       std::move(cause));
}
/// The same with the timer on `where`, an executor or an execution context.
template <detail::executor_or_context Where, class Rep, class Period>
[[nodiscard]] cancellable_context with_timeout(Where&& where, context parent,
                                               std::chrono::duration<Rep, Period> d,
                                               std::exception_ptr cause = nullptr) {
  return with_deadline(where, std::move(parent),
                       detail::add_saturated(detail::now_on(where), detail::saturate(d)),
                       std::move(cause));
}

/// A context with a value that hides the parent's of the same key.
template <class T, class U>
  requires std::constructible_from<T, U>
[[nodiscard]] context with_value(context parent, const context_key<T>& key, U&& value) {
  auto held = std::make_shared<const T>(std::forward<U>(value));
  return detail::access::make<context>(
      detail::access::take_state(parent),
      detail::context_value::pointer(
          *new detail::context_value(&key, std::move(held), detail::access::values_of(parent))));
}

/// A context with the parent's values that is not done when the parent is.
[[nodiscard]] inline context without_cancel(const context& parent) noexcept {
  return detail::access::make<context>(detail::context_ref(), detail::access::values_of(parent));
}

/// A function that runs in a goroutine of its own when a context is done: what `after_func`
/// returns.
/** Destroying this does not stop it. */
class context_function {
 public:
  /// Sees to it that the function does not run.
  /** @return True if this call has; false if it has been started or stopped before, or could not
   * run because nobody can make the context done. Does not wait. */
  bool stop() noexcept { return registration_ && registration_->stop(); }

 private:
  friend struct detail::access;

  explicit context_function(std::shared_ptr<detail::context_registration> r) noexcept
      : registration_(std::move(r)) {}

  std::shared_ptr<detail::context_registration> registration_;
};

/// Runs `f` in a goroutine of its own once `ctx` is done; at once if it is. Go's
/// `context.AfterFunc`.
/**
 * It runs on the running goroutine's scheduler. If its context has ended when `ctx` is done, `f`
 * does not run. It is destroyed when nobody is left who could make `ctx` done; a stop token counts
 * as somebody as long as its context is there, because it does not tell that its sources have gone.
 * @param ctx What is waited for.
 * @param f Moved or copied by this call, and not again. If there is no memory for the goroutine
 * when the context is done the process ends.
 */
template <detail::startable F>
context_function after_func(context ctx, F&& f) {
  return detail::access::make<context_function>(
      detail::start_when_done(detail::current_start_point("sluice::after_func"),
                              detail::access::take_state(ctx), std::forward<F>(f)));
}
/// The same on `where`, an executor or an execution context.
template <detail::executor_or_context Where, detail::startable F>
context_function after_func(Where&& where, context ctx, F&& f) {
  return detail::access::make<context_function>(detail::start_when_done(
      detail::start_point_of(where), detail::access::take_state(ctx), std::forward<F>(f)));
}

/// A context that is done when any of several is, with that one's error and cause, the earliest of
/// their deadlines, and values of the first.
[[nodiscard]] SLUICE_DECL cancellable_context merge_contexts(const std::vector<context>& parents);

/// A context that is cancelled when `slot` is emitted to, with any type.
/** Takes the slot for itself until it is destroyed or cancelled. */
[[nodiscard]] SLUICE_DECL cancellable_context with_slot(context parent,
                                                        asio::cancellation_slot slot);

#if defined(__cpp_lib_jthread)
/// A context that is cancelled when a stop is requested of `token`. Absent, like `stop_token_of`,
/// where the standard library has no `std::stop_token`.
[[nodiscard]] SLUICE_DECL cancellable_context with_stop_token(context parent,
                                                              std::stop_token token);

/// A stop token that is requested to stop when `ctx` is done. A context has one source for all of
/// them. The end of a deadline is seen in it once a thread runs the context's timers: unlike
/// `ctx.err()` the token does not look at the clock.
[[nodiscard]] SLUICE_DECL std::stop_token stop_token_of(const context& ctx);
#endif

/// Starts a goroutine all of whose waits end when `ctx` is done.
/**
 * As `go(where, what[, token])`, `go(what)`, and both with arguments. Every operation that it
 * awaits, Asio's included, ends with `asio::error::operation_aborted`, or
 * `error::deadline_exceeded` if a deadline made the context done; operations begun later end at
 * once. A goroutine that masks cancellation
 * (`reset_cancellation_state`) and unmasks it later still finds its context done. A token's
 * cancellation slot works beside the context. Without a token a goroutine that lets that error out
 * has been told to stop, and that is all: it does not leave `run()`, as other exceptions do.
 */
template <detail::executor_for_go Where, detail::startable What>
void go(context ctx, Where&& where, What&& what,
        std::source_location location = std::source_location::current()) {
  detail::start(detail::start_point_of(where), detail::make_task(std::forward<What>(what)),
                detail::starts_serial<What>, location,
                detail::bound_to(detail::access::take_state(ctx)));
}
/// The same beside the running goroutine, as `go(what)`.
template <detail::startable What>
void go(context ctx, What&& what, std::source_location location = std::source_location::current()) {
  detail::start(detail::current_start_point("sluice::go"),
                detail::make_task(std::forward<What>(what)), detail::starts_serial<What>, location,
                detail::bound_to(detail::access::take_state(ctx)));
}
/// The same with a completion token, as `go(where, what, token)`.
template <detail::executor_for_go Where, detail::startable What, detail::start_token<What> Token>
  requires(!detail::function_with<What, Token>)
auto go(context ctx, Where&& where, What&& what, Token&& token,
        std::source_location location = std::source_location::current()) {
  return detail::start_with_token(detail::start_point_of(where), std::forward<What>(what),
                                  std::forward<Token>(token), location,
                                  detail::bound_to(detail::access::take_state(ctx)));
}
/// The same with a function and copies of its arguments, as `go(f, args...)`.
template <class F, class A1, class A2 = detail::absent, class A3 = detail::absent,
          class A4 = detail::absent, class A5 = detail::absent, class A6 = detail::absent>
  requires detail::function_with<F, A1, A2, A3, A4, A5, A6>
void go(context ctx, F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {},
        A6&& a6 = {}, std::source_location location = std::source_location::current()) {
  detail::start_call(detail::current_start_point("sluice::go"), location,
                     detail::bound_to(detail::access::take_state(ctx)), std::forward<F>(f),
                     std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                     std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6));
}
/// The same with a function and copies of its arguments, and perhaps a completion token.
template <detail::executor_for_go Where, class F, class A1, class A2 = detail::absent,
          class A3 = detail::absent, class A4 = detail::absent, class A5 = detail::absent,
          class A6 = detail::absent>
  requires(detail::function_with<F, A1, A2, A3, A4, A5, A6> ||
           detail::function_with_and_token<F, A1, A2, A3, A4, A5, A6>)
auto go(context ctx, Where&& where, F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {},
        A5&& a5 = {}, A6&& a6 = {},
        std::source_location location = std::source_location::current()) {
  return detail::start_call(detail::start_point_of(where), location,
                            detail::bound_to(detail::access::take_state(ctx)), std::forward<F>(f),
                            std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                            std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6));
}

template <detail::executor_or_context Where>
cancellable_context with_deadline(Where&& where, context parent, clock::time_point t,
                                  std::exception_ptr cause) {
  auto result = with_cancel(std::move(parent));
  detail::access::state_of(result.ctx)
      ->set_deadline(detail::start_point_of(where).where, t, std::move(cause));
  return result;
}

}  // namespace sluice
