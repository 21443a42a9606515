// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/sync/child.hpp>
#include <sluice/detail/sync/child_outcomes.hpp>
#include <sluice/detail/sync/children_operation.hpp>
#include <sluice/detail/sync/children_wait.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

// Children of one kind, in a row.

namespace sluice {

template <class Child>
class when_all_range_result;
template <class Child>
class all_of_range_failed;

}  // namespace sluice

namespace sluice::detail {

/// What rows of children have in common.
template <class Child>
class row_of_children {
  using child_value = typename Child::value_type;

 public:
  row_of_children& operator=(row_of_children&&) = delete;

  using value_type =
      typename std::conditional_t<std::is_void_v<child_value>, std::type_identity<void>,
                                  std::type_identity<std::vector<in_vector<child_value>>>>::type;
  using result_type = when_all_range_result<Child>;
  using error_type = all_of_range_failed<Child>;
  static constexpr bool gives_exceptions = Child::gives_exceptions;

  [[nodiscard]] std::size_t size() const noexcept { return children_.size(); }
  [[nodiscard]] bool succeeded() {
    return std::ranges::all_of(children_, [](Child& c) { return c.succeeded(); });
  }
  value_type take_values() {
    if constexpr (!std::is_void_v<child_value>) {
      value_type all;
      all.reserve(children_.size());
      for (Child& c : children_) all.push_back(c.take());
      return all;
    }
  }
  [[nodiscard]] std::vector<std::optional<typename Child::arguments>> take_outcomes() {
    std::vector<std::optional<typename Child::arguments>> all;
    all.reserve(children_.size());
    for (Child& c : children_) all.push_back(std::move(c.outcome));
    return all;
  }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    for (const Child& c : children_)
      if (auto found = c.handler_dispatcher()) return found;
    return {};
  }
  void keep() noexcept {
    for (Child& c : children_) c.keep();
  }

 protected:
  row_of_children() = default;
  row_of_children(row_of_children&&) = default;
  ~row_of_children() = default;

  // They stay where they are while there come more.
  std::deque<Child> children_;
};

/// The children of a `when_all` of a range.
template <class Child>
class range_children : public row_of_children<Child> {
 public:
  static constexpr auto reason = wait_reason::when_all;
  static constexpr const char* name = "sluice: when_all";

  template <class Range>
  explicit range_children(Range&& range) {
    for (auto&& element : range) {
      if constexpr (std::is_lvalue_reference_v<Range>)
        this->children_.emplace_back(detail::child_source(element));
      else
        this->children_.emplace_back(detail::child_source(std::move(element)));
    }
  }

  [[nodiscard]] children_wait::next_child make_next(children_wait& wait) noexcept {
    if (next_ == this->children_.size()) return {};
    auto& c = this->children_[next_++];
    const bool is_last = next_ == this->children_.size();
    return {detail::make_child(wait, c, is_last), is_last};
  }
  [[nodiscard]] static std::size_t most_at_a_time() noexcept { return children_wait::no_limit; }

 private:
  std::size_t next_ = 0;
};

}  // namespace sluice::detail
