// SPDX-License-Identifier: BSL-1.0
// How a seed decides. The same seed and the same questions give the same answers, on every machine.

#include <sluice/detail/testing/strategy.hpp>

#include "base/split_mix.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace sluice::detail {

namespace {

/// The random numbers of a seed.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] std::uint64_t next() noexcept { return split_mix(state_); }
  [[nodiscard]] std::uint32_t below(std::uint64_t bound) noexcept {
    return split_mix_below(state_, bound);
  }

 private:
  std::uint64_t state_;
};

/// Everything that is ready has the same chance.
class random_walk final : public strategy {
 public:
  explicit random_walk(random_numbers numbers)
      : numbers_(numbers), suspends_one_of_(2U << (2 * numbers_.below(3))) {}

  std::uint32_t next(std::span<const id> ready) override { return numbers_.below(ready.size()); }
  interruption before_operation(id running, std::span<const id> ready) override {
    if (!suspends(running, ready)) return interruption::none;
    return numbers_.below(2) == 0 ? interruption::after : interruption::before;
  }
  bool suspends(id, std::span<const id>) override { return numbers_.below(suspends_one_of_) == 0; }
  std::uint32_t choose(std::uint32_t bound) override { return numbers_.below(bound); }

 private:
  random_numbers numbers_;
  /// Of so many steps that need not suspend one does.
  const std::uint32_t suspends_one_of_;
};

/// The one with the highest priority runs, and at a few steps the priority of the one that would is
/// lowered beneath all others.
/** After S. Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding
 * Bugs". How many steps there will be is not known: it is guessed, by chance. */
class random_priorities final : public strategy {
 public:
  explicit random_priorities(random_numbers numbers) : numbers_(numbers) {
    const auto steps = std::uint64_t{8} << numbers_.below(10);
    for (auto changes = 1 + numbers_.below(4); changes != 0; --changes)
      changes_.push_back(numbers_.below(steps));
  }

  std::uint32_t next(std::span<const id> ready) override {
    change_priority(ready[first_of(ready)]);
    return first_of(ready);
  }
  interruption before_operation(id running, std::span<const id> ready) override {
    return suspends(running, ready) ? interruption::before : interruption::none;
  }
  bool suspends(id running, std::span<const id> ready) override {
    change_priority(running);
    return priority(ready[first_of(ready)]) > priority(running);
  }
  std::uint32_t choose(std::uint32_t bound) override { return numbers_.below(bound); }

 private:
  [[nodiscard]] std::uint64_t priority(id who) {
    const auto [at, is_new] = priorities_.try_emplace(who);
    if (is_new) at->second = numbers_.next() | lowest_at_first;
    return at->second;
  }
  [[nodiscard]] std::uint32_t first_of(std::span<const id> ready) {
    const auto by_priority = [this](id who) { return priority(who); };
    return static_cast<std::uint32_t>(std::ranges::max_element(ready, {}, by_priority) -
                                      ready.begin());
  }
  void change_priority(id who) {
    if (std::ranges::find(changes_, steps_++) == changes_.end()) return;
    priorities_[who] = --next_low_;
  }

  static constexpr std::uint64_t lowest_at_first = std::uint64_t{1} << 63;

  random_numbers numbers_;
  std::vector<std::uint64_t> changes_;
  std::uint64_t steps_ = 0;
  std::uint64_t next_low_ = lowest_at_first;
  std::map<id, std::uint64_t> priorities_;
};

}  // namespace

std::unique_ptr<strategy> strategy_of_seed(std::uint64_t seed) {
  random_numbers numbers(seed);
  // So that neighbours have nothing in common.
  random_numbers mixed(numbers.next());
  if (seed % 2 == 0) return std::make_unique<random_walk>(mixed);
  return std::make_unique<random_priorities>(mixed);
}

}  // namespace sluice::detail
