// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/testing/simulation.hpp>

#include <concepts>
#include <functional>
#include <source_location>
#include <string>

namespace sluice::testing {

struct explore_options;
struct explore_all_options;
struct exploration;

}  // namespace sluice::testing

namespace sluice::detail {

/// What is explored: a main, perhaps one that wants to know its simulation.
template <class Body>
concept explorable = std::invocable<Body&> || std::invocable<Body&, testing::simulation&>;

using simulated_body = std::function<void(testing::simulation&)>;

/// A body as a function that runs it in a simulation.
template <class Body>
[[nodiscard]] simulated_body in_simulation(Body& body, std::source_location here) {
  return [&body, here](testing::simulation& sim) {
    if constexpr (std::invocable<Body&, testing::simulation&>)
      static_cast<void>(sim.run([&body, &sim] { return body(sim); }, here));
    else
      static_cast<void>(sim.run([&body] { return body(); }, here));
  };
}

[[nodiscard]] SLUICE_DECL testing::exploration explore(const testing::explore_options& options,
                                                       const simulated_body& what);
[[nodiscard]] SLUICE_DECL testing::exploration explore_all(
    const testing::explore_all_options& options, const simulated_body& what);
SLUICE_DECL void replay(const std::string& decisions, const simulated_body& what);

}  // namespace sluice::detail
