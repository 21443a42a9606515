#pragma once

#include <sluice/detail/party.hpp>
#include <sluice/detail/worker.hpp>

namespace sluice::detail {

/// What `this_worker` returns. Only functions that no coroutine's body is inlined into may read it.
/** Initial-exec, so that the read is one instruction in the shared library too. */
[[gnu::tls_model("initial-exec")]] extern thread_local constinit worker* innermost;

/// An Asio operation has completed that `p` waits for: see `worker::completes`.
inline void note_completion(const party& p) noexcept {
  if (innermost && &innermost->owner == p.home) innermost->completes = true;
}

}  // namespace sluice::detail
