// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/scheduler/worker.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace sluice::detail {

class wakeup_timer;
class scheduler;

/// How work moves between the threads of one context.
/**
 * Whatever is ready and not about to run on its thread is followed by a watch. It may be hidden in
 * two places: in the list of a worker, behind the step that this runs (`watch_worker`), and in the
 * shared list, if the drain for it is kept by a thread whose handler goes on (`watch_shared_list`).
 *
 * A watch is a handler that is in the event loop's queue, where a free thread takes it at once, or
 * an Asio timer of a few milliseconds. It begins when something is said to be hidden. When it finds
 * nothing, it ends in this order, all under `lock_`: it says that there is none, asks each worker
 * to report again, and looks once more. A worker looks whether it is to report in the same critical
 * section of its gate in which it puts something into its list, and is asked, and its list looked
 * at, in one of the same gate: so its report comes, or the look finds what it has. Who puts
 * something into the shared list does so under that list's lock and then looks for a watch; this
 * one looks at the list, under its lock, after it has said that there is none.
 */
class work_sharing {
 public:
  SLUICE_DECL explicit work_sharing(scheduler& s);
  SLUICE_DECL ~work_sharing();

  /// This thread runs the context.
  void detect_second_thread() noexcept;
  /// Whether it is known that more than one does.
  [[nodiscard]] bool several_threads() const noexcept {
    return several_threads_.load(std::memory_order_relaxed);
  }

  /// Something waits in the list of `w` behind a step, or is about to.
  void watch_worker(worker& w) noexcept;
  /// Something waits in the shared list, and the drain for it behind a handler.
  void watch_shared_list() noexcept;
  /// A worker that has reported ends.
  void remove_worker(worker& w) noexcept;
  /// The drain that `watch_shared_list` was called for has run.
  void kept_drain_has_run(worker& w) noexcept;
  /// Whether there may be something to steal.
  [[nodiscard]] bool may_steal() const noexcept { return listed_ && several_threads(); }
  /// A thread that is about to go idle takes half of a list that is long enough.
  [[nodiscard]] bool steal(worker& w) noexcept;

  /// So many steps have taken so long.
  void note_steps(std::uint64_t steps, std::chrono::steady_clock::duration took) noexcept;
  /// A worker has forks in its list.
  void note_forks(std::chrono::steady_clock::time_point now) noexcept;
  /// From how many steps on, by what they take, it repays to call an idle thread for them.
  [[nodiscard]] std::size_t steps_worth_a_call() const noexcept;
  /// Whether it does for what waits in the list of `w`.
  [[nodiscard]] bool repays_a_call(const worker& w) const noexcept;
  /// Has an idle thread look for work at once, if there is one.
  void call_idle_thread() noexcept;

  /// The watch, on a thread that has nothing else to do, unless the event loop gave it this turn
  /// between two drains.
  void on_watch();

  /// No watch from now on.
  SLUICE_DECL void close() noexcept;

 private:
  using clock = std::chrono::steady_clock;

  void begin_watch() noexcept;
  void end_idle_watch(worker& w) noexcept;
  void arm(clock::time_point at) noexcept;
  void add_worker(worker& w) noexcept;
  [[nodiscard]] bool take_from_others(worker& w, bool called, bool& waits) noexcept;
  [[nodiscard]] bool try_end_watch(const worker& w) noexcept;
  [[nodiscard]] bool nothing_is_hidden(const worker& w) noexcept;
  [[nodiscard]] bool take_half(worker& from, worker& to) noexcept;
  [[nodiscard]] bool has_grown_trees(const worker& w) const noexcept;
  [[nodiscard]] bool worth_a_call_for(const worker& other) const noexcept;
  [[nodiscard]] bool worth_stealing(const worker& other, clock::time_point now) const noexcept;

  scheduler& scheduler_;
  const std::unique_ptr<wakeup_timer> wakeup_timer_;

  alignas(64) byte_lock lock_;
  /// The workers in whose lists something has waited. Read without the lock as a hint: a thread
  /// that is about to go idle and misses one leaves it to the watch.
  relaxed<worker*> listed_ = nullptr;
  /// Whether there is a watch: stored under the lock, and read without it by `watch_shared_list`,
  /// which has put something into the shared list before, under that list's lock. A watch that ends
  /// says so here before it looks at that list, under the same lock: so one of the two finds the
  /// other.
  std::atomic<bool> watching_{false};
  /// What a step has taken lately, in nanoseconds. An estimate, without a lock.
  relaxed<std::uint32_t> step_ns_ = 0;
  /// A thread has been called that has not come yet.
  std::atomic<bool> called_{false};
  /// How often in a row one has come in vain, and until when no other is called for that.
  relaxed<int> in_vain_ = 0;
  relaxed<clock::time_point> next_call_ = clock::time_point();
  /// The last watch has seen a list so long that moving half of it would repay.
  bool saw_long_list_ = false;
  /// How many watches have been posted at once because no second thread was known.
  int early_watches_ = 0;
  /// Before this instant no other watch is posted while it is unknown whether another thread is
  /// there.
  clock::time_point next_post_{};

  /// Set for good by the second thread that is seen. Who reads it too early posts a handler instead
  /// of setting a timer, which costs time and loses nothing.
  std::atomic<bool> several_threads_{false};
  /// The thread that was seen first, 0 before that.
  std::atomic<std::size_t> first_thread_{0};
  /// Since when workers have had forks at every look at the clock, and when one had some last.
  relaxed<clock::time_point> forks_since_ = clock::time_point();
  relaxed<clock::time_point> forks_seen_ = clock::time_point();
};

}  // namespace sluice::detail
