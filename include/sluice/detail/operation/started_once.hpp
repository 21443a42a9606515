// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>

#include <stdexcept>

namespace sluice::detail {

/// Refuses to start again what is used up when it is started.
[[noreturn, gnu::noinline, gnu::cold]] inline void throw_started_before() {
  detail::throw_exception(std::logic_error(
      "sluice: this operation has been started before, and can be only once: make another"));
}

}  // namespace sluice::detail
