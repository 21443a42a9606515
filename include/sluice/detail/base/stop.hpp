// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <version>

#if defined(__cpp_lib_jthread)
#include <stop_token>
#endif

namespace sluice::detail {

/// `std::stop_token` and `std::stop_source`; where the standard library has none, what nobody can
/// ask whether it was requested to stop.
#if defined(__cpp_lib_jthread)
inline constexpr bool has_stop_tokens = true;
using stop_token = std::stop_token;
using stop_source = std::stop_source;
#else
inline constexpr bool has_stop_tokens = false;
struct stop_token {};
struct stop_source {
  void request_stop() noexcept {}
  [[nodiscard]] stop_token get_token() const noexcept { return {}; }
};
#endif

}  // namespace sluice::detail
