#pragma once

#include <sluice/channel.hpp>

#include "../support.hpp"

#include <cstddef>
#include <numeric>
#include <vector>

// What the tests of channels share.
namespace sluice_test {

inline task<> receive_all(receiver<int> in, ints& got) {
  while (auto v = co_await in.receive()) got.push_back(*v);
}

/// Receives one value, -1 if there is none.
inline task<> receive_one(receiver<int> in, ints& got) {
  const auto v = co_await in.receive();
  got.push_back(v.value_or(-1));
}

/// Receives one value and notes who got what: `1000 * name + value`, or `1000 * name` if closed.
inline task<> receive_one(receiver<int> in, int name, ints& log) {
  const auto v = co_await in.receive();
  log.push_back(1000 * name + v.value_or(0));
}

inline task<> send_one(sender<int> out, int value, std::vector<error_code>& results) {
  const auto e = co_await error_of(out.send(value));
  results.push_back(e);
}

inline ints numbers(int first, int last) {
  ints result(static_cast<std::size_t>(last - first + 1));
  std::iota(result.begin(), result.end(), first);
  return result;
}

}  // namespace sluice_test
