// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/recycling.hpp>
#include <sluice/detail/base/refused.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/task/awaited_at.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/this_coro.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace sluice {

template <class T = void>
class task;

/// What has been asked of a goroutine: `co_await asio::this_coro::cancellation_state`.
/** `cancelled` is thread safe: a long computation may look at it, on any thread. */
class cancellation_state {
 public:
  /// Used by tasks.
  explicit cancellation_state(detail::cancellation_ref c) noexcept : cancellation_(std::move(c)) {}

  /// The types of cancellation asked for since the start or the last reset, `none` if none was.
  [[nodiscard]] asio::cancellation_type cancelled() const noexcept {
    return cancellation_ ? cancellation_->requested() : asio::cancellation_type::none;
  }

  /// A slot that is told of what the filter in force lets through, from the `co_await` on.
  /**
   * For operations that the goroutine starts and does not await: `bind_cancellation_slot(s.slot(),
   * handler)`. As in Asio it holds one handler at a time, is emitted on the goroutine's strand and
   * is used there, and is not connected if nothing can cancel the goroutine. It goes with the
   * goroutine: what it is bound to has completed before that. What is awaited needs none.
   */
  [[nodiscard]] asio::cancellation_slot slot() const noexcept {
    return cancellation_ ? cancellation_->slot() : asio::cancellation_slot();
  }

 private:
  detail::cancellation_ref cancellation_;
};

namespace detail {

/// An operation of this library: awaitable in a task as it is.
template <class T>
concept sluice_operation = requires { typename std::remove_cvref_t<T>::sluice_operation; };

/// An Asio operation given `use_task`.
template <class T>
inline constexpr bool is_asio_operation = false;
template <class... Ts>
inline constexpr bool is_asio_operation<asio_operation<Ts...>> = true;

/// Either of them.
template <class T>
concept awaitable_as_it_is = sluice_operation<T> || is_asio_operation<std::remove_cvref_t<T>>;

/// What becomes a task when it is awaited.
template <class T>
concept becomes_task = requires(T&& what) { std::move(what).into_task(); };

/// The same, unless there is nothing to do any more.
template <class T>
concept becomes_task_or_nothing = becomes_task<T> && requires(const T& what) {
  { what.is_over() } -> std::same_as<bool>;
};

/// Another asynchronous operation of Asio's: called with a completion token it starts.
template <class T>
concept called_with_token =
    !awaitable_as_it_is<T> && !becomes_task<T> &&
    !asio::is_deferred<std::remove_cvref_t<T>>::value && asio::is_async_operation<T>::value;

/// One of this library, which `select` launches as it does Asio's, and a task awaits as it is.
template <class T>
concept awaited_in_place =
    called_with_token<T> && requires { typename std::remove_cvref_t<T>::awaited_in_place; };

/// `co_await` of a task by another task.
template <class T>
class task_awaiter;

/// `co_await` of what is a task or nothing.
template <class What>
class task_or_nothing_awaiter;

/// An await that gives what is known already.
template <class T>
class ready_awaiter : public std::suspend_never {
 public:
  explicit ready_awaiter(T value) noexcept : value_(std::move(value)) {}
  [[nodiscard]] T await_resume() noexcept { return std::move(value_); }

 private:
  T value_;
};
template <>
class ready_awaiter<void> : public std::suspend_never {};

/// Awaits an operation where it is.
/** An awaiter of its own, because g++ 12 moves or copies what `await_transform` returns by
 * reference.
 */
template <class Operation>
class operation_awaiter {
 public:
  // Done here and not in `await_ready`, which would need the goroutine in the frame.
  [[gnu::always_inline]] operation_awaiter(Operation& op, goroutine& g) noexcept
      : operation_(op), done_(try_now(op, g)) {}

  [[nodiscard]] bool await_ready() const noexcept { return done_; }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> h) {
    return operation_.await_suspend(h);
  }
  decltype(auto) await_resume() {
    if constexpr (requires { operation_.take_now(); })
      if (done_) [[likely]]
        return operation_.take_now();
    return operation_.await_resume();
  }

