// SPDX-License-Identifier: BSL-1.0
// Functions that are called at an instant. One is registered from its start until it runs, is
// stopped or its context ends; whoever takes it off the registry calls or drops it, once.

#include <sluice/detail/time/callback_timer.hpp>

#include <mutex>
#include <utility>

namespace sluice::detail {

callback_timer::callback_timer(const dispatcher_ptr& where, function f, bool again)
    : waker(&fire, &where->owner()),
      parked_handler(&end_parked),
      ready_node(&run_due),
      home_link_(home->link()),
      function_(std::move(f)),
      again_(again) {
  waiter_.begin(*this);
  if (const auto runs_on = where->without_strand(); !runs_on->is_native())
    elsewhere_ = std::make_unique<const lasting_work>(runs_on);
  if (!again_) return;
  const std::lock_guard guard(home->timers.lock);
  home->timers.reserve();
}

callback_timer::~callback_timer() {
  if (!again_) return;
  const pinned_scheduler s(*home_link_);
  if (!s) return;
  const std::lock_guard guard(s->timers.lock);
  s->timers.unreserve();
}

bool callback_timer::start(std::chrono::steady_clock::time_point at) {
  waiter_.deadline = at;
  {
    const std::lock_guard guard(home->timers.lock);
    sleep_functions.enlist(waiter_);
    if (home->try_add(static_cast<parked_handler&>(*this))) {
      kept_ = shared_from_this();
      return true;
    }
    home->timers.remove(waiter_);
  }
  function_ = nullptr;
  return false;
}

// Whoever has fired it touches its waiter no more.
void callback_timer::start_again(std::chrono::steady_clock::time_point at) noexcept {
  waiter_.begin(*this);
  waiter_.deadline = at;
  const std::lock_guard guard(home->timers.lock);
  if (!home->try_add(static_cast<parked_handler&>(*this))) return;
  kept_ = shared_from_this();
  home->timers.insert_reserved(waiter_);
  home->timers_changed();
}

// The function may own anything, also its own context: it is destroyed when nothing is pinned.
void callback_timer::stop() noexcept {
  std::shared_ptr<callback_timer> last;
  if (const pinned_scheduler s{*home_link_})
    if (sleep_functions.withdraw(waiter_) && s->remove(static_cast<parked_handler&>(*this)))
      last = std::move(kept_);
}

// It stays registered until it runs: what an executor destroys instead is left to the context's
// end, because whoever fires may hold a pin, and the function may own anything.
void callback_timer::fire(waker& p) noexcept {
  auto& self = static_cast<callback_timer&>(p);
  const pinned_dispatcher where =
      self.elsewhere_ ? self.elsewhere_->where() : pinned_dispatcher(dispatcher_ptr(*self.home));
  if (!where) return;
  self.on_its_way_ = self.shared_from_this();
  (*where)->schedule(self);
}

void callback_timer::run_due(ready_node& n, worker* w) {
  auto& self = static_cast<callback_timer&>(n);
  const auto last = std::move(self.on_its_way_);
  if (!w || !self.home->remove(static_cast<parked_handler&>(self))) return;
  self.kept_.reset();
  self.function_(reason::due);
}

void callback_timer::end_parked(parked_handler& h) noexcept {
  auto& self = static_cast<callback_timer&>(h);
  forget_waiter(self.waiter_, sleep_functions);
  const auto f = std::move(self.function_);
  const auto last = std::move(self.kept_);
  f(reason::context_ends);
}

}  // namespace sluice::detail
