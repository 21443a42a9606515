// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/pin_count.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/scheduler/scheduled_goroutine.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>
#include <sluice/detail/scheduler/work_list.hpp>
#include <sluice/detail/scheduler/work_sharing.hpp>
#include <sluice/detail/scheduler/worker.hpp>

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

namespace sluice::detail {

class environment;
class native_executor;

/// The ready lists, goroutines and timers of one execution context. A service of that context.
/**
 * Goroutines made ready on a thread that drains this scheduler go into that thread's own list; all
 * others into a shared one, for which a drain is posted to the context. What registers with the
 * context and ends with it is in registry.cpp. See src/README.md.
 */
class scheduler final : public asio::execution_context::service, public dispatcher {
 public:
  /// Of this copy of the library: by a `key_type`, Asio would find another one's service.
  SLUICE_DECL static asio::execution_context::id id;

  SLUICE_DECL explicit scheduler(asio::execution_context& context);
  SLUICE_DECL ~scheduler() override;

  /// The scheduler of a context, made at the first call. For use by `scheduler_of`.
  SLUICE_DECL static scheduler& of(asio::execution_context& context);
  /// The same, of a context whose own executor the ready list may be drained on.
  SLUICE_DECL static scheduler& of(asio::io_context& context);
  SLUICE_DECL static scheduler& of(asio::thread_pool& context);
  /// The scheduler of a context that nobody has used before, which asks `e` and has no Asio timer:
  /// nothing of it runs but what its maker runs, by `take_ready` and `fire_one_timer`.
  static scheduler& simulated_by(environment& e, asio::execution_context& context,
                                 std::unique_ptr<native_executor> native);

  // dispatcher
  SLUICE_DECL void schedule(ready_node& node) noexcept override;
  SLUICE_DECL bool try_run_here(void (*f)(void*), void* arg) override;
  [[nodiscard]] SLUICE_DECL bool running_in_this_thread() const noexcept override;
  SLUICE_DECL void work_started() noexcept override;
  SLUICE_DECL void work_finished() noexcept override;
  [[nodiscard]] SLUICE_DECL asio::any_io_executor to_any_executor() const override;
  [[nodiscard]] dispatcher_ptr without_strand() override { return dispatcher_ptr(*this); }

  /// Whether the context's own executor is known, so that nodes can be drained on it.
  [[nodiscard]] bool has_native_executor() const noexcept {
    return native_.load(std::memory_order_acquire) != nullptr;
  }
  /// The context's own executor, or if that is not known the one of `where`, a dispatcher of it.
  [[nodiscard]] SLUICE_DECL asio::any_io_executor event_loop_executor(
      const dispatcher& where) const;

  /// No goroutine is outstanding work all its life, wherever it is started: when the context runs
  /// out of work, those that are left wait for each other.
  void find_deadlocks() noexcept { finds_deadlocks_ = true; }
  [[nodiscard]] bool finds_deadlocks() const noexcept { return finds_deadlocks_; }
  /// The first exception that leaves a goroutine ends the run of its context.
  void end_with_first_failure(asio::io_context& context) noexcept { ends_with_failure_ = &context; }
  /// What a program does when its main is about to end: stops its context, and waits until no other
  /// thread runs that. False if one goes on.
  struct end_of_program {
    bool (*others_have_stopped)(end_of_program&) noexcept;
  };
  /// @param e Null when the run is over.
  void set_end_of_program(end_of_program* e) noexcept { end_of_program_ = e; }
  /// Ends the program but for `main`, on the thread that runs it: destroys the other goroutines.
  void end_all_but(scheduled_goroutine& main) noexcept;

  /// An exception is about to leave a goroutine.
  SLUICE_DECL void one_fails() noexcept;

  [[nodiscard]] bool shutting_down() const noexcept {
    return shutting_down_.load(std::memory_order_acquire);
  }

  /// A reference for those who may outlive this.
  [[nodiscard]] const std::shared_ptr<scheduler_link>& link() const noexcept { return link_; }

