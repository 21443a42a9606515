// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/error_code_of.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/operation/handler_operation.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/without_executor.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/received.hpp>
#include <sluice/task.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

// A select, or a timeout, that is given a completion token.

namespace sluice::detail {

/// Awaits a select and leaves its handlers to the caller.
template <class Select>
class select_awaiter {
 public:
  using sluice_operation = void;

  explicit select_awaiter(Select& s) noexcept : select_(s) {}

  [[nodiscard]] bool try_now(goroutine& g) noexcept
    requires requires(Select& s) { s.try_now(g); }
  {
    return select_.try_now(g);
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    return select_.start(*h.promise().g);
  }
  std::size_t await_resume() { return select_.finish_or_throw(); }

 private:
  Select& select_;
};

/// `Select` is a reference for one that stays the caller's.
template <class Select>
task<std::size_t> run_select(Select select) {
  const std::size_t winner = co_await select_awaiter<std::remove_reference_t<Select>>(select);
  select.tell_losers(winner);
  co_await select.handler_of(winner);
  co_return winner;
}

/// How a select or a timeout is told to a completion token.
/** An exception that a case can end with has to be given: of a handler, or of an operation that
 * completes with an `exception_ptr`. */
template <class Select>
struct token_signature {
  using value = typename Select::value_type;
  using failure = std::conditional_t<has_exceptions && Select::gives_exceptions, std::exception_ptr,
                                     error_code>;

  template <class Value>
  struct signature {
    using type = void(failure, Value);
    using arguments = std::tuple<failure, Value>;
  };
  template <std::same_as<void> Value>
  struct signature<Value> {
    using type = void(failure);
    using arguments = std::tuple<failure>;
  };
  template <class T>
  struct signature<received<T>> : signature<std::optional<T>> {};
  using type = typename signature<value>::type;
  using arguments = typename signature<value>::arguments;
};

/// Starting a select or a timeout with a completion token.
/**
 * The handler is called exactly once, whatever a case, a handler of a case or a move throws. It
 * waits without a goroutine, but for one of whose cases a handler is a coroutine: that runs in a
 * goroutine on the handler's executor.
 */
template <class Derived>
class select_with_token {
 public:
  /// Starts it with a completion token: `void(error_code[, value])`, or `void(exception_ptr[,
  /// value])` if a case has a handler or completes with an `exception_ptr`.
  template <class Token, class Self = Derived>
    requires asio::completion_token_for<Token, typename token_signature<Self>::type>
  auto operator()(Token&& token) && {
    const auto start = []<bool OnTheSpot, class Handler>(std::bool_constant<OnTheSpot>,
                                                         pinned_dispatcher& own, Handler&& handler,
                                                         Derived&& op) {
      if constexpr (Derived::needs_goroutine) {
        launch<OnTheSpot, Handler>(*own, std::move(handler), std::move(op));
      } else {
        if constexpr (requires { op.has_coroutines(); })
          if (op.has_coroutines())
            return launch<OnTheSpot, Handler>(*own, std::move(handler), std::move(op));
        handler_operation<Derived, Handler, OnTheSpot>::start(own, std::move(op),
                                                              std::move(handler));
      }
    };
    return detail::initiate<typename token_signature<Derived>::type>(
        static_cast<Derived&>(*this), std::forward<Token>(token), start);
  }

  /// Refuses a handler of something else; the compiler shows the line.
  template <class T, class Self = Derived>
    requires no_token_for<T, typename token_signature<Self>::type>
  void operator()(T&&) && = delete;  // A handler takes (error_code, result); see `select`.

  /// What its handler is called with, once it has ended.
  // A named return type: of a deduced one clang moves what is returned, which may throw.
  template <class D = Derived>
  [[nodiscard]] typename token_signature<D>::arguments take_arguments() {
    auto& self = static_cast<D&>(*this);
    typename token_signature<D>::arguments all{};
    SLUICE_TRY {
      const std::size_t winner = self.finish();
      if constexpr (!has_exceptions) {
        std::get<0>(all) = self.failure_code(winner);
        if (std::get<0>(all)) return all;
      }
      self.take_into(std::get<1>(all), winner);
    }
    SLUICE_CATCH_ALL {
      note_failure(std::get<0>(all), self);
    }
    return all;
  }

 protected:
  // What the exception being handled is as an error.
  static error_code error_of_exception(const Derived& op) noexcept {
    if (op.move_failed()) return error::move_failed;
    return detail::error_code_of(std::current_exception());
  }
  static void note_failure(error_code& e, const Derived& op) noexcept {
    e = error_of_exception(op);
  }
  static void note_failure(std::exception_ptr& e, const Derived&) noexcept {
    e = std::current_exception();
  }

 private:
  // A future has no executor of its own that a goroutine could run on.
  template <bool OnTheSpot, class Handler>
  static void launch(const dispatcher_ptr& where, Handler handler, Derived&& op) {
    op.keep();
    const executor fallback = detail::executor_on(where);
    using handler_executor = asio::associated_executor_t<Handler, executor>;
    const auto ex = [&] {
      if constexpr (OnTheSpot || !has_execution_context<handler_executor>)
        return fallback;
      else
        return asio::get_associated_executor(handler, fallback);
    }();
    if constexpr (std::is_same_v<std::remove_const_t<decltype(ex)>, executor>) {
      if (!where_of(ex))
        return detail::complete_without_executor<typename token_signature<Derived>::arguments>(
            std::move(handler));
    }
    start_point at{detail::dispatcher_of(ex)};
    boxed_handler<Handler> box(std::move(handler), detail::executor_on(at.where));
    auto slot = box.slot();
    new_goroutine g(std::move(at),
                    run<Handler>(std::move(box), std::optional<Derived>(std::move(op))), false,
                    std::source_location::current());
    if (!g) return;
    if (slot.is_connected()) {
      const auto cancel = (*g).become_cancellable();
      cancel->reset(asio::cancellation_type::all);
      slot.template emplace<goroutine_canceller>(cancel);
    }
    g.start();
  }

  /// Destroys an operation that its coroutine has as a parameter before the others.
  struct first_to_go {
    std::optional<Derived>& op;
    ~first_to_go() { op.reset(); }
  };

  // The operation may refer to what the handler owns: it ends before the handler is called, and is
  // destroyed before it, also with the coroutine.
  template <class Handler>
  static task<> run(boxed_handler<Handler> handler, std::optional<Derived> op) {
    const first_to_go operation{op};
    typename token_signature<Derived>::failure e{};
    std::size_t index = 0;
    SLUICE_TRY {
      op->wait_for_handler();
      index = co_await detail::run_select<Derived&>(*op);
    }
    SLUICE_CATCH_ALL {
      note_failure(e, *op);
    }
    op.reset();
    boxed_handler<Handler>::complete(std::move(handler), std::move(e), std::move(index));
  }
};

}  // namespace sluice::detail
