#pragma once

#include <sluice/detail/make_target.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <utility>

namespace sluice::detail {

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
