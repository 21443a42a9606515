// SPDX-License-Identifier: BSL-1.0
// Units that are given out first come, first served. Whenever the lock is free the first waiter
// does not fit; a queue without an owner ends when the last waiter and the last grant have left.

#include <sluice/detail/sync/grant_queue.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>

#include <mutex>
#include <stdexcept>
#include <string>

namespace sluice::detail {

namespace {

using role = grant_waiter::role;

// The waiters that a change has let in, woken at the end of its scope. Waking a handler whose
// context is shutting down destroys it, and with it the grant that it was given, which lets the
// next in: that one is left to the outermost scope of the thread, so that it is a loop and no
// recursion.
class woken_at_end {
 public:
  woken_at_end() noexcept : list_(outermost ? *outermost : own_) {}
  woken_at_end(const woken_at_end&) = delete;
  woken_at_end& operator=(const woken_at_end&) = delete;
  ~woken_at_end() {
    if (outermost) return;
    outermost = &own_;
    own_.wake_all();
    outermost = nullptr;
  }

  [[nodiscard]] wake_list& list() const noexcept { return list_; }

 private:
  static thread_local constinit wake_list* outermost;

  wake_list own_;
  wake_list& list_;
};

thread_local constinit wake_list* woken_at_end::outermost = nullptr;

grant_waiter& of(waiter& w) noexcept {
  return static_cast<grant_waiter&>(w);
}
const grant_waiter& of(const waiter& w) noexcept {
  return static_cast<const grant_waiter&>(w);
}

constexpr waiter_functions functions_of(wait_reason reason) noexcept {
  return {
      reason,
      [](waiter& w) noexcept { return of(w).queue ? &of(w).queue->lock() : nullptr; },
      [](const waiter& w) noexcept { return of(w).queue && of(w).queue->ready(of(w).weight); },
      [](waiter& w, wake_list&) noexcept { return of(w).queue->attempt(of(w)); },
      [](waiter& w) { of(w).queue->enlist(of(w)); },
      // The queue may be gone if the waiter has never been in it.
      [](waiter& w) noexcept {
        return of(w).joined_as != role::none && of(w).queue->withdraw(of(w));
      },
  };
}

}  // namespace

constinit const waiter_functions mutex_functions = functions_of(wait_reason::mutex);
constinit const waiter_functions shared_mutex_functions = functions_of(wait_reason::shared_mutex);
constinit const waiter_functions semaphore_functions = functions_of(wait_reason::semaphore);
constinit const waiter_functions condition_functions = functions_of(wait_reason::condition);

// The first waiter that is not a losing case of a select. Losers leave the list here and their
// membership when their select goes on.
grant_waiter* grant_queue::first_undecided() noexcept {
  while (waiter* const w = waiters_.pop_front()) {
    if (decided(*w)) continue;
    waiters_.push_front(*w);
    return &of(*w);
  }
  return nullptr;
}

// The one that is to be let in next.
grant_waiter* grant_queue::first_candidate() noexcept {
  if (!orphaned_) return first_undecided();
  for (waiter* w = waiters_.front(); w; w = waiters_.after(*w))
    if (of(*w).comes_back) return &of(*w);
  return nullptr;
}

// Those who come or go without a lock of their own: a membership, and units, are given up once.
void grant_queue::untie() noexcept {
  SLUICE_ASSERT(members_ != 0, "a queue has as many members as leave it");
  --members_;
}

void grant_queue::take_back(std::size_t weight) noexcept {
  SLUICE_ASSERT(weight <= held_ && detached_ <= held_ - weight,
                "units that come back were given out and are not detached");
  held_ = held_ - weight;
}

void grant_queue::give(grant_waiter& w) noexcept {
  held_ = held_ + w.weight;
  w.joined_as = role::granted;
  w.outcome = waiter::state::done;
}

bool grant_queue::grant_if_claimed(grant_waiter& w, wake_list& woken) noexcept {
  waiter_list::remove(w);
  if (!claim(w)) return false;
  give(w);
  woken.add(w);
  return true;
}

void grant_queue::admit(wake_list& woken) noexcept {
  while (grant_waiter* const w = first_candidate()) {
    if (!fits(w->weight)) return;
    static_cast<void>(grant_if_claimed(*w, woken));
  }
}

// Changes something under the lock that may let waiters in, or be the end of the queue.
// In line: to call it takes as many instructions as it does.
template <class Change>
[[gnu::always_inline]] inline void grant_queue::change(Change c) noexcept {
  lock_.lock();
  c();
  if (waiters_.empty() && !orphaned_)
    lock_.unlock();
  else
    admit_and_unlock();
}

void grant_queue::admit_and_unlock() noexcept {
  const woken_at_end woken;
  admit(woken.list());
  const bool last = orphaned_ && members_ == 0;
  lock_.unlock();
  if (last) delete this;
}

bool grant_queue::attempt(grant_waiter& w) noexcept {
  if (first_candidate() || !fits(w.weight)) return false;
  join(w);
  give(w);
  return true;
}

bool grant_queue::try_give(grant_waiter& w) noexcept {
  if (held_ >= capacity_) return false;
  const std::lock_guard guard(lock_);
  if (!waiters_.empty() || !fits(w.weight)) return false;
  join(w);
  give(w);
  return true;
}

void grant_queue::enlist(grant_waiter& w) noexcept {
  join(w);
  w.joined_as = role::queued;
  waiters_.push_back(w);
}

bool grant_queue::withdraw(grant_waiter& w) noexcept {
  bool withdrawn = false;
  change([&] {
    if (w.joined_as == role::granted) return;
    withdrawn = waiter_list::remove_if_linked(w);
    w.joined_as = role::none;
    untie();
  });
  return withdrawn;
}

void grant_queue::leave(grant_waiter& w) noexcept {
  change([&] {
    SLUICE_ASSERT(!w.linked(), "a waiter leaves its queue when its wait has ended");
    if (w.joined_as == role::granted) take_back(w.weight);
    untie();
  });
}

bool grant_queue::try_acquire(std::size_t weight) noexcept {
  if (confirmed([&] { return !fits(weight); })) return false;
  const std::lock_guard guard(lock_);
  if (first_undecided() || !fits(weight)) return false;
  ++members_;
  held_ = held_ + weight;
  return true;
}

void grant_queue::release(std::size_t weight) noexcept {
  change([&] {
    take_back(weight);
    untie();
  });
}

grant grant_queue::keep() noexcept {
  const std::lock_guard guard(lock_);
  ++members_;
  return {*this, 0};
}

void grant_queue::detach(std::size_t weight) noexcept {
  change([&] {
    detached_ += weight;
    SLUICE_ASSERT(detached_ <= held_, "units that are detached were given out");
    untie();
  });
}

bool grant_queue::release_detached(std::size_t weight) noexcept {
  bool enough = false;
  change([&] {
    enough = weight <= detached_;
    if (!enough) return;
    detached_ -= weight;
    take_back(weight);
  });
  return enough;
}

void grant_queue::grant_first(std::size_t most) noexcept {
  const woken_at_end woken;
  const std::lock_guard guard(lock_);
  while (most != 0) {
    grant_waiter* const w = first_undecided();
    if (!w) return;
    if (grant_if_claimed(*w, woken.list())) --most;
  }
}

void grant_queue::close() noexcept {
  change([&] { orphaned_ = true; });
}

void grant::give_back(const char* otherwise) {
  if (!queue_) detail::throw_exception(std::logic_error(otherwise));
  std::exchange(queue_, nullptr)->release(weight_);
}

void grant::detach(const char* otherwise) {
  if (!queue_) detail::throw_exception(std::logic_error(otherwise));
  std::exchange(queue_, nullptr)->detach(weight_);
}

}  // namespace sluice::detail
