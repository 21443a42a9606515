// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/refused.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/sync/child.hpp>
#include <sluice/detail/sync/child_outcomes.hpp>
#include <sluice/detail/sync/children_operation.hpp>
#include <sluice/detail/sync/range_children.hpp>
#include <sluice/detail/sync/static_children.hpp>
#include <sluice/task.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice {

/// What the error holds that a `when_all` throws; see `when_all_error`.
template <class... Children>
class all_failed {
 public:
  /// All completion arguments of child `I`, the failure first; none if it was not started, or has
  /// not ended by itself. Copies of the error share them.
  /** Of a task: `std::exception_ptr`, and its result. What has no default constructor is there in
   * an optional, a reference as a pointer. */
  template <std::size_t I>
  [[nodiscard]] auto& completed() const noexcept {
    return std::get<I>(*outcomes_);
  }

  /// @cond
  explicit all_failed(detail::static_children<Children...>& from)
      : outcomes_(
            std::make_shared<detail::outcomes_of_children<Children...>>(from.take_outcomes())) {}
  /// @endcond

 private:
  std::shared_ptr<detail::outcomes_of_children<Children...>> outcomes_;
};

/// What can be caught of the error that `when_all(operations...)` throws, by the types of these.
/**
 * @code
 * using error = sluice::when_all_error<sluice::task<int>, sluice::task<std::string>>;
 * try {
 *   auto [n, text] = co_await sluice::when_all(number(), name());
 * } catch (const error& e) {
 *   if (auto& done = e.completed<1>()) use(std::get<1>(*done));
 * }
 * @endcode
 */
template <class... Operations>
using when_all_error = all_failed<detail::child_for_t<Operations>...>;

/// What a completion token gets of a `when_all`: all results, or what had completed when it failed.
/**
 * A tuple to structured bindings and to `get`: `auto [a, b] = std::move(result)`; it becomes the
 * `std::tuple` that awaiting gives where one is wanted. A child without a result takes no place.
 */
template <class... Children>
class when_all_result {
 public:
  /// The results, as awaiting gives them.
  using values_type = detail::values_of_children<Children...>;

  /// None.
  when_all_result() noexcept {}

  /// Whether all have succeeded.
  [[nodiscard]] explicit operator bool() const noexcept { return values_.has_value(); }

  /// The results.
  /** @throws std::bad_optional_access if not all have succeeded. */
  [[nodiscard]] values_type& values() & { return values_.value(); }
  /// The results.
  [[nodiscard]] const values_type& values() const& { return values_.value(); }
  /// The results.
  [[nodiscard]] values_type&& values() && { return std::move(values_).value(); }
  /// The results.
  operator values_type() && { return std::move(values_).value(); }

  /// Result `I` of those who have one.
  /** @throws std::bad_optional_access if not all have succeeded. */
  template <std::size_t I>
  [[nodiscard]] auto& get() & {
    return std::get<I>(values_.value());
  }
  /// The same of a constant result.
  template <std::size_t I>
  [[nodiscard]] const auto& get() const& {
    return std::get<I>(values_.value());
  }
  /// The same of a result that is not kept.
  template <std::size_t I>
  [[nodiscard]] auto&& get() && {
    return std::get<I>(std::move(values_).value());
  }

  /// All completion arguments of child `I` if not all have succeeded; as of `when_all_error`.
  /** @throws std::bad_optional_access if all have succeeded: `get` has their results. */
  template <std::size_t I>
  [[nodiscard]] auto& completed() const {
    return held_.value().template completed<I>();
  }

  /// @cond
  static constexpr const char* name = detail::static_children<Children...>::name;
  void take_values(detail::static_children<Children...>& from) {
    values_.emplace(from.take_values_or_none());
  }
  void hold(all_failed<Children...> held) noexcept { held_ = std::move(held); }
  [[nodiscard]] const all_failed<Children...>* held() const noexcept {
    return held_ ? &*held_ : nullptr;
  }
  /// @endcond

 private:
  std::optional<values_type> values_;
  std::optional<all_failed<Children...>> held_;
};

/// What the error holds that a `when_all` of a range, or a `for_each`, throws.
template <class Child>
class all_of_range_failed {
 public:
  /// How many children there were: those that were made by then, of a `for_each`.
  [[nodiscard]] std::size_t size() const noexcept { return outcomes_->size(); }
  /// All completion arguments of child `i`, as of `when_all_error`.
  /** @throws std::out_of_range */
  [[nodiscard]] auto& completed(std::size_t i) const { return outcomes_->at(i); }

