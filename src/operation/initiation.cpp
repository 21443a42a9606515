// The executor of an operation that a token starts. What a token keeps to start it later keeps a
// target that may outlive its context.

#include <sluice/detail/operation/initiation.hpp>

#include <sluice/detail/executor/make_target.hpp>

#include <boost/asio/system_executor.hpp>

namespace sluice::detail {

const target_ptr& system_target() noexcept {
  static const target_ptr target = target_of(asio::system_executor());
  return target;
}

pinned_target operation_place::handler_target() const noexcept {
  if (from_) return pinned_target(*from_);
  if (kept_) return pinned_target(lasting_target(kept_));
  return pinned_target(where_);
}

}  // namespace sluice::detail
