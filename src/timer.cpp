#include <sluice/timer.hpp>

#include "waking.hpp"

#include <sluice/detail/scheduler.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <stdexcept>

namespace sluice {

namespace detail {

namespace {

sleep_waiter& sleeper(waiter& w) noexcept {
  return static_cast<sleep_waiter&>(w);
}
const sleep_waiter& sleeper(const waiter& w) noexcept {
  return static_cast<const sleep_waiter&>(w);
}

bool over(const sleep_waiter& w) noexcept {
  if (w.delay != sleep_waiter::until_deadline) return w.delay == clock::duration::zero();
  return w.deadline == clock::time_point::min() ||
         (w.deadline != clock::time_point::max() && w.deadline <= scheduler::now());
}

}  // namespace

void sleep_waiter::wake_sleeper(timer_node& node, wake_list& wakes) noexcept {
  auto& w = static_cast<sleep_waiter&>(node);
  if (!claim(w)) return;
  w.outcome = state::done;
  wakes.add(w);
}

const waiter_functions sleep_functions{
    "sleep",
    [](waiter& w) noexcept { return &w.who->home->timers.lock; },
    [](const waiter& w) noexcept { return over(sleeper(w)); },
    [](waiter& w, wake_list&) noexcept {
      if (!over(sleeper(w))) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) {
      if (sleeper(w).delay != sleep_waiter::until_deadline)
        sleeper(w).deadline = add_saturated(scheduler::now(), sleeper(w).delay);
      w.who->home->timers.insert(sleeper(w));
      w.who->home->timer_set(*w.who);
    },
    [](waiter& w) noexcept {
      scheduler& s = *w.who->home;
      {
        const std::lock_guard guard(s.timers.lock);
        if (!sleeper(w).queued()) return false;
        s.timers.remove(sleeper(w));
      }
      s.timers_changed();
      return true;
    },
};

timer_state::~timer_state() {
  if (shot_) shot_->stop();
}

bool timer_state::set(clock::duration d, clock::duration period) {
  std::shared_ptr<one_shot> was;
  const pinned_scheduler home(*home_);
  const std::lock_guard guard(lock_);
  const bool was_set = unset(was);
  period_ = period;
  if (home) arm(*home, add_saturated(scheduler::now(), std::max(d, clock::duration::zero())));
  return was_set;
}

bool timer_state::stop() noexcept {
  std::shared_ptr<one_shot> was;
  const std::lock_guard guard(lock_);
  return unset(was);
}

// A shot that is already on its way finds another generation.
bool timer_state::unset(std::shared_ptr<one_shot>& was) noexcept {
  ++generation_;
  was = std::move(shot_);
  if (was) was->stop();
  const bool undone = undo();
  return was || undone;
}

void timer_state::arm(scheduler& s, clock::time_point at) {
  deadline_ = at;
  auto shot = std::make_shared<one_shot>(
      s,
      [self = weak_from_this(), generation = generation_,
       kept = keeps_itself() ? shared_from_this() : nullptr] {
        if (const auto state = self.lock()) state->on_shot(generation);
      },
      keeps_itself() || period_ > clock::duration::zero());
  shot->start(at);
  shot_ = std::move(shot);
}

// Ticks that were missed are skipped; the next is on the original phase. Nothing here needs memory
// but `gone_off`.
void timer_state::on_shot(std::uint64_t generation) {
  wake_list woken;
  std::shared_ptr<one_shot> was;
  {
    const pinned_scheduler home(*home_);
    const std::lock_guard guard(lock_);
    if (generation != generation_ || !home) return;
    const auto now = scheduler::now();
    if (period_ > clock::duration::zero()) {
      const auto missed = (now - deadline_) / period_;
      deadline_ = add_saturated(add_saturated(deadline_, missed * period_), period_);
      shot_->start_again(deadline_);
    } else {
      was = std::move(shot_);
    }
    go_off(now, woken);
  }
  woken.wake_all();
  try {
    gone_off();
  } catch (const std::bad_alloc&) {
    try_again(generation, std::move(was));
  }
}

void timer_state::try_again(std::uint64_t generation, std::shared_ptr<one_shot> shot) noexcept {
  const pinned_scheduler home(*home_);
  const std::lock_guard guard(lock_);
  if (generation != generation_ || !home) return;
  shot_ = std::move(shot);
  shot_->start_again(add_saturated(scheduler::now(), std::chrono::milliseconds(1)));
}

channel<clock::time_point> channel_timer::make(const target_ptr& where, clock::duration d,
                                               clock::duration period,
                                               std::shared_ptr<channel_timer>* timer) {
  struct owner {
    std::shared_ptr<channel_timer> state;
    ~owner() { state->detach(); }
  };
  auto state = std::make_shared<channel_timer>(where);
  auto& core = channel_core::make(element_type_of<clock::time_point>, 1, where);
  channel<clock::time_point> values{channel_ref(core)};
  auto owned = std::make_shared<owner>();
  owned->state = state;
  core.own(std::move(owned));
  state->channel_ = &core;
  state->set(d, period);
  if (timer) *timer = std::move(state);
  return values;
}

void channel_timer::detach() noexcept {
  {
    const std::lock_guard guard(lock_);
    channel_ = nullptr;
  }
  stop();
}

void channel_timer::go_off(clock::time_point now, wake_list& woken) {
  if (channel_) channel_->offer(&now, woken);
}

bool channel_timer::undo() noexcept {
  clock::time_point value;
  return channel_ && channel_->try_receive(&value) == channel_core::result::done;
}

receiver<clock::time_point> after(const target_ptr& where, clock::duration d) {
  return channel_timer::make(where, d, clock::duration::zero());
}

}  // namespace detail

clock::duration ticker::checked(clock::duration period) {
  if (period <= clock::duration::zero())
    throw std::invalid_argument("sluice::ticker: the period must be positive");
  return period;
}

}  // namespace sluice