  /// @cond
  explicit all_of_range_failed(detail::row_of_children<Child>& from)
      : outcomes_(std::make_shared<std::vector<std::optional<typename Child::arguments>>>(
            from.take_outcomes())) {}
  /// @endcond

 private:
  std::shared_ptr<std::vector<std::optional<typename Child::arguments>>> outcomes_;
};

/// What can be caught of the error that `when_all` of a range of such operations throws.
template <class Operation>
using when_all_range_error = all_of_range_failed<detail::child_for_t<Operation>>;

/// As `when_all_result`, of a range.
template <class Child>
class when_all_range_result {
 public:
  /// The results, as awaiting gives them; of those without one, how many is all there is to say.
  using values_type =
      std::vector<detail::in_vector<detail::void_to_monostate<typename Child::value_type>>>;

  /// None.
  when_all_range_result() noexcept {}

  /// Whether all have succeeded.
  [[nodiscard]] explicit operator bool() const noexcept { return values_.has_value(); }

  /// The results, in the order of the range.
  /** @throws std::bad_optional_access if not all have succeeded. */
  [[nodiscard]] values_type& values() & { return values_.value(); }
  /// The results.
  [[nodiscard]] const values_type& values() const& { return values_.value(); }
  /// The results.
  [[nodiscard]] values_type&& values() && { return std::move(values_).value(); }
  /// The results.
  operator values_type() && { return std::move(values_).value(); }

  /// The first result. These throw what `values` does.
  [[nodiscard]] auto begin() { return values().begin(); }
  /// The first result.
  [[nodiscard]] auto begin() const { return values().begin(); }
  /// The end of the results.
  [[nodiscard]] auto end() { return values().end(); }
  /// The end of the results.
  [[nodiscard]] auto end() const { return values().end(); }

  /// How many children there were.
  [[nodiscard]] std::size_t size() const noexcept {
    return values_ ? values_->size() : held_ ? held_->size() : 0;
  }
  /// If not all have succeeded: all completion arguments of child `i`, as of `when_all_error`.
  /** @throws std::out_of_range; std::bad_optional_access if all have succeeded. */
  [[nodiscard]] auto& completed(std::size_t i) const { return held_.value().completed(i); }

  /// @cond
  static constexpr const char* name = "sluice: when_all";
  void take_values(detail::row_of_children<Child>& from) {
    if constexpr (std::is_void_v<typename Child::value_type>)
      values_.emplace(from.size());
    else
      values_.emplace(from.take_values());
  }
  void hold(all_of_range_failed<Child> held) noexcept { held_ = std::move(held); }
  [[nodiscard]] const all_of_range_failed<Child>* held() const noexcept {
    return held_ ? &*held_ : nullptr;
  }
  /// @endcond

 private:
  std::optional<values_type> values_;
  std::optional<all_of_range_failed<Child>> held_;
};

namespace detail {

/// What may not be a child as it is written.
template <class Operation>
consteval void check_child() {
  static_assert(!is_task<std::remove_cvref_t<Operation>> || !std::is_lvalue_reference_v<Operation>,
                "a task is awaited by its owner: when_all(std::move(task))");
  static_assert(
      case_operand<Operation> || becomes_task<Operation> ||
          is_task<std::remove_cvref_t<Operation>> || is_awaitable<std::remove_cvref_t<Operation>> ||
          safe_in_co_await_expression<Operation>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression and "
      "destroys it twice: capture by reference, or name the closure first and pass the name");
}

/// A range of what may be children.
template <class Range>
concept range_of_children =
    std::ranges::input_range<Range> && child_operand<std::ranges::range_value_t<Range>>;

}  // namespace detail

