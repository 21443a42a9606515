#include <sluice/detail/scheduler.hpp>

#include "alarm.hpp"
#include "innermost.hpp"
#include "native_executor.hpp"

#include <sluice/detail/waiter.hpp>

#include <boost/asio/execution.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice::detail {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

constexpr auto quantum = 250us;
constexpr int longest_interval = 128;
constexpr int always_checked = 16;

ready_node* pop(worker& w) noexcept {
  w.gate.lock_as_owner();
  ready_node* const node = w.local.pop_front();
  w.gate.unlock_as_owner();
  return node;
}

}  // namespace

thread_local constinit worker* innermost = nullptr;

worker* this_worker() noexcept {
  return innermost;
}

// ---------------------------------------------------------------- worker

worker::worker(scheduler& s) noexcept
    : owner(s), outer(innermost), thread(std::this_thread::get_id()) {
  innermost = this;
}

worker::~worker() {
  if (listed) {
    const std::lock_guard guard(owner.workers_lock_);
    if (previous_listed)
      previous_listed->next_listed = next_listed;
    else
      owner.listed_ = next_listed;
    if (next_listed) next_listed->previous_listed = previous_listed;
  }
  innermost = outer;
  owner.end_drain(*this);
}

void worker::let_others_see() noexcept {
  if (report_wanted && current) owner.report(*this);
  if (pushed >= most_pushed) owner.share(*this);
}

// ---------------------------------------------------------------- scheduler: making ready,
// draining

asio::execution_context::id scheduler::id;

scheduler::scheduler(asio::execution_context& context)
    : service(context),
      target(*this, kind::native),
      timer_alarm_(std::make_unique<alarm>([this] { on_alarm(); })),
      watch_alarm_(std::make_unique<alarm>([this] { on_watch(); })),
      link_(std::make_shared<scheduler_link>(*this)) {}

scheduler::~scheduler() = default;

namespace {

/// As much of an executor as a strand needs to find its context.
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

}  // namespace

// Services shut down in the opposite order of their making. That of strands must be there after
// the scheduler's, because until then other threads may wake goroutines on strands.
scheduler& scheduler::of(asio::execution_context& context) {
  if (!asio::has_service<scheduler>(context))
    static_cast<void>(asio::make_strand(bare_executor{&context}));
  return asio::use_service<scheduler>(context);
}

template <class Context>
scheduler& scheduler::with_native_executor(Context& context) {
  auto& s = of(static_cast<asio::execution_context&>(context));
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

asio::any_io_executor scheduler::to_any_executor() const {
  return native().executor();
}

void scheduler::schedule(ready_node& node) noexcept {
  if (worker* const w = innermost; w && &w->owner == this) {
    w->push(node);
    return;
  }
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
    needed = needs_drain();
  }
  if (!needed) return;
  // The drain stays with this thread, whose handler may take its time: another one looks after it.
  const bool here = native().running_here();
  native().post_drain(*this, here);
  if (here && !watching_.load(std::memory_order_relaxed)) request_watch();
}

bool scheduler::try_run_here(void (*f)(void*), void* arg) {
  if (innermost && &innermost->owner == this) return false;
  if (!native().running_here()) return false;
  worker w(*this);
  f(arg);
  drain(w);
  return true;
}

bool scheduler::running_in_this_thread() const noexcept {
  return native().running_here();
}

// Whether one drain more must be posted, which is counted then. Called with the shared lock held.
bool scheduler::needs_drain() noexcept {
  const std::size_t needed = std::max<std::size_t>(left_over_.size(), shared_.empty() ? 0 : 1);
  if (drains_posted_ >= needed) return false;
  ++drains_posted_;
  return true;
}

void scheduler::run_posted_drain() {
  note_thread();
  worker w(*this);
  {
    const std::lock_guard guard(shared_lock_);
    --drains_posted_;
    w.gate.lock_as_owner();
    left_over_.pop_front(w.local);
    w.gate.unlock_as_owner();
  }
  static_cast<void>(take_shared(w));
  drain(w);
}

