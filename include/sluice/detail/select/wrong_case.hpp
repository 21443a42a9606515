// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

#include <cstddef>
#include <optional>

namespace sluice::detail {

/// @throws std::bad_optional_access that says which case happened and which was asked for.
[[noreturn]] SLUICE_DECL void throw_wrong_case(std::size_t asked, std::size_t happened);

/// What a select's result holds of case `asked`. @throws std::bad_optional_access if nothing.
template <class Value>
[[nodiscard]] Value& of_case(std::optional<Value>& value, std::size_t asked, std::size_t happened) {
  if (!value) detail::throw_wrong_case(asked, happened);
  return *value;
}
template <class Value>
[[nodiscard]] const Value& of_case(const std::optional<Value>& value, std::size_t asked,
                                   std::size_t happened) {
  if (!value) detail::throw_wrong_case(asked, happened);
  return *value;
}

}  // namespace sluice::detail
