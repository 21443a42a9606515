// SPDX-License-Identifier: BSL-1.0
// How ready nodes get to the threads of a context, and how long a thread drains them. Whatever is
// ready and in no worker's list is followed by a drain that is posted or kept, or by the context's
// end.

#include <sluice/detail/scheduler/scheduler.hpp>

#include "base/split_mix.hpp"
#include "current_worker.hpp"
#include "native_executor.hpp"
#include "watchdog.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/environment.hpp>

#include <boost/asio/execution.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace sluice::detail {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

constexpr int longest_interval = 128;
constexpr int always_checked = 16;
// A turn of the event loop comes when it has become cheap beside what was drained since the last.
constexpr int turn_of_time = 32;
constexpr auto least_allowed = 10us;
// They cost a tenth of a step that was long.
constexpr int careful_looks = 500;

ready_node* pop(worker& w) noexcept {
  w.gate.lock_as_owner();
  ready_node* const node = w.local.pop_front();
  w.gate.unlock_as_owner();
  return node;
}

}  // namespace

thread_local constinit worker* current_worker = nullptr;

namespace {

/// By what this thread chooses: zero before the first time, and while a simulation chooses.
[[gnu::tls_model("initial-exec")]] thread_local constinit std::uint64_t random_state = 0;
/// The simulation that this thread runs.
thread_local constinit environment* chooses_here = nullptr;

}  // namespace

worker* this_worker() noexcept {
  return current_worker;
}

// ---------------------------------------------------------------- worker

worker::worker(scheduler& s, extent p) noexcept
    : owner(s), outer(current_worker), thread(std::this_thread::get_id()), where(p) {
  current_worker = this;
  if (s.careful_looks_ > 0) [[unlikely]]
    ticks = interval = 1, more_ticks = 0;
  if (watchdog::is_on.load(std::memory_order_acquire)) [[unlikely]] {
    watchdog::enter(*this);
    watched = true;
  }
}

worker::~worker() {
  if (watched) [[unlikely]]
    watchdog::leave(*this);
  if (listed) owner.sharing_.remove_worker(*this);
  SLUICE_ASSERT(current_worker == this,
                "the workers of a thread end in the opposite order of their making");
  current_worker = outer;
  owner.end_drain(*this);
}

// A goroutine that makes itself ready suspends next. If it is alone in the list of a drain nothing
// waits behind its step: that drain goes on with it.
void worker::let_others_see(const ready_node& pushed_last) noexcept {
  const bool goes_on_next =
      current == &pushed_last && local.size() == 1 && where == extent::whole_handler;
  if (must_expose && !goes_on_next) owner.expose_local_work(*this);
  if (pushed >= seen_from) owner.share_burst(*this);
}

// ---------------------------------------------------------------- scheduler: making ready,
// draining

asio::execution_context::id scheduler::id;

scheduler::scheduler(asio::execution_context& context)
    : service(context),
      dispatcher(*this, kind::native),
      timers(
          context, [this] { on_wakeup_timer(); },
          [this] { return has_native_executor() && native().running_here(); },
          [this] { post_wakeup_timer(); }),
      link_(std::make_shared<scheduler_link>(*this)),
      sharing_(*this) {
  watchdog::start_if_asked();
}

scheduler::~scheduler() = default;

/// Has as much of an executor as a strand needs to find its context.
struct bare_executor {
  asio::execution_context* where;

  template <class F>
  void execute(F&&) const {}
  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept {
    return *where;
  }
  friend bool operator==(const bare_executor& a, const bare_executor& b) noexcept {
    return a.where == b.where;
  }
  friend bool operator!=(const bare_executor& a, const bare_executor& b) noexcept {
    return a.where != b.where;
  }
};

// Services shut down in the opposite order of their making. That of strands must be there after
// the scheduler's, because until then other threads may wake goroutines on strands.
scheduler& scheduler::made_in(asio::execution_context& context) {
  if (!asio::has_service<scheduler>(context))
    static_cast<void>(asio::make_strand(bare_executor{&context}));
  return asio::use_service<scheduler>(context);
}

// Without a known native executor nobody can be asked to make the wake-up timer later.
scheduler& scheduler::of(asio::execution_context& context) {
  auto& s = made_in(context);
  if (!s.has_native_executor() && !s.timers.make_wakeup_timer())
    detail::throw_exception(std::bad_alloc());
  return s;
}

