// SPDX-License-Identifier: BSL-1.0
// Goroutines: the block that stands for a chain of suspended tasks, and counted references to it.
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/scheduled_goroutine.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/scheduler/worker.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <source_location>
#include <utility>

namespace sluice::detail {

class goroutine;
class joined;
class owned_goroutine;
class owned_goroutines;
class scheduler;
struct promise_base;

/// The link from a task to the coroutine that awaits it. It lives in the awaiting frame.
struct await_link {
  std::coroutine_handle<> child;
  promise_base* parent = nullptr;
};

/// What every task's promise has.
struct promise_base {
  goroutine* g = nullptr;
  std::coroutine_handle<> self;
  await_link* awaited_by = nullptr;
  std::exception_ptr exception;
};

/// A goroutine's control block.
/**
 * Its scheduler's registry owns the frames, or an operation does (`owned_goroutine`); Asio handlers
 * hold references, which keep only this block. While it runs, only its own thread touches it; while
 * it is parked, whoever claimed its waiter.
 */
class goroutine final : public scheduled_goroutine {
 public:
  // These come first, because they fit behind the flags of the base.

  /// How often its selects have passed over their Asio cases; see `select_wait`.
  std::uint8_t asio_passed_over = 0;

 private:
  /// How many steps its strand has queued in a row for which it was not needed.
  std::uint8_t steps_without_need_ = 0;
  /// It holds a reference for the function that carries it through somebody else's executor.
  bool in_flight_ = false;
  bool abandoned_ : 1 = false;
  /// It may be running somewhere else than on its executor: it has been moved, or has had a strand
  /// made for it and has not come to it yet.
  bool moved_ : 1 = false;
  bool is_main_ : 1 = false;
  /// An operation owns it.
  bool is_owned_ : 1 = false;
  /// Its cancellation is told how it ends.
  bool is_joined_ : 1 = false;
  /// This block is a part of that operation, and has no references.
  bool in_place_ : 1 = false;
  bool is_registered_ : 1 = true;
  /// Its executor has not yet come to it.
  bool is_new_ : 1 = true;
  reference_count<> references_{1};

 public:
  /// Takes over `root`, a suspended task that nobody awaits. Registers and starts nothing.
  SLUICE_DECL static goroutine& make(dispatcher_ptr where, promise_base& root, bool counts_as_work,
                                     std::source_location started_at);

  /// Makes one that stands for no coroutine: Asio operations belong to it that are launched for a
  /// handler.
  /** It has a strand and what their handlers hold references to, and neither is registered nor ever
   * made ready. The caller has the first reference, and gives it back. */
  [[nodiscard]] static goroutine& make_without_frames(dispatcher_ptr where);
  void end_without_frames() noexcept { at = nullptr; }
  [[nodiscard]] bool is_without_frames() const noexcept {
    return at == reinterpret_cast<const promise_base*>(this);
  }

  goroutine(const goroutine&) = delete;
  goroutine& operator=(const goroutine&) = delete;

  /// Registers it with its scheduler and counts its work; false if its context is ending.
  [[nodiscard]] bool enter() noexcept;
  /// Takes it off the registry again, and gives up its work.
  SLUICE_DECL void leave() noexcept;

  /// Whether what is ready is a goroutine.
  [[nodiscard]] static bool is_one(const ready_node& n) noexcept { return n.run == &run_node; }
  /// Whether a waker is a goroutine.
  [[nodiscard]] static bool is_one(const waker& p) noexcept { return p.wake == &wake_goroutine; }

  /// Takes over a new cancellation, which is told how it ends, and the reference to that. Before it
  /// begins.
  void join(joined& by) noexcept;
  /// Ends one that has not begun, and has left the registry.
  void give_up() noexcept;

  /// Makes it run for the first time, on an executor that may fail.
  /** @throws What that throws. @return through `begun` whether it was begun or dropped, so that it
   * ends by itself. */
  void start_elsewhere(bool& begun);

  /// Makes it run: on this thread next if it drains the same scheduler, otherwise as its dispatcher
  /// does.
  SLUICE_DECL void make_ready() noexcept;

  /// Resumes it inside the handler of an operation that it awaits, as Asio's coroutines are, if
  /// this thread runs that handler on its strand and nothing else beneath.
  /** @return False if it has not. @throws What leaves the goroutine. */
  [[nodiscard]] bool resumed_here();

  /// One of the things counted against the worker's budget was done without suspending.
  /**
   * @return True if the goroutine must suspend to give others a turn; it has been made ready then.
   */
  [[nodiscard]] bool must_yield() noexcept {
    if (--on->ticks > 0 || on->may_go_on()) [[likely]]
      return false;
    make_ready();
    return true;
  }

  /// It comes to an operation that it may have to wait for, and that `try_now` has not begun.
  void before_wait() const noexcept {
    if (on->ticks <= 0) [[unlikely]]
      on->before_operation();
  }

  /// Does something that needs no wait, by `attempt()`, unless it is time to suspend.
  /** @return Whether it was done, and counted. */
  template <class Attempt>
  [[nodiscard]] bool try_now(Attempt attempt) noexcept {
    worker& w = *on;
    if (w.ticks <= 1 && !w.may_do_now()) return false;
    if (!attempt()) return false;
    --w.ticks;
    return true;
  }

