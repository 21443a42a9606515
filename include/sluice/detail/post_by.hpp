#pragma once

#include <sluice/detail/make_target.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// Whose memory takes what completes an operation to the handler's executor: on one of this
/// library's not the handler's, of which the operation has had its one piece.
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
  if constexpr (has_execution_context<Executor>)
    asio::post(ex, std::move(f));
  else
    asio::post(by, forwarded<Executor, Function>(ex, std::move(f)));
}

}  // namespace sluice::detail
