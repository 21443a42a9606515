// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/select/any_case.hpp>
#include <sluice/detail/select/range_select.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/select/static_select.hpp>
#include <sluice/detail/select/wrong_case.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

/// What a select of operations without handlers gives: which case happened, and its value.
/**
 * Default-constructed it is "none". Values need neither default constructors nor copies.
 */
template <class... Cases>
class select_result {
 public:
  /// The index of no case.
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  // A default one would be set to zero as a whole wherever it is value-initialised.
  select_result() noexcept {}

  /// Which case happened, counted from 0; `none` if none did.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

  /// The value of case `I`: for a receive `std::optional<T>` (bool for void), for an Asio operation
  /// what `co_await` would have given, `std::monostate` for void.
  /** @throws std::bad_optional_access if another case happened. */
  template <std::size_t I>
  [[nodiscard]] auto& get() {
    return detail::of_case(std::get<I>(values_), I, index_).value;
  }
  /// The same of a constant result.
  template <std::size_t I>
  [[nodiscard]] const auto& get() const {
    return detail::of_case(std::get<I>(values_), I, index_).value;
  }

  /// Calls the function of the case that happened, of one for each case, with its value, and
  /// gives what it returns, which is of one type for all.
  /** @throws std::bad_optional_access if no case happened. */
  template <class... Functions>
    requires(sizeof...(Functions) == sizeof...(Cases) && sizeof...(Cases) != 0)
  decltype(auto) visit(Functions&&... functions) {
    return visit_from<0>(std::forward<Functions>(functions)...);
  }

  /// What case `I`, a loser, did all the same or did not use.
  /**
   * For an Asio operation that was launched, the optional of all its completion arguments, error
   * included. For a send given as a temporary, the optional of the value that was not sent.
   *
   * @throws What moving it out of the loser threw, if it did.
   */
  template <std::size_t I>
  [[nodiscard]] auto& lost() {
    return std::get<I>(lost_).get();
  }

  /// Used by `select`.
  template <std::size_t I, class Case>
  void settle(Case& c, std::size_t winner) {
    if (I == winner)
      std::get<I>(values_).emplace(std::in_place, [&c] { return c.take(); });
    else if constexpr (Case::has_lost)
      std::get<I>(lost_).take_from(c);
  }
  /// Used by `select`.
  void set_index(std::size_t i) noexcept { index_ = i; }

 private:
  template <std::size_t I, class F, class... Rest>
  decltype(auto) visit_from(F&& f, Rest&&... rest) {
    if constexpr (sizeof...(Rest) != 0)
      if (index_ != I) return visit_from<I + 1>(std::forward<Rest>(rest)...);
    return std::invoke(std::forward<F>(f), get<I>());
  }

  std::size_t index_ = none;
  std::tuple<std::optional<detail::returned<typename Cases::value_type>>...> values_;
  std::tuple<detail::lost_value<typename Cases::lost_type>...> lost_;
};

/// `result.get<I>()`, to be written so also where the type of the result is a template's parameter,
/// as in a handler that takes `auto`: `get<0>(result)`.
template <std::size_t I, class... Cases>
[[nodiscard]] auto& get(select_result<Cases...>& result) {
  return result.template get<I>();
}
/// The same of a constant result.
template <std::size_t I, class... Cases>
[[nodiscard]] const auto& get(const select_result<Cases...>& result) {
  return result.template get<I>();
}
/// The same of a result that is not kept: the value may be moved out.
template <std::size_t I, class... Cases>
[[nodiscard]] auto&& get(select_result<Cases...>&& result) {
  return std::move(result.template get<I>());
}

/// Says, as the third argument of `on`, that what a losing Asio operation did all the same may be
/// dropped.
struct drop_lost_t {
  /// Takes the completion arguments and does nothing.
  template <class... Args>
  void operator()(Args&&...) const noexcept {}
};
/// The object to be given to `on`.
inline constexpr drop_lost_t drop_lost{};

namespace detail {

/// Whether a function can be told what a losing case of such an operation has done.
template <class Operation, class F>
[[nodiscard]] consteval bool takes_what_is_lost() {
  using case_type = typename case_for<Operation>::type;
  using function = std::remove_cvref_t<F>;
  if constexpr (std::is_same_v<function, no_lost> || std::is_same_v<function, drop_lost_t>)
    return true;
  else if constexpr (case_type::is_asio)
    return takes_elements<std::remove_reference_t<F>, typename case_type::arguments>;
  else
    return false;
}

}  // namespace detail

/// A case of a select with a handler.
/**
 * The handler is called when the case has happened, before `co_await select(…)` goes on. It takes
 * the completion arguments, `error_code` first, or only the values; without an `error_code` an
 * error is thrown. It may be a coroutine, which is awaited.
 *
 * @param op An operation of this library (an lvalue stays the caller's: a losing send keeps its
 * value), an Asio operation given `asio::deferred` or `use_task`, or what else
 * `asio::is_async_operation` holds for.
 * @param handler An lvalue is referred to. Under g++ 12 a closure written here must be trivially
 * copyable: capture by reference, or name the object first.
 * @param on_lost Called with the full completion arguments of an Asio operation that lost and did
 * something all the same, or was cancelled: bytes that a read took from its socket, a connection
 * that was accepted. Of a read it takes `(error_code, std::size_t)`. It must be written where the
 * operation's result holds more than an error; `drop_lost` says that it may be dropped. An
 * operation of this library that loses has done nothing: there it is `drop_lost` or nothing.
 */