/// Does several things at once and waits for all of them: the form to begin with where one
/// goroutine needs several.
/**
 * Each child is a task, what `go` makes a task of (an `asio::awaitable`, a callable), an operation
 * of this library or one of Asio's given `asio::deferred`. All are under way at the same time, each
 * as a goroutine of its own, beside its siblings and where the awaiting one runs. This thread runs
 * the first before what else is ready, then the second, unless another thread takes that: a tree of
 * a million tasks has as many goroutines at a time as it is deep. When this ends, all of them have
 * ended and been destroyed: they may refer to whatever lives where it is awaited, `[&]` included.
 *
 * @return A `std::tuple` of the results, in which a child without one takes no place; void if none
 * has one. A task may give a reference, and what is move-only. With a token: `void(error_code,
 * when_all_result<…>)`, or `void(std::exception_ptr, when_all_result<…>)` if a child is a task, or
 * completes with an `exception_ptr`; with `asio::as_tuple` that has every outcome. The handler runs
 * by default on the executor of the first operation that has one, otherwise on the running
 * goroutine's. There run the tasks, or where a goroutine of that context starts it, beside that.
 *
 * @par Cancellation
 * Any type: it cancels the children, for good, and ends when they have. If they have all succeeded
 * all the same it gives their results.
 *
 * @par Errors
 * The first failure of a child, which cancels the others and is thrown when they have ended; those
 * that have not begun by then never do. If it is a `system_error`, or a `std::runtime_error`,
 * `logic_error`, `invalid_argument` or `out_of_range` and nothing derived from it, it is also a
 * `when_all_error<…>`, which holds what the children had completed with; one of a type of yours is
 * thrown as it is. `asio::error::operation_aborted` (`error::deadline_exceeded` if its context's
 * deadline has passed) if it was cancelled before a child had failed.
 *
 * @code
 * auto [page, user] = co_await sluice::when_all(fetch(url), users.receive());
 * co_await sluice::when_all(
 *     [&]() -> sluice::task<> { co_await produce(ch); },
 *     [&]() -> sluice::task<> { co_await consume(ch); });
 * @endcode
 */
template <detail::child_operand... Operations>
  requires(!(sizeof...(Operations) == 1 && (detail::range_of_children<Operations> && ...)))
[[nodiscard("co_await it, or give it a completion token")]] auto when_all(
    Operations&&... operations) {
  (detail::check_child<Operations>(), ...);
  return detail::children_operation<detail::static_children<detail::child_for_t<Operations>...>>(
      std::in_place, detail::child_source(std::forward<Operations>(operations))...);
}

/// The same of a range of tasks, or of operations, of one type.
/**
 * The operations of this library in an lvalue range stay in it; what else is in a range is moved
 * out, and the range is given as `std::move(range)`.
 *
 * @return A `std::vector` of the results in the order of the range, of `std::reference_wrapper` for
 * references; void if they have none. With a token as above, with a `when_all_range_result<…>`.
 *
 * @code
 * std::vector<sluice::task<int>> work;
 * for (int i = 0; i < 10; ++i) work.push_back(count(i));
 * for (int n : co_await sluice::when_all(std::move(work))) use(n);
 * @endcode
 */
template <detail::range_of_children Range>
[[nodiscard("co_await it, or give it a completion token")]] auto when_all(Range&& operations) {
  using element = std::ranges::range_value_t<Range>;
  static_assert(!std::is_lvalue_reference_v<Range> || detail::sluice_operation<element>,
                "what is in the range is used up: when_all(std::move(tasks))");
  using operation = std::conditional_t<std::is_lvalue_reference_v<Range>,
                                       std::ranges::range_reference_t<Range>, element>;
  return detail::children_operation<detail::range_children<detail::child_for_t<operation>>>(
      std::in_place, std::forward<Range>(operations));
}

/// Refuses what is no task and no operation; the compiler shows the line.
template <class... Arguments>
void when_all(Arguments&&...) = delete;  // when_all(f(x), ch.receive(), async_x(asio::deferred)).

namespace detail {

template <failure Failure, class... Children>
struct completion_value<Failure, when_all_result<Children...>>
    : completion_of_children<Failure, when_all_result<Children...>> {};
template <failure Failure, class Child>
struct completion_value<Failure, when_all_range_result<Child>>
    : completion_of_children<Failure, when_all_range_result<Child>> {};

}  // namespace detail

}  // namespace sluice

/// A `when_all_result` is a tuple of the results to structured bindings.
template <class... Children>
struct std::tuple_size<sluice::when_all_result<Children...>>
    : std::tuple_size<typename sluice::when_all_result<Children...>::values_type> {};
/// The type of one of them.
template <std::size_t I, class... Children>
struct std::tuple_element<I, sluice::when_all_result<Children...>>
    : std::tuple_element<I, typename sluice::when_all_result<Children...>::values_type> {};