 private:
  [[nodiscard]] static bool try_now(Operation& op, goroutine& g) noexcept {
    if constexpr (requires { op.try_now(g); })
      return op.try_now(g);
    else
      return false;
  }

  Operation& operation_;
  const bool done_;
};

/// The cancellation types that a filter of Asio's lets through.
template <class Filter>
[[nodiscard]] asio::cancellation_type types_passed_by(const Filter& filter) {
  return filter(asio::cancellation_type::terminal) | filter(asio::cancellation_type::partial) |
         filter(asio::cancellation_type::total);
}

/// `co_await asio::this_coro::executor`.
class executor_awaiter {
 public:
  explicit executor_awaiter(goroutine& g) noexcept : g_(&g) {}

  [[nodiscard]] bool await_ready() const noexcept { return g_->on_its_strand(); }
  void await_suspend(std::coroutine_handle<>) {
    g_ = &g_->with_own_block();
    g_->become_serial();
    g_->make_ready();
  }
  [[nodiscard]] asio::any_io_executor await_resume() const { return g_->where->to_any_executor(); }

 protected:
  goroutine* g_;
};

/// `co_await asio::this_coro::cancellation_state`, whose slot is used on the goroutine's strand.
class cancellation_state_awaiter : public executor_awaiter {
 public:
  using executor_awaiter::executor_awaiter;

  [[nodiscard]] bool await_ready() const noexcept {
    return !g_->cancel || executor_awaiter::await_ready();
  }
  [[nodiscard]] cancellation_state await_resume() const {
    if (g_->cancel) g_->cancel->tell_slot();
    return cancellation_state(g_->cancel);
  }
};

template <class T, class Executor>
task<T> await_awaitable(asio::awaitable<T, Executor> what);

/// The promise of every task but for its result.
struct task_promise_base : promise_base {
  static void* operator new(std::size_t size) { return allocate_recycled(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    deallocate_recycled(memory, size);
  }

  struct final_awaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
      promise_base& p = h.promise();
      if (p.awaited_by)
        p.g->transfer_to(*p.awaited_by->parent);
      else
        p.g->on->after = worker::step::finished;
    }
    void await_resume() const noexcept {}
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] final_awaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept {
    exception = std::current_exception();
    returns();
  }

  template <class Operation>
    requires awaitable_as_it_is<Operation>
  [[gnu::always_inline]] operation_awaiter<wait_of_t<Operation>> await_transform(
      Operation&& op, std::source_location where = std::source_location::current()) noexcept {
    g->location = where;
    return operation_awaiter<wait_of_t<Operation>>(access::wait_of(op), *g);
  }

  template <class Operation>
  operation_awaiter<wait_of_t<Operation>> await_transform(awaited_at<Operation> what) noexcept {
    g->location = what.where();
    return operation_awaiter<wait_of_t<Operation>>(access::wait_of(what.operation()), *g);
  }

  template <class U>
  task_awaiter<U> await_transform(task<U>&& what);

  template <class U, class Executor>
  task_awaiter<U> await_transform(asio::awaitable<U, Executor>&& what) {
    return await_transform(detail::await_awaitable(std::move(what)));
  }

  template <class Operation>
    requires asio::is_deferred<Operation>::value
  auto await_transform(Operation op, std::source_location where = std::source_location::current()) {
    g->location = where;
    return std::move(op)(use_task);
  }

  template <called_with_token Operation>
  auto await_transform(Operation&& op,
                       std::source_location where = std::source_location::current()) {
    g->location = where;
    return std::forward<Operation>(op)(use_task);
  }

  template <awaited_in_place Operation>
  operation_awaiter<Operation> await_transform(
      Operation&& op, std::source_location where = std::source_location::current()) noexcept {
    g->location = where;
    return operation_awaiter<Operation>(op, *g);
  }

  template <becomes_task What>
  auto await_transform(What&& what) {
    return await_transform(std::move(what).into_task());
  }

  template <becomes_task_or_nothing What>
  task_or_nothing_awaiter<What> await_transform(What&& what);

  cancellation_state_awaiter await_transform(asio::this_coro::cancellation_state_t) const noexcept {
    return cancellation_state_awaiter(*g);
  }
  ready_awaiter<void> await_transform(
      asio::this_coro::reset_cancellation_state_0_t) const noexcept {
    if (g->cancel) g->cancel->reset(asio::cancellation_type::terminal);
    return {};
  }
  template <class Filter>
  ready_awaiter<void> await_transform(
      asio::this_coro::reset_cancellation_state_1_t<Filter> reset) const {
    if (g->cancel) g->cancel->reset(detail::types_passed_by(reset.filter));
    return {};
  }
  template <class In, class Out>
  ready_awaiter<void> await_transform(
      asio::this_coro::reset_cancellation_state_2_t<In, Out> reset) const {
    if (g->cancel)
      g->cancel->reset(detail::types_passed_by(reset.in_filter) &
                       detail::types_passed_by(reset.out_filter));
    return {};
  }
  ready_awaiter<bool> await_transform(asio::this_coro::throw_if_cancelled_0_t) const noexcept {
    return ready_awaiter<bool>(g->cancel && g->cancel->throws());
  }
  // A template, because Asio's type is made of whatever converts to bool.
  template <std::same_as<asio::this_coro::throw_if_cancelled_1_t> Set>
  ready_awaiter<void> await_transform(Set set) const noexcept {
    if (g->cancel) g->cancel->set_throws(set.value);
    return {};
  }

  executor_awaiter await_transform(asio::this_coro::executor_t) const noexcept {
    return executor_awaiter(*g);
  }

  refused await_transform(not_awaitable) const noexcept { return {}; }

 protected:
  /// Its result is there, its locals still are.
  void returns() const noexcept {
    if (g->is_main()) [[unlikely]]
      before_main_ends(*this);
  }
};

