#pragma once

#include <sluice/detail/test_point.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

namespace sluice::detail {

namespace asio = boost::asio;

/// One Asio timer, set to an instant or to none, that calls a function when it goes off.
/** Thread safe. While it is set it is outstanding work of its executor. */
class alarm {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  static constexpr time_point never = time_point::max();

  explicit alarm(std::function<void()> f) : function_(std::move(f)) {}

  /// What it is set to; `never` if it is not.
  [[nodiscard]] time_point set_to() const noexcept {
    return time_point(time_point::duration(set_to_.load(std::memory_order_seq_cst)));
  }

  /// Sets it to what `choose` returns, called under the alarm's lock with what it is set to now.
  /** What `choose` has looked at may have changed since: the caller looks again.
   * @return False if it has been closed. */
  template <class Choose>
  bool set(const asio::any_io_executor& executor, Choose choose) {
    const std::lock_guard guard(mutex_);
    if (closed_) return false;
    const auto now_set = set_to();
    const time_point at = choose(now_set);
    if (at == now_set) return true;
    test_point("alarm: chosen");
    publish(at);
    ++generation_;
    if (at == never) {
      if (timer_) timer_->cancel();
      return true;
    }
    if (!timer_) timer_.emplace(executor);
    timer_->expires_at(at);
    timer_->async_wait([this, generation = generation_](const boost::system::error_code& e) {
      if (!e) go_off(generation);
    });
    return true;
  }

  /// Unsets it for good.
  void close() noexcept {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    publish(never);
    timer_.reset();
  }

 private:
  void go_off(std::uint64_t generation) {
    {
      const std::lock_guard guard(mutex_);
      if (generation != generation_ || closed_) return;
      publish(never);
    }
    function_();
  }

  void publish(time_point at) noexcept {
    set_to_.store(at.time_since_epoch().count(), std::memory_order_seq_cst);
  }

  const std::function<void()> function_;
  std::mutex mutex_;
  std::optional<asio::steady_timer> timer_;
  std::uint64_t generation_ = 0;
  std::atomic<time_point::rep> set_to_{never.time_since_epoch().count()};
  bool closed_ = false;
};

}  // namespace sluice::detail
