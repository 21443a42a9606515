// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/task/main_task.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/detail/testing/simulator.hpp>
#include <sluice/executor.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task.hpp>
#include <sluice/testing/simulation_failure.hpp>

#include <boost/asio/execution_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

namespace sluice::detail {

class exploration_run;

}  // namespace sluice::detail

namespace sluice::testing {

/// Runs goroutines on one thread with a clock of its own, so that a run can be repeated exactly.
/**
 * An execution context, for all that takes one: `go(sim, …)`, `make_channel`, `asio::post`,
 * `asio::make_strand`, `asio::co_spawn`, completion tokens. The code that runs in it is unchanged.
 *
 * Time stands still while anything is ready, and then jumps to the next deadline: an hour of
 * sleeps, timers, timeouts and contexts takes milliseconds. It starts at a fixed instant, and
 * `sluice::now` shows it. What a scheduler leaves open is decided by a seed: which ready goroutine
 * runs next, where one that need not suspend does so all the same, which ready case of a select
 * happens, which of several deadlines at the same instant comes first.
 *
 * What happens on other threads does not belong to it: Asio's timers and sockets, `offload`. If
 * such a thing makes something ready here, that is a failure.
 *
 * @code
 * sluice::testing::simulation sim;
 * sim.run([]() -> sluice::task<> {
 *   const auto begin = sluice::now();
 *   co_await sluice::sleep_for(std::chrono::hours(1));
 *   assert(sluice::now() - begin == std::chrono::hours(1));
 * });
 * @endcode
 *
 * @par Thread safety
 * None: it is made, used, run and destroyed on one thread.
 *
 * Source: Go's `testing/synctest`; Rust's shuttle and madsim.
 */
class simulation : public asio::execution_context {
 public:
  /// Runs functions in this simulation.
  using executor_type = executor;

  /// @param seed The same seed gives the same run.
  SLUICE_DECL explicit simulation(std::uint64_t seed = 1);
  simulation(const simulation&) = delete;
  simulation& operator=(const simulation&) = delete;
  /// Destroys the goroutines that are left.
  SLUICE_DECL ~simulation();

  /// What functions are given to that are to run here.
  [[nodiscard]] SLUICE_DECL executor_type get_executor() noexcept;

  /// Runs `main` as a goroutine, and returns its result.
  /**
   * When main has ended the others go on until all of them wait; time does not pass any more, as in
   * Go's synctest.
   *
   * @param main As the `what` of `go`.
   * @throws simulation_failure; what leaves main or another goroutine; std::logic_error inside a
   * goroutine of this simulation.
   */
  template <detail::startable Main>
  detail::result_of_start_t<Main> run(Main&& main,
                                      std::source_location here = std::source_location::current()) {
    using result = detail::result_of_start_t<Main>;
    const auto end = std::make_shared<detail::end_of_main<result>>();
    detail::start(detail::start_point_of(*this),
                  detail::run_main<std::decay_t<Main>>(end, std::forward<Main>(main),
                                                       [](const void*) noexcept {}),
                  false, here);
    run_main_to_end(end->reached);
    if (!end->failure) check_left_over();
    return end->take();
  }

  /// Runs what is ready, and lets time pass, until all goroutines have ended or wait for nothing
  /// that time brings.
  /** @throws As `run(main)`, but says nothing about those that wait. */
  SLUICE_DECL void run();
  /// Runs until all goroutines have ended or wait; time does not pass.
  /** For use outside goroutines. @throws As `run()`. */
  SLUICE_DECL void settle();
  /// Lets `d` pass, and runs until all goroutines have ended or wait at that time.
  /** For use outside goroutines. @throws As `run()`. */
  SLUICE_DECL void advance(clock::duration d);

  /// Its time.
  [[nodiscard]] SLUICE_DECL clock::time_point now() const noexcept;
  /// The seed that it was made with.
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

  /// Goroutines, or others with outstanding work, that are left when main has ended are no failure.
  void allow_left_over() noexcept { left_over_is_allowed_ = true; }
  /// How many steps may follow each other while no time passes; a million if this is not called.
  SLUICE_DECL void limit_steps(std::size_t n) noexcept;

  /// Who ran when: a line for each of the last 200 steps.
  [[nodiscard]] SLUICE_DECL std::string describe_steps() const;

 private:
  friend class detail::exploration_run;

  simulation(std::uint64_t seed, std::unique_ptr<detail::strategy> by,
             std::vector<std::uint32_t> decided);

  SLUICE_DECL void run_main_to_end(const bool& ended);
  SLUICE_DECL void check_left_over() const;

  const std::uint64_t seed_;
  bool left_over_is_allowed_ = false;
  const std::unique_ptr<detail::simulator> simulator_;
};

/// Returns when all other goroutines of the simulation have ended or wait. Go's `synctest.Wait`.
/** Time does not pass meanwhile. Awaited in a goroutine of a simulation; `where` is what reports
 * say of it. @throws std::logic_error elsewhere */
[[nodiscard("co_await it")]] SLUICE_DECL task<> settle(
    std::source_location where = std::source_location::current());

/// Lets `d` pass, and returns when all others have ended or wait at that time.
/** As `settle`. */
[[nodiscard("co_await it")]] SLUICE_DECL task<> advance(
    clock::duration d, std::source_location where = std::source_location::current());

/// Something that must hold after each step, as long as this object lives.
class invariant {
 public:
  /// Used by `always`.
  explicit invariant(std::shared_ptr<const detail::kept_invariant> kept) noexcept
      : kept_(std::move(kept)) {}

 private:
  std::shared_ptr<const detail::kept_invariant> kept_;
};

/// Looks after each step of the simulation whether `holds()`, as long as what it returns lives.
/**
 * Called in a goroutine of a simulation. That it does not hold, or throws, is a
 * `simulation_failure`; what it has thrown is nested in that.
 *
 * @param holds Looks only: it makes nothing ready and waits for nothing.
 * @param what Said of it in the failure, with `where`.
 * @param where By default the line of the call.
 * @throws std::logic_error outside a simulation
 *
 * @code
 * int inside = 0;
 * const auto alone = sluice::testing::always([&] { return inside <= 1; }, "one at a time");
 * @endcode
 */
[[nodiscard("it is looked at as long as this lives")]] SLUICE_DECL invariant
always(std::function<bool()> holds, std::string what = {},
       std::source_location where = std::source_location::current());

}  // namespace sluice::testing
