// SPDX-License-Identifier: BSL-1.0
// The cases of a select, as what is written there is kept: an operation of this library or of
// Asio, with its handler and with what becomes of a result that comes too late.
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/refused.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/operation/several_signatures.hpp>
#include <sluice/detail/operation/started_once.hpp>
#include <sluice/detail/select/select_group.hpp>
#include <sluice/detail/select/select_wait.hpp>
#include <sluice/error.hpp>
#include <sluice/task.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

// The kinds of cases of a select: an operation of this library, an Asio operation, `otherwise`;
// each alone or with a handler.

namespace sluice::detail {

template <class T>
using void_to_monostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// Something that is constructed where it stays by what a function returns: no move follows that
/// could fail and lose it.
template <class T>
struct returned {
  template <class F>
  returned(std::in_place_t, F f) : value(f()) {}

  T value;
};

/// What a losing case hands back, or why it could not be moved.
/** The select has happened all the same: the failure belongs to whoever asks for what was lost. */
template <class T>
class lost_value {
 public:
  using type = std::optional<T>;

  template <class Case>
  void take_from(Case& c) noexcept {
    c.lose_to(value_);
  }
  [[nodiscard]] type& get() noexcept { return value_; }

 private:
  type value_;
};
template <class T>
  requires(!std::is_nothrow_move_constructible_v<T>)
class lost_value<T> {
 public:
  using type = std::optional<T>;

  template <class Case>
  void take_from(Case& c) noexcept {
    SLUICE_TRY {
      c.lose_to(value_);
    }
    SLUICE_CATCH_ALL {
      failure_ = std::current_exception();
    }
  }
  [[nodiscard]] type& get() {
    if (failure_) std::rethrow_exception(failure_);
    return value_;
  }

 private:
  type value_;
  std::exception_ptr failure_;
};

template <class T>
struct is_tuple : std::false_type {};
template <class... Ts>
struct is_tuple<std::tuple<Ts...>> : std::true_type {};

template <class F, class Tuple>
inline constexpr bool takes_elements = false;
template <class F, class... Ts>
inline constexpr bool takes_elements<F, std::tuple<Ts...>> = std::is_invocable_v<F&, Ts&&...>;

/// Whether what a handler returns is to be awaited.
template <class T>
concept awaited_result = requires(task_promise_base& p, T&& t) {
  p.await_transform(std::move(t));
  requires !std::same_as<decltype(p.await_transform(std::move(t))), refused>;
};

/// Whether a handler can be called with this, or with nothing.
template <class Handler, class... Value>
inline constexpr bool takes_or_ignores =
    // NOLINTNEXTLINE(misc-redundant-expression): they are the same without a Value only
    std::is_invocable_v<Handler&, Value...> || std::is_invocable_v<Handler&>;

/// Whether a case's handler can be called with one of what `call_handler` has for it.
template <class Case, class Handler>
[[nodiscard]] consteval bool takes_what_case_gives() {
  using handler = std::remove_reference_t<Handler>;
  if constexpr (takes_elements<handler, typename Case::arguments>)
    return true;
  else if constexpr (Case::gives_nothing)
    return takes_or_ignores<handler>;
  else
    return takes_or_ignores<handler, typename Case::value_type&&> ||
           takes_elements<handler, typename Case::value_type>;
}

/// Calls a case's handler with the completion arguments if it takes them, error first; otherwise
/// with the value, which throws the error.
template <class Handler, class Arguments, class TakeArguments, class TakeValue>
decltype(auto) call_handler(Handler& handler, std::type_identity<Arguments>,
                            TakeArguments take_arguments, TakeValue take_value) {
  if constexpr (takes_elements<Handler, Arguments>) {
    return std::apply(handler, take_arguments());
  } else if constexpr (std::is_void_v<decltype(take_value())>) {
    take_value();
    return std::invoke(handler);
  } else {
    auto value = take_value();
    if constexpr (std::invocable<Handler&, decltype(value)&&>)
      return std::invoke(handler, std::move(value));
    else if constexpr (is_tuple<decltype(value)>::value)
      return std::apply(handler, std::move(value));
    else
      return std::invoke(handler);
  }
}

/// An operation of this library as a case; `Operation` is a reference for one that stays the
/// caller's.
template <class Operation>
class sluice_case {
  using operation_type = std::remove_reference_t<Operation>;

 public:
  using value_type = void_to_monostate<decltype(std::declval<operation_type&>().take())>;
  static constexpr bool gives_nothing =
      std::is_void_v<decltype(std::declval<operation_type&>().take())>;
  using arguments = decltype(std::declval<operation_type&>().take_arguments());
  static constexpr bool is_asio = false;
  static constexpr bool gives_exceptions = false;
  static constexpr bool can_be_looked_at = requires(operation_type& op) { op.look(); };

