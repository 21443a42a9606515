// SPDX-License-Identifier: BSL-1.0
// Who belongs to a scheduler, what it counts as work, and how it ends. Whatever is registered is
// destroyed by the end, or has been taken off before by whoever resumes or stops it, never both;
// nothing registers once the end has begun.

#include <sluice/detail/scheduler/scheduler.hpp>

#include "base/location_text.hpp"
#include "current_worker.hpp"
#include "native_executor.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/test_point.hpp>
#include <sluice/detail/scheduler/environment.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

namespace sluice::detail {

void scheduler::work_started() noexcept {
  const std::lock_guard guard(registry_lock_);
  if (work_++ == 0) native().hold_work();
}

void scheduler::work_finished() noexcept {
  const std::lock_guard guard(registry_lock_);
  SLUICE_ASSERT(work_ != 0, "work that is finished was started");
  if (--work_ == 0) native().drop_work();
}

bool scheduler::work_goes_on() const noexcept {
  const std::lock_guard guard(registry_lock_);
  return work_ != 0;
}

bool scheduler::try_add(scheduled_goroutine& g, const scheduled_goroutine::functions& f) noexcept {
  test_point("register");
  const std::lock_guard guard(registry_lock_);
  if (shutting_down()) return false;
  goroutines_.push_front(g);
  of_goroutines_ = &f;
  ++count_;
  if (g.work == scheduled_goroutine::counted::by_scheduler && work_++ == 0) native().hold_work();
  return true;
}

void scheduler::remove(scheduled_goroutine& g) noexcept {
  if (g.known != 0) [[unlikely]]
    forget(g);
  const std::lock_guard guard(registry_lock_);
  goroutines_.remove(g);
  SLUICE_ASSERT(count_ != 0, "a goroutine that leaves was counted");
  --count_;
  if (g.work == scheduled_goroutine::counted::by_scheduler && --work_ == 0) native().drop_work();
}

void scheduler::replace(scheduled_goroutine& g, scheduled_goroutine& by,
                        bool is_registered) noexcept {
  const std::lock_guard guard(registry_lock_);
  if (is_registered) goroutines_.replace(g, by);
  by.known = g.known;
  if (g.known == 0) return;
  if (environment_) environment_->goroutine_moved(g, by);
  auto name = names_.extract(&g);
  if (!name) return;
  name.key() = &by;
  names_.insert(std::move(name));
}

void scheduler::forget(const scheduled_goroutine& g) noexcept {
  if (environment_) environment_->goroutine_ended(g);
  decltype(names_)::node_type name;
  const std::lock_guard guard(registry_lock_);
  name = names_.extract(&g);
}

bool scheduler::try_add(parked_handler& h) noexcept {
  test_point("register");
  const std::lock_guard guard(registry_lock_);
  if (shutting_down()) return false;
  handlers_.push_front(h);
  return true;
}

void scheduler::add_pinned(parked_handler& h) noexcept {
  const std::lock_guard guard(registry_lock_);
  handlers_.push_front(h);
}

bool scheduler::remove(parked_handler& h) noexcept {
  const std::lock_guard guard(registry_lock_);
  if (shutting_down()) return false;
  handlers_.remove(h);
  return true;
}

registered* scheduler::take_youngest(registered_list& list) noexcept {
  const std::lock_guard guard(registry_lock_);
  return list.pop_front();
}

void scheduler::one_fails() noexcept {
  if (ends_with_failure_) ends_with_failure_->stop();
}

void scheduler::set_name(scheduled_goroutine& g, std::string name) {
  const std::lock_guard guard(registry_lock_);
  names_[&g].swap(name);
  g.known |= scheduled_goroutine::name;
}

std::string scheduler::name_of(const scheduled_goroutine& g) const {
  const std::lock_guard guard(registry_lock_);
  const auto found = names_.find(&g);
  return found == names_.end() ? std::string() : found->second;
}

std::size_t scheduler::goroutine_count() const noexcept {
  std::ptrdiff_t owned = owned_.load(std::memory_order_relaxed);
  for (const worker* w = current_worker; w; w = w->outer)
    if (&w->owner == this) owned += w->owned;
  const std::lock_guard guard(registry_lock_);
  return count_ + static_cast<std::size_t>(std::max<std::ptrdiff_t>(owned, 0));
}

// Called twice by an io_context: the second call finds nothing. Who has come by the link goes
// before "shutting down" is set, so he is never refused: what is refused is destroyed on the spot.
// Once the pins of those are gone who registered before that, whatever is listed stays listed, and
// no thread of another context has more of it than a claimed waiter, under a pin.
void scheduler::shutdown() noexcept {
  ready_list none;
  end_registered(none);
  timers.close();
  sharing_.close();
}

void scheduler::end_registered(ready_list& left) noexcept {
  link_->clear();
  wait_for_pins();
  {
    const std::lock_guard guard(registry_lock_);
    shutting_down_.store(true, std::memory_order_seq_cst);
  }
  wait_for_pins();
  {
    const std::lock_guard guard(shared_lock_);
    while (left_over_.size() != 0) left_over_.pop_front(left);
    left.append(shared_);
  }
  while (ready_node* node = left.pop_front()) node->run(*node, nullptr);
  while (registered* const r = take_youngest(goroutines_)) {
    auto& g = static_cast<scheduled_goroutine&>(*r);
    of_goroutines_->end(g);
  }
  while (registered* const r = take_youngest(handlers_)) {
    auto& h = static_cast<parked_handler&>(*r);
    h.end(h);
  }
  wait_for_pins();  // of those who have found that a handler is the end's, and are about to go
}

// Does what a shutdown does, while main runs: what is destroyed finds neither main nor its worker,
// which would take what is woken; main stays registered. Beneath another goroutine that runs the
// event loop nothing can be destroyed.
void scheduler::end_all_but(scheduled_goroutine& main) noexcept {
  if (!end_of_program_ || shutting_down()) return;
  for (const worker* w = current_worker; w; w = w->outer)
    if (&w->owner == this && w->current && w->current != &main) return;
  if (!end_of_program_->others_have_stopped(*end_of_program_)) return;
  {
    const std::lock_guard guard(registry_lock_);
    goroutines_.remove(main);
  }
  ready_list ready;
  for (worker* w = current_worker; w; w = w->outer) {
    if (&w->owner != this) continue;
    w->gate.lock_as_owner();
    w->local.move_to(ready);
    w->gate.unlock_as_owner();
  }
  worker* const hidden = std::exchange(current_worker, nullptr);
  end_registered(ready);
  current_worker = hidden;
  const std::lock_guard guard(registry_lock_);
  goroutines_.push_front(main);
}

// Those that wait for the same at the same line are one line; where they were started it says if
// that is one line for all of them.
std::string scheduler::describe_goroutines() {
  struct alike {
    std::size_t count = 0;
    std::string start;
    bool started_at_one_line = true;
  };
  std::map<std::tuple<std::string, std::string, std::string>, alike> kinds;
  {
    const std::lock_guard guard(registry_lock_);
    const auto add = [&](const scheduled_goroutine& g) {
      alike& group =
          kinds[{text_of(g.waiting_on), text_of(g.location),
                 (g.known & scheduled_goroutine::name) != 0 ? names_[&g] : std::string()}];
      std::string start = text_of(g.started_at);
      if (group.count++ == 0)
        group.start = std::move(start);
      else if (start != group.start)
        group.started_at_one_line = false;
    };
    for (const registered* r = goroutines_.front(); r; r = registered_list::after(*r)) {
      const auto& root = static_cast<const scheduled_goroutine&>(*r);
      add(root);
      const scheduled_goroutine* g = &root;
      while ((g = of_goroutines_->next_below(root, *g))) add(*g);
    }
  }
  std::string text;
  for (const auto& [wait, group] : kinds) {
    const auto& [what, at, name] = wait;
    text += "\n  " + std::to_string(group.count) +
            (group.count == 1 ? " goroutine" : " goroutines") +
            (name.empty() ? "" : " \"" + name + "\"") + " waiting on " + what + " at " + at;
    if (group.started_at_one_line && group.start != at) text += ", started at " + group.start;
  }
  return text;
}

}  // namespace sluice::detail