template <class Context>
scheduler& scheduler::with_native_executor(Context& context) {
  auto& s = made_in(context);
  if (!s.has_native_executor()) {
    const std::lock_guard guard(s.registry_lock_);
    if (!s.has_native_executor()) {
      s.native_storage_ = std::make_unique<native_executor_of<Context>>(context);
      s.native_.store(s.native_storage_.get(), std::memory_order_release);
    }
  }
  return s;
}

scheduler& scheduler::of(asio::io_context& context) {
  return with_native_executor(context);
}
scheduler& scheduler::of(asio::thread_pool& context) {
  return with_native_executor(context);
}

scheduler& scheduler::simulated_by(environment& e, asio::execution_context& context,
                                   std::unique_ptr<native_executor> native) {
  auto& s = made_in(context);
  s.environment_ = &e;
  s.native_storage_ = std::move(native);
  s.native_.store(s.native_storage_.get(), std::memory_order_release);
  s.timers.close();
  s.sharing_.close();
  return s;
}

asio::any_io_executor scheduler::to_any_executor() const {
  return native().executor();
}

asio::any_io_executor scheduler::event_loop_executor(const dispatcher& where) const {
  return has_native_executor() ? native().executor() : where.to_any_executor();
}

void scheduler::schedule(ready_node& node) noexcept {
  if (worker* const w = current_worker; w && &w->owner == this) {
    w->push(node);
    return;
  }
  // This thread's handler may take its time. If nobody else is known to run the context, the drain
  // goes to the event loop at once, which costs little then; otherwise a watch looks after it.
  const bool kept = native().running_here() && sharing_.several_threads();
  bool needed = false;
  {
    // Under the lock, so that shutdown finds in the list whatever was pushed before it looked.
    std::unique_lock guard(shared_lock_);
    if (shutting_down()) {
      guard.unlock();
      node.run(node, nullptr);
      return;
    }
    shared_.push_back(node);
    needed = count_drain(kept);
  }
  post_counted(needed, kept);
}

// A drain that this thread keeps until its handler has ended is followed by a watch.
void scheduler::post_counted(bool needed, bool kept) {
  if (kept) {
    if (needed) native().post_drain_after_handler(*this, true);
    sharing_.watch_shared_list();
  } else if (needed) {
    native().post_drain(*this);
  }
}

// Runs nothing but the node: somebody's strand may be held here, and what else the node makes ready
// may wait for that strand. It goes to the event loop when the worker ends.
void scheduler::run_here(ready_node& node) {
  if (worker* const w = current_worker; w && &w->owner == this) {
    const bool runs_fork = std::exchange(w->runs_fork, false);
    node.run(node, w);
    w->runs_fork = runs_fork;
    w->report_deadlines();
    return;
  }
  worker w(*this);
  w.lent = !has_native_executor() || !running_in_this_thread();
  node.run(node, &w);
}

// The first of a drain whose clock has not been looked at yet says nothing about how long it took.
bool worker::may_go_on() noexcept {
  if (more_ticks <= 0) return more_ticks < 0 && owner.environment_->after_operation();
  const auto now = steady_clock::now();
  if (!has_started()) {
    started = checked = now;
  } else if (now - checked > longest) {
    use_up_ticks();
    return false;
  } else {
    checked = now;
  }
  const int more = std::min(more_ticks, first_interval - more_ticks);
  ticks += more;
  more_ticks -= more;
  return true;
}

bool worker::may_do_now() noexcept {
  return owner.environment_ ? owner.environment_->before_operation() : may_go_on();
}

void worker::before_operation() noexcept {
  if (owner.environment_) owner.environment_->before_operation();
}

void worker::report_deadlines() noexcept {
  if (std::exchange(deadline_set, false)) owner.timers_changed();
}

// Inside a goroutine the function is not a part of it.
bool scheduler::try_run_here(void (*f)(void*), void* arg) {
  if (worker* const w = current_worker; w && &w->owner == this && !w->lent) {
    struct restore {
      worker& w;
      scheduled_goroutine* const outer = std::exchange(w.current, nullptr);
      ~restore() { w.current = outer; }
    } const at_end{*w};
    f(arg);
    return true;
  }
  if (!native().running_here()) return false;
  worker w(*this);
  w.may_resume = true;
  f(arg);
  return true;
}

