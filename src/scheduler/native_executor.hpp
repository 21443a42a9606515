// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "post_memory.hpp"

#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/worker.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What a scheduler needs of its context's own executor.
class native_executor {
 public:
  native_executor() = default;
  native_executor(const native_executor&) = delete;
  native_executor& operator=(const native_executor&) = delete;
  virtual ~native_executor() = default;

  /// Posts a drain for any thread, the first that is free.
  virtual void post_drain(scheduler& s) = 0;
  /// Posts one that goes to the event loop when this thread's handler has ended.
  /** @param kept The handler may go on for long. */
  virtual void post_drain_after_handler(scheduler& s, bool kept) = 0;
  /// Posts one that comes after what the event loop finds ready in its next turn.
  /** Asio queues that behind what is posted before it looks, a drain too. So the drain is posted
   * once more when the loop has looked; but if its handlers have taken long by then, it runs.
   * @param since When the drain whose rest this one runs has ended. */
  virtual void post_drain_after_turn(scheduler& s, std::chrono::steady_clock::time_point since) = 0;
  /// Posts a look at the other threads' lists, for a thread with nothing to do.
  virtual void post_watch(scheduler& s) = 0;
  /// Posts what makes the timers' wake-up timer, and then does what that does when it goes off.
  virtual void post_wakeup_timer(scheduler& s) = 0;
  [[nodiscard]] virtual bool running_here() const noexcept = 0;
  [[nodiscard]] virtual bool stopped() const noexcept = 0;
  [[nodiscard]] virtual asio::any_io_executor executor() const = 0;
  virtual void hold_work() = 0;
  virtual void drop_work() noexcept = 0;
};

template <class Context>
class native_executor_of final : public native_executor {
 public:
  explicit native_executor_of(Context& c) noexcept : context_(c) {}

  void post_drain(scheduler& s) override {
    post(false, [&s] { s.run_posted_drain(false); });
  }
  void post_drain_after_handler(scheduler& s, bool kept) override {
    post(true, [&s, kept] { s.run_posted_drain(kept); });
  }
  void post_drain_after_turn(scheduler& s, std::chrono::steady_clock::time_point since) override {
    post(true, [this, &s, since] {
      if (std::chrono::steady_clock::now() - since > worker::longest)
        s.run_posted_drain(false);
      else
        post_drain_after_handler(s, false);
    });
  }
  void post_watch(scheduler& s) override {
    post(false, [&s] { s.sharing_.on_watch(); });
  }
  void post_wakeup_timer(scheduler& s) override {
    post(false, [&s] { s.on_posted_wakeup_timer(); });
  }
  bool running_here() const noexcept override {
    return context_.get_executor().running_in_this_thread();
  }
  bool stopped() const noexcept override {
    if constexpr (std::is_same_v<Context, asio::io_context>)
      return context_.stopped();
    else
      return false;
  }
  asio::any_io_executor executor() const override { return context_.get_executor(); }
  void hold_work() override { work_.emplace(tracked()); }
  void drop_work() noexcept override { work_.reset(); }

 private:
  [[nodiscard]] auto tracked() const {
    return asio::require(context_.get_executor(), asio::execution::outstanding_work.tracked);
  }

  template <class Function>
  void post(bool continuation, Function f) {
    const auto base = asio::require(context_.get_executor(), asio::execution::blocking.never,
                                    asio::execution::allocator(post_allocator<std::byte>(memory_)));
    if (continuation)
      asio::require(base, asio::execution::relationship.continuation).execute(std::move(f));
    else
      base.execute(std::move(f));
  }

  Context& context_;
  post_memory memory_;
  std::optional<decltype(asio::require(std::declval<typename Context::executor_type>(),
                                       asio::execution::outstanding_work.tracked))>
      work_;
};

}  // namespace sluice::detail
