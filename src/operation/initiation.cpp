// SPDX-License-Identifier: BSL-1.0
// The executor of an operation that a token starts. What a token keeps to start it later keeps a
// dispatcher that may outlive its context.

#include <sluice/detail/operation/initiation.hpp>

#include <sluice/detail/executor/make_dispatcher.hpp>

#include <boost/asio/system_executor.hpp>

namespace sluice::detail {

const dispatcher_ptr& system_dispatcher() noexcept {
  static const dispatcher_ptr dispatcher = dispatcher_of(asio::system_executor());
  return dispatcher;
}

pinned_dispatcher operation_executor::handler_dispatcher() const noexcept {
  if (from_) return pinned_dispatcher(*from_);
  if (kept_) return pinned_dispatcher(lasting_dispatcher(kept_));
  return pinned_dispatcher(where_);
}

}  // namespace sluice::detail
