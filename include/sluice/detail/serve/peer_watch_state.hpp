// SPDX-License-Identifier: BSL-1.0
// What looks at the other end of a socket without reading from it.
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/base/access.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/error.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/socket_base.hpp>

#include <chrono>
#include <memory>
#include <utility>

namespace sluice::detail {

/// What a look at a socket says about its peer.
enum class peer { there, has_ended_its_stream, gone };
[[nodiscard]] SLUICE_DECL peer look_at_peer(int descriptor) noexcept;
/// Of a socket that has a descriptor, or of a connection in memory.
template <class Socket>
[[nodiscard]] peer look_at_peer_of(Socket& socket) {
  if constexpr (requires { socket.native_handle(); })
    return detail::look_at_peer(socket.native_handle());
  else
    return access::look_at_peer(socket);
}

/// What a watch and its goroutine share, on the strand of the socket.
class peer_watch_state {
 public:
  peer_watch_state(const context& parent, clock::duration after)
      : patience(after), tree_(with_cancel(parent)) {}

  /// Done when the peer has gone.
  [[nodiscard]] const context& ctx() const noexcept { return tree_.ctx; }
  void peer_has_gone() const { tree_.cancel(); }

  /// Nobody wants to know any more, and the socket may go at once: what waits for it is cancelled
  /// here and now. A request that is posted, as that of a context is, would come too late.
  void end() {
    ended_ = true;
    signal_.emit(asio::cancellation_type::terminal);
  }
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  /// A handler of what `end` cancels.
  template <class Executor, class Function>
  [[nodiscard]] auto until_end(const Executor& strand, Function f) {
    return asio::bind_cancellation_slot(signal_.slot(), asio::bind_executor(strand, std::move(f)));
  }

  const clock::duration patience;

 private:
  const cancellable_context tree_;
  asio::cancellation_signal signal_;
  bool ended_ = false;
};

template <class Executor, class Socket>
void watch_peer(const std::shared_ptr<peer_watch_state>& s, const Executor& strand,
                Socket& socket) {
  auto look = [s, strand, &socket](error_code error) {
    if (s->ended()) return;
    const peer found = error ? peer::gone : detail::look_at_peer_of(socket);
    if (found == peer::gone) return s->peer_has_gone();
    // There is something to be read, which is the handler's business: the end may come after it.
    const bool is_there = found == peer::there;
    auto go_on = [s, strand, &socket, is_there](error_code) {
      if (s->ended()) return;
      if (is_there)
        detail::watch_peer(s, strand, socket);
      else
        s->peer_has_gone();
    };
    sleep_for(is_there ? clock::duration(std::chrono::milliseconds(50))
                       : s->patience)(s->until_end(strand, std::move(go_on)));
  };
  socket.async_wait(asio::socket_base::wait_read, s->until_end(strand, std::move(look)));
}

}  // namespace sluice::detail
