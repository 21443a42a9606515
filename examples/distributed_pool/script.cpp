// SPDX-License-Identifier: BSL-1.0
#include "script.hpp"

sluice::task<> redis_script::load(redis_client redis) {
  const auto reply = co_await redis.insist(redis_command("SCRIPT", "LOAD", text_));
  if (reply.is_error()) throw redis_error(reply.text());
  hash_ = reply.text();
}

sluice::task<redis_reply> redis_script::run(redis_client redis, redis_command command) const {
  for (;;) {
    auto reply = co_await redis.insist(command);
    if (!reply.is_error()) co_return reply;
    if (!reply.is_error("NOSCRIPT")) throw redis_error(reply.text());
    // A server that was restarted has forgotten it; the hash stays the same.
    const auto loaded = co_await redis.insist(redis_command("SCRIPT", "LOAD", text_));
    if (loaded.is_error()) throw redis_error(loaded.text());
  }
}