// The context may have been stopped: it is asked after each of the first resumptions and then each
// time the clock is looked at, because asking takes its mutex. Many drains resume one goroutine:
// they do neither.
void scheduler::drain(worker& w) {
  int resumed = 0;
  bool timed = false;
  for (;;) {
    ready_node* const node = pop(w);
    if (!node) {
      if (take_shared(w) || steal(w))
        if (resumed == 0 || !native().stopped()) continue;
      return;
    }
    if (!timed && (resumed != 0 || w.local.size() != 0)) {
      timed = true;
      w.started = w.checked = steady_clock::now();
    }
    if (w.report_wanted && w.local.size() != 0) [[unlikely]]
      report(w);
    w.steps.store(w.steps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    const bool early = ++resumed <= always_checked;
    --w.ticks;
    w.pushed = 0;
    node->run(*node, &w);
    const bool ask = early && w.local.size() != 0;
    if (w.ticks <= 0 ? quantum_over(w) : ask && native().stopped()) return;
  }
}

bool scheduler::take_shared(worker& w) noexcept {
  if (w.outer && &w.outer->owner == this) {
    // A nested run of the event loop serves what waits behind the goroutine that called it.
    w.gate.lock_as_owner();
    w.outer->gate.lock_as_owner();
    w.local.append(w.outer->local);
    w.outer->gate.unlock_as_owner();
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

// Called between resumptions when the worker's ticks are used up.
bool scheduler::quantum_over(worker& w) {
  const auto now = steady_clock::now();
  if (native().stopped()) return true;
  steady_clock::time_point started = w.started;
  if (started == steady_clock::time_point()) w.started = started = w.checked = now;
  const auto since_last = now - w.checked;
  w.checked = now;
  if (since_last < 20us)
    w.interval = std::min(w.interval * 2, longest_interval);
  else
    w.interval = std::max(w.interval / 4, 1);
  w.ticks = w.interval;
  if (now - started > quantum) return true;
  fire_due_timers(now);
  w.report_wanted = !watching_.load(std::memory_order_relaxed);
  static_cast<void>(take_shared(w));
  return false;
}

// Leaves nothing in the worker's list and the Asio timer armed for the earliest deadline.
void scheduler::end_drain(worker& w) noexcept {
  if (!w.local.empty()) {
    bool needed = false;
    {
      const std::lock_guard guard(shared_lock_);
      left_over_.push_back(w.local);
      needed = needs_drain();
    }
    if (needed) native().post_drain(*this, true);
  }
  set_alarm_if_needed();
}

void scheduler::fire_due_timers(steady_clock::time_point now) noexcept {
  if (timers.next() > now) return;
  wake_list wakes;
  {
    const std::lock_guard guard(timers.lock);
    timers.fire_due(now, wakes);
  }
  wakes.wake_all();
}

void scheduler::on_alarm() {
  note_thread();
  worker w(*this);
  fire_due_timers(now());
  drain(w);
}

void scheduler::timers_changed() noexcept {
  if (!shutting_down() && !(innermost && &innermost->owner == this)) set_alarm_if_needed();
}

// An alarm that is too early costs one turn of the event loop; moving it costs a system call.
void scheduler::set_alarm_if_needed() noexcept {
  const auto suits = [this](alarm::time_point at) {
    const auto next = timers.next();
    return next == alarm::never ? at == alarm::never : at <= next;
  };
  if (suits(timer_alarm_->set_to())) return;
  timer_alarm_->set(timer_executor(),
                    [&](alarm::time_point at) { return suits(at) ? at : timers.next(); });
}

std::uint32_t scheduler::choose(std::uint32_t bound) noexcept {
  thread_local std::uint64_t state =
      reinterpret_cast<std::uintptr_t>(&state) ^
      static_cast<std::uint64_t>(steady_clock::now().time_since_epoch().count());
  // SplitMix64, after G. Steele et al., "Fast Splittable Pseudorandom Number Generators".
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return static_cast<std::uint32_t>(((z >> 32) * bound) >> 32);
}

}  // namespace sluice::detail
