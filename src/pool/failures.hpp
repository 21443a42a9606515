// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <exception>

namespace sluice::detail {

/// What a worker pool tells by itself. Made with the first pool: telling needs no memory for it.
struct pool_failures {
  [[nodiscard]] static const pool_failures& all();

  const std::exception_ptr closed;
  const std::exception_ptr cancelled;
  const std::exception_ptr timed_out;
};

}  // namespace sluice::detail