bool scheduler::running_in_this_thread() const noexcept {
  return native().running_here();
}

std::size_t scheduler::drains_needed() const noexcept {
  return std::max<std::size_t>(left_over_.size(), shared_.empty() ? 0 : 1);
}

// Whether one drain more must be posted, which is counted then. Called with the shared lock held.
// One that a thread keeps helps nobody else.
bool scheduler::count_drain(bool kept) noexcept {
  if (drains_posted_ + (kept ? drains_kept_ : 0) >= drains_needed()) return false;
  ++(kept ? drains_kept_ : drains_posted_);
  return true;
}

// Nobody can ask Asio whether a handler waits, or whether a socket is ready. What it did between
// this drain and the one whose rest it takes over tells how long this one may be: as many times
// longer as leaves the turns of the event loop a small share of the time, however little they have
// to do, and never longer than `worker::longest`.
void scheduler::run_posted_drain(bool kept) {
  sharing_.detect_second_thread();
  worker w(*this, worker::extent::whole_handler);
  steady_clock::time_point left_over_since;
  {
    const std::lock_guard guard(shared_lock_);
    SLUICE_ASSERT((kept ? drains_kept_ : drains_posted_) != 0, "a drain that runs was counted");
    --(kept ? drains_kept_ : drains_posted_);
    w.gate.lock_as_owner();
    left_over_since = left_over_.pop_front(w.local);
    w.local.let_others_go_first();
    w.gate.unlock_as_owner();
  }
  if (left_over_since != steady_clock::time_point()) {
    w.started = w.checked = steady_clock::now();
    w.allowed = std::clamp<steady_clock::duration>((w.checked - left_over_since) * turn_of_time,
                                                   least_allowed, worker::longest);
  }
  static_cast<void>(take_shared(w));
  drain(w);
  if (kept) sharing_.kept_drain_has_run(w);
}

// The context may have been stopped: it is asked after each of the first resumptions and then each
// time the clock is looked at, because asking takes its mutex. The clock is looked at after the
// first, second, fourth, eighth one and then when the worker's ticks are used up, or after any that
// may have been too long. Many drains resume one goroutine: they do none of it.
void scheduler::drain(worker& w) {
  SLUICE_ASSERT(current_worker == &w, "a thread drains as the innermost of its workers");
  w.note_look();
  int resumed = 0;
  bool timed = w.has_started();
  for (;;) {
    ready_node* const node = pop(w);
    if (!node) {
      if (w.launched) return;
      if (take_shared(w) || sharing_.steal(w))
        if (resumed == 0 || !native().stopped()) continue;
      return;
    }
    if (!timed && (resumed != 0 || w.local.size() != 0 || careful_looks_ > 0)) {
      timed = true;
      if (!w.has_started()) {
        w.started = w.checked = steady_clock::now();
        w.steps_checked = w.steps.load(std::memory_order_relaxed);
      }
    }
    if ((w.must_expose && w.local.size() != 0) || w.deadline_set) [[unlikely]]
      expose_local_work(w);
    w.count_step();
    ++resumed;
    --w.ticks;
    w.pushed = 0;
    node->run(*node, &w);
    if (w.look_is_due()) [[unlikely]] {
      if (!w.has_started()) return;  // that was the first step
      w.use_up_ticks();
    }
    if (w.ticks <= 0) {
      w.ticks += std::exchange(w.more_ticks, 0);
      if (w.ticks <= 0) {
        if (w.launched) return;
        if (!time_is_up(w)) continue;
        // Nobody would look for work in the event loop's turn.
        if (w.local.size() == 0) static_cast<void>(sharing_.steal(w));
        return;
      }
    }
    if (resumed <= always_checked && w.local.size() != 0) {
      if ((resumed & (resumed - 1)) == 0 ? time_is_up(w) : native().stopped()) return;
    }
  }
}

