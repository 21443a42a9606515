// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/serve/peer_watch_state.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/execution/executor.hpp>

#include <memory>

namespace sluice {

/// A context that is done when the peer of a socket has gone, as long as this exists.
/**
 * For work that nobody needs when the client does not wait for it any more. A peer that has reset
 * the connection has gone; one that has ended its stream may still listen, and is taken for gone
 * some time later. Nothing is read from the socket.
 *
 * @par Thread safety
 * Made, used and destroyed on the strand on which the socket is used, and destroyed before the
 * socket.
 *
 * @code
 * sluice::peer_watch peer(co_await asio::this_coro::executor, c.ctx(), socket, 500ms);
 * const auto v = co_await sluice::select(answers.receive(), peer.ctx().done());
 * @endcode
 */
class peer_watch {
 public:
  /// @param strand Where the socket is used: the goroutine's `this_coro::executor`.
  /// @param parent When it is done, the context is.
  /// @param socket A stream socket of Asio's.
  /// @param after How long a peer may go on listening when it has ended its stream.
  /// @throws std::bad_alloc
  template <class Executor, class Socket>
    requires asio::execution::is_executor<Executor>::value
  peer_watch(const Executor& strand, const context& parent, Socket& socket, clock::duration after)
      : state_(std::make_shared<detail::peer_watch_state>(parent, after)) {
    detail::watch_peer(state_, strand, socket);
  }
  peer_watch(const peer_watch&) = delete;
  peer_watch& operator=(const peer_watch&) = delete;
  ~peer_watch() { state_->end(); }

  /// The context.
  [[nodiscard]] const context& ctx() const noexcept { return state_->ctx(); }

 private:
  const std::shared_ptr<detail::peer_watch_state> state_;
};

}  // namespace sluice
