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

/// Calls a function at an instant, once, on a thread of a scheduler and under no lock.
/** While it is queued it keeps itself and is outstanding work; the context's shutdown drops it. */
class one_shot : public std::enable_shared_from_this<one_shot>,
                 private party,
                 private parked_handler {
 public:
  one_shot(scheduler& s, std::function<void()> f);

  /// Queues it. Called once. @throws std::bad_alloc
  void start(std::chrono::steady_clock::time_point at);

  /// Takes it out of the queue; false if it is being called, has been called, or was not queued.
  bool stop() noexcept;

 private:
  [[nodiscard]] bool withdraw() noexcept;

  static void fire(party& p) noexcept;
  static bool withdraw_parked(parked_handler& h) noexcept;
  static void destroy_parked(parked_handler& h) noexcept;

  std::function<void()> function_;
  sleep_waiter waiter_;
  std::shared_ptr<one_shot> kept_;
};

}  // namespace sluice::detail
