// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/task/bound_call.hpp>
#include <sluice/detail/task/boxed_handler.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/executor.hpp>
#include <sluice/task.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

// The forms of `go`: with a completion token, and with arguments.

namespace sluice {

class context;

}  // namespace sluice

namespace sluice::detail {

/// Runs `what`, then calls the handler.
template <class T, class Handler>
task<> run_for_handler(task<T> what, boxed_handler<Handler> handler) {
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    SLUICE_TRY {
      co_await std::move(what);
    }
    SLUICE_CATCH_ALL {
      failure = std::current_exception();
    }
    boxed_handler<Handler>::complete(std::move(handler), failure);
  } else if constexpr (std::is_reference_v<T>) {
    std::remove_reference_t<T>* result = nullptr;
    SLUICE_TRY {
      result = std::addressof(co_await std::move(what));
    }
    SLUICE_CATCH_ALL {
      failure = std::current_exception();
    }
    boxed_handler<Handler>::complete(std::move(handler), failure, result);
  } else {
    std::optional<T> result;
    SLUICE_TRY {
      result.emplace(co_await std::move(what));
    }
    SLUICE_CATCH_ALL {
      failure = std::current_exception();
    }
    if (result)
      boxed_handler<Handler>::complete(std::move(handler), failure, *std::move(result));
    else
      boxed_handler<Handler>::complete(std::move(handler), failure, T());
  }
}

template <class T>
struct start_signature {
  using type = void(std::exception_ptr, T);
};
template <class T>
struct start_signature<T&> {
  using type = void(std::exception_ptr, T*);
};
template <>
struct start_signature<void> {
  using type = void(std::exception_ptr);
};

/// What may be told that a goroutine which runs a `What` has ended.
template <class Token, class What>
concept start_token =
    asio::completion_token_for<Token, typename start_signature<result_of_start_t<What>>::type>;

/// A function, arguments for it, and last a completion token: what it cannot be called with.
template <class F, class... Args>
concept function_with_and_token =
    (given<Args...> > 1) && !function_with<F, Args...> &&
    takes_first<given<Args...> - 1, F, Args...> &&
    start_token<last_given<Args...>, bound_call_before_token_t<F, Args...>>;

/// An I/O object: no executor, but it has one.
template <class T>
concept has_an_executor = !executor_for_go<T> && requires(std::remove_cvref_t<T>& object) {
  { object.get_executor() } -> executor_or_context;
};

/// What `go` without an executor or a context first cannot start.
template <class What, class... Rest>
concept not_to_be_started =
    !executor_for_go<What> && !std::same_as<std::remove_cvref_t<What>, context> &&
    !function_with<What, Rest...> && !only_with_references<What, Rest...> &&
    !not_to_be_copied<What, Rest...> && !has_an_executor<What> &&
    (sizeof...(Rest) != 0 ? !(std::same_as<std::remove_cvref_t<Rest>, std::source_location> || ...)
                          : !startable<What>);

/// A token whose result is awaited, as a rule in the expression that makes it.
template <class Token>
inline constexpr bool is_awaited_token =
    asio::is_deferred<std::remove_cvref_t<Token>>::value ||
    std::is_same_v<std::remove_cvref_t<Token>, asio::deferred_t> ||
    std::is_same_v<std::remove_cvref_t<Token>, use_task_t>;

/// Refuses a closure beside such a token under g++ 12.
/** One that can only be moved is not refused: `std::move(name)` is right, and looks the same. */
template <class What, class Token>
consteval void refuse_unsafe_in_co_await() {
  using kept = std::decay_t<What>;
  static_assert(
      !is_awaited_token<Token> || is_task<kept> || is_awaitable<kept> ||
          !std::copy_constructible<kept> || safe_in_co_await_expression<What>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression and "
      "destroys it twice: name the closure first and pass the name, or go(where, f, args..., "
      "token)");
}

/// @param prepare Called with the goroutine before it is made ready.
template <class What, class Token, class Prepare = as_it_is>
auto start_with_token(start_point at, What&& what, Token&& token,
                      std::source_location where_started, Prepare prepare = {}) {
  using result = result_of_start_t<What>;
  static_assert(
      std::is_void_v<result> || std::is_default_constructible_v<result>,
      "the result of a goroutine with a completion token is default-constructible, because "
      "void(exception_ptr, T) carries one beside an exception");
  return asio::async_initiate<Token, typename start_signature<result>::type>(
      initiation(
          at.where,
          [where_started, prepare](auto handler, start_point p, auto&& w) {
            boxed_handler<decltype(handler)> box(std::move(handler), detail::executor_on(p.where));
            auto slot = box.slot();
            auto body = detail::run_for_handler<result>(
                detail::make_task(std::forward<decltype(w)>(w)), std::move(box));
            new_goroutine g(std::move(p), std::move(body), starts_serial<What>, where_started);
            if (!g) return;
            if (slot.is_connected())
              slot.template emplace<goroutine_canceller>((*g).become_cancellable());
            prepare(*g);
            g.start();
          }),
      token, std::move(at), std::forward<What>(what));
}

/// Starts `f` with the arguments that are given, the last of which may be a completion token.
template <class Prepare, class F, class... Args>
auto start_call(start_point at, std::source_location where_started, const Prepare& prepare, F&& f,
                Args&&... args) {
  if constexpr (function_with<F, Args...>) {
    auto call = detail::bind_given(std::forward<F>(f), std::forward<Args>(args)...);
    constexpr bool serial = starts_serial<decltype(call)>;
    detail::start(std::move(at), detail::make_task(std::move(call)), serial, where_started,
                  prepare);
  } else {
    constexpr auto before = given<Args...> - 1;
    auto& token = std::get<before>(std::tie(args...));
    detail::refuse_unsafe_in_co_await<F, last_given<Args...>>();
    return detail::start_with_token(
        std::move(at), detail::bind_call<before>(std::forward<F>(f), std::forward<Args>(args)...),
        std::forward<last_given<Args...>>(token), where_started, prepare);
  }
}

}  // namespace sluice::detail
