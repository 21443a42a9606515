#pragma once

#include <sluice/testing/simulation.hpp>

#include <utility>

namespace sluice_test {

/// Runs `main` as a goroutine on a clock of its own, which goes on when all wait: what sleeps takes
/// no time, and lasts exactly as long as it should. Nobody may be left when main has ended.
/** @throws What leaves a goroutine. */
template <class Main>
void run_in_virtual_time(Main main) {
  sluice::testing::simulation sim;
  sim.run(std::move(main));
}

}  // namespace sluice_test
