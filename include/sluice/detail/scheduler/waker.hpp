// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace sluice::detail {

class scheduler;

/// Whoever waits for something and can be told that it has come: a goroutine or a handler.
struct waker {
  using function = void(waker&) noexcept;

  waker(function* f, scheduler* s) noexcept : wake(f), home(s) {}

  /// Makes it run again, on its own executor, never inside the call.
  function* wake;
  /// The scheduler whose shutdown destroys it; null for a handler whose executor has no context.
  scheduler* home;
};

}  // namespace sluice::detail
