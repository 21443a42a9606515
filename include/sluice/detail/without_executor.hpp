#pragma once

#include <sluice/detail/asio_operation.hpp>
#include <sluice/detail/post_by.hpp>
#include <sluice/error.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>

#include <optional>
#include <tuple>
#include <utility>

namespace sluice::detail {

/// Tells a handler that its operation has no executor.
template <class Arguments, class Handler>
class without_executor {
 public:
  using allocator_type = asio::associated_allocator_t<Handler>;

  explicit without_executor(Handler&& h) : handler_(std::move(h)) {}

  [[nodiscard]] allocator_type get_allocator() const noexcept {
    return asio::get_associated_allocator(handler_);
  }
  void operator()() {
    std::optional<Arguments> all;
    detail::make_failure(all, error::no_executor);
    std::apply(std::move(handler_), *std::move(all));
  }

 private:
  Handler handler_;
};

/// Tells the handler of an operation that has no executor so, by a post to Asio's system executor.
/** An executor of the handler's own that has no execution context still runs it. */
template <class Arguments, class Handler>
void complete_without_executor(Handler handler) {
  auto ex = asio::get_associated_executor(handler, asio::system_executor());
  using function = without_executor<Arguments, Handler>;
  asio::post(asio::system_executor(),
             forwarded<decltype(ex), function>(ex, function(std::move(handler))));
}

}  // namespace sluice::detail
