// SPDX-License-Identifier: BSL-1.0
// Children of one operation: how they are launched, what their failures do, and how the one who
// waits for them goes on. Whoever counts down to zero wakes, and touches nothing after that.

#include <sluice/detail/sync/children_wait.hpp>

#include "scheduler/current_worker.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/error_code_of.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/worker.hpp>
#include <sluice/detail/task/new_goroutine.hpp>

#include <boost/asio/error.hpp>

#include <string>

namespace sluice::detail {

bool children_wait::begin(goroutine& g) noexcept {
  g.waiting_on = reason_;
  begin(static_cast<waker&>(g));
  const auto seen = begin_in(g, *this);
  if (seen == waiter::state::waiting) return true;
  outcome_ = seen;
  stop();
  return false;
}

void children_wait::begin(waker& p) noexcept {
  who_ = &p;
  begin_counting();
}

// What throws may have left it to end by itself: then it has been counted, and will be told.
goroutine* children_wait::make_elsewhere(owned_goroutine& child, new_goroutine made) {
  if (!made) {
    stop();
    return nullptr;
  }
  goroutine& g = *made;
  if (!adopt(child, g)) return nullptr;
  SLUICE_TRY {
    made.start();
  }
  SLUICE_CATCH_ALL {
    if (made) static_cast<void>(count_down());
    detail::rethrow();
  }
  return &g;
}

void children_wait::launch(next_function make_next, void* children, start_point at,
                           std::source_location where, std::size_t most_at_a_time,
                           launched_by by) noexcept {
  make_next_ = make_next;
  children_ = children;
  at_ = std::move(at);
  where_ = where;
  limited_ = most_at_a_time < no_limit;
  turns_.store(most_at_a_time, std::memory_order_relaxed);
  go_on_launching(by);
}

// Once this has been called another thread may be doing all that follows.
void children_wait::go_on_launching(launched_by by) noexcept {
  if (!at_.where->is_native()) return launch_elsewhere();
  worker* const w = current_worker;
  if (w && &w->owner == &at_.where->owner()) {
    if (w->runs_fork && by == launched_by::suspending)
      w->goes_on = &fork_;
    else
      w->push_fork(fork_);
  } else
    at_.where->schedule(fork_);
}

// An executor of somebody else's has got each when it has been made.
void children_wait::launch_elsewhere() noexcept {
  for (;;) {
    const next_child made = make_next_(children_, *this);
    const bool all = !made.child || made.is_last;
    const bool goes_on = all || !use_last_turn();
    if (all) return count_down_and_wake();
    if (!goes_on) return;
  }
}

/// A turn of a worker in which it runs a fork, and what that leads to.
class children_wait::fork_turn {
 public:
  explicit fork_turn(worker& w) noexcept : worker_(w) { w.runs_fork = !w.owner.simulated(); }
  fork_turn(const fork_turn&) = delete;
  fork_turn& operator=(const fork_turn&) = delete;
  ~fork_turn() { worker_.runs_fork = false; }

  /// The fork to be run next, or null. It goes into the list if others, or the clock, come first.
  [[nodiscard]] ready_node* next() noexcept {
    worker& w = worker_;
    ready_node* const node = std::exchange(w.goes_on, nullptr);
    if (!node) return nullptr;
    if (--w.ticks > 0 && !w.deadline_set && !w.local.has_others() && !look_is_due()) {
      w.count_step();
      return node;
    }
    w.push_fork(*node);
    return nullptr;
  }

 private:
  // To read the counter takes as long as a fifth of a small step: while steps have been short it is
  // done after every eighth.
  [[nodiscard]] bool look_is_due() const noexcept {
    const bool all_short = worker_.interval >= worker::first_interval;
    return (!all_short || worker_.ticks % 8 == 0) && worker_.look_is_due();
  }