  /// Continues with `p`, a task of this goroutine, once the current `resume` has returned.
  void transfer_to(promise_base& p) noexcept {
    at = &p;
    on->after = worker::step::transferred;
  }

  /// The goroutine in a block that there may be references to; this one if it is no part of an
  /// operation. For the goroutine itself, where it is about to suspend or has just gone on.
  /** @throws std::bad_alloc */
  [[nodiscard]] goroutine& with_own_block() { return in_place_ ? moved_out() : *this; }

  void retain() noexcept {
    SLUICE_ASSERT(!in_place_, "a part of an operation is not referred to");
    references_.retain();
  }
  void release() noexcept {
    if (references_.release()) destroy_block();
  }

  /// Where a goroutine that this one starts runs: the same executor, but not on its strand.
  [[nodiscard]] dispatcher_ptr start_dispatcher() const {
    return where->is_native() ? where : where->without_strand();
  }
  [[nodiscard]] bool counts_as_work() const noexcept { return work != counted::nowhere; }
  [[nodiscard]] SLUICE_DECL bool home_shutting_down() const noexcept;

  /// It is the main of a program: when that returns the others are ended before its locals go.
  void become_main() noexcept { is_main_ = true; }
  [[nodiscard]] bool is_main() const noexcept { return is_main_; }

  /// Whether its frames are gone.
  [[nodiscard]] bool ended() const noexcept { return at == nullptr; }

  /// Moves a goroutine with an implicit strand to an explicit one.
  SLUICE_DECL void become_serial();
  /// Whether it has an explicit strand and is running on it.
  [[nodiscard]] bool on_its_strand() noexcept {
    steps_without_need_ = 0;
    return where->is_serial() && (!moved_ || came_back());
  }
  /// It is about to go on somewhere else, until its next wait.
  void note_moved() noexcept { moved_ = true; }
  /// Whether it may be running somewhere else than on its executor.
  [[nodiscard]] bool may_be_elsewhere() const noexcept { return moved_; }

  /// Makes it one that can be cancelled.
  /** @throws std::bad_alloc */
  SLUICE_DECL cancellation_ref become_cancellable();

  /// Throws if cancellation is asked for and is to be thrown.
  SLUICE_DECL void throw_if_cancelled() const;

  /// Ends it without resuming it: whatever should have resumed it was destroyed.
  SLUICE_DECL void abandon() noexcept;

  /// Destroys the frames, innermost first.
  void destroy_frames() noexcept;

  /// The task that runs or is suspended, the innermost of the chain.
  /** Whoever wakes it may look, while a shutdown destroys the frames, whether it has ended. */
  relaxed<promise_base*> at = nullptr;
  /// The worker that runs it; valid only while it runs.
  worker* on = nullptr;
  dispatcher_ptr where;
  /// The cancellation of the goroutine, if anything can cancel it.
  cancellation_ref cancel;

 private:
  friend owned_goroutine;
  friend owned_goroutines;

  goroutine(dispatcher_ptr t, promise_base* root, bool counts, std::source_location start) noexcept
      : scheduled_goroutine(&run_node, &wake_goroutine, t->owner(),
                            !counts          ? counted::nowhere
                            : t->is_native() ? counted::by_scheduler
                                             : counted::by_dispatcher,
                            start),
        at(root),
        where(std::move(t)) {}

  [[nodiscard]] SLUICE_DECL goroutine& moved_out();

  [[nodiscard]] SLUICE_DECL bool came_back() noexcept;
  /// Goes back to an implicit strand, on its explicit one, when nobody else has that any more.
  void leave_unused_strand() noexcept;

  static void run_node(ready_node& node, worker* w);
  SLUICE_DECL static void wake_goroutine(waker& p) noexcept;

  SLUICE_DECL void finish();
  void finish_joined() noexcept;
  void tell_joined(const std::exception_ptr& failure) noexcept;
  void finish_owned() noexcept;
  void end_owned() noexcept;
  /// Destroys the frames of one that has not begun.
  void destroy_new_frames() noexcept;
  void destroy_chain() noexcept;
  /// It was to run, but its executor will run nothing any more.
  void drop();
  SLUICE_DECL void destroy_block() noexcept;

  static void end_registered(scheduled_goroutine& r) noexcept;
  [[nodiscard]] static const scheduled_goroutine* next_below(
      const scheduled_goroutine& root, const scheduled_goroutine& at) noexcept;
};

/// A task of a program's main is about to return, or has ended by an exception: if it is the first,
/// which main is, ends all other goroutines of the program.
SLUICE_DECL void before_main_ends(const promise_base& ending) noexcept;

/// The goroutine that this thread is running, or null.
[[nodiscard]] SLUICE_DECL goroutine* this_goroutine_or_null() noexcept;

/// The dispatcher on which the running goroutine starts others; none outside a goroutine.
[[nodiscard]] SLUICE_DECL dispatcher_ptr current_dispatcher_or_none();

/// The goroutine that this thread is running.
/** @throws system_error `error::not_in_goroutine` */
[[nodiscard]] SLUICE_DECL goroutine& current_goroutine(const char* caller);

/// Whether the exception that is being handled is what the running goroutine's waits end with
/// because cancellation is asked for.
[[nodiscard]] SLUICE_DECL bool handling_own_cancellation() noexcept;

/// Keeps a goroutine's block alive, not its frames.
using goroutine_ref = ref<goroutine>;

}  // namespace sluice::detail
