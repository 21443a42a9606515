#include <sluice/timer.hpp>

#include <sluice/detail/scheduler.hpp>

#include <mutex>

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
    [](waiter& w, wake_list&) {
      if (!over(sleeper(w))) return false;
      w.outcome = waiter::state::done;
      return true;
    },
    [](waiter& w) {
      w.who->home->timers.insert(sleeper(w));
      w.who->home->timers_changed();
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

}  // namespace detail

// Durations that are over at once need no look at the clock.
void sleep_operation::prepare() noexcept {
  if (!relative_) return;
  deadline = duration_ <= clock::duration::zero()
                 ? clock::time_point::min()
                 : detail::add_saturated(detail::scheduler::now(), duration_);
}

}  // namespace sluice
