#include <sluice/detail/scheduler.hpp>

#include "alarm.hpp"
#include "native_executor.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

// How work moves between the threads of one context.

namespace sluice::detail {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

constexpr auto watch_period = 3ms;
constexpr auto worth_moving = 200us;
constexpr std::size_t long_list = 16;
constexpr int most_early_watches = 64;
// The owner waits meanwhile, so no more than repays the move.
constexpr std::size_t most_moved = 512;

std::size_t this_thread_id() noexcept {
  return std::hash<std::thread::id>{}(std::this_thread::get_id());
}

}  // namespace

void scheduler::note_thread() noexcept {
  if (several_threads_.load(std::memory_order_relaxed)) return;
  const auto self = this_thread_id();
  std::size_t nobody = 0;
  if (!first_thread_.compare_exchange_strong(nobody, self, std::memory_order_relaxed) &&
      nobody != self)
    several_threads_.store(true, std::memory_order_relaxed);
}

// Something waits in the list of a worker that is busy, or about to be.
void scheduler::report(worker& w) noexcept {
  w.report_wanted = false;
  if (!w.listed) {
    const std::lock_guard guard(workers_lock_);
    list(w);
  }
  if (!watching_.load(std::memory_order_relaxed)) request_watch();
}

// One step makes ever more ready, as a loop of `go` or the close of a channel does: they need not
// wait for its end. As in Go's runqputslow a whole batch goes to where all threads look.
void scheduler::share(worker& w) noexcept {
  w.pushed = 0;
  if (!several_threads_.load(std::memory_order_relaxed)) return;
  bool needed = false;
  {
    const std::lock_guard guard(shared_lock_);
    w.gate.lock_as_owner();
    shared_.append(w.local);
    w.gate.unlock_as_owner();
    needed = needs_drain();
  }
  if (needed) native().post_drain(*this, false);
}

void scheduler::list(worker& w) noexcept {
  w.listed = true;
  w.next_listed = listed_;
  if (w.next_listed) w.next_listed->previous_listed = &w;
  listed_ = &w;
}

// Whether moving half of what waits in another thread's list repays the move.
bool scheduler::worth_stealing(const worker& other, steady_clock::time_point now) noexcept {
  const auto steps = other.steps.load(std::memory_order_relaxed);
  const auto waiting = other.local.size();
  const steady_clock::time_point started = other.started;
  if (started == steady_clock::time_point()) return false;
  return steps > 0 && waiting > 1 && (now - started) / steps * waiting > worth_moving;
}

// A thread that is about to go idle takes half of a list that is long enough.
bool scheduler::steal(worker& w) noexcept {
  if (!listed_ || !several_threads_.load(std::memory_order_relaxed) || left_over_.size() != 0)
    return false;
  const std::lock_guard guard(workers_lock_);
  for (worker* other = listed_; other; other = other->next_listed)
    if (other->thread != w.thread && worth_stealing(*other, steady_clock::now()))
      return take_half(*other, w);
  return false;
}

bool scheduler::take_half(worker& from, worker& to) noexcept {
  ready_list taken;
  from.gate.lock_as_other();
  from.local.move_front(std::min((from.local.size() + 1) / 2, most_moved), taken);
  from.gate.unlock_as_other();
  to.gate.lock_as_owner();
  to.local.append(taken);
  to.gate.unlock_as_owner();
  if (!to.listed) list(to);
  return to.local.size() != 0;
}

// Something waits behind a running goroutine: see to it that a thread with nothing to do looks
// after it. An idle thread is woken at once only while it is unknown whether there is one.
void scheduler::request_watch() noexcept {
  if (!has_native_executor() || watching_.exchange(true, std::memory_order_acq_rel)) return;
  if (several_threads_.load(std::memory_order_relaxed)) {
    const std::lock_guard guard(workers_lock_);
    for (worker* other = listed_; other; other = other->next_listed)
      other->steps_seen = other->steps.load(std::memory_order_relaxed);
    arm_watch();
    return;
  }
  const auto now = steady_clock::now().time_since_epoch().count();
  if (early_watches_ < most_early_watches)
    ++early_watches_;
  else if (now < next_watch_.load(std::memory_order_relaxed)) {
    watching_.store(false, std::memory_order_release);
    return;
  }
  next_watch_.store(now + steady_clock::duration(watch_period).count(), std::memory_order_relaxed);
  native().post_watch(*this);
}

// On a thread that has nothing else to do, unless the event loop gave it this turn between two
// drains: takes what waits behind goroutines that do not suspend, and a part of lists so long that
// moving it repays.
void scheduler::on_watch() {
  note_thread();
  worker w(*this);
  const auto now = steady_clock::now();
  const bool idle = left_over_.size() == 0 && shared_.size() == 0;
  bool others = false;
  bool took = false;
  {
    const std::lock_guard guard(workers_lock_);
    const bool was_long = std::exchange(saw_long_list_, false);
    for (worker* other = listed_; other; other = other->next_listed) {
      if (other->thread == w.thread) continue;
      others = true;
      const auto waiting = other->local.size();
      const auto steps = other->steps.load(std::memory_order_relaxed);
      const bool stands = steps == std::exchange(other->steps_seen, steps);
      const bool is_long = waiting >= long_list;
      const bool repays = idle && ((is_long && was_long) || worth_stealing(*other, now));
      if (!took && waiting > 0 && (stands || repays)) took = take_half(*other, w);
      saw_long_list_ |= idle && is_long;
    }
    // A third thread may at once take half of what this one took.
    if (took) w.steps_seen = 0;
  }
  if (!others && idle) {
    watching_.store(false, std::memory_order_release);
    // In an event loop that a goroutine runs itself: those behind it have their turn.
    if (w.outer && &w.outer->owner == this) drain(w);
    return;
  }
  arm_watch();
  if (took && w.local.size() > 1) native().post_watch(*this);
  drain(w);
}

void scheduler::arm_watch() noexcept {
  watch_alarm_->set(native().executor(), [](alarm::time_point at) {
    return at == alarm::never ? steady_clock::now() + watch_period : at;
  });
}

}  // namespace sluice::detail
