#pragma once

#include <sluice/detail/party.hpp>
#include <sluice/detail/scheduler.hpp>
#include <sluice/detail/sleep_waiter.hpp>
#include <sluice/detail/target.hpp>
#include <sluice/detail/waiter.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace sluice::detail {

/// Calls a function at an instant, on a thread of a scheduler and under no lock.
/** While it is queued it keeps itself and is outstanding work; the context's end drops it. */
class one_shot : public std::enable_shared_from_this<one_shot>,
                 private party,
                 private parked_handler {
 public:
  /// @param again Whether the function may call `start_again`.
  one_shot(scheduler& s, std::function<void()> f, bool again = false);
  ~one_shot();

  /// Queues it, unless its context is ending: then it drops its function. Called once, by somebody
  /// who knows that the scheduler is there. @throws std::bad_alloc
  void start(std::chrono::steady_clock::time_point at);

  /// Queues it once more. Called by its function, or right after that, once; needs no memory.
  void start_again(std::chrono::steady_clock::time_point at) noexcept;

  /// Takes it out of the queue, if it still is there. Its scheduler may have gone.
  void stop() noexcept;

 private:
  static void fire(party& p) noexcept;
  static void end_parked(parked_handler& h) noexcept;

  const std::shared_ptr<scheduler_link> home_link_;
  std::function<void()> function_;
  sleep_waiter waiter_;
  const bool again_;
  std::shared_ptr<one_shot> kept_;
};

}  // namespace sluice::detail
