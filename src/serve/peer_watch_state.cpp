// SPDX-License-Identifier: BSL-1.0
// A look at a socket that takes nothing out of it: whether its peer is still there.

#include <sluice/detail/serve/peer_watch_state.hpp>

#if __has_include(<poll.h>)
#include <poll.h>
#include <sys/socket.h>
#endif

namespace sluice::detail {

peer look_at_peer([[maybe_unused]] int descriptor) noexcept {
#if __has_include(<poll.h>)
#ifdef POLLRDHUP
  constexpr short ended = POLLRDHUP;
#else
  constexpr short ended = 0;
#endif
  ::pollfd socket{descriptor, static_cast<short>(POLLIN | ended), 0};
  if (::poll(&socket, 1, 0) < 0) return peer::there;
  if (socket.revents & (POLLERR | POLLHUP | POLLNVAL)) return peer::gone;
  if (socket.revents & ended) return peer::has_ended_its_stream;
  char byte;
  if ((socket.revents & POLLIN) && ::recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    return peer::has_ended_its_stream;
#endif
  return peer::there;
}

}  // namespace sluice::detail
