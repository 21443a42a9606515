// SPDX-License-Identifier: BSL-1.0
// How work gets from a thread that has it to one that is free. Whatever waits behind a step that
// goes on is followed by a watch, which ends only when nothing is hidden.

#include <sluice/detail/scheduler/work_sharing.hpp>

#include "native_executor.hpp"
#include "wakeup_timer.hpp"

#include <sluice/detail/base/test_point.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice::detail {

using namespace std::chrono_literals;

namespace {

constexpr auto watch_period = 3ms;
constexpr auto worth_moving = 50us;
// An idle thread comes some 50 us after it has been called.
constexpr auto worth_a_call = 100us;
constexpr int most_in_vain = 6;
constexpr std::int64_t longest_step = 1'000'000;
// What is shorter does not repay that another thread comes to it, however much of it there is.
constexpr std::uint32_t least_step = 500;

constexpr std::uint64_t nanoseconds_of(std::chrono::nanoseconds time) noexcept {
  return static_cast<std::uint64_t>(time.count());
}
constexpr std::size_t long_list = 16;
constexpr int most_early_watches = 64;
// The owner waits meanwhile, so no more than repays the move.
constexpr std::size_t most_moved = 512;

std::size_t this_thread_id() noexcept {
  return std::hash<std::thread::id>{}(std::this_thread::get_id());
}

}  // namespace

work_sharing::work_sharing(scheduler& s)
    : scheduler_(s),
      wakeup_timer_(std::make_unique<wakeup_timer>(
          s.context(), [this] { on_watch(); },
          [this] { return scheduler_.native().running_here(); },
          [this] { scheduler_.native().post_watch(scheduler_); })) {}

work_sharing::~work_sharing() = default;

void work_sharing::detect_second_thread() noexcept {
  if (several_threads()) return;
  const auto self = this_thread_id();
  std::size_t nobody = 0;
  if (!first_thread_.compare_exchange_strong(nobody, self, std::memory_order_relaxed) &&
      nobody != self)
    several_threads_.store(true, std::memory_order_relaxed);
}

void work_sharing::watch_worker(worker& w) noexcept {
  w.must_expose = false;
  const std::lock_guard guard(lock_);
  if (!w.listed) add_worker(w);
  begin_watch();
}

void work_sharing::watch_shared_list() noexcept {
  if (watching_.load(std::memory_order_relaxed)) return;
  const std::lock_guard guard(lock_);
  begin_watch();
}

void work_sharing::add_worker(worker& w) noexcept {
  w.listed = true;
  w.next_listed = listed_;
  if (w.next_listed) w.next_listed->previous_listed = &w;
  listed_ = &w;
}

void work_sharing::remove_worker(worker& w) noexcept {
  const std::lock_guard guard(lock_);
  if (w.previous_listed)
    w.previous_listed->next_listed = w.next_listed;
  else
    listed_ = w.next_listed;
  if (w.next_listed) w.next_listed->previous_listed = w.previous_listed;
  end_idle_watch(w);
}

void work_sharing::kept_drain_has_run(worker& w) noexcept {
  const std::lock_guard guard(lock_);
  end_idle_watch(w);
}

// Called under the lock. The last worker ends a watch that would only keep the event loop from
// ending: a wake-up timer that is set is outstanding work.
void work_sharing::end_idle_watch(worker& w) noexcept {
  if (listed_ || wakeup_timer_->set_to() == wakeup_timer::never || scheduler_.work_goes_on())
    return;
  if (try_end_watch(w))
    static_cast<void>(wakeup_timer_->set([](auto) { return wakeup_timer::never; }));
}

// Whether moving half of what waits in another thread's list repays the move.
bool work_sharing::worth_stealing(const worker& other, clock::time_point now) const noexcept {
  const auto steps = other.steps.load(std::memory_order_relaxed);
  const auto waiting = other.local.size();
  if (has_grown_trees(other)) return true;
  const clock::time_point started = other.started;
  if (started == clock::time_point()) return false;
  return steps > 0 && waiting > 1 && (now - started) / steps * waiting > worth_moving;
}

void work_sharing::note_steps(std::uint64_t steps, clock::duration took) noexcept {
  if (steps == 0) return;
  const std::chrono::nanoseconds ns = took / steps;
  const auto one =
      static_cast<std::uint64_t>(std::clamp<std::int64_t>(ns.count(), 0, longest_step));
  step_ns_ = static_cast<std::uint32_t>((3 * std::uint64_t{step_ns_} + one) / 4);
}

void work_sharing::note_forks(clock::time_point now) noexcept {
  const clock::time_point seen = forks_seen_;
  if (now - seen > worth_a_call) forks_since_ = now;
  forks_seen_ = now;
}

// A fork stands for a tree of which nobody knows how large it is; one that has grown for so long is
// not small.
bool work_sharing::has_grown_trees(const worker& w) const noexcept {
  const clock::time_point since = forks_since_;
  const clock::time_point seen = forks_seen_;
  return w.local.has_forks() && seen - since > worth_moving;
}

// By what steps take that others have made, too: the owner may not have made any yet.
bool work_sharing::worth_a_call_for(const worker& other) const noexcept {
  const auto waiting = other.local.size();
  const std::uint32_t step = step_ns_;
  return waiting > 1 && step >= least_step && step * waiting > nanoseconds_of(worth_moving);
}

std::size_t work_sharing::steps_worth_a_call() const noexcept {
  const std::uint32_t step = step_ns_;
  if (step < least_step) return std::numeric_limits<std::size_t>::max();
  return nanoseconds_of(worth_a_call) / step + 1;
}

bool work_sharing::repays_a_call(const worker& w) const noexcept {
  if (!several_threads()) return false;
  const auto waiting = w.local.size();
  return has_grown_trees(w) || (waiting > 1 && waiting >= steps_worth_a_call());
}

