// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sluice::detail {

/// Decides what a simulation leaves open.
class strategy {
 public:
  /// Something that is ready: a goroutine, whose number is the same each time, a function, or the
  /// clock.
  using id = std::uint64_t;

  strategy() = default;
  strategy(const strategy&) = delete;
  strategy& operator=(const strategy&) = delete;
  virtual ~strategy() = default;

  /// Which of them runs next, of two at least.
  [[nodiscard]] virtual std::uint32_t next(std::span<const id> ready) = 0;
  /// What becomes of a goroutine that need not wait.
  enum class interruption : std::uint32_t {
    none,
    after,   ///< it suspends when its operation is done
    before,  ///< others run first, inside its step
  };

  /// What becomes of `running`, which comes to an operation, while others are ready.
  [[nodiscard]] virtual interruption before_operation(id running, std::span<const id> ready) = 0;
  /// Whether `running`, which was not asked about before its operation and need not suspend, does
  /// so in favour of one of `ready`.
  [[nodiscard]] virtual bool suspends(id running, std::span<const id> ready) = 0;
  /// A number below `bound`, which is at least 2: the case of a select, one of several timers.
  [[nodiscard]] virtual std::uint32_t choose(std::uint32_t bound) = 0;
};

/// Every goroutine runs until it must wait, and those that are ready have their turns in order.
class first_come final : public strategy {
 public:
  std::uint32_t next(std::span<const id>) override { return 0; }
  interruption before_operation(id, std::span<const id>) override { return interruption::none; }
  bool suspends(id, std::span<const id>) override { return false; }
  std::uint32_t choose(std::uint32_t) override { return 0; }
};

/// A strategy that decides by chance, always alike for the same seed.
/** Every other seed chooses evenly at each step; the others give each goroutine a priority, which
 * is lowered at a few random steps. */
[[nodiscard]] std::unique_ptr<strategy> strategy_of_seed(std::uint64_t seed);

/// What was left open once, and how it was decided.
struct decision {
  enum class question : std::uint8_t { next, interrupts, choose };

  question about;
  std::uint32_t among;
  std::uint32_t taken;
};

/// The decisions of one run, in order.
using schedule = std::vector<decision>;

}  // namespace sluice::detail
