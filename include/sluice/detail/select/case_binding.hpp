// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/select/range_select_wait.hpp>
#include <sluice/detail/select/select_cases.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

// From the operands of a select to its cases, and from each case to its entry.

namespace sluice::detail {

/// What may be given to `select`.
template <class T>
concept select_operand = case_operand<T> || case_with_handler<T>;

template <class Argument>
using select_argument =
    std::conditional_t<case_with_handler<Argument>,
                       std::type_identity<std::remove_cvref_t<Argument>>, case_for<Argument>>;

/// What a case is made of where it stays. Cases with handlers are moved, also out of a range.
template <class Argument>
[[nodiscard]] decltype(auto) select_case_of(Argument&& argument) {
  if constexpr (case_with_handler<Argument>)
    return std::move(argument);
  else
    return detail::case_source(std::forward<Argument>(argument));
}

/// Whether what kind of case it is, it knows only when it runs.
template <class Case>
concept case_of_any_kind =
    requires(Case& c, range_select_wait& wait) { c.bind_any(wait, std::uint32_t{}); };

template <class Case>
inline constexpr bool has_coroutine_handler = false;
template <class Case>
  requires case_with_handler<Case> && (!std::is_void_v<typename Case::handler_result>)
inline constexpr bool has_coroutine_handler<Case> = awaited_result<typename Case::handler_result>;

template <class Case, class Entry>
void bind_case(Case& c, std::uint32_t index, Entry*& entry, launched_case**& asio_cases) {
  if constexpr (case_of_otherwise<Case>)
    static_cast<void>(index);
  else if constexpr (Case::is_asio)
    c.bind(*asio_cases++, index);
  else
    c.bind(*entry++, index);
}
template <class Case>
void bind_case(Case& c, std::uint32_t index, range_select_wait& wait) {
  if constexpr (case_of_any_kind<Case>)
    c.bind_any(wait, index);
  else if constexpr (case_of_otherwise<Case>)
    wait.set_otherwise(index);
  else if constexpr (Case::is_asio)
    c.bind(wait.add_asio(), index);
  else
    c.bind(wait.add_sluice(), index);
}

}  // namespace sluice::detail
