// SPDX-License-Identifier: BSL-1.0
// Timers and tickers of the user's. Every setting has a generation, so a shot that is on its way
// when the timer is stopped or set again finds another one, and does nothing.

#include <sluice/detail/time/timer_state.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/access.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <utility>

namespace sluice::detail {

timer_state::~timer_state() {
  if (shot_) shot_->stop();
}

bool timer_state::set(clock::duration d, clock::duration period) {
  std::shared_ptr<callback_timer> was;
  wake_list woken;
  const pinned_dispatcher home(where_);
  const std::lock_guard guard(lock_);
  const bool was_set = unset(was);
  period_ = period;
  const auto after = std::max(d, clock::duration::zero());
  if (!home || !arm(*home, add_saturated((*home)->owner().now(), after))) end(woken);
  return was_set;
}

bool timer_state::stop() noexcept {
  std::shared_ptr<callback_timer> was;
  const std::lock_guard guard(lock_);
  return unset(was);
}

// A shot that is already on its way finds another generation.
bool timer_state::unset(std::shared_ptr<callback_timer>& was) noexcept {
  ++generation_;
  was = std::move(shot_);
  if (was) was->stop();
  const bool undone = undo();
  return was || undone;
}

bool timer_state::arm(const dispatcher_ptr& where, clock::time_point at) {
  deadline_ = at;
  auto shot = std::make_shared<callback_timer>(
      where,
      [self = weak_from_this(), generation = generation_,
       kept = keeps_itself() ? shared_from_this() : nullptr](callback_timer::reason why) {
        const auto state = self.lock();
        if (!state) return;
        if (why == callback_timer::reason::due)
          state->on_shot(generation);
        else
          state->on_end_of_context();
      },
      keeps_itself() || period_ > clock::duration::zero());
  const bool starts = shot->start(at);
  shot_ = std::move(shot);
  return starts;
}

// Ticks that were missed are skipped; the next is on the original phase. Nothing here needs memory
// but `gone_off`.
void timer_state::on_shot(std::uint64_t generation) {
  wake_list woken;
  std::shared_ptr<callback_timer> was;
  {
    const pinned_dispatcher home(where_);
    const std::lock_guard guard(lock_);
    if (generation != generation_ || !home) return;
    const auto now = (*home)->owner().now();
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
  SLUICE_TRY {
    gone_off();
  }
  SLUICE_CATCH(const std::bad_alloc& no_memory) {
    try_again(generation, std::move(was));
  }
}

void timer_state::on_end_of_context() noexcept {
  wake_list woken;
  const std::lock_guard guard(lock_);
  end(woken);
}

void timer_state::try_again(std::uint64_t generation,
                            std::shared_ptr<callback_timer> shot) noexcept {
  const pinned_dispatcher home(where_);
  const std::lock_guard guard(lock_);
  if (generation != generation_ || !home) return;
  shot_ = std::move(shot);
  shot_->start_again(add_saturated((*home)->owner().now(), std::chrono::milliseconds(1)));
}

channel<clock::time_point> channel_timer::make(const dispatcher_ptr& where, clock::duration d,
                                               clock::duration period,
                                               std::shared_ptr<channel_timer>* timer) {
  struct owner {
    std::shared_ptr<channel_timer> state;
    ~owner() { state->detach(); }
  };
  auto state = std::make_shared<channel_timer>(where);
  auto& core =
      channel_core::make(element_type_of<clock::time_point>, 1, where, std::source_location());
  auto values = access::make<channel<clock::time_point>>(channel_ref::adopt(core));
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

void channel_timer::end(wake_list& woken) noexcept {
  if (channel_) channel_->lose_handles(woken);
}

bool channel_timer::undo() noexcept {
  clock::time_point value;
  return channel_ && channel_->try_receive(&value) == channel_core::result::done;
}

}  // namespace sluice::detail
