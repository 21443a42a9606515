// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/intrusive_list.hpp>

namespace sluice::detail {

/// What belongs to a context and ends with it at the latest: a goroutine, a handler that is parked
/// somewhere, the function of a timer.
/**
 * One protocol for all of them. It is listed under its scheduler's registry lock, which also
 * carries "shutting down": the context's end finds it, or it is refused, and whoever registers
 * destroys it again. Whoever takes it back, to resume or to stop it, takes it off the list, which
 * is refused from the moment that the end has begun: then the end alone destroys it. The end takes
 * it off the list under the lock, and withdraws and destroys it under none; whoever has claimed its
 * waiter before holds a pin until he is done with it, and the end waits for that.
 */
struct registered : list_hook<registered> {};

/// The registered of one kind, youngest first.
class registered_list : public intrusive_list<registered> {
 public:
  registered_list() noexcept = default;
  registered_list(const registered_list&) = delete;
  registered_list& operator=(const registered_list&) = delete;
  ~registered_list() {
    SLUICE_ASSERT(empty(), "whatever is registered with a context has ended before it");
  }
};

/// A registered one outside goroutines: a handler parked in a channel, the function of a timer.
struct parked_handler : registered {
  using function = void(parked_handler&) noexcept;

  explicit parked_handler(function* f) noexcept : end(f) {}

  /// Takes it out of its wait queue and destroys it. Called when its context ends.
  function* end;
};

}  // namespace sluice::detail
