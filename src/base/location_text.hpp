// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <source_location>
#include <string>

namespace sluice::detail {

/// A line of a program, as compilers name it: `file:line`.
[[nodiscard]] inline std::string text_of(const std::source_location& location) {
  return std::string(location.file_name()) + ':' + std::to_string(location.line());
}

}  // namespace sluice::detail
