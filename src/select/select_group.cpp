// SPDX-License-Identifier: BSL-1.0
// The Asio cases of a select: what happens on the strand. What is launched is waited for: the
// select goes on when a case has been claimed and nothing that it has launched is outstanding.

#include <sluice/detail/select/select_group.hpp>

#include "scheduler/current_worker.hpp"
#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/strand_dispatcher.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <mutex>
#include <new>
#include <utility>

namespace sluice::detail {

select_group::turn_of select_group::choose_turn() noexcept {
  return scheduler::choose(turn) == 0 ? turn_of::asio : turn_of::sluice;
}

// `passes` counts to the turn of the Asio cases. Once in a while, by chance, it counts from `turn`
// on: there is a second turn on that way, also by chance, for those whose turn never comes because
// the goroutine's selects follow each other at that very distance.
bool select_group::asio_goes_first(const goroutine& g) noexcept {
  const std::uint32_t left = turn - 1 - g.asio_passed_over % turn;
  return left == 0 || (g.asio_passed_over >= turn && scheduler::choose(left + 1) == 0);
}

void select_group::count_pass(goroutine& g, bool asio_went_first) noexcept {
  constexpr std::uint32_t seldom = 32;
  std::uint32_t next = g.asio_passed_over + 1U;
  if (next % turn == 0)
    next = scheduler::choose(seldom) == 0 ? turn : 0;
  else if (asio_went_first)
    next = next % turn;
  g.asio_passed_over = next & 0x7f;
}

void select_group::bind_to_strand() noexcept {
  strand_waker_.home = who_->home;
  strand_waker_.owner = this;
  bind(strand_waker_);
}

bool select_group::start(goroutine& waiting, std::span<select_entry> entries,
                         std::span<std::uint32_t> candidates,
                         std::span<launched_case*> asio_cases) {
  goroutine& g = waiting.with_own_block();
  goroutine_ = &g;
  asio_cases_ = asio_cases;
  if (!begin(g, entries, candidates)) return g.must_yield();
  asio_first_ = asio_goes_first(g);
  if (asio_first_)
    turn_used_ = ready_case() != none;
  else if (try_hinted())
    return g.must_yield();
  bind_to_strand();
  const bool on_strand = g.on_its_strand();
  if (!on_strand) g.become_serial();
  claimed_step_ = &make_step(&select_group::on_claimed);
  if (g.cancel) {
    const std::lock_guard guard(g.cancel->lock());
    if (!become_cancellable()) {
      if (on_strand) return g.must_yield();
      g.make_ready();
      return true;
    }
  }
  shared_ = true;
  if (on_strand)
    on_suspended();
  else
    post_to_strand(&select_group::on_suspended);
  return true;
}

bool select_group::done_before_launch(waker& p, std::span<select_entry> entries,
                                      std::span<std::uint32_t> candidates,
                                      std::span<launched_case*> asio_cases,
                                      turn_of first) noexcept {
  begin(p, entries, candidates);
  asio_cases_ = asio_cases;
  asio_first_ = first == turn_of::asio;
  return !asio_first_ && try_hinted();
}

// All that follows runs on the strand, which this thread holds: until it passes that on, the
// handler is not called. From then on this may be gone, and all of the context but what is pinned.
// Nothing is pinned while operations are launched, which calls what is the user's: that may be the
// end of the context, and of this.
begun select_group::start_launching(parked_handler& h, dispatcher_ptr where) {
  const std::shared_ptr<scheduler_link> home = who_->home->link();
  held_strand strand(std::move(where));
  goroutine_ = &goroutine::make_without_frames(strand.strand());
  const goroutine_ref held(*goroutine_);
  bind_to_strand();
  claimed_step_ = &make_step(&select_group::on_claimed);
  shared_ = true;
  if (!who_->home->try_add(h)) return begun::refused;
  launch_all();
  if (held->ended()) return begun::waits;
  const pinned_scheduler until_passed_on(*home);
  if ((!asio_first_ || !give_event_loop_a_turn()) && register_entries()) post_claimed();
  strand.pass_on();
  return begun::waits;
}

ready_node& select_group::make_step(void (select_group::*step)()) {
  auto f = [this, step, held = goroutine_ref(waiting_goroutine())] {
    if (!held->ended()) (this->*step)();
  };
  return function_node<decltype(f), recycling_allocator<void>>::make(std::move(f), {});
}

void select_group::post_to_strand(void (select_group::*step)()) {
  waiting_goroutine().where->schedule(make_step(step));
}

void select_group::forget() noexcept {
  if (!who_) return;
  keep_others_off();
  leave_strand();
  leave();
}

void select_group::forget_claimed(selection& claim) noexcept {
  static_cast<select_group&>(static_cast<select_wait&>(claim)).forget();
}

void select_group::leave_strand() noexcept {
  if (claimed_step_) {
    ready_node& unused = *std::exchange(claimed_step_, nullptr);
    unused.run(unused, nullptr);
  }
  if (!in_goroutine_ && who_ && goroutine_) {
    goroutine_->end_without_frames();
    goroutine_->release();
  }
}

// For one who claims, and cannot be told that there is no memory.
void select_group::post_claimed() {
  SLUICE_ASSERT(claimed_step_, "the claim of a select is handed to its strand once");
  const dispatcher_ptr strand = waiting_goroutine().where;
  strand->schedule(*std::exchange(claimed_step_, nullptr));
}

// An operation may complete from inside its launch; the rest is not launched then.
void select_group::launch_all() {
  busy_ = true;
  for (launched_case* const c : asio_cases_) {
    if (winner() != none) break;
    if (!launch(*c)) return;
  }
  busy_ = false;
}

void select_group::on_suspended() {
  launch_all();
  if (!asio_first_ || !give_event_loop_a_turn()) on_launched();
}

void select_group::on_launched() {
  if (register_entries()) on_claimed();
}

// The select of a handler may end inside the launch, with its context.
bool select_group::launch(launched_case& c) {
  c.owner = this;
  c.waiting = goroutine_;
  c.launched = true;
  ++outstanding_;
  launching_ = &c;
  const goroutine_ref held = in_goroutine_ ? goroutine_ref() : goroutine_ref(waiting_goroutine());
  const auto is_gone = [&held] { return held && held->ended(); };
  SLUICE_TRY {
    const on_behalf_of current(waiting_goroutine());
    c.launch(c, c.signal.slot());
    if (is_gone()) return false;
    launching_ = nullptr;
  }
  SLUICE_CATCH_ALL {
    if (is_gone()) return false;
    launching_ = nullptr;
    c.launched = false;
    --outstanding_;
    if (claim(failed)) failure_ = std::current_exception();
    return true;
  }
  if (c.dropped) asio_abandoned(c);
  return true;
}

// The event loop polls between handlers: when the second of two handlers posted one by the other
// runs, what was ready has been dispatched.
//
// `on_launched` is queued when the second handler ends, or as soon as there is no memory for one of
// them. If there is none for that step the event loop is given no turn.
bool select_group::give_event_loop_a_turn() {
  struct queued_at_end {
    queued_at_end(ready_node& n, dispatcher_ptr w) noexcept : next(&n), where(std::move(w)) {}
    queued_at_end(queued_at_end&& other) noexcept
        : next(std::exchange(other.next, nullptr)), where(std::move(other.where)) {}
    queued_at_end& operator=(queued_at_end&&) = delete;
    ~queued_at_end() {
      if (next) where->schedule(*next);
    }
    ready_node* next;
    dispatcher_ptr where;
  };
  ready_node* step = nullptr;
  SLUICE_TRY {
    step = &make_step(&select_group::on_launched);
  }
  SLUICE_CATCH(const std::bad_alloc& no_memory) {
    return false;
  }
  queued_at_end rest(*step, waiting_goroutine().where);
  const auto ex = who_->home->event_loop_executor(*waiting_goroutine().where);
  SLUICE_TRY {
    asio::post(ex, [ex, first = std::move(rest)]() mutable {
      SLUICE_TRY {
        asio::post(ex, [second = std::move(first)] {});
      }
      SLUICE_CATCH(const std::bad_alloc& no_memory) {
        // The end of this function queues the step.
      }
    });
  }
  SLUICE_CATCH(const std::bad_alloc& no_memory) {
    // So has the end of what was to be posted.
  }
  return true;
}

bool select_group::register_entries() {
  goroutine& g = waiting_goroutine();
  registered_ = true;
  bool claimed_here = true;
  {
    wake_list woken;
    std::unique_lock<byte_lock> cancellation_guard;
    if (!in_goroutine_)
      cancellation_guard = std::unique_lock(slot_lock_);
    else if (g.cancel)
      cancellation_guard = std::unique_lock(g.cancel->lock());
    if (winner() == none)
      claimed_here = attempt_or_enlist(woken, nullptr, asio_cases_.size()) == begun::done;
    else if (winner() == cancelled)
      claimed_here = false;
  }
  return claimed_here || arrive_second();
}

void select_group::on_claimed() {
  claim_seen_ = true;
  const auto thrown = cancel_asio_cases();
  go_on_if_finished();
  if (thrown) std::rethrow_exception(thrown);
}

// Every type at once, terminal among them, whatever weaker type came before. An operation whose
// cancellation throws keeps neither the others from theirs nor the select from its end: that waits
// until it has completed.
std::exception_ptr select_group::cancel_asio_cases() noexcept {
  if (std::exchange(busy_, true)) return nullptr;
  std::exception_ptr thrown;
  const auto winner = selection::winner();
  for (launched_case* const c : asio_cases_) {
    if (!c->launched || c->completed || c->index == winner) continue;
    if (std::exchange(c->told_to_end, true)) continue;
    SLUICE_TRY {
      c->signal.emit(asio::cancellation_type::all);
    }
    SLUICE_CATCH_ALL {
      if (!thrown) thrown = std::current_exception();
    }
  }
  busy_ = false;
  return thrown;
}

void select_group::asio_completed(launched_case& c) {
  SLUICE_ASSERT(c.launched && !c.completed && outstanding_ != 0,
                "an Asio operation that was launched completes once");
  c.completed = true;
  c.signal.slot().clear();
  --outstanding_;
  std::exception_ptr thrown;
  if (claim(c.index)) {
    claim_seen_ = true;
    asio_won_ = true;
    thrown = cancel_asio_cases();
  } else if (winner() == cancelled && (c.succeeded || purpose_ == purpose::timeout) &&
             rescued_ == none) {
    rescued_ = c.index;
  }
  go_on_if_finished();
  if (thrown) std::rethrow_exception(thrown);
}

void select_group::asio_abandoned(launched_case& c) {
  // Perhaps because the launch throws.
  if (launching_ == &c) {
    c.dropped = true;
    return;
  }
  abandoned_ = true;
  asio_completed(c);
}

void select_group::go_on_if_finished() {
  if (busy_ || !registered_ || outstanding_ != 0 || !claim_seen_ || resumed_) return;
  resumed_ = true;
  if (!in_goroutine_) return who_->wake(*who_);
  goroutine& g = waiting_goroutine();
  if (abandoned_)
    g.abandon();
  else if (!g.resumed_here())
    g.make_ready();
}

bool select_group::cancel(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                          ready_list& steps) noexcept {
  auto& self = static_cast<select_group&>(wait);
  if (self.cancel_all(outcome)) steps.push_back(*std::exchange(self.claimed_step_, nullptr));
  return false;
}

// Asio cases are cancelled on their strand.
bool select_group::cancel_for_handler() noexcept {
  if (select_wait::cancel_for_handler()) post_claimed();
  return false;
}

// Asio cases that won without passing anything over leave their turn to the next select.
std::uint32_t select_group::finish() {
  SLUICE_ASSERT(outstanding_ == 0, "a select goes on when nothing that it has launched is left");
  if (in_goroutine_ && (turn_used_ || !asio_won_)) count_pass(*goroutine_, asio_first_);
  leave_strand();
  return end(rescued_);
}

void select_group::wake_on_strand(waker& p) noexcept {
  static_cast<strand_waker&>(p).owner->post_claimed();
}

}  // namespace sluice::detail
