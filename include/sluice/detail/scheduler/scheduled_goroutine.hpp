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
  /// Destroys its frames. Called when its context ends.
  using end_function = void(scheduled_goroutine&) noexcept;

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
