// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/sync/child.hpp>
#include <sluice/detail/sync/children_operation.hpp>
#include <sluice/detail/sync/children_wait.hpp>
#include <sluice/detail/sync/range_children.hpp>
#include <sluice/task.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

// The children of a `for_each`: calls of one function, made when their turn comes.

namespace sluice::detail {

/// What a function's result gives when it is awaited, or the result itself.
template <class T>
struct awaited_value {
  using type = std::conditional_t<std::is_lvalue_reference_v<T>, T, std::remove_cvref_t<T>>;
};
template <awaited_result T>
struct awaited_value<T> {
  using type = decltype(std::declval<task_promise_base&>()
                            .await_transform(std::declval<T>())
                            .await_resume());
};

/// An element as its child keeps it: a reference to what stays where it is, or what it was.
template <class Range>
using kept_element =
    std::conditional_t<std::ranges::forward_range<Range> &&
                           std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>>,
                       std::ranges::range_reference_t<Range>, std::ranges::range_value_t<Range>>;

template <class F, class Range>
using each_result = std::invoke_result_t<std::remove_reference_t<F>&, kept_element<Range>>;
template <class F, class Range>
using each_value = typename awaited_value<each_result<F, Range>>::type;

/// Calls `f`, which is called by others at the same time, and awaits what it returns.
template <class F, class Element, class Value>
task<Value> call_for(F& f, Element element) {
  if constexpr (awaited_result<std::invoke_result_t<F&, Element>>)
    co_return co_await std::invoke(f, std::forward<Element>(element));
  else if constexpr (std::is_void_v<Value>)
    std::invoke(f, std::forward<Element>(element));
  else
    co_return std::invoke(f, std::forward<Element>(element));
}

/// @tparam Range, F References to those that stay the caller's.
template <class Range, class F>
class for_each_children : public row_of_children<task_child<each_value<F, Range>>> {
  using base = row_of_children<task_child<each_value<F, Range>>>;
  using function = std::remove_reference_t<F>;

 public:
  static constexpr auto reason = wait_reason::for_each;
  static constexpr const char* name = "sluice: for_each";

  for_each_children(Range&& range, F&& f, std::size_t limit)
      : range_(std::forward<Range>(range)), function_(std::forward<F>(f)), limit_(limit) {}
  // Before it is launched.
  for_each_children(for_each_children&& other)
      : base(std::move(other)),
        range_(std::forward<Range>(other.range_)),
        function_(std::forward<F>(other.function_)),
        limit_(other.limit_) {}
  for_each_children& operator=(for_each_children&&) = delete;
  ~for_each_children() = default;

  [[nodiscard]] children_wait::next_child make_next(children_wait& wait) noexcept {
    SLUICE_TRY {
      if (!next_) next_.emplace(std::ranges::begin(range_));
      if (*next_ == std::ranges::end(range_)) return {};
      auto call = call_for<function, kept_element<Range>, each_value<F, Range>>(function_, **next_);
      ++*next_;
      auto& c = this->children_.emplace_back(std::move(call));
      return {detail::make_child(wait, c, false), false};
    }
    SLUICE_CATCH_ALL {
      broken_ = true;
      wait.failed(std::current_exception());
      return {};
    }
  }
  [[nodiscard]] std::size_t most_at_a_time() const noexcept {
    return std::min(limit_, children_wait::no_limit);
  }

  /// Whether all have been made, and have succeeded.
  [[nodiscard]] bool succeeded() {
    return !broken_ && next_ && *next_ == std::ranges::end(range_) && base::succeeded();
  }

 private:
  Range range_;
  F function_;
  const std::size_t limit_;
  std::optional<std::ranges::iterator_t<Range>> next_;
  bool broken_ = false;  ///< reading the range has thrown
};

}  // namespace sluice::detail