// A nested run of the event loop serves what waits behind the goroutines that called it.
bool scheduler::take_shared(worker& w) noexcept {
  for (worker* outer = w.outer; outer; outer = outer->outer) {
    if (&outer->owner != this) continue;
    outer->nested = true;
    outer->must_expose = true;
    w.gate.lock_as_owner();
    outer->gate.lock_as_owner();
    w.local.append(outer->local);
    outer->gate.unlock_as_owner();
    w.gate.unlock_as_owner();
  }
  if (shared_.size() != 0) {
    const std::lock_guard guard(shared_lock_);
    w.gate.lock_as_owner();
    w.local.append(shared_);
    w.gate.unlock_as_owner();
  }
  return w.local.size() != 0;
}

bool scheduler::anything_shared() noexcept {
  const std::lock_guard guard(shared_lock_);
  return drains_needed() != 0;
}

// Looks at the clock, between two steps.
bool scheduler::time_is_up(worker& w) {
  w.note_look();
  const auto now = steady_clock::now();
  if (native().stopped()) return true;
  if (!w.has_started()) w.started = w.checked = now;
  const auto since_last = now - w.checked;
  w.checked = now;
  const auto steps = w.steps.load(std::memory_order_relaxed);
  sharing_.note_steps(steps - std::exchange(w.steps_checked, steps), since_last);
  w.seen_from = worker::few_pushed;
  if (w.local.has_forks()) sharing_.note_forks(now);
  w.nested = false;
  const bool used_up = w.ticks <= 0;
  if (since_last > worker::longest)
    careful_looks_ = careful_looks;
  else if (careful_looks_ > 0)
    careful_looks_ = careful_looks_ - 1;
  if (careful_looks_ > 0)
    w.interval = 1;
  else if (since_last >= 20us)
    w.interval = std::max(w.interval / 4, 1);
  else if (used_up)
    w.interval = std::min(w.interval * 2, longest_interval);
  if (used_up || w.ticks > w.interval) w.ticks = w.interval;
  const bool is_up = w.running_for(now) > w.allowed;
  if (!is_up) {
    fire_some_timers(now);
    static_cast<void>(take_shared(w));
  }
  if (sharing_.repays_a_call(w)) sharing_.call_idle_thread();
  return is_up;
}

// Something waits behind the step that is about to run, or that runs.
void scheduler::expose_local_work(worker& w) noexcept {
  if (std::exchange(w.deadline_set, false)) timers_changed();
  if (!w.must_expose || w.local.size() == 0) return;
  if (w.nested)
    move_local_to_shared(w);
  else
    sharing_.watch_worker(w);
}

// One step makes several ready, as a loop of `go` does. An idle thread is called as soon as they
// are so many that this repays it, by what steps have taken lately.
void scheduler::share_burst(worker& w) noexcept {
  if (w.pushed >= worker::most_pushed) return move_local_to_shared(w);
  const std::size_t needed = sharing_.steps_worth_a_call();
  if (static_cast<std::size_t>(w.pushed) < needed) {
    w.seen_from = static_cast<int>(std::min<std::size_t>(needed, worker::most_pushed));
  } else {
    w.seen_from = worker::most_pushed;
    sharing_.call_idle_thread();
  }
}

// One step makes ever more ready, as a loop of `go` or the close of a channel does: they need not
// wait for its end. As in Go's runqputslow a whole batch goes to where all threads look. So does
// what waits behind a step that runs the event loop, which serves it then.
void scheduler::move_local_to_shared(worker& w) noexcept {
  w.pushed = 0;
  if (!sharing_.several_threads() && !w.nested) return;
  bool needed = false;
  {
    const std::lock_guard guard(shared_lock_);
    w.gate.lock_as_owner();
    w.local.move_to(shared_);
    w.gate.unlock_as_owner();
    needed = count_drain(false);
  }
  if (needed) native().post_drain(*this);
}

// Leaves nothing in the worker's list and the Asio timer set for the earliest deadline. Where the
// handler may go on, the rest is what a function of the user's has made ready: a watch finds it.
void scheduler::end_drain(worker& w) noexcept {
  if (w.owned != 0) [[unlikely]]
    count_owned(w.owned);
  if (!w.local.empty()) {
    const bool ends = w.where == worker::extent::whole_handler;
    const bool kept = !ends && sharing_.several_threads() && native().running_here();
    bool needed = false;
    {
      const std::lock_guard guard(shared_lock_);
      if (ends)
        left_over_.push_back(w.local, w.checked);
      else
        w.local.move_to(shared_);
      needed = count_drain(kept);
    }
    if (!ends)
      post_counted(needed, kept);
    else if (needed && w.has_started() && w.running_for(w.checked) > w.allowed)
      native().post_drain_after_turn(*this, w.checked);
    else if (needed)
      native().post_drain_after_handler(*this, false);
  }
  timers.settle();
}

