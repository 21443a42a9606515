#pragma once

#include <source_location>
#include <string>

namespace sluice::detail {

/// A place in a program, as compilers name it: `file:line`.
[[nodiscard]] inline std::string text_of(const std::source_location& place) {
  return std::string(place.file_name()) + ':' + std::to_string(place.line());
}

}  // namespace sluice::detail
