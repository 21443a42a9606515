// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <type_traits>

namespace sluice::detail {

/// What may not be written inside a `co_await` expression under g++ 12, which copies it bitwise.
template <class F>
inline constexpr bool safe_in_co_await_expression =
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
    std::is_lvalue_reference_v<F> || std::is_trivially_copyable_v<std::remove_reference_t<F>>;
#else
    true;
#endif

}  // namespace sluice::detail
