// SPDX-License-Identifier: BSL-1.0
// What runs a simulation: one thread, a clock that goes on when nothing is ready, and a strategy
// that decides what is left open.
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/scheduler/environment.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/wait_reason.hpp>
#include <sluice/detail/testing/strategy.hpp>

#include <boost/asio/execution_context.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace sluice::detail {

class scheduler;
class worker;

/// Something that must hold after each step of a simulation.
struct kept_invariant {
  std::function<bool()> holds;
  std::string what;
  std::source_location where;
};

/// The choices, the clock and the trace of a simulation.
class simulator final : public environment {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// The instant at which simulations start. Later than any that the machine's clock shows, so
  /// that what compares the two finds no deadline passed.
  static constexpr time_point start{std::chrono::hours(24 * 365 * 100)};

  /// @param decided What is taken at first, before `by` is asked.
  simulator(asio::execution_context& context, std::unique_ptr<strategy> by,
            std::vector<std::uint32_t> decided);
  simulator(const simulator&) = delete;
  simulator& operator=(const simulator&) = delete;
  ~simulator();

  /// The simulation of the running goroutine.
  /** @throws std::logic_error if that is in none. */
  [[nodiscard]] static simulator& of_running_goroutine(const char* caller);

  /// Runs what is ready until nothing is, and then lets time pass to the next deadline, again and
  /// again, until `ended` or no deadline is before or at `until`. When that has been reached it is
  /// the time.
  void run_until(time_point until, const bool& ended);
  /// The same, but time stands still.
  void run_ready();

  [[nodiscard]] time_point now() const noexcept override { return now_; }
  [[nodiscard]] std::uint32_t choose(std::uint32_t bound) noexcept override;
  bool before_operation() noexcept override;
  [[nodiscard]] bool after_operation() noexcept override;
  void goroutine_ended(const scheduled_goroutine& g) noexcept override;
  void goroutine_moved(const scheduled_goroutine& g,
                       const scheduled_goroutine& to) noexcept override;

  /// Gives what is ready back to the scheduler, which is about to end.
  void give_back() noexcept;

  /// A channel that gives a value when nothing else is ready.
  [[nodiscard]] channel<bool> when_settled();
  void keep(std::weak_ptr<const kept_invariant> invariant) {
    invariants_.push_back(std::move(invariant));
  }
  void limit_steps(std::size_t n) noexcept { most_steps_ = n; }

  [[nodiscard]] bool is_running_here() const noexcept {
    return running_on_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }
  /// Something was made ready; perhaps by another thread, which the simulation cannot repeat.
  void made_ready() noexcept;

  /// Whether anybody has outstanding work, goroutines included.
  void note_work(bool held) noexcept { work_held_ = held; }

  [[nodiscard]] const schedule& decisions() const noexcept { return decisions_; }
  /// Who ran when: the last steps, a line each.
  [[nodiscard]] std::string describe_steps();
  /// Nothing is left that could wake anybody. @throws testing::simulation_failure
  [[noreturn]] void fail_by_deadlock();
  /// Who waits on what: a line for each kind of wait.
  [[nodiscard]] std::string describe_waits();

 private:
  static constexpr strategy::id the_clock = 0;

  class run;
  class aside;
  struct candidate {
    ready_node* node;
    strategy::id who;
  };
  struct step {
    enum class end : std::uint8_t {
      waits,
      interrupted_before,
      interrupted,
      gave_way,
      threw,
      ended
    };
    strategy::id who = the_clock;
    /// While it runs and has not ended.
    const scheduled_goroutine* goroutine = nullptr;
    bool is_goroutine = false;
    time_point at{};
    std::source_location started, from, to;
    wait_reason waiting_on = wait_reason::start;
    end how = end::waits;
  };

  void take_ready() noexcept;
  [[nodiscard]] bool timer_is_due() const noexcept;
  [[nodiscard]] bool let_one_settle();
  void run_all_ready();
  [[nodiscard]] bool must_suspend() noexcept;
  [[nodiscard]] bool somebody_is_ready() noexcept;
  [[nodiscard]] std::vector<strategy::id> candidate_ids(std::size_t n) const;
  [[nodiscard]] std::vector<strategy::id> ids_of_ready() const;
  [[nodiscard]] std::uint32_t choose_next(std::span<const strategy::id> ids);
  [[nodiscard]] std::size_t choose_candidate();
  void run_one(std::size_t which);
  void run_others_first() noexcept;
  void note_running(const scheduled_goroutine& g) noexcept;
  void note_who_runs() noexcept;
  void end_step(step::end how);
  void check();
  void check_invariants();
  void check_progress();
  [[nodiscard]] strategy::id number_of(ready_node& node);
  template <class Ask>
  [[nodiscard]] std::uint32_t decide(decision::question about, std::uint32_t among,
                                     Ask ask) noexcept;
  [[nodiscard]] std::string text_of(const step& s) const;

  scheduler& scheduler_;
  const std::unique_ptr<strategy> strategy_;
  const std::vector<std::uint32_t> decided_;
  schedule decisions_;

  time_point now_ = start;
  worker* worker_ = nullptr;
  std::atomic<std::thread::id> running_on_{};
  const std::thread::id made_on_ = std::this_thread::get_id();
  std::atomic<bool> disturbed_{false};

  /// What is ready, in the order in which it became so.
  std::vector<candidate> candidates_;
  strategy::id next_number_ = the_clock + 1;
  std::unordered_map<const scheduled_goroutine*, strategy::id> numbers_;
  std::unordered_map<strategy::id, std::string> names_;

  /// The step that is under way, the innermost.
  step running_;
  /// It was asked before its operation what becomes of it.
  bool asked_ = false;
  /// It suspends after its operation although it need not.
  bool interrupted_ = false;
  /// To how many operations the step has come.
  std::size_t operations_of_step_ = 0;
  /// The goroutines that stand on the stack, inside whose steps others run.
  std::vector<strategy::id> set_aside_;
  /// What has gone wrong inside a step.
  std::exception_ptr failure_;

  std::vector<channel<bool>> settling_;
  std::vector<std::weak_ptr<const kept_invariant>> invariants_;
  bool work_held_ = false;
  std::deque<step> steps_;
  std::size_t steps_since_time_passed_ = 0;
  std::size_t most_steps_ = 1'000'000;
};

}  // namespace sluice::detail
