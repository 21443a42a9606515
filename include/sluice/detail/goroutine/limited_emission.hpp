// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/goroutine/emission.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>
#include <sluice/detail/scheduler/worker.hpp>

#include <memory>

namespace sluice::detail {

class goroutine;

/// A signal that is emitted when an operation has taken too long.
/**
 * In the queue of timers it keeps itself, so it does not matter there that the operation completes.
 * It stays in the queue while the goroutine's step goes on, and for the step's next wait of this
 * kind: that one's limit is later as a rule, and the node is moved when it is due. So a server that
 * limits each of its reads and writes sets timers as seldom as their limits pass.
 */
class limited_emission : public emission, timer_node, left_over {
 public:
  using time_point = timer_node::time_point;

  /// For a wait of `g` that may go on until `t`: what the wait before it in this step has left, if
  /// it is in such a step and nobody can still ask for the cancellation of that one, or a new one
  /// in recycled memory.
  /** @throws std::bad_alloc */
  [[nodiscard]] SLUICE_DECL static std::shared_ptr<emission> begin(goroutine& g, bool in_step,
                                                                   time_point t);

  /// The wait has ended, in a step of the goroutine.
  /** @return Whether it was too late. */
  [[nodiscard]] bool end_in_step(std::shared_ptr<emission> self) noexcept;
  /// The wait has ended, and there may be no next one.
  SLUICE_DECL void end() noexcept;

 protected:
  SLUICE_DECL explicit limited_emission(goroutine& g) noexcept;
  ~limited_emission() = default;

 private:
  SLUICE_DECL void give_up() noexcept override;
  [[nodiscard]] bool passes() noexcept;
  [[nodiscard]] bool begin_again(time_point t) noexcept;

  static const kind emits;

  goroutine& goroutine_;  ///< while a wait of it is under way, or a step
  const dispatcher_ptr strand_;
  time_point limit_{};    ///< of the wait; the node may be due before
  bool waiting_ = false;  ///< a wait is under way
  bool too_late_ = false;
  std::shared_ptr<limited_emission> queued_self_;  ///< while it is in the queue of timers
  std::shared_ptr<emission> left_self_;            ///< while a step has left it
};

}  // namespace sluice::detail