  /// Registers a goroutine, or a handler right after it was enlisted, under the lock of its queue.
  /** @return False if this context is ending: the caller takes it back and destroys it. */
  [[nodiscard]] SLUICE_DECL bool try_add(scheduled_goroutine& g,
                                         const scheduled_goroutine::functions& f) noexcept;
  [[nodiscard]] SLUICE_DECL bool try_add(parked_handler& h) noexcept;
  /// Registers a handler that nobody will call any more, also when this context is ending. For a
  /// thread that has pinned this since before that.
  void add_pinned(parked_handler& h) noexcept;
  /// Takes back what was registered. For a goroutine that runs here, or whose maker has pinned
  /// this.
  SLUICE_DECL void remove(scheduled_goroutine& g) noexcept;
  /// A goroutine goes on in another block.
  void replace(scheduled_goroutine& g, scheduled_goroutine& by, bool is_registered) noexcept;
  /// So many more goroutines are there that are not registered, because an operation of one that is
  /// owns them.
  void count_owned(int n) noexcept { owned_.fetch_add(n, std::memory_order_relaxed); }
  /// One of these has ended of which something is known.
  void forget(const scheduled_goroutine& g) noexcept;
  /// The same for a handler whose waiter was claimed or withdrawn, by a thread that has pinned
  /// this.
  /** @return False if this context is ending, which then alone destroys it. */
  [[nodiscard]] SLUICE_DECL bool remove(parked_handler& h) noexcept;
  /// Gives it the name that `describe_goroutines` calls it by.
  void set_name(scheduled_goroutine& g, std::string name);
  /// The name of a goroutine, which may have ended; an empty one if it has none.
  [[nodiscard]] std::string name_of(const scheduled_goroutine& g) const;
  [[nodiscard]] SLUICE_DECL std::size_t goroutine_count() const noexcept;
  /// One line for each kind of wait: how many, on what, since where.
  [[nodiscard]] SLUICE_DECL std::string describe_goroutines();

  [[nodiscard]] pin_count::epoch pin() noexcept { return pins_.add(); }
  void unpin(pin_count::epoch p) noexcept { pins_.remove(p); }
  /// Waits until no other thread that has come by now is about to wake something of this scheduler.
  void wait_for_pins() noexcept { pins_.wait_for_none(); }

  /// Runs `node` on this thread, as part of the drain that is under way if it is this one's.
  SLUICE_DECL void run_here(ready_node& node);

  /// Runs ready nodes until none is left, the budget is used up or the context has been stopped.
  void drain(worker& w);

  /// A random number below `bound`: the choice between ready cases.
  [[nodiscard]] SLUICE_DECL static std::uint32_t choose(std::uint32_t bound) noexcept;
  /// A simulation chooses on this thread from now on; null: nobody does. @return Who did.
  static environment* let_choose_here(environment* e) noexcept;
  /// The time for sleeps, timers and deadlines.
  [[nodiscard]] SLUICE_DECL std::chrono::steady_clock::time_point now() const noexcept;
  /// The same, of the scheduler that this thread works for, if it does for one.
  [[nodiscard]] SLUICE_DECL static std::chrono::steady_clock::time_point now_here() noexcept;

  /// What simulates the clock and the threads; as a rule null.
  [[nodiscard]] environment* simulated() const noexcept { return environment_; }
  /// Moves all that is ready behind what is in `to`. For the thread that runs a simulation, on `w`.
  void take_ready(worker& w, ready_list& to) noexcept;
  /// Fires one of the timers that are due, if there are any: which one, the simulation chooses.
  void fire_one_timer(std::chrono::steady_clock::time_point now) noexcept;

  /// `by` has inserted a timer.
  void timer_set(const waker& by) noexcept;
  /// Timers have been inserted or removed.
  void timers_changed() noexcept;

  timer_queue timers;

 private:
  void destroy() noexcept override {}  // its context does
  friend class worker;
  friend class work_sharing;
  template <class Context>
  friend class native_executor_of;

