// SPDX-License-Identifier: BSL-1.0
// The wait for one of several cases. One claim decides, once, between all that can complete one;
// no case can be claimed before all are in their queues, and when the select goes on none is left
// there.

#include <sluice/detail/select/select_wait.hpp>

#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/test_point.hpp>
#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/detail/wait/sleep_waiter.hpp>

#include <boost/asio/cancellation_type.hpp>

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

namespace sluice::detail {

/// All locks of a select's entries, each once, in address order, in which the entries are put.
class select_wait::locks {
 public:
  // Inlined wherever it is used: every select that parks comes here.
  [[gnu::always_inline]] explicit locks(const select_wait& s) noexcept : entries_(s.entries_) {
    // As a rule they are: channels that are made one after the other, and waited for in that order.
    if (!std::ranges::is_sorted(entries_, std::less<>(), &select_entry::lock))
      std::ranges::sort(entries_, std::less<>(), &select_entry::lock);
    for_each([](queue_lock& l) { l.lock(); });
  }
  [[gnu::always_inline]] ~locks() {
    for_each([](queue_lock& l) { l.unlock(); });
  }
  locks(const locks&) = delete;
  locks& operator=(const locks&) = delete;

 private:
  template <class F>
  void for_each(F f) const noexcept {
    queue_lock* last = nullptr;
    for (const auto& e : entries_) {
      if (e.lock && e.lock != last) f(*e.lock);
      last = e.lock;
    }
  }

  const std::span<select_entry> entries_;
};

// One that was claimed may be in the middle of its completion.
void select_wait::keep_others_off() noexcept {
  if (cancellation* const c = cancellation_of_goroutine()) c->end();
  if (enlisted_ == 0) return;
  static_cast<void>(claim(cancelled));
  if (!withdraw_losers() && !woken_) who_->home->wait_for_pins();
}

void select_wait::forget() noexcept {
  if (!who_) return;
  keep_others_off();
  leave();
}

void select_wait::forget_claimed(selection& claim) noexcept {
  static_cast<select_wait&>(claim).forget();
}

void select_wait::leave() noexcept {
  static_cast<void>(withdraw_losers());
  for (const auto& e : entries_) {
    SLUICE_ASSERT(!e.w->linked(), "a select ends when all its cases have left their queues");
    e.w->who = nullptr;
  }
  who_ = nullptr;
}

// Those that were enlisted, and no others: a queue is not asked for what it never had.
bool select_wait::withdraw_losers() noexcept {
  const auto winner = selection::winner();
  bool all_withdrawn = true;
  for (const auto& e : entries_.first(std::exchange(enlisted_, 0)))
    if (e.lock) all_withdrawn &= e.w->index != winner && e.functions->withdraw(*e.w);
  return all_withdrawn;
}

// A case that looks ready, each with the same probability, or the first as written.
std::uint32_t select_wait::ready_case() noexcept {
  std::uint32_t ready = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const auto& e = entries_[i];
    if (!e.lock || !e.functions->ready(*e.w)) continue;
    if (order_ == order::written) return i;
    candidates_[ready++] = i;
  }
  if (ready == 0) return none;
  return candidates_[ready == 1 ? 0 : scheduler::choose(ready)];
}

// Tries the case that looks ready under its own lock only. A case that is ready then may be chosen
// whatever the others are; that none is, or none of those written before it, takes all locks to
// say.
bool select_wait::try_hinted() noexcept {
  const auto i = ready_case();
  if (i == none) return false;
  wake_list woken;
  if (order_ == order::written && i != 0) {
    const locks guard(*this);
    return attempt_one(woken);
  }
  const auto& e = entries_[i];
  const std::lock_guard guard(*e.lock);
  return attempt(e, woken);
}

bool select_wait::attempt(const select_entry& e, wake_list& woken) noexcept {
  if (!e.functions->attempt(*e.w, woken)) return false;
  winner_ = e.w->index;
  return true;
}

// Under all locks. Whether a case can happen its attempt says, which removes partners and rivals
// that were decided elsewhere; nobody can bring others, so one look and one attempt for each entry
// are enough.
bool select_wait::attempt_one(wake_list& woken) noexcept {
  std::size_t left = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const auto& e = entries_[i];
    if (e.lock && e.functions->ready(*e.w)) candidates_[left++] = i;
  }
  const auto candidates = candidates_.first(left);
  // As written, whatever the addresses of the locks are, so that a choice can be made again.
  if (left > 1)
    std::ranges::sort(candidates, std::less<>(),
                      [this](std::uint32_t i) { return entries_[i].w->index; });
  if (order_ == order::written)
    return std::ranges::any_of(candidates,
                               [&](std::uint32_t i) { return attempt(entries_[i], woken); });
  for (; left != 0; --left) {
    if (left != 1)
      std::swap(candidates[scheduler::choose(static_cast<std::uint32_t>(left))],
                candidates[left - 1]);
    if (attempt(entries_[candidates[left - 1]], woken)) return true;
  }
  return false;
}

// Under all locks, so no case is claimed before all are in their queues, and a handler with its
// context; if one cannot be put there, the select is decided before it is seen.
begun select_wait::attempt_or_enlist(wake_list& woken, parked_handler* h,
                                     std::size_t asio_cases) noexcept {
  const locks guard(*this);
  if (attempt_one(woken)) return !shared_ || claim(winner_) ? begun::done : begun::waits;
  if (purpose_ == purpose::select_with_otherwise) return begun::done;
  if (for_handler_ && is_hopeless(asio_cases)) {
    outcome_ = waiter::state::aborted;
    return begun::done;
  }
  shared_ = true;
  if (order_ == order::random) shuffle_places();
  SLUICE_TRY {
    for (auto& e : entries_) {
      if (e.lock) e.functions->enlist(*e.w);
      ++enlisted_;
    }
  }
  SLUICE_CATCH_ALL {
    failure_ = std::current_exception();
    return claim(failed) ? begun::done : begun::waits;
  }
  return !h || who_->home->try_add(*h) ? begun::waits : begun::refused;
}