void work_sharing::call_idle_thread() noexcept {
  if (!several_threads() || called_.load(std::memory_order_relaxed)) return;
  const clock::time_point next = next_call_;
  if (clock::now() < next) return;
  if (!called_.exchange(true, std::memory_order_relaxed))
    scheduler_.native().post_watch(scheduler_);
}

bool work_sharing::steal(worker& w) noexcept {
  if (!may_steal() || scheduler_.left_over_.size() != 0) return false;
  const std::lock_guard guard(lock_);
  for (worker* other = listed_; other; other = other->next_listed)
    if (other->thread != w.thread && worth_stealing(*other, clock::now()))
      return take_half(*other, w);
  return false;
}

bool work_sharing::take_half(worker& from, worker& to) noexcept {
  work_list taken;
  if (!from.gate.lock_as_other()) return false;
  from.local.move_half(most_moved, taken);
  from.gate.unlock_as_other();
  to.gate.lock_as_owner();
  to.local.append(taken);
  to.local.let_others_go_first();
  to.gate.unlock_as_owner();
  if (!to.listed) add_worker(to);
  return to.local.size() != 0;
}

// Called under the lock. A handler wakes a free thread at once: the first ones, so that a program's
// threads find each other, and then one now and then while no other has been seen.
void work_sharing::begin_watch() noexcept {
  if (watching_.load(std::memory_order_relaxed) || !scheduler_.has_native_executor()) return;
  watching_.store(true, std::memory_order_relaxed);
  const auto now = clock::now();
  if (several_threads()) {
    for (worker* other = listed_; other; other = other->next_listed)
      other->steps_seen = other->steps.load(std::memory_order_relaxed);
    arm(now + watch_period);
  } else if (early_watches_ < most_early_watches || now >= next_post_) {
    early_watches_ = std::min(early_watches_ + 1, most_early_watches);
    next_post_ = now + watch_period;
    scheduler_.native().post_watch(scheduler_);
  } else {
    arm(next_post_);
  }
}

// Takes what waits behind goroutines that do not suspend, and a part of lists so long that moving
// it repays.
void work_sharing::on_watch() {
  detect_second_thread();
  worker w(scheduler_, worker::extent::whole_handler);
  const bool called = called_.load(std::memory_order_relaxed);
  const bool idle = scheduler_.left_over_.size() == 0 && scheduler_.shared_.size() == 0;
  bool took = false;
  {
    const std::lock_guard guard(lock_);
    watching_.store(true, std::memory_order_relaxed);
    bool waits = false;
    took = take_from_others(w, called, waits);
    // To end the watch is expensive, and left to one that comes by the alarm while others drain.
    if ((called && listed_) || waits || !try_end_watch(w)) arm(clock::now() + watch_period);
    // A third thread may at once take half of what this one took. Of a burst it is called by
    // itself.
    if (took && !called) w.steps_seen = 0;
  }
  if (called) {
    // One that has work of its own has not come in vain: the others are busy, too.
    in_vain_ = took || !idle ? 0 : std::min(in_vain_ + 1, most_in_vain);
    next_call_ = took ? clock::time_point() : clock::now() + worth_moving * (1 << in_vain_);
    called_.store(false, std::memory_order_relaxed);
  }
  if (took && !called && w.local.size() > 1) scheduler_.native().post_watch(scheduler_);
  scheduler_.timers_changed();
  scheduler_.drain(w);
}

// Whether an owner makes no steps can be said by looks alone that are far from each other.
bool work_sharing::take_from_others(worker& w, bool called, bool& waits) noexcept {
  const auto now = clock::now();
  const bool idle = scheduler_.left_over_.size() == 0 && scheduler_.shared_.size() == 0;
  const bool was_long = !called && std::exchange(saw_long_list_, false);
  bool took = false;
  for (worker* other = listed_; other; other = other->next_listed) {
    if (other->thread == w.thread) continue;
    const auto waiting = other->local.size();
    const auto steps = other->steps.load(std::memory_order_relaxed);
    const bool stands = !called && steps == std::exchange(other->steps_seen, steps);
    const bool is_long = waiting >= long_list;
    const bool repays = idle && ((is_long && was_long) || worth_stealing(*other, now) ||
                                 (called && worth_a_call_for(*other)));
    if (!took && waiting > 0 && (stands || repays)) took = take_half(*other, w);
    saw_long_list_ |= !called && idle && is_long;
    waits |= waiting > 0;
  }
  return took;
}

// Says that there is no watch, and then looks once more whether something is hidden.
bool work_sharing::try_end_watch(const worker& w) noexcept {
  watching_.store(false, std::memory_order_relaxed);
  test_point("watch: none");
  const bool ends = nothing_is_hidden(w);
  if (!ends) watching_.store(true, std::memory_order_relaxed);
  return ends;
}

bool work_sharing::nothing_is_hidden(const worker& w) noexcept {
  bool waits = false;
  for (worker* other = listed_; other; other = other->next_listed) {
    if (other->thread == w.thread) {
      other->must_expose = true;
      continue;
    }
    if (!other->gate.lock_as_other()) {
      waits = true;
      continue;
    }
    other->must_expose = true;
    waits |= other->local.size() != 0;
    other->gate.unlock_as_other();
  }
  return !waits && !scheduler_.anything_shared();
}

void work_sharing::arm(clock::time_point at) noexcept {
  static_cast<void>(wakeup_timer_->set(
      [at](wakeup_timer::time_point set) { return set == wakeup_timer::never ? at : set; }));
}

void work_sharing::close() noexcept {
  wakeup_timer_->close();
}

}  // namespace sluice::detail
