// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>

#include <coroutine>
#include <string>

namespace sluice {

namespace detail {

/// What `this_goroutine::yield` returns.
class yield_operation {
 public:
  using sluice_operation = void;

  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> h) const noexcept {
    auto& g = *h.promise().g;
    g.on->use_up_ticks();  // who yields may have taken long: has the clock looked at
    g.make_ready();
  }
  static constexpr void await_resume() noexcept {}
};

}  // namespace detail

namespace this_goroutine {

/// Lets the other ready goroutines go first. Go's `runtime.Gosched`.
/** Awaited in a task; never fails and is not cancelled. */
[[nodiscard("co_await it")]] inline detail::yield_operation yield() noexcept {
  return {};
}

/// Names the running goroutine in reports.
/** @throws system_error `error::not_in_goroutine`; std::bad_alloc */
SLUICE_DECL void set_name(std::string name);

}  // namespace this_goroutine

}  // namespace sluice
