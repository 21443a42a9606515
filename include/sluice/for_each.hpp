// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/sync/children_operation.hpp>
#include <sluice/detail/sync/for_each_children.hpp>
#include <sluice/when_all.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace sluice {

/// How many calls of a `for_each` are under way at a time. Go's `errgroup.SetLimit`.
class limit {
 public:
  /// @throws std::invalid_argument if `n` is 0.
  explicit limit(std::size_t n) : most_(n) {
    if (n == 0) detail::throw_exception(std::invalid_argument("sluice: a limit of 0"));
  }

  /// That number.
  [[nodiscard]] std::size_t most() const noexcept { return most_; }

 private:
  std::size_t most_;
};

/// What can be caught of the error that `for_each` throws for a function with such a result.
/** `when_all_range_error` of a task: `completed(i)` is a `std::exception_ptr` and the result. */
template <class T>
using for_each_error = when_all_range_error<task<T>>;

namespace detail {

/// What can be called with the elements of a range.
template <class F, class Range>
concept function_for_each = std::ranges::input_range<Range> &&
                            std::invocable<std::remove_reference_t<F>&, kept_element<Range>>;

template <class Range, class F>
[[nodiscard]] auto make_for_each(Range&& range, F&& f, std::size_t limit) {
  static_assert(
      safe_in_co_await_expression<F>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression and "
      "destroys it twice: capture by reference, or name the closure first and pass the name");
  return children_operation<for_each_children<Range, kept_handler<F>>>(
      std::in_place, std::forward<Range>(range), std::forward<F>(f), limit);
}

}  // namespace detail

/// Calls `f` for each element of a range, all at the same time, and waits for all of them.
/**
 * Each call is a goroutine of its own, beside its siblings, and begins in the order of the range.
 * `f` returns a task, what else a task can await, or a plain value. When this ends, all of them
 * have ended and been destroyed.
 *
 * @param range An lvalue stays the caller's, and its elements are referred to; another is kept.
 * What it makes as it is read is kept with the call. Read by one thread at a time.
 * @param f An lvalue is referred to. It is called by several goroutines at the same time.
 *
 * @return A `std::vector` of what the calls gave, in the order of the range, of
 * `std::reference_wrapper` for references; void if that is nothing. With a token
 * `void(std::exception_ptr, when_all_range_result<…>)`.
 *
 * @par Cancellation, errors
 * As of `when_all`: the first failure cancels the others, and calls that have not begun by then are
 * not made. The error is a `for_each_error<T>`, `T` being the result of a call.
 *
 * @code
 * auto pages = co_await sluice::for_each(urls, [&](const std::string& url) { return fetch(url); });
 * co_await sluice::for_each(files, check, sluice::limit(8));
 * @endcode
 */
template <std::ranges::input_range Range, detail::function_for_each<Range> F>
[[nodiscard("co_await it, or give it a completion token")]] auto for_each(Range&& range, F&& f) {
  return detail::make_for_each(std::forward<Range>(range), std::forward<F>(f),
                               std::numeric_limits<std::size_t>::max());
}

/// The same, with at most so many calls under way at a time: the next begins when one has ended.
template <std::ranges::input_range Range, detail::function_for_each<Range> F>
[[nodiscard("co_await it, or give it a completion token")]] auto for_each(Range&& range, F&& f,
                                                                          limit most) {
  return detail::make_for_each(std::forward<Range>(range), std::forward<F>(f), most.most());
}

/// Refuses what is no range and a function of its elements; the compiler shows the line.
template <class... Arguments>
void for_each(Arguments&&...) = delete;  // for_each(range, f), for_each(range, f, limit(n)).

}  // namespace sluice
