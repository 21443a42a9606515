// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/goroutine/cancellation.hpp>

#include <exception>

namespace sluice::detail {

/// The cancellation of a goroutine that somebody waits for, and is to know what it has ended with.
class joined : public cancellation {
 public:
  using cancellation::cancellation;

  /// It has ended and its frames are gone, whatever has ended it: called once.
  /** @param failure What has left it, which then does not leave `run()`; null if nothing has. */
  virtual void ended(const std::exception_ptr& failure) noexcept = 0;
};

}  // namespace sluice::detail