bool scheduler::fire_some_timers(steady_clock::time_point now) noexcept {
  if (timers.next() > now) return false;
  timer_node* due;
  {
    const std::lock_guard guard(timers.lock);
    due = timers.claim_some(now);
  }
  while (due) {
    timer_node& node = *std::exchange(due, due->next_due);
    node.functions->fire(node);
  }
  return timers.next() <= now;
}

void scheduler::take_ready(worker& w, ready_list& to) noexcept {
  {
    const std::lock_guard guard(shared_lock_);
    while (left_over_.size() != 0) left_over_.pop_front(to);
    to.append(shared_);
    drains_posted_ = drains_kept_ = 0;
  }
  w.gate.lock_as_owner();
  w.local.move_to(to);
  w.gate.unlock_as_owner();
}

void scheduler::fire_one_timer(steady_clock::time_point now) noexcept {
  timer_node* due;
  {
    const std::lock_guard guard(timers.lock);
    const auto choices = timers.count_due(now);
    due = choices == 0 ? nullptr : timers.claim_due(now, environment_->choose(choices));
  }
  if (due) due->functions->fire(*due);
}

// What is due is fired as long as a turn may take; the rest has the Asio timer go off at once
// again. What fires calls nothing of the user's: it makes something ready here or queues it with
// its executor. So the Asio timer is set again, and what is ready reported, before any of that.
void scheduler::on_wakeup_timer() {
  if (!has_native_executor()) return fire_without_worker();
  sharing_.detect_second_thread();
  worker w(*this, worker::extent::whole_handler);
  w.must_expose = false;  // nothing runs yet
  w.started = w.checked = now();
  while (fire_some_timers(w.checked) && w.running_for(w.checked) < worker::longest / 2)
    w.checked = now();
  w.must_expose = true;
  w.deadline_set = true;
  drain(w);
}

// Without memory for the wake-up timer this is asked for again.
void scheduler::on_posted_wakeup_timer() {
  static_cast<void>(timers.make_wakeup_timer());
  on_wakeup_timer();
}

// Nothing is drained where only executors of users' are known. The thread may be one of Asio's,
// which runs while the context ends.
void scheduler::fire_without_worker() noexcept {
  const pinned_scheduler pinned(*link_);
  if (!pinned) return;
  const auto started = now();
  auto at = started;
  while (fire_some_timers(at) && at - started < worker::longest / 2) at = now();
  timers.settle();
}

// Without memory nothing can be queued with an executor of a user's: that ends the process.
void scheduler::post_wakeup_timer() {
  if (!has_native_executor()) std::terminate();
  native().post_wakeup_timer(*this);
}

// Who suspends right after setting a timer leaves the wake-up timer to its worker, which sees to it
// before it runs something else. Whoever else sets one may go on for long.
void scheduler::timer_set(const waker& by) noexcept {
  worker* const w = current_worker;
  if (w && &w->owner == this && w->current == &by)
    w->deadline_set = true;
  else
    timers_changed();
}

// A wake-up timer that is too early may wait for the end of a drain.
void scheduler::timers_changed() noexcept {
  if (shutting_down()) return;
  if (current_worker && &current_worker->owner == this && timers.covered()) return;
  timers.settle();
}

steady_clock::time_point scheduler::now() const noexcept {
  return environment_ ? environment_->now() : steady_clock::now();
}

steady_clock::time_point scheduler::now_here() noexcept {
  return current_worker ? current_worker->owner.now() : steady_clock::now();
}

environment* scheduler::let_choose_here(environment* e) noexcept {
  random_state = 0;
  return std::exchange(chooses_here, e);
}

std::uint32_t scheduler::choose(std::uint32_t bound) noexcept {
  if (random_state == 0) [[unlikely]] {
    if (chooses_here) return chooses_here->choose(bound);
    random_state = reinterpret_cast<std::uintptr_t>(&random_state) ^
                   static_cast<std::uint64_t>(steady_clock::now().time_since_epoch().count());
  }
  return split_mix_below(random_state, bound);
}

}  // namespace sluice::detail
