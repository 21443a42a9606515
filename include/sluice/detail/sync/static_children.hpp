// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/sync/child.hpp>
#include <sluice/detail/sync/child_outcomes.hpp>
#include <sluice/detail/sync/children_operation.hpp>
#include <sluice/detail/sync/children_wait.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

// Children that stand in the call of `when_all`.

namespace sluice {

template <class... Children>
class when_all_result;
template <class... Children>
class all_failed;

}  // namespace sluice

namespace sluice::detail {

template <class... Children>
class static_children {
 public:
  using values = values_of_children<Children...>;
  using value_type = std::conditional_t<std::tuple_size_v<values> == 0, void, values>;
  using result_type = when_all_result<Children...>;
  using error_type = all_failed<Children...>;
  static constexpr bool gives_exceptions = (Children::gives_exceptions || ...);
  static constexpr auto reason = wait_reason::when_all;
  static constexpr const char* name = "sluice: when_all";

  template <class... Arguments>
  explicit static_children(Arguments&&... arguments)
      : children_(std::forward<Arguments>(arguments)...) {}
  static_children(static_children&&) = default;
  static_children& operator=(static_children&&) = delete;

  [[nodiscard]] children_wait::next_child make_next(children_wait& wait) noexcept {
    if constexpr (sizeof...(Children) == 0)
      return {};
    else
      return [&]<std::size_t... I>(std::index_sequence<I...>) {
        using function = goroutine* (*)(static_children&, children_wait&) noexcept;
        static constexpr function table[] = {&make<I>...};
        const auto make_this = table[next_++];
        return children_wait::next_child{make_this(*this, wait), next_ == sizeof...(Children)};
      }(std::index_sequence_for<Children...>());
  }
  [[nodiscard]] static std::size_t most_at_a_time() noexcept { return children_wait::no_limit; }

  [[nodiscard]] bool succeeded() {
    return std::apply([](auto&... c) { return (c.succeeded() && ...); }, children_);
  }

  value_type take_values() {
    if constexpr (!std::is_void_v<value_type>)
      return std::apply([](auto&... c) { return std::tuple_cat(value_of(c)...); }, children_);
  }
  [[nodiscard]] values take_values_or_none() {
    if constexpr (std::is_void_v<value_type>)
      return {};
    else
      return take_values();
  }
  [[nodiscard]] outcomes_of_children<Children...> take_outcomes() {
    return std::apply(
        [](auto&... c) { return outcomes_of_children<Children...>(std::move(c.outcome)...); },
        children_);
  }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return first_dispatcher<0>(); }
  void keep() noexcept {
    std::apply([](auto&... c) { (c.keep(), ...); }, children_);
  }

 private:
  template <std::size_t I>
  static goroutine* make(static_children& self, children_wait& wait) noexcept {
    return detail::make_child(wait, std::get<I>(self.children_), I + 1 == sizeof...(Children));
  }

  template <class Child>
  static auto value_of(Child& c) {
    if constexpr (std::is_void_v<typename Child::value_type>)
      return std::tuple<>();
    else
      return std::tuple<typename Child::value_type>(c.take());
  }

  template <std::size_t I>
  [[nodiscard]] pinned_dispatcher first_dispatcher() const {
    if constexpr (I == sizeof...(Children)) {
      return {};
    } else {
      pinned_dispatcher found = std::get<I>(children_).handler_dispatcher();
      if (!found) return first_dispatcher<I + 1>();
      return found;
    }
  }

  std::tuple<Children...> children_;
  std::size_t next_ = 0;
};

}  // namespace sluice::detail
