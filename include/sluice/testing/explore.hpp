// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/testing/exploration.hpp>
#include <sluice/testing/simulation.hpp>
#include <sluice/testing/simulation_failure.hpp>

#include <cstdint>
#include <source_location>
#include <string>
#include <utility>

namespace sluice::testing {

/// Which runs `explore` tries.
struct explore_options {
  /// The seed of the first run; each one after it has the next.
  std::uint64_t first_seed = 1;
  /// How many runs.
  std::uint64_t seeds = 1000;
};

/// Which runs `explore_all` tries.
struct explore_all_options {
  /// How often in a run a goroutine that need not suspend does so all the same, at most.
  std::uint32_t preemptions = 2;
  /// After how many runs it gives up.
  std::uint64_t most_schedules = 1'000'000;
};

/// What a search has done that has found nothing wrong.
struct exploration {
  /// How many runs it has tried.
  std::uint64_t schedules = 0;
  /// `explore_all` only: these were all that there are within its bound.
  bool complete = false;
};

/// Runs `body` in a simulation of its own for each of many seeds.
/**
 * Half of the seeds choose evenly among what is ready; the others run what has the highest priority
 * and lower that at a few random steps, which finds most faults that need few switches.
 *
 * A run that fails is shortened: as few decisions as can be differ from "each goroutine runs until
 * it must wait, in the order in which they became ready". Goroutines are interrupted before and
 * after what they await, not at a `try_send`, an unlock or a plain variable. The failure lists who
 * ran when, and says how to see it again. If the environment variable SLUICE_SIMULATION_SEED is
 * set, only that seed is tried.
 *
 * @param options Which seeds.
 * @param body A callable that returns a task, an awaitable, or is run as a plain function; with a
 * `simulation&` as its argument if it takes one. Called once for each run, so what a run changes is
 * in it, not outside.
 * @throws simulation_failure; an exception that leaves `body` or a goroutine is nested in it.
 * std::invalid_argument for a SLUICE_SIMULATION_SEED that is no number.
 *
 * @code
 * sluice::testing::explore({.first_seed = 1, .seeds = 10'000}, two_deposits);
 * @endcode
 */
template <detail::explorable Body>
exploration explore(const explore_options& options, Body body,
                    std::source_location here = std::source_location::current()) {
  return detail::explore(options, detail::in_simulation(body, here));
}

/// The same with a thousand seeds.
template <detail::explorable Body>
exploration explore(Body body, std::source_location here = std::source_location::current()) {
  return testing::explore({}, std::move(body), here);
}

/// Runs `body` once for each way in which a scheduler may run it, within a bound.
/**
 * All orders in which goroutines go on when one must wait, all cases of selects, all orders of
 * deadlines at the same instant, and up to `preemptions` suspensions of goroutines that need not
 * suspend. For small bodies: the number of runs grows fast.
 *
 * @param options Within which bound.
 * @param body As of `explore`.
 * @return How many runs there were, and whether those were all. The seed of its simulations is 0.
 * @throws As `explore`; the first failure that is found, shortened.
 *
 * Source: M. Musuvathi and S. Qadeer, "Iterative Context Bounding for Systematic Testing of
 * Multithreaded Programs".
 */
template <detail::explorable Body>
exploration explore_all(const explore_all_options& options, Body body,
                        std::source_location here = std::source_location::current()) {
  return detail::explore_all(options, detail::in_simulation(body, here));
}

/// The same with two preemptions.
template <detail::explorable Body>
exploration explore_all(Body body, std::source_location here = std::source_location::current()) {
  return testing::explore_all({}, std::move(body), here);
}

/// Runs `body` once, as a run that has failed did.
/**
 * @param decisions What the failure says.
 * @param body As of `explore`.
 * @throws As `explore`, and std::invalid_argument if `decisions` are none.
 */
template <detail::explorable Body>
void replay(const std::string& decisions, Body body,
            std::source_location here = std::source_location::current()) {
  detail::replay(decisions, detail::in_simulation(body, here));
}

}  // namespace sluice::testing
