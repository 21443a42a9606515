// SPDX-License-Identifier: BSL-1.0
// The name of the running goroutine, which its scheduler keeps until it has ended.

#include <sluice/this_goroutine.hpp>

#include <sluice/detail/scheduler/scheduler.hpp>

#include <utility>

namespace sluice::this_goroutine {

void set_name(std::string name) {
  auto& g = detail::current_goroutine("sluice::this_goroutine::set_name");
  g.home->set_name(g, std::move(name));
}

}  // namespace sluice::this_goroutine
