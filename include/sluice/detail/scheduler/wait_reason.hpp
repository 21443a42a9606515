// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

namespace sluice::detail {

/// What a goroutine waits on.
enum class wait_reason : std::uint8_t {
  start,
  send,
  receive,
  select,
  sleep,
  asio_operation,
  mutex,
  shared_mutex,
  semaphore,
  condition,
  wait_group,
  rate_limiter,
  context,
  worker_pool,
  when_all,
  for_each,
};

/// As reports name it.
[[nodiscard]] const char* text_of(wait_reason reason) noexcept;

}  // namespace sluice::detail
