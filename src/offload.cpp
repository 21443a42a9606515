#include <sluice/offload.hpp>

#include <sluice/detail/scheduler.hpp>

#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace sluice {

namespace {

std::size_t checked(std::size_t threads) {
  if (threads == 0) throw std::invalid_argument("sluice::offload_pool: no threads");
  return threads;
}

/// A context's own pool.
class offload_service final : public asio::execution_context::service {
 public:
  using key_type = offload_service;
  static asio::execution_context::id id;

  explicit offload_service(asio::execution_context& c) : service(c) {}

  [[nodiscard]] offload_pool& pool() {
    const std::lock_guard guard(mutex_);
    if (!pool_) pool_.emplace(std::max(1u, std::thread::hardware_concurrency()));
    return *pool_;
  }

 private:
  void shutdown() noexcept override { pool_.reset(); }

  std::mutex mutex_;
  std::optional<offload_pool> pool_;
};

asio::execution_context::id offload_service::id;

}  // namespace

offload_pool::offload_pool(std::size_t threads) : free_(checked(threads)), threads_(threads) {}

offload_pool::~offload_pool() {
  threads_.join();
}

namespace detail {

offload_pool& offload_pool_of_this_goroutine() {
  return asio::use_service<offload_service>(current_goroutine("sluice::offload").home->context())
      .pool();
}

}  // namespace detail

}  // namespace sluice