template <class T>
struct task_promise final : task_promise_base {
  task<T> get_return_object() noexcept;

  template <class U>
    requires std::constructible_from<T, U>
  void return_value(U&& value) {
    result.emplace(std::forward<U>(value));
    this->returns();
  }

  T take() {
    if (exception) std::rethrow_exception(std::move(exception));
    return std::move(*result);
  }

  std::optional<T> result;
};

template <class T>
struct task_promise<T&> final : task_promise_base {
  task<T&> get_return_object() noexcept;
  void return_value(T& value) noexcept {
    result = std::addressof(value);
    this->returns();
  }

  T& take() {
    if (exception) std::rethrow_exception(std::move(exception));
    return *result;
  }

  T* result = nullptr;
};

template <>
struct task_promise<void> final : task_promise_base {
  task<void> get_return_object() noexcept;
  void return_void() const noexcept { returns(); }

  void take() {
    if (exception) std::rethrow_exception(std::move(exception));
  }
};

}  // namespace detail

/// A coroutine that a goroutine runs: lazy, move-only, awaited at most once.
/**
 * Nothing of its body runs until it is awaited by another task (`co_await f()`) or started as a
 * goroutine (`go(where, f())`). A million nested or sequential awaits take constant stack. The
 * result `T` may be void, a reference or move-only. An exception that leaves the body is rethrown
 * by the `co_await`. Destroying a task that was not awaited destroys its frame and parameters.
 *
 * A body may `co_await`: an operation of this library, another `task<U>` (as an rvalue), an
 * `asio::awaitable<U>` (it runs on the goroutine's strand), an Asio operation given
 * `asio::deferred` or `sluice::use_task`, what else `asio::is_async_operation` holds for (an
 * `experimental::promise`, one of your own), and `asio::this_coro::executor` (an `executor_type`
 * that holds the goroutine's strand).
 *
 * `co_await asio::dispatch(asio::bind_executor(ex, asio::deferred))` moves the goroutine to `ex`, a
 * strand or another context, until its next wait, as in an `asio::awaitable`; its own context must
 * not end meanwhile. For longer: `co_await sluice::go(ex, part(), sluice::use_task)`.
 *
 * `co_await asio::this_coro::cancellation_state` gives a `cancellation_state`, and puts a goroutine
 * that can be cancelled on its explicit strand;
 * `reset_cancellation_state(filter)` forgets what was asked for and sets which types are looked at
 * from now on (at first terminal only). That the goroutine's context is done is not forgotten: with
 * a filter that lets any type through it ends the next wait; while cancellation is asked for, every
 * operation ends with its error at once, and with `throw_if_cancelled(true)` awaiting a task or an
 * awaitable throws too. That is off at first, where Asio's coroutines have it on: who was told to
 * stop must still be able to await the tasks that clean up, and each wait in them ends anyway.
 *
 * g++ 12 makes a frame that cannot be resumed when a loop's or an if's condition contains
 * `co_await`, declares nothing, and the body has no local variable around it, in any coroutine:
 * `while (co_await f()) {}` as the first statement. `while (auto v = co_await ch.receive())` is
 * fine.
 *
 * A lambda's captures live in the closure, not in the frame: give the closure itself to `go`, which
 * keeps it, rather than the task that calling it returned.
 *
 * @par Thread safety
 * Distinct objects: safe. Shared objects: unsafe.
 */
