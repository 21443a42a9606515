// SPDX-License-Identifier: BSL-1.0
// Functions that run on threads of their own, and what a context's end does about them: it asks
// them to stop and waits for them, before it destroys goroutines.

#include <sluice/offload.hpp>

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace sluice {

namespace {

std::size_t checked(std::size_t threads) {
  if (threads == 0)
    detail::throw_exception(std::invalid_argument("sluice::offload_pool: no threads"));
  return threads;
}

}  // namespace

namespace detail {

/// A context's own pool, and its functions on any.
class offload_service final : public asio::execution_context::service {
 public:
  static asio::execution_context::id id;

  explicit offload_service(asio::execution_context& c) : service(c) {}

  [[nodiscard]] offload_pool& pool() {
    const std::lock_guard guard(mutex_);
    if (!pool_) pool_.emplace(std::max(1U, std::thread::hardware_concurrency()));
    return *pool_;
  }

  [[nodiscard]] bool try_add(offloaded_function& f) noexcept {
    const std::lock_guard guard(mutex_);
    if (ending_) return false;
    functions_.push_front(f);
    return true;
  }

  // Holds the lock to the end: whoever waits for it may be about to end this.
  void remove(offloaded_function& f) noexcept {
    const std::lock_guard guard(mutex_);
    functions_.remove(f);
    if (functions_.empty()) none_left_.notify_all();
  }

 private:
  // Made by a goroutine, so after the scheduler, and ended before it: the functions may use what
  // the goroutines own.
  void shutdown() noexcept override {
    {
      std::unique_lock lock(mutex_);
      ending_ = true;
      while (auto* const f = next_to_tell()) {
        f->told_ = true;
        stop_source stop = f->stop_;
        lock.unlock();
        stop.request_stop();
        lock.lock();
      }
    }
    wait_for_functions();
    pool_.reset();
  }

  // Does what Asio's resolver does: nothing runs on another thread while the process is doubled.
  void notify_fork(asio::execution_context::fork_event event) override {
    if (event == asio::execution_context::fork_prepare) wait_for_functions();
    if (pool_) pool_->notify_fork(event);
  }

  [[nodiscard]] offloaded_function* next_to_tell() const noexcept {
    for (registered* r = functions_.front(); r; r = registered_list::after(*r))
      if (auto* const f = static_cast<offloaded_function*>(r); !f->told_) return f;
    return nullptr;
  }

  void wait_for_functions() noexcept {
    std::unique_lock lock(mutex_);
    none_left_.wait(lock, [this] { return functions_.empty(); });
  }

  std::mutex mutex_;
  std::condition_variable none_left_;
  registered_list functions_;
  bool ending_ = false;
  std::optional<offload_pool> pool_;
};

asio::execution_context::id offload_service::id;

offloaded_function::offloaded_function(offload_service& s)
    : service_(s), in_time_(s.try_add(*this)) {}

offloaded_function::~offloaded_function() {
  if (in_time_) service_.remove(*this);
}

offload_service& offload_service_of_this_goroutine() {
  return asio::use_service<offload_service>(current_goroutine("sluice::offload").home->context());
}

offload_pool& offload_pool_of_this_goroutine() {
  return offload_service_of_this_goroutine().pool();
}

}  // namespace detail

offload_pool::offload_pool(std::size_t threads)
    : free_(checked(threads)), size_(threads), threads_(std::in_place, threads) {}

offload_pool::~offload_pool() {
  threads_->join();
}

void offload_pool::notify_fork(asio::execution_context::fork_event event) {
  if (event == asio::execution_context::fork_prepare)
    threads_->join();
  else
    threads_.emplace(size_);
}

}  // namespace sluice
