#include <sluice/detail/scheduler.hpp>

#include "alarm.hpp"
#include "native_executor.hpp"

#include <sluice/detail/waiter.hpp>

#include <map>
#include <mutex>
#include <string>
#include <thread>
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

void scheduler::add(goroutine& g) noexcept {
  const std::lock_guard guard(registry_lock_);
  g.older = youngest_;
  if (youngest_) youngest_->younger = &g;
  youngest_ = &g;
  ++count_;
  if (g.counted_ == goroutine::counted::by_scheduler && work_++ == 0) native().hold_work();
}

void scheduler::remove(goroutine& g) noexcept {
  decltype(names_)::node_type name;
  const std::lock_guard guard(registry_lock_);
  unlink(g);
  if (g.has_name_) name = names_.extract(&g);
  if (g.counted_ == goroutine::counted::by_scheduler && --work_ == 0) native().drop_work();
}

void scheduler::unlink(goroutine& g) noexcept {
  (g.younger ? g.younger->older : youngest_) = g.older;
  if (g.older) g.older->younger = g.younger;
  --count_;
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

void scheduler::add(parked_handler& h) noexcept {
  const std::lock_guard guard(registry_lock_);
  h.previous = nullptr;
  h.next = handlers_;
  if (handlers_) handlers_->previous = &h;
  handlers_ = &h;
}

void scheduler::remove(parked_handler& h) noexcept {
  const std::lock_guard guard(registry_lock_);
  unlink(h);
}

void scheduler::unlink(parked_handler& h) noexcept {
  (h.previous ? h.previous->next : handlers_) = h.next;
  if (h.next) h.next->previous = h.previous;
}

void scheduler::wait_for_pins() const noexcept {
  while (pins_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

// Called twice by an io_context: the second call finds nothing.
void scheduler::shutdown() noexcept {
  shutting_down_.store(true, std::memory_order_seq_cst);
  wait_for_pins();
  ready_list left;
  {
    const std::lock_guard guard(shared_lock_);
    while (left_over_.size() != 0) left_over_.pop_front(left);
    left.append(shared_);
  }
  while (ready_node* node = left.pop_front()) node->run(*node, nullptr);
  for (;;) {
    goroutine* g = nullptr;
    {
      const std::lock_guard guard(registry_lock_);
      g = youngest_;
      if (g) unlink(*g);
    }
    if (!g) break;
    g->destroy_frames();
    g->release();
  }
  for (;;) {
    parked_handler* h = nullptr;
    bool withdrawn = false;
    {
      const std::lock_guard guard(registry_lock_);
      h = handlers_;
      if (!h) break;
      withdrawn = h->withdraw(*h);
      if (withdrawn) unlink(*h);
    }
    if (withdrawn)
      h->destroy(*h);
    else
      wait_for_pins();
  }
  wait_for_pins();  // of those who have taken a handler out and are about to be done with it
  timer_alarm_->close();
  watch_alarm_->close();
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
    for (const goroutine* g = youngest_; g; g = g->older)
      ++kinds[{g->waiting_on, g->location.file_name(), g->location.line(),
               g->has_name_ ? names_[g] : std::string()}];
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
