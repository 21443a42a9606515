#include <sluice/detail/scheduler.hpp>

#include "native_executor.hpp"

#include <sluice/detail/test_point.hpp>
#include <sluice/detail/waiter.hpp>

#include <map>
#include <mutex>
#include <string>
#include <tuple>

// Who belongs to a scheduler, what it counts as work, and how it ends.

namespace sluice::detail {

void scheduler::work_started() noexcept {
  const std::lock_guard guard(registry_lock_);
  if (work_++ == 0) native().hold_work();
}

void scheduler::work_finished() noexcept {
  const std::lock_guard guard(registry_lock_);
  if (--work_ == 0) native().drop_work();
}

bool scheduler::work_goes_on() const noexcept {
  const std::lock_guard guard(registry_lock_);
  return !native().take_work_dropped();
}

bool scheduler::try_add(goroutine& g) noexcept {
  test_point("register");
  const std::lock_guard guard(registry_lock_);
  if (shutting_down()) return false;
  goroutines_.add(g);
  ++count_;
  if (g.counted_ == goroutine::counted::by_scheduler && work_++ == 0) native().hold_work();
  return true;
}

void scheduler::remove(goroutine& g) noexcept {
  decltype(names_)::node_type name;
  const std::lock_guard guard(registry_lock_);
  goroutines_.remove(g);
  --count_;
  if (g.has_name_) name = names_.extract(&g);
  if (g.counted_ == goroutine::counted::by_scheduler && --work_ == 0) native().drop_work();
}

bool scheduler::try_add(parked_handler& h) noexcept {
  test_point("register");
  const std::lock_guard guard(registry_lock_);
  if (shutting_down()) return false;
  handlers_.add(h);
  return true;
}

bool scheduler::remove(parked_handler& h) noexcept {
  const std::lock_guard guard(registry_lock_);
  if (shutting_down()) return false;
  handlers_.remove(h);
  return true;
}

registered* scheduler::take_youngest(registered_list& list) noexcept {
  const std::lock_guard guard(registry_lock_);
  registered* const r = list.youngest();
  if (r) list.remove(*r);
  return r;
}

void scheduler::one_fails() noexcept {
  if (ends_with_failure_) ends_with_failure_->stop();
}

void scheduler::set_name(goroutine& g, std::string name) {
  const std::lock_guard guard(registry_lock_);
  names_[&g].swap(name);
  g.has_name_ = true;
}

std::size_t scheduler::goroutine_count() const noexcept {
  const std::lock_guard guard(registry_lock_);
  return count_;
}

scheduler* scheduler_link::pin() noexcept {
  const std::lock_guard guard(lock_);
  if (scheduler_) scheduler_->pin();
  return scheduler_;
}

void scheduler_link::clear() noexcept {
  const std::lock_guard guard(lock_);
  scheduler_ = nullptr;
}

void pinned_scheduler::unpin() noexcept {
  scheduler_->unpin();
}

// Called twice by an io_context: the second call finds nothing. Once the pins of those are gone who
// registered before "shutting down" was set, whatever is listed stays listed, and no thread of
// another context has more of it than a claimed waiter, under a pin.
void scheduler::shutdown() noexcept {
  {
    const std::lock_guard guard(registry_lock_);
    shutting_down_.store(true, std::memory_order_seq_cst);
  }
  link_->clear();
  wait_for_pins();
  ready_list left;
  {
    const std::lock_guard guard(shared_lock_);
    while (left_over_.size() != 0) left_over_.pop_front(left);
    left.append(shared_);
  }
  while (ready_node* node = left.pop_front()) node->run(*node, nullptr);
  while (registered* const r = take_youngest(goroutines_)) {
    auto& g = static_cast<goroutine&>(*r);
    g.destroy_frames();
    g.release();
  }
  while (registered* const r = take_youngest(handlers_)) {
    auto& h = static_cast<parked_handler&>(*r);
    h.end(h);
  }
  wait_for_pins();  // of those who have found that a handler is the end's, and are about to go
  timers.close();
  sharing_.close();
  foreign_executor_ = {};
}

void scheduler::use_for_timers(const asio::any_io_executor& ex) {
  const std::lock_guard guard(registry_lock_);
  if (!foreign_executor_) foreign_executor_ = ex;
}

bool scheduler::knows_event_loop() const noexcept {
  if (has_native_executor()) return true;
  const std::lock_guard guard(registry_lock_);
  return static_cast<bool>(foreign_executor_);
}

asio::any_io_executor scheduler::timer_executor() const {
  if (has_native_executor()) return native().executor();
  const std::lock_guard guard(registry_lock_);
  return foreign_executor_;
}

std::string scheduler::describe_goroutines() {
  std::map<std::tuple<std::string, std::string, unsigned, std::string>, std::size_t> kinds;
  {
    const std::lock_guard guard(registry_lock_);
    for (const registered* r = goroutines_.youngest(); r; r = r->older) {
      const auto* const g = static_cast<const goroutine*>(r);
      ++kinds[{g->waiting_on, g->location.file_name(), g->location.line(),
               g->has_name_ ? names_[g] : std::string()}];
    }
  }
  std::string text;
  for (const auto& [wait, count] : kinds) {
    const auto& [what, file, line, name] = wait;
    text += "\n  " + std::to_string(count) + (count == 1 ? " goroutine" : " goroutines") +
            (name.empty() ? "" : " \"" + name + "\"") + " waiting on " + what + " at " + file +
            ":" + std::to_string(line);
  }
  return text;
}

}  // namespace sluice::detail