template <detail::select_operand Operation, class Handler, class OnLost = detail::no_lost>
[[nodiscard]] auto on(Operation&& op, Handler&& handler, OnLost&& on_lost = {}) {
  using case_type = typename detail::case_for<Operation>::type;
  static_assert(!case_type::gives_nothing || detail::takes_what_case_gives<case_type, Handler>(),
                "the handler of a case whose operation gives nothing takes nothing");
  static_assert(
      case_type::gives_nothing || detail::takes_what_case_gives<case_type, Handler>(),
      "the handler of a case takes what its operation gives when it is awaited (a receive: "
      "std::optional<T>), all its completion arguments, or nothing");
  static_assert(
      !std::is_same_v<OnLost, detail::no_lost> || !detail::loses_more_than_an_error<Operation>,
      "an Asio operation that loses may have done something all the same, such as read "
      "bytes: give `on` a third argument that takes what it did, or sluice::drop_lost");
  static_assert(detail::takes_what_is_lost<Operation, OnLost>(),
                "the third argument of `on` is called with all completion arguments of an Asio "
                "operation, such as (error_code, std::size_t) of a read; an operation of this "
                "library that loses has done nothing, and has none");
  static_assert(
      detail::safe_in_co_await_expression<Handler> && detail::safe_in_co_await_expression<OnLost>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression and "
      "destroys it twice: capture by reference, or name the closure first and pass the name");
  return detail::handled_case<case_type, detail::kept_handler<Handler>,
                              detail::kept_handler<OnLost>>(
      std::in_place, detail::case_source(std::forward<Operation>(op)),
      std::forward<Handler>(handler), std::forward<OnLost>(on_lost));
}

/// Refuses what is no operation; the compiler shows the line.
template <class... Arguments>
void on(Arguments&&...) = delete;  // on(operation, handler): a task is none; go(f), and a channel.

/// The case that happens when no other is ready. Go's `default`.
/** That none is ready is true at one instant, for all cases together. */
template <class Handler>
  requires std::invocable<std::decay_t<Handler>&>
[[nodiscard]] auto otherwise(Handler&& handler) {
  static_assert(
      detail::safe_in_co_await_expression<Handler>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
      "expression and destroys it twice: capture by reference, or name the closure first");
  return detail::otherwise_case<detail::kept_handler<Handler>>(std::in_place,
                                                               std::forward<Handler>(handler));
}

/// Waits for one of several operations: exactly one happens.
/**
 * Go's `select`. Of the cases that are ready one is chosen, each with the same probability; if none
 * is, the goroutine waits until one is. Losing operations of this library have had no effect. Asio
 * operations are launched when no other case is ready (and at the latest when this goroutine's last
 * 30 selects with Asio operations have passed them over; with a token by chance, once in 31); the
 * first to complete wins, the others are cancelled with every type and awaited, so that none
 * outlives its buffers. A select of nothing waits for ever.
 *
 * Operands are evaluated once, when `select` is called. An lvalue operation stays the caller's, an
 * Asio operation until it is launched. One of this library that is offered again in the next select
 * keeps its value but not its turn: it is at the end of the channel's queue each time, and where
 * others send or receive without a pause its turn may never come, as in Go. What must both send and
 * receive is better two goroutines. A select that has a name may be awaited again, and is then
 * another of the same operations. One with an Asio operation, or with a temporary send of what is
 * moved, is used up: awaiting it again throws std::logic_error, and does nothing.
 *
 * @return Without handlers, a `select_result`; with `on` or `otherwise`, the index of the case. A
 * case that ends with an error happens and throws; `on(op, f(error_code, …))` and `asio::as_tuple`
 * give it as a value. With a token: `void(error_code, select_result<…>)`; with `on` or `otherwise`,
 * whose handlers may throw, `void(std::exception_ptr, std::size_t)`; and `void(std::exception_ptr,
 * select_result<…>)` if an operation completes with an `exception_ptr`. The handler runs by default
 * on the executor of the first case that has one, otherwise on the running goroutine's. There the
 * handlers of the cases are called before it, too: in a goroutine made for it if one of them is a
 * coroutine. Otherwise there is none: `go` and `make_channel` are given an executor there, as in
 * every handler, or throw `error::not_in_goroutine`. Asio operations are launched inside the call,
 * as Asio does it, and complete on a strand over that executor; if a handler of a case is a
 * coroutine, they are launched there later.
 *
 * @par Cancellation
 * Any type. A select whose case has been claimed completes with its value; a cancelled one has done
 * nothing to any channel, its Asio operations have been cancelled and awaited, and the first of
 * them that succeeded all the same is its result. An Asio operation that ignores cancellation
 * delays it, unless it is one to `abandon`. With a token it is cancelled too once no case is left
 * that may happen: when all its channels have lost their last handle.
 *
 * @par Errors
 * That of the case; `asio::error::operation_aborted` if cancelled. With a token, in an
 * `error_code`: `error::move_failed` for a value whose move throws, `error::initiation_failed` for
 * an Asio operation that throws as it is launched, `error::no_executor` if no case and no goroutine
 * has one.
 *
 * @code
 * auto r = co_await sluice::select(ch1.receive(), ch2.send(v), sluice::sleep_for(1s),
 *                                  socket.async_read_some(buffer, asio::deferred));
 * if (r.index() == 0) use(r.get<0>());
 *
 * sluice::select(ch1.receive(), ch2.receive())([](sluice::error_code e, auto r) {
 *   if (e) return;
 *   r.visit([](std::optional<int> v) { use(v); }, [](std::optional<std::string> s) { use(s); });
 * });
 *
 * co_await sluice::select(sluice::on(ch.receive(), [&](std::optional<int> v) { use(v); }),
 *                         sluice::otherwise([&] { idle(); }));
 * @endcode
 *
 * Source: "Select statements" in the Go specification.
 */
