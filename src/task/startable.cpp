// SPDX-License-Identifier: BSL-1.0
// Where the running goroutine starts others: on its own dispatcher, and as work if it is that
// itself.

#include <sluice/detail/task/startable.hpp>

#include <sluice/detail/goroutine/goroutine.hpp>

namespace sluice::detail {

start_point current_start_point(const char* caller) {
  goroutine& g = current_goroutine(caller);
  return {g.start_dispatcher(), g.counts_as_work()};
}

}  // namespace sluice::detail