  explicit sluice_case(Operation&& op) : operation_(std::forward<Operation>(op)) {}
  sluice_case(sluice_case&&) = default;
  [[gnu::always_inline]] ~sluice_case() = default;

  [[nodiscard]] readiness look() const noexcept
    requires can_be_looked_at
  {
    return operation_.look();
  }
  [[nodiscard]] bool try_now() noexcept
    requires can_be_looked_at
  {
    return operation_.try_now();
  }

  void bind(select_entry& entry, std::uint32_t index) {
    operation_.prepare();
    operation_.index = index;
    entry.w = &operation_;
    entry.functions = &operation_type::functions;
  }

  value_type take() {
    if constexpr (std::is_void_v<decltype(operation_.take())>) {
      operation_.take();
      return {};
    } else {
      return operation_.take();
    }
  }

  [[nodiscard]] arguments take_arguments() { return operation_.take_arguments(); }
  /// What `take` throws where there are exceptions.
  [[nodiscard]] error_code failure_code() const noexcept { return operation_.failure_code(); }

  template <class Handler>
  decltype(auto) call(Handler& handler) {
    return detail::call_handler(
        handler, std::type_identity<arguments>(), [&] { return operation_.take_arguments(); },
        [&]() -> decltype(auto) { return operation_.take(); });
  }

  /// It has not happened in time.
  [[noreturn]] value_type take_after_timeout() {
    detail::throw_error(asio::error::timed_out, "sluice: timeout");
  }

  /// What a losing case hands back: the value of a send that was given as a temporary.
  static constexpr bool has_lost =
      !std::is_reference_v<Operation> && requires(operation_type& op) { op.give_up_value(); };
  static auto type_of_lost() {
    if constexpr (has_lost)
      return std::type_identity<typename operation_type::element>();
    else
      return std::type_identity<std::monostate>();
  }
  using lost_type = typename decltype(type_of_lost())::type;
  void lose_to(std::optional<lost_type>& to)
    requires has_lost
  {
    to.emplace(operation_.give_up_value());
  }

  /// Whether its value could not be moved.
  [[nodiscard]] bool move_failed() const noexcept {
    if constexpr (requires { operation_.move_failed(); })
      return operation_.move_failed();
    else
      return false;
  }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return operation_.handler_dispatcher();
  }
  void keep() noexcept { operation_.keep(); }

 private:
  Operation operation_;
};

template <class Arguments>
inline constexpr bool begins_with_failure = false;
template <failure Failure, class... Rest>
inline constexpr bool begins_with_failure<std::tuple<Failure, Rest...>> = true;

/// An Asio operation as a case; `Operation` is a reference for one that stays the caller's until it
/// is launched.
template <class Operation>
class asio_case : public launched_case {
  using operation_type = std::remove_reference_t<Operation>;
  using value = typename operation_type::value;

 public:
  using value_type = void_to_monostate<typename value::type>;
  static constexpr bool gives_nothing = std::is_void_v<typename value::type>;
  using arguments = typename operation_type::arguments;
  using lost_type = arguments;
  static constexpr bool is_asio = true;
  static constexpr bool gives_exceptions = operation_type::has_exception_ptr;
  static constexpr bool can_be_looked_at = true;
  static constexpr bool has_lost = true;

  /// Whether it is ready only its launch can show.
  [[nodiscard]] static readiness look() noexcept { return readiness::not_ready; }
  [[nodiscard]] static bool try_now() noexcept { return false; }

  explicit asio_case(Operation&& op)
      : launched_case(&launch_case), operation_(std::forward<Operation>(op)) {}
  asio_case(asio_case&& other)
      : launched_case(&launch_case), operation_(std::forward<Operation>(other.operation_)) {}
  asio_case& operator=(asio_case&&) = delete;

  /// @throws std::logic_error if the operation has been started before.
  void bind(launched_case*& entry, std::uint32_t i) {
    prepare();
    index = i;
    entry = this;
  }
  /// Called before every wait. @throws As `bind`.
  void prepare() {
    if (operation_.was_started()) throw_started_before();
    begin_anew();
    result_.reset();
    failure_ = nullptr;
    moving_ = false;
  }

  value_type take() {
    rethrow_failure();
    moving_ = !value::throws_failure(*result_);
    if constexpr (std::is_void_v<typename value::type>) {
      value::get(std::move(*result_));
      return {};
    } else {
      return value::get(std::move(*result_));
    }
  }

  /// What `take` throws where there are exceptions.
  [[nodiscard]] error_code failure_code() noexcept {
    error_code e;
    if (value::throws_failure(*result_))
      failure_argument<arguments>::visit(*result_, [&](auto& f) { e = detail::code_of(f); });
    return e;
  }

