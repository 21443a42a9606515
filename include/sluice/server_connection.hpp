// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/serve/serve_state.hpp>
#include <sluice/semaphore.hpp>

#include <memory>
#include <utility>

namespace sluice {

/// A connection's place in its server. Move-only: the connection has ended when this is destroyed.
/**
 * What a handler of `serve` gets with its socket. One that works with callbacks keeps it as long as
 * the connection lasts; a coroutine just lets it be destroyed with its parameters.
 *
 * @par Thread safety
 * Distinct objects: safe.
 */
class server_connection {
 public:
  /// Done when the connection is cut off. The handler's goroutine is bound to it.
  [[nodiscard]] const context& ctx() const noexcept { return member_.state()->cut(); }
  /// Done when the server begins to stop: the connection should end when it can.
  [[nodiscard]] const context& stopping() const noexcept { return member_.state()->stopping(); }

 private:
  friend struct detail::access;

  server_connection(std::shared_ptr<detail::serve_state> s, semaphore::permit permit)
      : member_(std::move(s), &detail::serve_state::connections), permit_(std::move(permit)) {}

  // Destroyed in the opposite order: the server may end as soon as the member is gone.
  detail::serve_member member_;
  semaphore::permit permit_;
};

}  // namespace sluice
