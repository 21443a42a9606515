// SPDX-License-Identifier: BSL-1.0
// How functions are given to executors: in whose memory, and by which way if the executor can do
// little.
#pragma once

#include <sluice/detail/base/asio_compatibility.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// The allocator for the function that takes a completion to the handler's executor. On an executor
/// of this library it is not the handler's: the operation has had its one piece of that memory.
template <class Handler, class Executor>
using completion_allocator =
    std::conditional_t<std::is_same_v<Executor, executor>, std::allocator<void>,
                       asio::associated_allocator_t<Handler>>;
template <class Executor, class Handler>
[[nodiscard]] completion_allocator<Handler, Executor> completion_allocator_of(
    const Handler& handler) noexcept {
  if constexpr (std::is_same_v<Executor, executor>)
    return {};
  else
    return asio::get_associated_allocator(handler);
}

/// Queues a function on an executor of this library, in memory of its associated allocator.
template <class Function>
void queue(const executor& ex, Function function) {
  const auto allocator = asio::get_associated_allocator(function);
  if constexpr (is_default_allocator<std::remove_const_t<decltype(allocator)>>)
    detail::run_or_queue(*where_of(ex), false, std::move(function), recycling_allocator<void>());
  else
    detail::run_or_queue(*where_of(ex), false, std::move(function), allocator);
}

/// Calls `function` on `ex`, inside this call if that allows it.
/** What Asio's `dispatch` does takes a compiler several times as long. */
template <class Executor, class Function>
void dispatch_to(const Executor& ex, Function function) {
  if constexpr (std::is_same_v<Executor, executor>) {
    static_assert(is_default_allocator<asio::associated_allocator_t<Function>>);
    ex.execute(std::move(function));
  } else {
    asio::dispatch(ex, std::move(function));
  }
}

/// Calls `function`, which has completed at once: through the immediate executor of its handler,
/// if there are any, by a post to `ex` otherwise.
template <class Executor, class Function>
void complete_immediately(const Executor& ex, Function function) {
  if constexpr (has_immediate_executors)
    asio::dispatch(detail::immediate_executor_of(function.handler(), ex), std::move(function));
  else if constexpr (std::is_same_v<Executor, executor>)
    detail::queue(ex, std::move(function));
  else
    asio::post(ex, std::move(function));
}

/// A function on its way to an executor.
template <class Executor, class Function>
class forwarded {
 public:
  using allocator_type = asio::associated_allocator_t<Function>;

  forwarded(const Executor& to, Function&& f) : to_(to), function_(std::move(f)) {}

  [[nodiscard]] allocator_type get_allocator() const noexcept {
    return asio::get_associated_allocator(function_);
  }
  void operator()() { asio::dispatch(to_, std::move(function_)); }

 private:
  Executor to_;
  Function function_;
};

/// Posts `f` to `ex`.
/** An executor that is erased until all it can do is run functions, as `any_completion_executor`
 * is, gets it by way of `by`: of itself it cannot promise not to run it here. */
template <class Executor, class Function>
void post_by(const executor& by, const Executor& ex, Function f) {
  if constexpr (std::is_same_v<Executor, executor>)
    detail::queue(ex, std::move(f));
  else if constexpr (has_execution_context<Executor>)
    asio::post(ex, std::move(f));
  else
    asio::post(by, forwarded<Executor, Function>(ex, std::move(f)));
}

}  // namespace sluice::detail
