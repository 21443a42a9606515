// SPDX-License-Identifier: BSL-1.0
// What a user calls of a simulation. The services of its context end before the simulator, which
// they ask.

#include <sluice/testing/simulation.hpp>

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/task/awaited_at.hpp>
#include <sluice/runtime.hpp>

namespace sluice::testing {

simulation::simulation(std::uint64_t seed) : simulation(seed, detail::strategy_of_seed(seed), {}) {}

simulation::simulation(std::uint64_t seed, std::unique_ptr<detail::strategy> by,
                       std::vector<std::uint32_t> decided)
    : seed_(seed),
      simulator_(std::make_unique<detail::simulator>(*this, std::move(by), std::move(decided))) {}

simulation::~simulation() {
  simulator_->give_back();
  shutdown();
  destroy();
}

simulation::executor_type simulation::get_executor() noexcept {
  return detail::executor_on(detail::dispatcher_ptr(detail::scheduler::of(*this)));
}

void simulation::run() {
  const bool never = false;
  simulator_->run_until(clock::time_point::max(), never);
}

void simulation::settle() {
  simulator_->run_ready();
}

void simulation::advance(clock::duration d) {
  const bool never = false;
  simulator_->run_until(detail::add_saturated(now(), d), never);
}

clock::time_point simulation::now() const noexcept {
  return simulator_->now();
}

void simulation::limit_steps(std::size_t n) noexcept {
  simulator_->limit_steps(n);
}

std::string simulation::describe_steps() const {
  return simulator_->describe_steps();
}

void simulation::run_main_to_end(const bool& ended) {
  simulator_->run_until(clock::time_point::max(), ended);
  if (!ended) simulator_->fail_by_deadlock();
  simulator_->run_ready();
}

void simulation::check_left_over() const {
  const auto left = simulator_->describe_waits();
  if (left_over_is_allowed_ || left.empty()) return;
  detail::throw_exception(simulation_failure(
      simulation_failure::reason::left_over,
      "main has ended, time stands still, and nobody has stopped these:" + left));
}

task<> settle(std::source_location where) {
  const auto settled =
      detail::simulator::of_running_goroutine("sluice::testing::settle").when_settled();
  auto wait = settled.receive();
  static_cast<void>(co_await detail::awaited_at(wait, where));
}

task<> advance(clock::duration d, std::source_location where) {
  static_cast<void>(detail::simulator::of_running_goroutine("sluice::testing::advance"));
  auto sleep = sleep_for(d);
  co_await detail::awaited_at(sleep, where);
  co_await settle(where);
}

invariant always(std::function<bool()> holds, std::string what, std::source_location where) {
  auto& s = detail::simulator::of_running_goroutine("sluice::testing::always");
  const auto kept = std::make_shared<const detail::kept_invariant>(
      detail::kept_invariant{std::move(holds), std::move(what), where});
  s.keep(kept);
  return invariant(kept);
}

}  // namespace sluice::testing
