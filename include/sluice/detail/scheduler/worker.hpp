// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/biased_lock.hpp>
#include <sluice/detail/base/cycle_count.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/work_list.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace sluice::detail {

struct scheduled_goroutine;
class scheduler;
class dispatcher;

/// A strand whose turn a thread runs, inside the turns of others.
struct strand_held {
  const dispatcher* strand;
  const strand_held* outer;
};

/// What a goroutine's step leaves for its next wait.
class left_over {
 public:
  /// The step has ended, and its wait was another one.
  virtual void give_up() noexcept = 0;

 protected:
  ~left_over() = default;
};

/// A thread while it drains a scheduler: its own ready list and what it still may do before it must
/// let the event loop have a turn. It lives on the thread's stack.
/** Defined in scheduler.cpp, which makes one for each drain. */
class worker {
 public:
  /// What a goroutine did when its `resume` returned.
  enum class step : std::uint8_t { parked, transferred, finished };

  /// Where the worker stands: in a handler of the scheduler's that ends with it, or in something
  /// that may go on after it.
  enum class extent : std::uint8_t { whole_handler, part_of_handler };

  SLUICE_DECL explicit worker(scheduler& s, extent p = extent::part_of_handler) noexcept;
  SLUICE_DECL ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Makes `node` run on this thread, after those already in the list.
  void push(ready_node& node) noexcept {
    SLUICE_ASSERT(thread == std::this_thread::get_id(),
                  "only its own thread puts something into a worker's list without the lock");
    gate.lock_as_owner();
    local.push_back(node);
    const bool wanted = must_expose;
    gate.unlock_as_owner();
    ++pushed;
    if (wanted || pushed >= seen_from) [[unlikely]]
      let_others_see(node);
  }

  /// Makes the node of a fork run on this thread, before what else is in the list: the newest
  /// first, so that a tree is walked depth first.
  void push_fork(ready_node& node) noexcept {
    gate.lock_as_owner();
    local.push_fork(node);
    const bool wanted = must_expose;
    gate.unlock_as_owner();
    if (wanted) [[unlikely]]
      let_others_see(node);
  }

  /// Takes the node of a fork back, if it would run next.
  [[nodiscard]] bool take_fork(const ready_node& node) noexcept {
    gate.lock_as_owner();
    const bool taken = local.take_if_next(node);
    gate.unlock_as_owner();
    return taken;
  }

