// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "post_memory.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/test_point.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/wait_traits.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice::detail {

namespace asio = boost::asio;

class wakeup_timer;

/// Closes the wake-up timers of a context before Asio's reactor ends, which they use.
/** Services shut down in the opposite order of their making, and the reactor's shutdown takes the
 * timers out of its queue under no lock. So this one is made when a wake-up timer has made its
 * timer. */
class wakeup_timer_closer final : public asio::execution_context::service {
 public:
  // No inline variable, of which plugins and their host share one.
  static asio::execution_context::id id;

  explicit wakeup_timer_closer(asio::execution_context& context) : service(context) {}

  /// Closes `a` when the context ends. False if that has begun.
  bool add(wakeup_timer& a) noexcept;

 private:
  void shutdown() noexcept override;

  std::mutex mutex_;
  wakeup_timer* first_ = nullptr;
  bool ending_ = false;
};

/// Runs functions on the spot: for Asio's own timer, on the thread where Asio finds that it is due.
/** That thread runs the context, or is Asio's if none does. No executor of a user's is needed, who
 * may have stopped running it, or run something long on it. */
struct on_the_spot {
  asio::execution_context* where;

  template <class F>
  void execute(F&& f) const {
    std::decay_t<F> function(std::forward<F>(f));
    function();
  }
  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept {
    return *where;
  }
  friend bool operator==(const on_the_spot& a, const on_the_spot& b) noexcept {
    return a.where == b.where;
  }
  friend bool operator!=(const on_the_spot& a, const on_the_spot& b) noexcept {
    return a.where != b.where;
  }
};

/// One Asio timer, set to an instant or to none, that calls a function when it goes off.
/**
 * Thread safe. While it is set it is outstanding work of its context.
 *
 * The timer needs services of Asio's, and Asio ends a context without a lock on the list of them:
 * a thread that has only pinned the context may not add any. So the timer is made where the context
 * cannot end meanwhile, by `make`: on a thread that runs it, or by a user who has just named it.
 */
class wakeup_timer {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  static constexpr time_point never = time_point::max();

  /// @param runs_here Whether this thread runs the context.
  /// @param go_off_soon Has the event loop call `make`, and then `f`, soon, and needs no memory:
  /// Asio's timer, or its queue of timers, may want some that is not there. Who is told then sets
  /// the wake-up timer again.
  wakeup_timer(asio::execution_context& context, std::function<void()> f,
               std::function<bool()> runs_here, std::function<void()> go_off_soon)
      : context_(context),
        function_(std::move(f)),
        runs_here_(std::move(runs_here)),
        go_off_soon_(std::move(go_off_soon)) {}

  /// Makes Asio's timer, unless there is one or it is too late for any.
  /** @return False if there is no memory for it. */
  bool make() noexcept {
    const std::lock_guard guard(mutex_);
    asked_to_make_ = false;
    return make_locked();
  }

  /// The instant that it is set to; `never` if it is not set.
  [[nodiscard]] time_point set_to() const noexcept {
    return time_point(time_point::duration(set_to_.load(std::memory_order_seq_cst)));
  }

  /// Sets it to what `choose` returns, called under the wake-up timer's lock with what it is set to
  /// now.
  /** What `choose` has looked at may have changed since: the caller looks again.
   * @return False if it has been closed, or the function will be called soon instead. */
  template <class Choose>
  bool set(Choose choose) {
    const std::lock_guard guard(mutex_);
    if (closed_) return false;
    if (!timer_ && !(runs_here_() && make_locked())) {
      if (!std::exchange(asked_to_make_, true)) go_off_soon_();
      return false;
    }
    if (closed_) return false;
    const auto now_set = set_to();
    const time_point at = choose(now_set);
    if (at == now_set) return true;
    test_point("wakeup_timer: chosen");
    publish(at);
    ++generation_;
    if (at == never) {
      timer_->cancel();
      return true;
    }
    SLUICE_TRY {
      timer_->expires_at(at);
      timer_->async_wait(asio::bind_allocator(
          post_allocator<std::byte>(memory_),
          [this, generation = generation_](const boost::system::error_code& e) {
            if (!e) go_off(generation);
          }));
    }
    SLUICE_CATCH(const std::bad_alloc& no_memory) {
      publish(never);
      go_off_soon_();
      return false;
    }
    return true;
  }

  /// Unsets it for good.
  void close() noexcept {
    const std::lock_guard guard(mutex_);
    close_locked();
  }

 private:
  friend wakeup_timer_closer;

  using clock = std::chrono::steady_clock;
  using asio_timer = asio::basic_waitable_timer<clock, asio::wait_traits<clock>, on_the_spot>;

  [[nodiscard]] bool make_locked() noexcept {
    if (timer_ || closed_) return true;
    SLUICE_TRY {
      asio_timer made(on_the_spot{&context_});
      auto& closer = asio::use_service<wakeup_timer_closer>(context_);
      timer_.emplace(std::move(made));
      if (!closer.add(*this)) close_locked();
      return true;
    }
    SLUICE_CATCH(const std::bad_alloc& no_memory) {
      return false;
    }
  }

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

  asio::execution_context& context_;
  const std::function<void()> function_;
  const std::function<bool()> runs_here_;
  const std::function<void()> go_off_soon_;
  std::mutex mutex_;
  post_memory memory_;
  std::optional<asio_timer> timer_;
  std::uint64_t generation_ = 0;
  std::atomic<time_point::rep> set_to_{never.time_since_epoch().count()};
  bool asked_to_make_ = false;
  bool closed_ = false;
  wakeup_timer* next_to_close_ = nullptr;  // under the closer's lock
};

inline bool wakeup_timer_closer::add(wakeup_timer& a) noexcept {
  const std::lock_guard guard(mutex_);
  if (ending_) return false;
  a.next_to_close_ = std::exchange(first_, &a);
  return true;
}

inline void wakeup_timer_closer::shutdown() noexcept {
  {
    const std::lock_guard guard(mutex_);
    ending_ = true;
  }
  while (first_) std::exchange(first_, first_->next_to_close_)->close();
}

}  // namespace sluice::detail