// Of several cases in one queue, which are neighbours here, the first to be enlisted is the first
// to happen.
void select_wait::shuffle_places() noexcept {
  for (std::size_t first = 0; first + 1 < entries_.size(); ++first) {
    if (entries_[first].lock != entries_[first + 1].lock) continue;
    std::size_t last = first + 2;
    while (last < entries_.size() && entries_[last].lock == entries_[first].lock) ++last;
    for (; last - first > 1; ++first)
      std::swap(entries_[first],
                entries_[first + scheduler::choose(static_cast<std::uint32_t>(last - first))]);
  }
}

// Under all locks. Channels lose their last handle once, and tell those that stand there then; who
// comes later sees it, under the same lock. What never can happen, as of a nil channel, is no hope,
// and does not end a select either; nor is the limit of a timeout one.
bool select_wait::is_hopeless(std::size_t asio_cases) noexcept {
  auto hopes = static_cast<std::uint32_t>(asio_cases);
  bool forsaken = false;
  for (const auto& e : entries_) {
    if (!e.lock || (purpose_ == purpose::timeout && e.functions == &sleep_functions)) continue;
    const bool without_handle =
        (e.functions == &send_functions || e.functions == &receive_functions) &&
        static_cast<const channel_waiter&>(*e.w).core->has_lost_handles();
    forsaken |= without_handle;
    hopes += !without_handle;
  }
  count_hopes(hopes);
  return forsaken && hopes == 0;
}

bool select_wait::become_cancellable() noexcept {
  outcome_ = cancellation_of_goroutine()->begin(*this);
  return outcome_ == waiter::state::waiting;
}

bool select_wait::start(goroutine& g, std::span<select_entry> entries,
                        std::span<std::uint32_t> candidates, bool none_looked_ready) {
  g.before_wait();
  if (!begin(g, entries, candidates) || (!none_looked_ready && try_hinted())) return g.must_yield();
  bool done = false;
  {
    wake_list woken;
    std::unique_lock<byte_lock> cancellation_guard;
    if (g.cancel) {
      cancellation_guard = std::unique_lock(g.cancel->lock());
      if (!become_cancellable()) return g.must_yield();
    }
    done = attempt_or_enlist(woken, nullptr, 0) == begun::done;
  }
  if (done) return g.must_yield();
  return !arrive_second() || g.must_yield();
}

// Whoever claims a case may be on his way to the handler, and the context to its end, before this
// thread has come from the locks to the meeting: its pin holds the end off until then.
begun select_wait::start_for_handler(waker& p, parked_handler& h, std::span<select_entry> entries,
                                     std::span<std::uint32_t> candidates) noexcept {
  begin(p, entries, candidates);
  if (try_hinted()) return begun::done;
  const pinned_wake here{pinned_scheduler(to_pin(p))};
  auto state = begun::refused;
  {
    wake_list woken;
    state = attempt_or_enlist(woken, &h, 0);
  }
  test_point("a handler's select has been registered");
  if (state == begun::waits && arrive_second()) p.wake(p);
  return state;
}

bool select_wait::cancel_all(waiter::state outcome) noexcept {
  if (!claim(cancelled)) return false;
  outcome_ = outcome;
  return arrive_second();
}

bool select_wait::cancel(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                         ready_list&) noexcept {
  return static_cast<select_wait&>(wait).cancel_all(outcome);
}

// A select that was decided before others could claim has nothing in its claim.
bool select_wait::cancel_for_handler() noexcept {
  {
    const std::lock_guard guard(slot_lock_);
    if (!shared_ || !claim(cancelled)) return false;
  }
  outcome_ = waiter::state::aborted;
  return arrive_second();
}

// Of all queues a scheduler's timers alone are not kept by what waits there. To leave them calls
// nothing of the user's, who may not be called under the pin of whoever wakes.
void select_wait::woken_for_handler(bool leaves_scheduler) noexcept {
  woken_ = true;
  if (!leaves_scheduler) return;
  const auto winner = selection::winner();
  for (auto& e : entries_)
    if (e.functions == &sleep_functions && e.lock) {
      if (e.w->index != winner) static_cast<void>(e.functions->withdraw(*e.w));
      e.lock = nullptr;
    }
}

// Nobody waits any more if a case of a caller's was destroyed after the claim, before the
// resumption.
std::uint32_t select_wait::end(std::uint32_t rescued) {
  if (cancellation* const c = who_ ? cancellation_of_goroutine() : nullptr) c->end();
  if (shared_) winner_ = winner();
  SLUICE_ASSERT(!shared_ || winner_ != none || outcome_ != waiter::state::waiting,
                "a select goes on when one of its cases was claimed");
  if (who_) leave();
  if (failure_) std::rethrow_exception(failure_);
  if (winner_ == cancelled) {
    winner_ = rescued;
    if (outcome_ == waiter::state::waiting) outcome_ = waiter::state::aborted;
  }
  if constexpr (has_exceptions)
    if (outcome_ != waiter::state::waiting && winner_ == none)
      throw_error(outcome_error(outcome_), "sluice: select");
  return winner_;
}

}  // namespace sluice::detail