template <detail::select_operand... Cases>
[[nodiscard("co_await it, or give it a completion token")]] auto select(Cases&&... cases) {
  return detail::make_select(detail::select_wait::order::random, std::forward<Cases>(cases)...);
}

/// Refuses what is no case; the compiler shows the line.
template <class... Arguments>
void select(Arguments&&...) = delete;  // Cases: ch.receive(), on(op, f), async_x(asio::deferred).

/// As `select`, but of the ready operations of this library the first as written is chosen.
template <detail::select_operand... Cases>
[[nodiscard("co_await it, or give it a completion token")]] auto select_in_order(Cases&&... cases) {
  return detail::make_select(detail::select_wait::order::written, std::forward<Cases>(cases)...);
}

/// A case of any kind, for selects whose cases are put together when the program runs.
/**
 * Made from what `on` and `otherwise` return, or from an operation whose value is not wanted; an
 * Asio operation whose result holds more than an error is given by `on`. Move-only.
 *
 * @code
 * std::vector<sluice::select_case> cases;
 * for (auto& ch : channels)
 *   cases.emplace_back(sluice::on(ch.receive(), [&](std::optional<int> v) { use(v); }));
 * const std::size_t i = co_await sluice::select(cases);
 * @endcode
 */
class select_case {
 public:
  /// @cond
  static constexpr bool has_handler = true;
  static constexpr bool gives_exceptions = true;
  using handler_result = void;
  /// @endcond

  /// Of what `on` or `otherwise` returns, or of an operation.
  template <class Case>
    requires(detail::select_operand<Case> &&
             !std::same_as<std::remove_cvref_t<Case>, select_case> &&
             (detail::case_with_handler<Case> || !detail::loses_more_than_an_error<Case>))
  select_case(Case&& c)
      : case_(std::make_unique<detail::any_case_of<typename detail::select_argument<Case>::type>>(
            std::in_place, detail::select_case_of(std::forward<Case>(c)))) {}

  /// @cond
  // For select.
  void bind_any(detail::range_select_wait& wait, std::uint32_t index) { case_->bind(wait, index); }
  [[nodiscard]] bool has_coroutine() const noexcept { return case_->has_coroutine(); }
  void call() { case_->call(); }
  [[nodiscard]] task<> call_coroutine() { return case_->call_coroutine(); }
  void lose() { case_->lose(); }
  [[nodiscard]] bool move_failed() const noexcept { return case_->move_failed(); }
  [[nodiscard]] detail::pinned_dispatcher handler_dispatcher() const {
    return case_->handler_dispatcher();
  }
  void keep() noexcept { case_->keep(); }
  /// @endcond

 private:
  std::unique_ptr<detail::any_case> case_;
};

/// Waits for one of a range of cases: operations of one type, or `select_case`s.
/**
 * As `select(cases…)`. The operations of an lvalue range stay in it and can be used again; Asio
 * operations and `select_case`s are moved out.
 *
 * @return For operations, a result with `index()`, `get()` and `lost(i)`; for `select_case`s, the
 * index.
 * @throws std::invalid_argument for an Asio operation beside `otherwise`; std::bad_alloc
 */
template <std::ranges::input_range Range>
  requires(!detail::select_operand<Range>)
[[nodiscard("co_await it, or give it a completion token")]] auto select(Range&& cases) {
  return detail::range_select_operation<detail::range_case<Range>>(
      detail::select_wait::order::random, std::forward<Range>(cases));
}

/// As `select` of a range, but of the ready operations of this library the first is chosen.
template <std::ranges::input_range Range>
  requires(!detail::select_operand<Range>)
[[nodiscard("co_await it, or give it a completion token")]] auto select_in_order(Range&& cases) {
  return detail::range_select_operation<detail::range_case<Range>>(
      detail::select_wait::order::written, std::forward<Range>(cases));
}

}  // namespace sluice
