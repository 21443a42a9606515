// SPDX-License-Identifier: BSL-1.0
// A wait that no request for cancellation ends.
#pragma once

#include <sluice/detail/goroutine/await.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <coroutine>

namespace sluice::detail {

/// Awaits an operation of this library to its end, whatever is asked of the goroutine meanwhile.
template <class Operation>
class uncancelled {
 public:
  using sluice_operation = void;

  explicit uncancelled(Operation&& op) noexcept : operation_(std::move(op)) {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    auto& wait = access::wait_of(operation_);
    wait.prepare();
    return await_waiter_to_its_end(*h.promise().g, wait, wait.functions);
  }
  decltype(auto) await_resume() {
    auto& wait = access::wait_of(operation_);
    wait.who = nullptr;
    return wait.take();
  }

 private:
  Operation operation_;
};

}  // namespace sluice::detail
