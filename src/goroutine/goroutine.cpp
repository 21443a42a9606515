// SPDX-License-Identifier: BSL-1.0
// A goroutine's block from its making to its end: how it becomes ready, is resumed, moves between
// strands and is destroyed. Its frames are destroyed once, by the goroutine's last step or by its
// context's end; the block goes with the last reference, which is later.

#include <sluice/detail/goroutine/goroutine.hpp>

#include "goroutine/escaped_exception.hpp"
#include "goroutine/owned_count.hpp"
#include "scheduler/current_worker.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/recycling.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/executor/strand_dispatcher.hpp>
#include <sluice/detail/goroutine/joined.hpp>
#include <sluice/detail/goroutine/owned_goroutines.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/error.hpp>

#include <mutex>
#include <new>

namespace sluice::detail {

static_assert(sizeof(void*) != 8 || sizeof(goroutine) <= 112,
              "a program may have a million, and memory comes in steps of 16 bytes");

namespace {

/// A goroutine that launches an operation after every few values stays on its strand: leaving one
/// and making the next costs as much as about six steps on one.
constexpr std::uint8_t steps_before_leaving = 16;

}  // namespace

goroutine& goroutine::make(dispatcher_ptr where, promise_base& root, bool counts_as_work,
                           std::source_location started_at) {
  auto& g = *::new (allocate_recycled(sizeof(goroutine)))
                goroutine(std::move(where), &root, counts_as_work, started_at);
  root.g = &g;
  return g;
}

// Until it ends `at` is not null, and nobody looks through it.
goroutine& goroutine::make_without_frames(dispatcher_ptr where) {
  dispatcher_ptr serial = serial_dispatcher(std::move(where));
  auto& g = *::new (allocate_recycled(sizeof(goroutine)))
                goroutine(std::move(serial), nullptr, false, std::source_location());
  g.at = reinterpret_cast<promise_base*>(&g);
  return g;
}

bool goroutine::enter() noexcept {
  static constexpr functions of_all{&end_registered, &next_below};
  if (!home->try_add(*this, of_all)) return false;
  if (work == counted::by_dispatcher) where->work_started();
  return true;
}

void goroutine::leave() noexcept {
  if (is_registered_) [[likely]] {
    home->remove(*this);
    if (work == counted::by_dispatcher) where->work_finished();
    return;
  }
  count_owned(*home, -1);
  if (known != 0) home->forget(*this);
}

void goroutine::destroy_block() noexcept {
  SLUICE_ASSERT(ended(), "a goroutine's block outlives its frames");
  this->~goroutine();
  deallocate_recycled(this, sizeof(goroutine));
}

void goroutine::make_ready() noexcept {
  if (ended()) return;
  if (where->is_native()) {
    if (worker* const w = current_worker; w && &w->owner == home)
      w->push(*this);
    else
      home->schedule(*this);
    return;
  }
  retain();
  in_flight_ = true;
  where->schedule(*this);
}

// On its strand, so the step that launched the operation is over. What the step makes ready goes to
// the event loop when the worker ends; the handler may be one of the user's that goes on, so the
// deadlines that the step sets are reported now.
bool goroutine::resumed_here() {
  worker* const w = current_worker;
  if (!w || !w->may_resume || !w->strands || w->strands->strand != where.get()) return false;
  w->may_resume = false;
  run_node(*this, w);
  w->report_deadlines();
  return true;
}

void goroutine::start_elsewhere(bool& begun) {
  const goroutine_ref held(*this);
  retain();
  in_flight_ = true;
  begun = true;
  SLUICE_TRY {
    where->schedule(*this);
  }
  SLUICE_CATCH_ALL {
    begun = abandoned_;
    detail::rethrow();
  }
}

void goroutine::wake_goroutine(waker& p) noexcept {
  static_cast<goroutine&>(p).make_ready();
}

void goroutine::run_node(ready_node& node, worker* w) {
  auto& g = static_cast<goroutine&>(node);
  if (g.in_flight_) [[unlikely]] {
    const goroutine_ref held = goroutine_ref::adopt(g);
    g.in_flight_ = false;
    const bool is_new = g.is_new_;
    g.is_new_ = false;
    if (is_new && g.is_owned_ && g.cancel->owned->owner().is_stopped()) {
      g.destroy_new_frames();
      return g.end_owned();
    }
    if (w && ++g.steps_without_need_ > steps_before_leaving) g.leave_unused_strand();
    return run_node(node, w);
  }
  if (g.ended()) return;
  if (!w) [[unlikely]]
    return g.drop();
  if (g.abandoned_) [[unlikely]]
    return g.is_owned_ ? g.finish_owned() : g.finish();
  SLUICE_ASSERT(&w->owner == g.home, "a goroutine is resumed by a worker of its own scheduler");
  SLUICE_ASSERT(!g.at->self.done(), "a goroutine that is resumed has a step to do");
  g.on = w;
  scheduled_goroutine* const outer = std::exchange(w->current, &g);
  // The current one, because it may have gone on in a block of its own.
  do {
    w->after = worker::step::parked;
    static_cast<goroutine*>(w->current)->at->self.resume();
  } while (w->after == worker::step::transferred);
  auto* const last = static_cast<goroutine*>(std::exchange(w->current, outer));
  if (w->left) [[unlikely]]
    std::exchange(w->left, nullptr)->give_up();
  if (std::exchange(w->after, worker::step::parked) == worker::step::finished) {
    if (last->is_owned_) [[unlikely]]
      last->finish_owned();
    else
      last->finish();
  }
}

// Its executor has ended, perhaps because its whole context is about to. Whoever has woken it may
// hold pins and wake others: nothing of it is destroyed here. The scheduler ends it, on a thread of
// its context, or if it knows none when the context ends.
void goroutine::drop() {
  if (home->shutting_down() || !home->has_native_executor()) return;
  abandoned_ = true;
  home->schedule(*this);
}

void goroutine::abandon() noexcept {
  abandoned_ = true;
  make_ready();
}

namespace {

/// Whether an exception is what waits end with that ended so.
bool is_error_of(waiter::state outcome, const std::exception_ptr& e) noexcept {
  if (outcome == waiter::state::waiting) return false;
  return detail::visit_exception<system_error>(
      e,
      [outcome](const system_error& x) {
        return x.code() == outcome_error(outcome) || x.code() == asio::error::operation_aborted;
      },
      [] { return false; });
}

}  // namespace

void goroutine::join(joined& by) noexcept {
  SLUICE_ASSERT(!cancel, "a goroutine has one cancellation");
  cancel = cancellation_ref::adopt(by);
  is_joined_ = true;
}

void goroutine::tell_joined(const std::exception_ptr& failure) noexcept {
  if (is_joined_) static_cast<joined&>(*cancel.get()).ended(failure);
}

void goroutine::give_up() noexcept {
  destroy_new_frames();
  tell_joined(nullptr);
  release();
}

void goroutine::finish_joined() noexcept {
  const std::exception_ptr failure = std::move(at->exception);
  destroy_frames();
  leave();
  tell_joined(failure);
  release();
}

void goroutine::finish() {
  if (is_joined_) return finish_joined();
  std::exception_ptr escaped = std::move(at->exception);
  if (escaped && cancel && is_error_of(cancel->context_outcome(), escaped)) escaped = nullptr;
  if (escaped) escaped = with_origin(escaped, *this);
  destroy_frames();
  SLUICE_ASSERT(is_registered_, "a goroutine that nobody owns is registered");
  home->remove(*this);
  if (work == counted::by_dispatcher) where->work_finished();
  release();
  if (escaped) std::rethrow_exception(escaped);
}

// What it has ended with is its operation's. Of one that was abandoned there is nothing.
void goroutine::finish_owned() noexcept {
  if (!at->self.done()) {
    destroy_frames();
    return end_owned();
  }
  cancel->owned->collect(*at);
  if (!in_place_ || !cancel->has_nothing_to_end()) cancel->detach();
  const auto root = at->self;
  at = nullptr;
  root.destroy();
  end_owned();
}

// The operation may be gone when it has been told.
void goroutine::end_owned() noexcept {
  leave();
  owned_goroutines& owner = cancel->owned->owner();
  if (in_place_) return owner.one_has_ended();
  const goroutine_ref held = goroutine_ref::adopt(*this);
  owner.one_has_ended();
}

// It runs on this thread, and who looks at it comes by way of its cancellation, its operation or
// its scheduler.
goroutine& goroutine::moved_out() {
  auto& g = *::new (allocate_recycled(sizeof(goroutine)))
                goroutine(where, at, counts_as_work(), started_at);
  SLUICE_TRY {
    static_cast<void>(g.become_cancellable());
  }
  SLUICE_CATCH_ALL {
    g.at = nullptr;
    g.release();
    detail::rethrow();
  }
  g.asio_passed_over = asio_passed_over;
  g.location = location;
  g.waiting_on = waiting_on;
  g.is_owned_ = true;
  g.is_registered_ = is_registered_;
  g.is_new_ = false;
  g.on = on;
  cancel->owned->move_to(g);
  home->replace(*this, g, is_registered_);
  for (promise_base* p = at; p; p = p->awaited_by ? p->awaited_by->parent : nullptr) p->g = &g;
  on->current = &g;
  return g;
}

[[gnu::always_inline]] inline void goroutine::destroy_chain() noexcept {
  promise_base* p = at;
  at = nullptr;
  while (p) {
    await_link* const link = p->awaited_by;
    promise_base* const parent = link ? link->parent : nullptr;
    if (link) link->child = nullptr;
    p->self.destroy();
    p = parent;
  }
}

void goroutine::destroy_new_frames() noexcept {
  if (cancel && !in_place_) cancel->detach();
  destroy_chain();
}

// Whoever ends a wait holds a pin from before that can be seen until it has made this ready; who
// cancels one takes it under the lock of the cancellation. So once this is detached, nobody comes,
// and once there are no pins, nobody is left, also of those who cancelled a wait that leaves no
// trace: one on a nil channel, or a select.
void goroutine::destroy_frames() noexcept {
  SLUICE_ASSERT(!ended(), "the frames of a goroutine are destroyed once");
  if (cancel) {
    cancel->detach();
    if (!at->self.done()) home->wait_for_pins();
  }
  destroy_chain();
}

void goroutine::end_registered(scheduled_goroutine& r) noexcept {
  auto& g = static_cast<goroutine&>(r);
  g.destroy_frames();
  g.tell_joined(nullptr);
  if (!g.in_place_) g.release();
}

const scheduled_goroutine* goroutine::next_below(const scheduled_goroutine& root,
                                                 const scheduled_goroutine& at) noexcept {
  return owned_goroutines::next_below(static_cast<const goroutine&>(root),
                                      static_cast<const goroutine&>(at));
}

bool goroutine::home_shutting_down() const noexcept {
  return home->shutting_down();
}

void goroutine::become_serial() {
  SLUICE_ASSERT(!in_place_, "what has a strand may be referred to");
  dispatcher_ptr serial = serial_dispatcher(where);
  if (work == counted::by_dispatcher) {
    serial->work_started();
    where->work_finished();
  }
  {
    // A request queues steps on it, from other threads.
    std::unique_lock<byte_lock> guard;
    if (cancel) guard = std::unique_lock(cancel->lock());
    where = std::move(serial);
  }
  moved_ = true;
  if (cancel && cancel->pool_member) cancel->pool_member->runs_on(*where);
}

// Whoever could queue something on the strand has a reference, or takes one from `where` under the
// lock of the cancellation; whom a slot is told of, or a job of a pool, knows it without one.
void goroutine::leave_unused_strand() noexcept {
  steps_without_need_ = 0;
  std::unique_lock<byte_lock> guard;
  if (cancel) {
    if (cancel->pool_member) return;
    guard = std::unique_lock(cancel->lock());
    if (cancel->tells_slot()) return;
  }
  if (dispatcher_ptr inner = where->left_by_the_last()) where = std::move(inner);
}

bool goroutine::came_back() noexcept {
  moved_ = !where->running_in_this_thread();
  return !moved_;
}

cancellation_ref goroutine::become_cancellable() {
  SLUICE_ASSERT(!in_place_, "what is a part of an operation is not referred to");
  if (!cancel) cancel = cancellation_ref::adopt(*new cancellation(*this));
  return cancel;
}

void goroutine::throw_if_cancelled() const {
  const auto outcome = cancel->outcome();
  if (outcome != waiter::state::waiting && cancel->throws())
    throw_error(outcome_error(outcome), "sluice: co_await");
}

void before_main_ends(const promise_base& ending) noexcept {
  const await_link* const by = ending.awaited_by;
  if (by && !by->parent->awaited_by) ending.g->home->end_all_but(*ending.g);
}

goroutine* this_goroutine_or_null() noexcept {
  return current_worker ? static_cast<goroutine*>(current_worker->current) : nullptr;
}

dispatcher_ptr current_dispatcher_or_none() {
  const goroutine* const g = this_goroutine_or_null();
  return g ? g->start_dispatcher() : dispatcher_ptr();
}

goroutine& current_goroutine(const char* caller) {
  goroutine* const g = this_goroutine_or_null();
  if (!g) throw_error(error::not_in_goroutine, caller);
  return *g;
}

bool handling_own_cancellation() noexcept {
  const goroutine* const g = this_goroutine_or_null();
  return g && g->cancel && is_error_of(g->cancel->outcome(), std::current_exception());
}

}  // namespace sluice::detail
