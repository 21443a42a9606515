#pragma once

#include <sluice/detail/goroutine/await.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
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
    operation_.prepare();
    return await_waiter_to_its_end(*h.promise().g, operation_, Operation::functions);
  }
  decltype(auto) await_resume() {
    operation_.who = nullptr;
    return operation_.take();
  }

 private:
  Operation operation_;
};

}  // namespace sluice::detail