  template <class Handler>
  decltype(auto) call(Handler& handler) {
    if (failure_) std::rethrow_exception(failure_);
    return detail::call_handler(
        handler, std::type_identity<arguments>(), [&] { return std::move(*result_); },
        [&]() -> decltype(auto) { return value::get(std::move(*result_)); });
  }

  /// It was cancelled because its time ran out, but may have completed all the same.
  value_type take_after_timeout() { return take_cancelled(asio::error::timed_out); }
  /// It was cancelled, which `why` explains, but may have completed all the same.
  value_type take_cancelled(const error_code& why) {
    explain_cancelled(why);
    return take();
  }
  /// Without the taking.
  void explain_cancelled(const error_code& why) {
    rethrow_failure();
    if (!result_) {
      if constexpr (failure_argument<arguments>::can_be_made)
        detail::make_failure(result_, asio::error::operation_aborted);
      else
        detail::throw_error(why, "sluice: timeout");
    }
    detail::explain_abort(*result_, why);
  }

  [[nodiscard]] std::optional<arguments>& lost() noexcept { return result_; }
  void lose_to(std::optional<arguments>& to) {
    if (result_) to.emplace(std::move(*result_));
  }

  /// The completion arguments that came beside an error which `take` has thrown.
  template <class Value>
  void take_beside_error(Value& v) {
    if constexpr (begins_with_failure<arguments> && std::tuple_size_v<arguments> >= 2)
      if (result_) v = beside_error(std::move(*result_));
  }

  /// Whether the exception being handled is what moving its result threw.
  [[nodiscard]] bool move_failed() const noexcept { return moving_; }
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return operation_.handler_dispatcher();
  }
  static void keep() noexcept {}

 private:
  friend class resume_handler<asio_case>;

  void rethrow_failure() {
    if (!failure_) return;
    moving_ = true;
    std::rethrow_exception(failure_);
  }

  template <failure Failure, class... Rest>
  static auto beside_error(std::tuple<Failure, Rest...>&& all) {
    return plain_value<Rest...>::get(detail::without_first(std::move(all)));
  }

  static void launch_case(launched_case& c, asio::cancellation_slot slot) {
    auto& self = static_cast<asio_case&>(c);
    self.operation_.launch(resume_handler<asio_case>(*self.waiting, self, slot));
  }

  template <class... Args>
  void complete(Args&&... args) {
    SLUICE_TRY {
      result_.emplace(std::forward<Args>(args)...);
      succeeded = !detail::says_failure(*result_);
    }
    SLUICE_CATCH_ALL {
      failure_ = std::current_exception();
      succeeded = false;
    }
    owner->asio_completed(*this);
  }
  void abandoned() noexcept { owner->asio_abandoned(*this); }

  Operation operation_;
  std::optional<arguments> result_;
  std::exception_ptr failure_;  ///< what moving the result here threw
  bool moving_ = false;         ///< it is moved on, or that was not possible
};

/// An operation that may be a case.
template <class T>
concept case_operand = sluice_operation<T> || is_asio_operation<std::remove_cvref_t<T>> ||
                       asio::is_deferred<std::remove_cvref_t<T>>::value || called_with_token<T>;

/// How an argument of `select` is kept.
template <class Argument>
struct case_for {
  static_assert(
      sluice_operation<Argument>,
      "a case of select is an operation of sluice, or an Asio operation given asio::deferred "
      "or sluice::use_task");
  using type = sluice_case<std::conditional_t<std::is_lvalue_reference_v<Argument>,
                                              wait_of_t<Argument>&, wait_of_t<Argument>>>;
};
template <class Argument>
  requires is_asio_operation<std::remove_cvref_t<Argument>>
struct case_for<Argument> {
  using type = asio_case<std::conditional_t<std::is_lvalue_reference_v<Argument>, Argument,
                                            std::remove_cvref_t<Argument>>>;
};
template <class Argument>
  requires asio::is_deferred<std::remove_cvref_t<Argument>>::value
struct case_for<Argument> {
  using type = asio_case<decltype(std::declval<std::remove_cvref_t<Argument>>()(use_task))>;
};
template <class Argument>
  requires called_with_token<Argument>
struct case_for<Argument> {
  using type = asio_case<decltype(std::declval<Argument>()(use_task))>;
};

/// What a case is constructed from.
template <class Argument>
[[nodiscard]] decltype(auto) case_source(Argument&& argument) {
  if constexpr (called_with_token<Argument>)
    return std::forward<Argument>(argument)(use_task);
  else if constexpr (asio::is_deferred<std::remove_cvref_t<Argument>>::value)
    return std::remove_cvref_t<Argument>(std::forward<Argument>(argument))(use_task);
  else
    return detail::forward_wait<Argument>(argument);
}

