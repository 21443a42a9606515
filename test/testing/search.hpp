#pragma once

#include <sluice/task.hpp>
#include <sluice/testing/explore.hpp>
#include <sluice/testing/simulation.hpp>
#include <sluice/testing/simulation_failure.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <ostream>
#include <string>

/// Programs with a fault that may be planted in them, tried with many seeds.
namespace sluice_test {

using program = sluice::task<>(sluice::testing::simulation& sim, bool planted);

struct named_program {
  const char* name;
  program* run;

  friend std::ostream& operator<<(std::ostream& to, const named_program& p) { return to << p.name; }
};

/// Tries `run` with its fault, or without.
inline void try_seeds(std::uint64_t seeds, program* run, bool planted) {
  sluice::testing::explore({.seeds = seeds}, [run, planted](sluice::testing::simulation& sim) {
    return run(sim, planted);
  });
}

/// Whether the search finds the fault of `run`.
inline bool search_finds(program* run) {
  constexpr std::uint64_t most_seeds = 10'000;
  try {
    try_seeds(most_seeds, run, true);
  } catch (const sluice::testing::simulation_failure& e) {
    const std::string text = e.what();
    BOOST_TEST_MESSAGE(text.substr(0, text.find('\n')));
    return true;
  }
  return false;
}

}  // namespace sluice_test