  /// It begins a step.
  void count_step() noexcept {
    steps.store(steps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  /// Whether `started` has been set.
  [[nodiscard]] bool has_started() const noexcept {
    return static_cast<std::chrono::steady_clock::time_point>(started) !=
           std::chrono::steady_clock::time_point();
  }
  [[nodiscard]] std::chrono::steady_clock::duration running_for(
      std::chrono::steady_clock::time_point now) const noexcept {
    return now - static_cast<std::chrono::steady_clock::time_point>(started);
  }

  /// From so many on what one step makes ready is shared with other threads at once.
  static constexpr int most_pushed = 256;
  /// From so many on it is asked whether that repays already.
  static constexpr int few_pushed = 3;

  /// The longest that the event loop waits for its turn, but for one step.
  static constexpr std::chrono::microseconds longest{250};

  static constexpr int first_ticks = 2;
  static constexpr int first_interval = 16;

  static constexpr std::uint64_t never_seen = ~std::uint64_t{0};

  scheduler& owner;
  worker* const outer;
  const std::thread::id thread;
  /// The goroutine that it runs.
  scheduled_goroutine* current = nullptr;
  /// The strands whose turns it runs, one inside the other, the innermost first.
  const strand_held* strands = nullptr;
  step after = step::parked;
  /// It runs a fork: what that leads to may go on in the same turn.
  bool runs_fork = false;
  /// The fork that does, when the current step has ended.
  ready_node* goes_on = nullptr;
  /// Of the current step, or null.
  left_over* left = nullptr;
  /// Whether the scheduler is to be told when something waits in the list. Set by the watch too,
  /// and looked at, together with a change of the list, under the gate.
  relaxed<bool> must_expose = true;
  const extent where;
  /// An operation that the current step has launched may have completed: its completion waits in
  /// the event loop until this worker ends.
  bool launched = false;
  /// Goroutines that it ran have set deadlines that the Asio timer may not be set to.
  bool deadline_set = false;
  /// The event loop has been run inside its current step, or one before.
  bool nested = false;
  /// How many goroutines have started on it that are not registered, less those that have ended.
  int owned = 0;
  /// How many nodes its current step has made ready.
  int pushed = 0;
  /// From how many on other threads are to see them.
  int seen_from = few_pushed;
  /// The worker stands on a thread that does not run the context: a user's executor has lent it.
  bool lent = false;
  /// The worker runs a function of an executor, and no goroutine runs beneath that: a goroutine may
  /// go on inside the function.
  bool may_resume = false;
  /// Whether other threads can see it.
  bool listed = false;
  /// Whether the watchdog looks at it.
  bool watched = false;
  /// Resumptions and operations left until the clock is looked at, and others have their turn.
  int ticks = first_ticks;
  /// Ticks that are added to those at first: several operations of one step are no reason to give
  /// others a turn earlier, but the clock is looked at after the step's first, third, seventh and
  /// fifteenth operation. Negative in a simulation, which is asked after each.
  int more_ticks = first_interval - first_ticks;
  /// How many ticks there are from one look at the clock to the next.
  int interval = first_interval;
  /// When it first had more than one step to do; not before it has looked at the clock.
  relaxed<std::chrono::steady_clock::time_point> started;
  /// When the clock was looked at last.
  std::chrono::steady_clock::time_point checked;
  /// The cycle count when the drain began, or the clock was looked at last.
  std::uint32_t last_look = 0;
  /// After how many cycles the clock is to be looked at when the current step ends.
  std::uint32_t most_cycles = 0;
  /// How long it may go on before the event loop has its turn.
  std::chrono::steady_clock::duration allowed = longest;

  /// Held by whoever changes `local`: this thread as the owner, a thief as the other.
  biased_lock gate;
  /// What is ready here. Its length is read by other threads, as a hint whether to steal.
  work_list local;
  /// How many steps the worker has begun: written here, read by the watch, which takes from a
  /// worker whose number it has seen before. One that is late costs one more look.
  std::atomic<std::uint64_t> steps{0};
  /// How many they were when the clock was looked at last.
  std::uint64_t steps_checked = 0;
  /// What the watch has seen there last, under the lock of `work_sharing`.
  std::uint64_t steps_seen = never_seen;
  worker* previous_listed = nullptr;
  worker* next_listed = nullptr;

  /// The drain begins, or looks at the clock: it need not again before `allowed` may be over.
  void note_look() noexcept {
    const std::chrono::nanoseconds ns = allowed;
    most_cycles = cycles_count ? static_cast<std::uint32_t>(ns.count()) : ~std::uint32_t{0};
    last_look = cycle_count();
  }
  [[nodiscard]] bool look_is_due() const noexcept {
    return cycle_count() - last_look > most_cycles;
  }

  /// Ends the ticks: when the current step suspends the clock is looked at, and others have their
  /// turn.
  void use_up_ticks() noexcept { ticks = more_ticks = 0; }
  /// Asked when they are used up, between two operations of the current step: looks at the clock
  /// and gives it more, unless others, or the event loop, have waited long enough.
  [[nodiscard]] SLUICE_DECL bool may_go_on() noexcept;
  /// The same before an operation that need not wait.
  [[nodiscard]] SLUICE_DECL bool may_do_now() noexcept;
  /// The goroutine comes to an operation, and no ticks are left: in a simulation others may go
  /// first.
  SLUICE_DECL void before_operation() noexcept;

  /// Reports deadlines that a step has set which ran as a part of something else: that may go on
  /// for long.
  void report_deadlines() noexcept;

 private:
  SLUICE_DECL void let_others_see(const ready_node& pushed_last) noexcept;
};

/// The innermost worker of this thread, or null. Not inline: a coroutine's body must not keep the
/// address of a thread-local across a suspension.
[[nodiscard]] worker* this_worker() noexcept;

}  // namespace sluice::detail