  worker& worker_;
};

void children_wait::run_fork(ready_node& node, worker* w) {
  if (!w) return;  // its context is ending
  fork_turn turn(*w);
  for (ready_node* n = &node; n; n = turn.next()) static_cast<fork*>(n)->owner.run_here(*w);
}

void children_wait::run_here(worker& w) {
  if (!over_) return launch_one(w);
  auto& g = static_cast<goroutine&>(*who_);
  g.run(g, &w);
}

// Once it has put itself back another thread may launch the next, and after the last child this may
// be gone.
void children_wait::launch_one(worker& w) {
  const next_child made = make_next_(children_, *this);
  if (!made.child) return count_down_and_wake(one + ended_);
  if (!made.is_last && !use_last_turn()) w.push_fork(fork_);
  if (w.owner.simulated()) return w.push(*made.child);  // which chooses who is next
  made.child->run(*made.child, &w);
}

void children_wait::failed(const std::exception_ptr& e) noexcept {
  if (!stop()) return;
  first_exception_ = e;
  cancel_children();
}

void children_wait::failed(const error_code& e) noexcept {
  if (!stop()) return;
  first_error_ = e;
  cancel_children();
}

void children_wait::cancel_children() noexcept {
  cancel_all(outcome_ == waiter::state::waiting ? waiter::state::aborted : outcome_);
}

// Whoever has the fork launches the next child, and nobody else does: a child that takes it back
// leaves its own count to who launches.
void children_wait::one_has_ended() noexcept {
  if (limited_) {
    if (turns_.fetch_add(1, std::memory_order_acq_rel) == 0) go_on_launching(launched_by::another);
  } else if (worker* const w = current_worker; w && w->runs_fork && w->take_fork(fork_)) {
    ended_ += one;
    w->goes_on = &fork_;
    return;
  }
  count_down_and_wake();
}

// A goroutine goes on before what else is ready, on the thread that has run its last child: so a
// tree is left depth first, too.
void children_wait::count_down_and_wake(std::size_t count) noexcept {
  waker& who = *who_;
  if (!count_down(count)) return;
  worker* const w = current_worker;
  if (w && &w->owner == who.home && !w->owner.simulated() && goroutine::is_one(who) &&
      static_cast<goroutine&>(who).where->is_native()) {
    over_ = true;
    if (w->runs_fork)
      w->goes_on = &fork_;
    else
      w->push_fork(fork_);
  } else {
    who.wake(who);
  }
}

bool children_wait::cancel_later(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                                 ready_list& steps) noexcept {
  auto& self = static_cast<children_wait&>(wait);
  if (!self.count_up_unless_over()) return false;
  const bool first = self.stop();
  if (first) {
    self.outcome_ = outcome;
    steps.push_back(self);
    return false;
  }
  // Not the last: a child is there, or who has stopped it before still counts.
  return self.count_down();
}

// Without a worker its executor, or its context, has ended: so have the children, or will.
void children_wait::cancel_now(ready_node& node, worker* w) {
  auto& self = static_cast<children_wait&>(node);
  if (w) self.cancel_children();
  self.count_down_and_wake();
}

bool children_wait::cancel_for_handler() noexcept {
  if (!count_up_unless_over()) return false;
  if (stop()) {
    outcome_ = waiter::state::aborted;
    cancel_children();
  }
  return count_down();
}

void children_wait::failure(error_code& e) const noexcept {
  if (outcome_ != waiter::state::waiting)
    e = outcome_error(outcome_);
  else if (first_exception_)
    e = error_code_of(first_exception_);
  else if (first_error_)
    e = first_error_;
  else
    e = asio::error::operation_aborted;
}

void children_wait::failure(std::exception_ptr& e) const {
  if (first_exception_) {
    e = first_exception_;
    return;
  }
  error_code code;
  failure(code);
  e = std::make_exception_ptr(system_error(code, std::string("sluice: ") + text_of(reason_)));
}

}  // namespace sluice::detail
