// SPDX-License-Identifier: BSL-1.0
// A limit on the time of an operation: a node of the timers' queue that requests the emission.
// Whether the limit has passed is decided under the lock of that queue, once. A node that is queued
// belongs to a wait, or to a goroutine's step that has left it; what is due too early goes back.

#include <sluice/detail/goroutine/limited_emission.hpp>

#include "scheduler/current_worker.hpp"

#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/executor.hpp>

#include <mutex>
#include <utility>

namespace sluice::detail {

const timer_node::kind limited_emission::emits{
    [](timer_node& node) noexcept { return static_cast<limited_emission&>(node).passes(); },
    [](timer_node& node) noexcept {
      const auto self = std::move(static_cast<limited_emission&>(node).queued_self_);
      if (!self->too_late_) return;
      ready_list steps;
      request(self, asio::cancellation_type::all, steps);
      while (detail::ready_node* const step = steps.pop_front()) self->strand_->schedule(*step);
    },
};

limited_emission::limited_emission(goroutine& g) noexcept
    : timer_node(emits), goroutine_(g), strand_(g.where) {}

std::shared_ptr<emission> limited_emission::begin(goroutine& g, bool in_step, time_point t) {
  struct made final : limited_emission {
    explicit made(goroutine& of) noexcept : limited_emission(of) {}
  };
  if (in_step && g.on->left) {
    auto& left = static_cast<limited_emission&>(*g.on->left);
    if (&left.goroutine_ == &g && left.begin_again(t)) {
      g.on->left = nullptr;
      return std::move(left.left_self_);
    }
  }
  auto fresh = std::allocate_shared<made>(recycling_allocator<made>(), g);
  fresh->limit_ = fresh->deadline = t;
  fresh->waiting_ = true;
  {
    const std::lock_guard guard(g.home->timers.lock);
    g.home->timers.insert(*fresh);
    fresh->queued_self_ = fresh;
  }
  g.home->timer_set(g);
  return fresh;
}

// Only if it still is in the queue: whoever has found it due is about to fire it. And only if no
// request for its last wait is on its way to the strand: that is seen here, because such requests
// are made under the locks of the queue and of the cancellation, and carried out on the strand.
bool limited_emission::begin_again(time_point t) noexcept {
  if (strand_.get() != goroutine_.where.get()) return false;
  scheduler& home = *goroutine_.home;
  {
    const std::lock_guard guard(home.timers.lock);
    if (!queued() || !may_be_used_again()) return false;
    limit_ = t;
    waiting_ = true;
    if (deadline <= t) return true;
    home.timers.remove(*this);
    deadline = t;
    home.timers.insert_reserved(*this);
  }
  home.timer_set(goroutine_);
  return true;
}

// Under the lock of the queue, when the node has left it. It goes back if its wait has a later
// limit: there is the room that it has just left.
bool limited_emission::passes() noexcept {
  if (!waiting_ || is_complete()) return true;
  if (limit_ > deadline) {
    deadline = limit_;
    goroutine_.home->timers.insert_reserved(*this);
    return false;
  }
  too_late_ = true;
  return true;
}

bool limited_emission::end_in_step(std::shared_ptr<emission> self) noexcept {
  {
    const std::lock_guard guard(goroutine_.home->timers.lock);
    waiting_ = false;
    if (!queued()) return too_late_;
  }
  left_self_ = std::move(self);
  worker& w = *goroutine_.on;
  if (w.left) w.left->give_up();
  w.left = this;
  return false;
}

// What is in the slot may be running on the strand.
void limited_emission::end() noexcept {
  emission::end();
  scheduler& home = *goroutine_.home;
  std::shared_ptr<limited_emission> out;
  {
    const std::lock_guard guard(home.timers.lock);
    waiting_ = false;
    if (!queued()) return;
    home.timers.remove(*this);
    out.swap(queued_self_);
  }
  home.timers_changed();
}

void limited_emission::give_up() noexcept {
  const auto self = std::move(left_self_);
  end();
}

}  // namespace sluice::detail
