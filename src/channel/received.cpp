// The end of the slow path of `received`, so that the fast one stays small.
#include <sluice/received.hpp>

namespace sluice::detail {

void throw_nothing_received() {
  throw_error(error::closed,
              "sluice: a value was read of a receive that got none (test it: if (auto v = "
              "co_await ch.receive()))");
}

}  // namespace sluice::detail
