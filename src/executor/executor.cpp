// SPDX-License-Identifier: BSL-1.0
// The context of an executor, apart from its header because that knows no scheduler.

#include <sluice/executor.hpp>

#include <sluice/detail/scheduler/scheduler.hpp>

namespace sluice {

asio::execution_context& executor::context() const noexcept {
  return dispatcher_->owner().context();
}

}  // namespace sluice
