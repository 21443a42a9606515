#include <sluice/detail/goroutine.hpp>

#include "innermost.hpp"

#include <sluice/detail/make_target.hpp>
#include <sluice/detail/operation.hpp>
#include <sluice/detail/recycling.hpp>
#include <sluice/detail/scheduler.hpp>
#include <sluice/detail/strand_target.hpp>
#include <sluice/error.hpp>

#include <mutex>
#include <new>

namespace sluice::detail {

static_assert(sizeof(void*) != 8 || sizeof(goroutine) <= 104, "a program may have a million");

goroutine::goroutine(target_ptr t, promise_base& root, bool counts,
                     std::source_location started_at) noexcept
    : ready_node(&run_node),
      party(&wake_party, &t->owner()),
      at(&root),
      where(std::move(t)),
      location(started_at),
      counted_(!counts              ? counted::nowhere
               : where->is_native() ? counted::by_scheduler
                                    : counted::by_target) {}

goroutine& goroutine::make(target_ptr where, promise_base& root, bool counts_as_work,
                           std::source_location started_at) {
  auto& g = *::new (allocate_recycled(sizeof(goroutine)))
                goroutine(std::move(where), root, counts_as_work, started_at);
  root.g = &g;
  return g;
}

bool goroutine::enter() noexcept {
  if (!home->try_add(*this)) return false;
  if (counted_ == counted::by_target) where->work_started();
  return true;
}

void goroutine::leave() noexcept {
  home->remove(*this);
  if (counted_ == counted::by_target) where->work_finished();
}

void goroutine::destroy_block() noexcept {
  this->~goroutine();
  deallocate_recycled(this, sizeof(goroutine));
}

void goroutine::make_ready() noexcept {
  if (ended()) return;
  if (where->is_native()) {
    if (worker* const w = innermost; w && &w->owner == home)
      w->push(*this);
    else
      home->schedule(*this);
    return;
  }
  retain();
  in_flight_ = true;
  where->schedule(*this);
}

// On its strand, so the step that launched the operation is over. What the step makes ready and the
// deadlines that it sets have their turn when the handler has returned; the handler may be one of
// the user's that goes on, so they are reported now.
bool goroutine::resumed_here() {
  worker* const w = innermost;
  if (!w || !w->may_resume || w->strand != where.get()) return false;
  w->may_resume = false;
  w->completes = true;
  run_node(*this, w);
  if (std::exchange(w->deadline_set, false)) w->owner.timers_changed();
  return true;
}

void goroutine::start_elsewhere(bool& begun) {
  const ticket held(*this);
  retain();
  in_flight_ = true;
  begun = true;
  try {
    where->schedule(*this);
  } catch (...) {
    begun = abandoned_;
    throw;
  }
}

void goroutine::wake_party(party& p) noexcept {
  static_cast<goroutine&>(p).make_ready();
}

void goroutine::run_node(ready_node& node, worker* w) {
  auto& g = static_cast<goroutine&>(node);
  if (g.in_flight_) [[unlikely]] {
    const ticket held = ticket::adopt(g);
    g.in_flight_ = false;
    return run_node(node, w);
  }
  if (g.ended()) return;
  if (!w) [[unlikely]]
    return g.drop();
  if (g.abandoned_) [[unlikely]]
    return g.finish();
  g.on = w;
  goroutine* const outer = std::exchange(w->current, &g);
  do {
    w->after = worker::step::parked;
    g.at->self.resume();
  } while (w->after == worker::step::transferred);
  w->current = outer;
  if (std::exchange(w->after, worker::step::parked) == worker::step::finished) g.finish();
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

void goroutine::finish() {
  const std::exception_ptr escaped = std::move(at->exception);
  destroy_frames();
  leave();
  release();
  if (escaped) std::rethrow_exception(escaped);
}

// Whoever ends a wait holds a pin from before that can be seen until it has made this ready; who
// cancels one takes it under the lock of the cancellation. So once this is detached, nobody comes,
// and once there are no pins, nobody is left, also of those who cancelled a wait that leaves no
// trace: one on a nil channel, or a select.
void goroutine::destroy_frames() noexcept {
  if (cancel) {
    cancel->detach();
    if (!at->self.done()) home->wait_for_pins();
  }
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

bool goroutine::home_shutting_down() const noexcept {
  return home->shutting_down();
}

target_ptr serial_target(target_ptr where) {
  return where->is_serial() ? where : strand_target::make(std::move(where));
}

void goroutine::become_serial() {
  target_ptr serial = serial_target(where);
  if (counted_ == counted::by_target) {
    serial->work_started();
    where->work_finished();
  }
  // For `cancellation::runs_on`, which looks at it from other threads.
  std::unique_lock<byte_lock> guard;
  if (cancel) guard = std::unique_lock(cancel->lock());
  where = std::move(serial);
}

bool goroutine::came_back() noexcept {
  moved_ = !where->running_in_this_thread();
  return !moved_;
}

cancellation_ref goroutine::become_cancellable() {
  if (!cancel) cancel = cancellation_ref::adopt(*new cancellation(*this));
  return cancel;
}

void goroutine::throw_if_cancelled() const {
  const auto outcome = cancel->outcome();
  if (outcome != waiter::state::waiting && cancel->throws())
    throw_error(outcome_error(outcome), "sluice: co_await");
}

goroutine* this_goroutine_or_null() noexcept {
  return innermost ? innermost->current : nullptr;
}

target_ptr current_target_or_none() {
  const goroutine* const g = this_goroutine_or_null();
  return g ? g->start_target() : target_ptr();
}

goroutine& current_goroutine(const char* caller) {
  goroutine* const g = this_goroutine_or_null();
  if (!g) throw_error(error::not_in_goroutine, caller);
  return *g;
}

bool handling_own_cancellation() noexcept {
  const goroutine* const g = this_goroutine_or_null();
  if (!g || !g->cancel) return false;
  const auto outcome = g->cancel->outcome();
  if (outcome == waiter::state::waiting) return false;
  try {
    throw;
  } catch (const system_error& x) {
    return x.code() == outcome_error(outcome) || x.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

// Nothing but the node: somebody's strand may be held here, and what else the node makes ready may
// wait for that strand. It goes to the event loop when the worker ends.
void run_here(scheduler& s, ready_node& node) {
  if (worker* const w = innermost; w && &w->owner == &s) {
    node.run(node, w);
    return;
  }
  worker w(s);
  node.run(node, &w);
}

}  // namespace sluice::detail

namespace sluice {

asio::execution_context& executor::context() const noexcept {
  return target_->owner().context();
}

}  // namespace sluice
