// SPDX-License-Identifier: BSL-1.0
// Lua scripts, which Redis runs as one step.
#pragma once

#include "../redis/client.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

/// A script, sent once to each server and called by its hash.
class redis_script {
 public:
  explicit redis_script(std::string text) : text_(std::move(text)) {}

  /// Makes it known to the server. Once, before it is called.
  [[nodiscard]] sluice::task<> load(redis_client redis);

  /// The command that calls it.
  template <class... Arguments>
  [[nodiscard]] redis_command command(std::initializer_list<std::string_view> keys,
                                      const Arguments&... arguments) const {
    redis_command c("EVALSHA", hash_, keys.size());
    for (const auto key : keys) c.add(key);
    (c.add(arguments), ...);
    return c;
  }

  /// Has it run, if need be on several connections one after the other: it does the same as once.
  /** @throws redis_error; sluice::system_error if the client has been closed */
  [[nodiscard]] sluice::task<redis_reply> run(redis_client redis, redis_command command) const;

 private:
  std::string text_;
  std::string hash_;
};
