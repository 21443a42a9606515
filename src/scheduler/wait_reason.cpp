// SPDX-License-Identifier: BSL-1.0
#include <sluice/detail/scheduler/wait_reason.hpp>

// The words of reports for what goroutines wait on.

namespace sluice::detail {

const char* text_of(wait_reason reason) noexcept {
  switch (reason) {
    case wait_reason::start:
      return "its start";
    case wait_reason::send:
      return "send";
    case wait_reason::receive:
      return "receive";
    case wait_reason::select:
      return "select";
    case wait_reason::sleep:
      return "sleep";
    case wait_reason::asio_operation:
      return "an Asio operation";
    case wait_reason::mutex:
      return "mutex";
    case wait_reason::shared_mutex:
      return "shared_mutex";
    case wait_reason::semaphore:
      return "semaphore";
    case wait_reason::condition:
      return "condition";
    case wait_reason::wait_group:
      return "wait_group";
    case wait_reason::rate_limiter:
      return "rate_limiter";
    case wait_reason::context:
      return "context";
    case wait_reason::worker_pool:
      return "worker_pool";
    case wait_reason::when_all:
      return "when_all";
    case wait_reason::for_each:
      return "for_each";
  }
  return "something unknown";
}

}  // namespace sluice::detail
