// SPDX-License-Identifier: BSL-1.0
// What is thrown when a value is read of a receive that got none: here, so that the reading itself
// stays small where it is inlined.

#include <sluice/received.hpp>

namespace sluice::detail {

void throw_nothing_received() {
  throw_error(error::closed,
              "sluice: a value was read of a receive that got none (test it: if (auto v = "
              "co_await ch.receive()))");
}

}  // namespace sluice::detail
