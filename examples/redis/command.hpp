// SPDX-License-Identifier: BSL-1.0
// A command for Redis.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

/// A command and its arguments, in the form in which they are sent.
class redis_command {
 public:
  template <class... Arguments>
  explicit redis_command(std::string_view name, const Arguments&... arguments) {
    body_.reserve(256);
    add(name);
    (add(arguments), ...);
  }

  /// Adds an argument; any bytes.
  redis_command& add(std::string_view argument) {
    ++arguments_;
    body_ += '$';
    body_ += std::to_string(argument.size());
    body_ += "\r\n";
    body_ += argument;
    body_ += "\r\n";
    return *this;
  }
  redis_command& add(std::integral auto argument) { return add(std::to_string(argument)); }

  /// Whether it is one that the server answers once, as this client's `send` needs it.
  [[nodiscard]] bool answered_once() const {
    static constexpr std::string_view others[] = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE",
                                                  "MONITOR"};
    const auto same = [](char a, char b) { return (a & ~0x20) == b; };
    const std::string_view name = std::string_view(body_).substr(body_.find('\n') + 1);
    return std::none_of(std::begin(others), std::end(others), [&](std::string_view other) {
      return name.size() > other.size() && name[other.size()] == '\r' &&
             std::equal(other.begin(), other.end(), name.begin(),
                        [&](char o, char n) { return same(n, o); });
    });
  }

  /// What is sent: the protocol's array of strings.
  [[nodiscard]] std::string wire() const {
    std::string text;
    text.reserve(body_.size() + 16);
    text += '*';
    text += std::to_string(arguments_);
    text += "\r\n";
    return text += body_;
  }

 private:
  std::size_t arguments_ = 0;
  std::string body_;
};
