// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice::detail {

struct scheduled_goroutine;

/// What a scheduler asks instead of the clock, of chance and of other threads: a simulation.
/** Only by one thread, which runs everything that the scheduler has. */
class environment {
 public:
  /// The time for sleeps, timers and deadlines.
  [[nodiscard]] virtual std::chrono::steady_clock::time_point now() const noexcept = 0;
  /// A number below `bound`.
  [[nodiscard]] virtual std::uint32_t choose(std::uint32_t bound) noexcept = 0;
  /// The running goroutine comes to an operation: runs others first, perhaps.
  /** @return Whether the operation may be done without a wait, if it needs none. */
  virtual bool before_operation() noexcept = 0;
  /// Whether the running goroutine, whose operation needs no wait, goes on.
  [[nodiscard]] virtual bool after_operation() noexcept = 0;
  /// A goroutine has ended, and its name is about to be forgotten.
  virtual void goroutine_ended(const scheduled_goroutine& g) noexcept = 0;
  /// A goroutine goes on in another block.
  virtual void goroutine_moved(const scheduled_goroutine& g,
                               const scheduled_goroutine& to) noexcept = 0;

 protected:
  ~environment() = default;
};

}  // namespace sluice::detail