template <class T>
class [[nodiscard("co_await it, or start it: go(what())")]] task {
 public:
  /// Used by the compiler.
  using promise_type = detail::task_promise<T>;
  /// The type of the result.
  using value_type = T;
  /// What `co_await asio::this_coro::executor` gives, and what the executor of a handler that a
  /// task gives to an Asio operation converts to; the two then compare equal. As in
  /// `asio::awaitable`.
  using executor_type = asio::any_io_executor;

  /// What it is moved from holds no coroutine any more.
  task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  /// Destroys the coroutine that it held.
  task& operator=(task other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~task() {
    if (frame_) frame_.destroy();
  }

  /// Whether it holds a coroutine: false once it has been moved from.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

  /// Gives up the frame; used by this library's own functions.
  [[nodiscard]] std::coroutine_handle<promise_type> release() noexcept {
    return std::exchange(frame_, nullptr);
  }

 private:
  friend promise_type;
  explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
class task_awaiter : public await_link {
 public:
  explicit task_awaiter(task<T>&& what) {
    const auto frame = what.release();
    if (!frame)
      detail::throw_exception(
          std::invalid_argument("sluice: co_await of a task that was moved from"));
    child = frame;
    promise_ = &frame.promise();
  }
  task_awaiter(const task_awaiter&) = delete;
  task_awaiter& operator=(const task_awaiter&) = delete;
  ~task_awaiter() {
    if (child) child.destroy();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> h) noexcept {
    promise_base& p = h.promise();
    parent = &p;
    promise_->g = p.g;
    promise_->awaited_by = this;
    p.g->transfer_to(*promise_);
  }

  T await_resume() { return promise_->take(); }

 private:
  task_promise<T>* promise_;
};

template <class What>
class task_or_nothing_awaiter {
 public:
  explicit task_or_nothing_awaiter(What&& what) {
    if (!what.is_over()) task_.emplace(std::move(what).into_task());
  }

  [[nodiscard]] bool await_ready() const noexcept { return !task_; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> h) noexcept {
    task_->await_suspend(h);
  }
  void await_resume() {
    if (task_) task_->await_resume();
  }

 private:
  std::optional<task_awaiter<void>> task_;
};

template <becomes_task_or_nothing What>
task_or_nothing_awaiter<What> task_promise_base::await_transform(What&& what) {
  if (g->cancel) g->throw_if_cancelled();
  return task_or_nothing_awaiter<What>(std::move(what));
}

template <class U>
task_awaiter<U> task_promise_base::await_transform(task<U>&& what) {
  if (g->cancel) g->throw_if_cancelled();
  return task_awaiter<U>(std::move(what));
}

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
  const auto frame = std::coroutine_handle<task_promise>::from_promise(*this);
  self = frame;
  return task<T>(frame);
}

template <class T>
task<T&> task_promise<T&>::get_return_object() noexcept {
  const auto frame = std::coroutine_handle<task_promise>::from_promise(*this);
  self = frame;
  return task<T&>(frame);
}

inline task<void> task_promise<void>::get_return_object() noexcept {
  const auto frame = std::coroutine_handle<task_promise>::from_promise(*this);
  self = frame;
  return task<void>(frame);
}

}  // namespace detail

}  // namespace sluice

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/task/await_awaitable.hpp>
