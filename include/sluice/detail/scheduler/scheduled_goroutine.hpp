// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/scheduler/wait_reason.hpp>
#include <sluice/detail/scheduler/waker.hpp>

#include <source_location>

namespace sluice::detail {

/// A goroutine, as far as its scheduler knows it: something that becomes ready, waits, and belongs
/// to a context.
struct scheduled_goroutine : ready_node, waker, registered {
  /// Who counts it as outstanding work: its scheduler, or each of its dispatchers.
  enum class counted : unsigned char { nowhere, by_scheduler, by_dispatcher };
  /// What all goroutines of a scheduler have in common.
  struct functions {
    /// Destroys its frames. Called when its context ends.
    void (*end)(scheduled_goroutine&) noexcept;
    /// The next of those that belong to operations which `root`, or one below it, waits for: behind
    /// `at`, at first `root`; null behind the last.
    const scheduled_goroutine* (*next_below)(const scheduled_goroutine& root,
                                             const scheduled_goroutine& at) noexcept;
  };

  scheduled_goroutine(ready_node::function* step, waker::function* woken, scheduler& s, counted c,
                      std::source_location start) noexcept
      : ready_node(step), waker(woken, &s), started_at(start), location(start), work(c) {}

  const std::source_location started_at;
  /// Where it waits, or last has; where it was started, if it never has.
  std::source_location location;
  const counted work;
  wait_reason waiting_on = wait_reason::start;
  /// What is known of it beside it, by these: its name in the registry, its number in a simulation.
  /// Under the registry's lock.
  unsigned char known = 0;
  static constexpr unsigned char name = 1;
  static constexpr unsigned char number = 2;
};

}  // namespace sluice::detail