  [[nodiscard]] static scheduler& made_in(asio::execution_context& context);
  template <class Context>
  static scheduler& with_native_executor(Context& context);
  [[nodiscard]] native_executor& native() const noexcept {
    return *native_.load(std::memory_order_acquire);
  }

  void shutdown() noexcept override;
  void end_registered(ready_list& left) noexcept;
  [[nodiscard]] registered* take_youngest(registered_list& list) noexcept;

  void run_posted_drain(bool kept);
  [[nodiscard]] std::size_t drains_needed() const noexcept;
  [[nodiscard]] bool count_drain(bool kept) noexcept;
  void post_counted(bool needed, bool kept);
  [[nodiscard]] bool take_shared(worker& w) noexcept;
  [[nodiscard]] bool anything_shared() noexcept;
  [[nodiscard]] bool time_is_up(worker& w);
  void end_drain(worker& w) noexcept;
  void expose_local_work(worker& w) noexcept;
  void share_burst(worker& w) noexcept;
  void move_local_to_shared(worker& w) noexcept;
  [[nodiscard]] bool work_goes_on() const noexcept;

  bool fire_some_timers(std::chrono::steady_clock::time_point now) noexcept;
  void on_wakeup_timer();
  void on_posted_wakeup_timer();
  void fire_without_worker() noexcept;
  void post_wakeup_timer();

  /// The context's own executor once it is known, for good: stored once, under the registry's lock,
  /// when what it points to is whole.
  std::atomic<native_executor*> native_{nullptr};
  std::unique_ptr<native_executor> native_storage_;
  /// The context that the first failure of a goroutine stops; null if none does.
  asio::io_context* ends_with_failure_ = nullptr;
  /// Set before anything uses the scheduler, for good.
  environment* environment_ = nullptr;
  /// How main's end stops the other threads, while `sluice::run` runs.
  end_of_program* end_of_program_ = nullptr;
  bool finds_deadlocks_ = false;
  const std::shared_ptr<scheduler_link> link_;
  /// Set once, under the registry's lock, so that nothing registers afterwards. Who reads it
  /// without that lock and finds it unset may find it set a moment later: `schedule` reads it under
  /// the lock of the shared list, which the end takes after setting it.
  std::atomic<bool> shutting_down_{false};
  /// Threads that are about to wake something of this scheduler, and do not drain it.
  pin_count pins_;

  /// Holds the ready lists that all threads share, and the numbers of drains for them.
  alignas(64) byte_lock shared_lock_;
  /// What is ready and in no worker's list. Its length is read without the lock as a hint: a drain
  /// that misses what has just come was followed by another one, which `count_drain` has counted
  /// under the lock.
  ready_list shared_;
  /// The nodes that drains have left over, each list for a drain of its own.
  ready_lists left_over_;
  /// Drains that the event loop has, and those that a thread keeps until its handler has ended.
  std::size_t drains_posted_ = 0;
  std::size_t drains_kept_ = 0;
  /// How many looks at the clock there are to be, one after each step, because a step was long.
  /// Counted by all threads without a lock: a number that is lost is a look more or less.
  relaxed<int> careful_looks_ = 0;

  /// Holds all that follows, but for `sharing_`.
  alignas(64) mutable byte_lock registry_lock_;
  registered_list goroutines_;
  const scheduled_goroutine::functions* of_goroutines_ = nullptr;
  /// Parked handlers, functions of timers, and whatever else ends with the context.
  registered_list handlers_;
  /// How many goroutines are registered.
  std::size_t count_ = 0;
  /// How many are not, but for what workers have counted and not told yet.
  std::atomic<std::ptrdiff_t> owned_{0};
  std::unordered_map<const scheduled_goroutine*, std::string> names_;
  /// How much counts as work of the context, which has work itself while this is not zero.
  std::size_t work_ = 0;

  work_sharing sharing_;
};

}  // namespace sluice::detail