template <class F>
using kept_handler = std::conditional_t<std::is_lvalue_reference_v<F>, F, std::decay_t<F>>;

/// The third argument of `on` that was not written.
struct no_lost {
  template <class... Args>
  void operator()(Args&&...) const noexcept {}
};

/// Whether an operation's result is an error and nothing else, or nothing at all: then a case that
/// loses has nothing to lose.
template <class Arguments>
inline constexpr bool only_an_error = false;
template <>
inline constexpr bool only_an_error<std::tuple<>> = true;
template <>
inline constexpr bool only_an_error<std::tuple<error_code>> = true;
template <>
inline constexpr bool only_an_error<std::tuple<std::exception_ptr>> = true;
template <class... Elements>
inline constexpr bool only_an_error<std::tuple<std::tuple<Elements...>>> =
    only_an_error<std::tuple<Elements...>>;

template <class... Arguments>
inline constexpr bool only_an_error<std::tuple<one_of_several<Arguments...>>> =
    (only_an_error<Arguments> && ...);

/// An Asio operation whose losing would drop more than an error.
template <class Argument>
concept loses_more_than_an_error = case_for<Argument>::type::is_asio &&
                                   !only_an_error<typename case_for<Argument>::type::arguments>;

/// A case with a handler: what `on` returns.
template <class Case, class Handler, class OnLost>
class handled_case {
 public:
  static constexpr bool is_asio = Case::is_asio;
  static constexpr bool gives_exceptions = true;
  static constexpr bool can_be_looked_at = Case::can_be_looked_at;
  static constexpr bool has_handler = true;
  using handler_result =
      decltype(std::declval<Case&>().call(std::declval<std::remove_reference_t<Handler>&>()));

  /// @param source What the case is constructed from.
  template <class Source, class H, class L>
  handled_case(std::in_place_t, Source&& source, H&& handler, L&& on_lost)
      : case_(std::forward<Source>(source)),
        handler_(std::forward<H>(handler)),
        on_lost_(std::forward<L>(on_lost)) {}

  template <class Entry>
  void bind(Entry& entry, std::uint32_t index) {
    case_.bind(entry, index);
  }
  [[nodiscard]] readiness look() const noexcept
    requires can_be_looked_at
  {
    return case_.look();
  }
  [[nodiscard]] bool try_now() noexcept
    requires can_be_looked_at
  {
    return case_.try_now();
  }

  decltype(auto) call() { return case_.call(handler_); }
  /// What `call` throws of the operation's where there are exceptions.
  [[nodiscard]] error_code failure_code() {
    if constexpr (takes_elements<std::remove_reference_t<Handler>, typename Case::arguments>)
      return {};
    else
      return case_.failure_code();
  }
  void lose() {
    if constexpr (Case::is_asio)
      if (auto& lost = case_.lost()) std::apply(on_lost_, *std::move(lost));
  }
  [[nodiscard]] bool move_failed() const noexcept { return case_.move_failed(); }
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return case_.handler_dispatcher(); }
  void keep() noexcept { case_.keep(); }

 private:
  Case case_;
  Handler handler_;
  OnLost on_lost_;
};

/// The case that is taken when no other is ready: what `otherwise` returns.
template <class Handler>
class otherwise_case {
 public:
  static constexpr bool is_otherwise = true;
  static constexpr bool is_asio = false;
  static constexpr bool gives_exceptions = true;
  static constexpr bool can_be_looked_at = true;
  static constexpr bool has_handler = true;
  using handler_result = std::invoke_result_t<std::remove_reference_t<Handler>&>;

  template <class H>
  explicit otherwise_case(std::in_place_t, H&& handler) : handler_(std::forward<H>(handler)) {}

  [[nodiscard]] static readiness look() noexcept { return readiness::not_ready; }
  [[nodiscard]] static bool try_now() noexcept { return false; }

  decltype(auto) call() { return std::invoke(handler_); }
  [[nodiscard]] static error_code failure_code() noexcept { return {}; }
  static void lose() noexcept {}
  [[nodiscard]] static bool move_failed() noexcept { return false; }
  [[nodiscard]] static pinned_dispatcher handler_dispatcher() noexcept { return {}; }
  static void keep() noexcept {}

 private:
  Handler handler_;
};

template <class T>
concept case_with_handler = requires { requires std::remove_cvref_t<T>::has_handler; };
template <class T>
concept case_of_otherwise = requires { requires std::remove_cvref_t<T>::is_otherwise; };

}  // namespace sluice::detail
