#pragma once

#include <sluice/detail/test_point.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
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

class alarm;

/// Closes the alarms of a context before Asio's reactor ends, which they use.
/** Services shut down in the opposite order of their making, and the reactor's shutdown takes the
 * timers out of its queue under no lock. So this one is made when an alarm has made its timer. */
class alarm_closer final : public asio::execution_context::service {
 public:
  using key_type = alarm_closer;

  inline static asio::execution_context::id id;

  explicit alarm_closer(asio::execution_context& context) : service(context) {}

  /// Has `a` closed when the context ends. False if it is ending.
  bool add(alarm& a) noexcept;

 private:
  void shutdown() noexcept override;

  std::mutex mutex_;
  alarm* first_ = nullptr;
  bool ending_ = false;
};

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
    if (!timer_) {
      timer_.emplace(executor);
      auto& context = asio::query(executor, asio::execution::context);
      if (!asio::use_service<alarm_closer>(context).add(*this)) {
        close_locked();
        return false;
      }
    }
    timer_->expires_at(at);
    timer_->async_wait([this, generation = generation_](const boost::system::error_code& e) {
      if (!e) go_off(generation);
    });
    return true;
  }

  /// Unsets it for good.
  void close() noexcept {
    const std::lock_guard guard(mutex_);
    close_locked();
  }

 private:
  friend alarm_closer;

  void close_locked() noexcept {
    closed_ = true;
    publish(never);
    timer_.reset();
  }

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
  alarm* next_to_close_ = nullptr;  // under the closer's lock
};

inline bool alarm_closer::add(alarm& a) noexcept {
  const std::lock_guard guard(mutex_);
  if (ending_) return false;
  a.next_to_close_ = std::exchange(first_, &a);
  return true;
}

inline void alarm_closer::shutdown() noexcept {
  {
    const std::lock_guard guard(mutex_);
    ending_ = true;
  }
  while (first_) std::exchange(first_, first_->next_to_close_)->close();
}

}  // namespace sluice::detail
