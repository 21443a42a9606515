// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/wait/sleep_waiter.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace sluice::detail {

/// Calls a function at an instant, on an executor and under no lock.
/**
 * The function may call the user's and take its time. So it is no part of what the timers' wake-up
 * timer does, but a step of its own: of a drain, or on the executor if that is somebody else's.
 * While it is queued it keeps itself and is outstanding work; the context's end calls it where it
 * stands, because somebody on another context may wait for it.
 */
class callback_timer : public std::enable_shared_from_this<callback_timer>,
                       private waker,
                       private parked_handler,
                       private ready_node {
 public:
  enum class reason : unsigned char { due, context_ends };
  using function = std::function<void(reason)>;

  /// @param where The function waits for no strand.
  /// @param f Throws only what may leave `run()`, and nothing as the context ends.
  /// @param again Whether the function may call `start_again`.
  SLUICE_DECL callback_timer(const dispatcher_ptr& where, function f, bool again = false);
  SLUICE_DECL ~callback_timer();

  /// Queues it, unless its context is ending: then it drops its function uncalled. Called once, by
  /// somebody who knows that the scheduler is there. @return Whether it did. @throws std::bad_alloc
  SLUICE_DECL bool start(std::chrono::steady_clock::time_point at);

  /// Queues it once more. Called by its function, or right after that, once; needs no memory.
  void start_again(std::chrono::steady_clock::time_point at) noexcept;

  /// Takes it out of the queue, if it still is there. Its scheduler may have gone.
  SLUICE_DECL void stop() noexcept;

 private:
  SLUICE_DECL static void fire(waker& p) noexcept;
  static void run_due(ready_node& n, worker* w);
  SLUICE_DECL static void end_parked(parked_handler& h) noexcept;

  const std::shared_ptr<scheduler_link> home_link_;
  /// The dispatcher on which the function runs, unless that is the scheduler's own list.
  std::unique_ptr<const lasting_work> elsewhere_;
  function function_;
  sleep_waiter waiter_;
  const bool again_;
  /// The object itself, while it is registered.
  std::shared_ptr<callback_timer> kept_;
  /// The object itself, while it is in a list of ready nodes or in an executor's queue.
  std::shared_ptr<callback_timer> on_its_way_;
};

}  // namespace sluice::detail
