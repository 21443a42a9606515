// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/task.hpp>

#include <atomic>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// What a `once` and the calls of it share: one may still be in the function when the object goes.
struct once_state {
  enum class progress : unsigned char { not_called, called, failed };

  mutex turn;
  std::atomic<progress> reached{progress::not_called};
  std::exception_ptr failure;  ///< of a function that has failed
};

}  // namespace detail

class once;

/// A call of a `once`: what `once::call` returns.
/** A task, which is made only if there is something to do: `co_await` it, give it to `go` or
 * `when_all`, or let it become a `task<>`. */
template <class F>
class [[nodiscard("co_await it, or start it: go(o.call(f))")]] once_call {
 public:
  /// What it is moved from does nothing any more.
  once_call(once_call&& other) = default;
  once_call& operator=(once_call&&) = delete;

  /// The task. It holds what it needs.
  [[nodiscard]] task<> into_task() && {
    return call_first(std::move(state_), std::move(function_), where_);
  }
  /// The same, for who starts a goroutine.
  [[nodiscard]] task<> operator()() { return std::move(*this).into_task(); }
  /// The same.
  // NOLINTNEXTLINE(google-explicit-constructor): it is a task
  [[nodiscard]] operator task<>() && { return std::move(*this).into_task(); }

  /// Whether it has nothing to do, because the function has been called and has not thrown.
  [[nodiscard]] bool is_over() const noexcept { return !state_; }

 private:
  friend once;
  using progress = detail::once_state::progress;

  once_call(const std::shared_ptr<detail::once_state>& state, F f, std::source_location where)
      : function_(std::move(f)), where_(where) {
    if (state->reached.load(std::memory_order_acquire) != progress::called) [[unlikely]]
      state_ = state;
  }

  static task<> call_first(std::shared_ptr<detail::once_state> state, F f,
                           std::source_location here) {
    if (!state) co_return;
    if (state->reached.load(std::memory_order_acquire) == progress::not_called) {
      auto lock = state->turn.lock();
      const auto turn = co_await detail::awaited_at(lock, here);
      if (state->reached.load(std::memory_order_relaxed) == progress::not_called) {
        auto reached = progress::called;
        SLUICE_TRY {
          static_cast<void>(co_await detail::make_task(std::move(f)));
        }
        SLUICE_CATCH_ALL {
          if (detail::handling_own_cancellation()) detail::rethrow();
          state->failure = std::current_exception();
          reached = progress::failed;
        }
        state->reached.store(reached, std::memory_order_release);
      }
    }
    if (state->failure) std::rethrow_exception(state->failure);
  }

  std::shared_ptr<detail::once_state> state_;
  F function_;
  std::source_location where_;
};

/// Does something once, whoever comes first. Go's `sync.Once`.
/**
 * The nearest in the standard library is `std::call_once`; unlike there an exception counts as done
 * and is thrown to later callers, too, as Go's `OnceFunc` panics again. A caller that was cancelled
 * in the function, or destroyed in it, has not done it: the next one tries.
 *
 * It may be destroyed while calls are under way.
 *
 * @par Thread safety
 * Safe. What the function did happened before every `call` returns.
 *
 * @code
 * sluice::once opened;
 * co_await opened.call([&]() -> sluice::task<> { co_await database.open(); });
 * @endcode
 */
class once {
 public:
  /// @throws std::bad_alloc
  once() : state_(std::make_shared<detail::once_state>()) {}
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  /// Calls `f` if nothing has been called yet; returns when what was called first has ended.
  /**
   * As a task: await it, or start it with a token, `go(where, o.call(f), token)`. `f` is a callable
   * without arguments and gives a `task`, an `asio::awaitable` or a plain value, which is ignored;
   * it is destroyed before the call returns. Calling `call` from `f` on the same object never ends.
   *
   * @par Errors
   * What `f` threw, for every caller. `asio::error::operation_aborted` or
   * `error::deadline_exceeded` if this one was cancelled, in `f` or while it waited; others are not
   * told of that.
   *
   * @par Cancellation
   * A call that is cancelled while it waits for another has had no effect. One that is cancelled in
   * `f` ends as `f` does; if that is with the error of its cancellation, the next caller calls its
   * own function.
   */
  template <class F>
    requires std::invocable<std::decay_t<F>&>
  [[nodiscard]] once_call<std::decay_t<F>> call(
      F&& f, std::source_location here = std::source_location::current()) {
    static_assert(
        detail::safe_in_co_await_expression<F>,
        "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression "
        "and "
        "destroys it twice: capture by reference, or name the closure first and pass the name");
    return once_call<std::decay_t<F>>(state_, std::forward<F>(f), here);
  }

 private:
  const std::shared_ptr<detail::once_state> state_;
};

/// A value that is computed when it is first asked for. Go's `sync.OnceValue`.
/**
 * `F` is as for `once::call`, and its result is kept. It is called until a call has not been
 * cancelled, and then destroyed.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * sluice::once_value config([&]() -> sluice::task<settings> { co_return co_await load(); });
 * const settings& s = co_await config();
 * @endcode
 */
template <class F>
class once_value {
 public:
  /// The type of the value.
  using value_type = detail::result_of_start_t<F>;

  /// @param f What computes it.
  explicit once_value(F f) : state_(std::make_shared<state>(std::move(f))) {}
  once_value(const once_value&) = delete;
  once_value& operator=(const once_value&) = delete;

  /// The value, which lives as long as this object. A task, with the errors and the cancellation of
  /// `once::call`.
  [[nodiscard]] task<const value_type&> operator()(
      std::source_location here = std::source_location::current()) {
    return get(state_, here);
  }

 private:
  struct state {
    explicit state(F f) : function(std::move(f)) {}
    once first;
    std::optional<F> function;
    std::optional<value_type> value;
  };

  static task<const value_type&> get(std::shared_ptr<state> s, std::source_location here) {
    const auto compute_value = [p = s.get()] { return compute(p); };
    co_await s->first.call(compute_value, here);
    co_return *s->value;
  }

  static task<> compute(state* s) {
    const auto call = [s]() -> decltype(auto) { return std::invoke(*s->function); };
    SLUICE_TRY {
      s->value.emplace(co_await detail::make_task(call));
    }
    SLUICE_CATCH_ALL {
      if (!detail::handling_own_cancellation()) s->function.reset();
      detail::rethrow();
    }
    s->function.reset();
  }

  const std::shared_ptr<state> state_;
};

}  // namespace sluice
