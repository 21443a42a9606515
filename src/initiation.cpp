#include <sluice/detail/initiation.hpp>

#include <sluice/detail/make_target.hpp>

#include <boost/asio/system_executor.hpp>

namespace sluice::detail {

const target_ptr& system_target() noexcept {
  static const target_ptr target = target_of(asio::system_executor());
  return target;
}

}  // namespace sluice::detail
