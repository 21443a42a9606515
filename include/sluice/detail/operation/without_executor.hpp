// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/executor/post_by.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/error.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>

#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// Tells a handler that its operation has failed.
template <class Arguments, class Handler>
class without_executor {
 public:
  using allocator_type = asio::associated_allocator_t<Handler>;

  without_executor(Handler&& h, const error_code& e) : handler_(std::move(h)), error_(e) {}

  [[nodiscard]] allocator_type get_allocator() const noexcept {
    return asio::get_associated_allocator(handler_);
  }
  void operator()() {
    std::optional<Arguments> all;
    detail::make_failure(all, error_);
    std::apply(std::move(handler_), *std::move(all));
  }

 private:
  Handler handler_;
  error_code error_;
};

/// Tells the handler of an operation that has no executor so, by a post to its own executor, or to
/// Asio's system executor if it has none.
/** One without an execution context runs it by way of the system executor. */
template <class Arguments, class Handler>
void complete_without_executor(Handler handler, const error_code& e = error::no_executor) {
  const auto ex = asio::get_associated_executor(handler, asio::system_executor());
  using own_executor = std::remove_const_t<decltype(ex)>;
  using function = without_executor<Arguments, Handler>;
  function told(std::move(handler), e);
  if constexpr (has_execution_context<own_executor>)
    asio::post(ex, std::move(told));
  else
    asio::post(asio::system_executor(), forwarded<own_executor, function>(ex, std::move(told)));
}

}  // namespace sluice::detail
