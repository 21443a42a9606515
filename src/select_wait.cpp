#include <sluice/detail/select_wait.hpp>

#include "innermost.hpp"

#include <sluice/detail/channel_core.hpp>
#include <sluice/detail/operation.hpp>
#include <sluice/detail/post_by.hpp>
#include <sluice/detail/scheduler.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>

namespace sluice::detail {

/// All locks of a select's entries, each once, in address order, in which the entries are put.
class select_wait::locks {
 public:
  explicit locks(const select_wait& s) noexcept : entries_(s.entries_) {
    std::ranges::sort(entries_, std::less<>(), &select_entry::lock);
    for_each([](byte_lock& l) { l.lock(); });
  }
  ~locks() {
    for_each([](byte_lock& l) { l.unlock(); });
  }
  locks(const locks&) = delete;
  locks& operator=(const locks&) = delete;

 private:
  template <class F>
  void for_each(F f) const noexcept {
    byte_lock* last = nullptr;
    for (const auto& e : entries_) {
      if (e.lock && e.lock != last) f(*e.lock);
      last = e.lock;
    }
  }

  const std::span<select_entry> entries_;
};

// Nobody can claim a case from now on; one that was claimed may be in the middle of its completion.
void select_wait::forget() noexcept {
  if (goroutine_->cancel) goroutine_->cancel->end();
  if (enlisted_ != 0) {
    static_cast<void>(claim_.claim(cancelled));
    if (!withdraw_losers()) goroutine_->home->wait_for_pins();
  }
  for (const auto& e : entries_) e.w->who = nullptr;
}

// Those that were enlisted, and no others: a place is not asked for what it never had.
bool select_wait::withdraw_losers() noexcept {
  const auto winner = claim_.winner();
  bool all_withdrawn = true;
  for (const auto& e : entries_.first(std::exchange(enlisted_, 0)))
    if (e.lock) all_withdrawn &= e.w->index != winner && e.functions->withdraw(*e.w);
  return all_withdrawn;
}

void select_wait::bind(party& p) noexcept {
  for (auto& e : entries_) {
    e.w->begin(p);
    e.w->shared_claim = &claim_;
    e.lock = e.functions->lock(*e.w);
  }
}

// A case that looks ready, each with the same probability, or the first as written.
std::uint32_t select_wait::ready_case() const noexcept {
  std::uint32_t found = none;
  std::uint32_t ready = 0;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    const auto& e = entries_[i];
    if (!e.lock || !e.functions->ready(*e.w)) continue;
    if (++ready == 1 || scheduler::choose(ready) == 0) found = i;
    if (order_ == order::written) break;
  }
  return found;
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
  if (order_ == order::written) {
    std::ranges::sort(candidates, std::less<>(),
                      [this](std::uint32_t i) { return entries_[i].w->index; });
    return std::ranges::any_of(candidates,
                               [&](std::uint32_t i) { return attempt(entries_[i], woken); });
  }
  for (; left != 0; --left) {
    if (left != 1)
      std::swap(candidates[scheduler::choose(static_cast<std::uint32_t>(left))],
                candidates[left - 1]);
    if (attempt(entries_[candidates[left - 1]], woken)) return true;
  }
  return false;
}

// Under all locks, so no case is claimed before all are in their places; if one cannot be put
// there, the select is decided before it is seen.
bool select_wait::attempt_or_enlist(wake_list& woken) noexcept {
  const locks guard(*this);
  if (attempt_one(woken)) return !shared_ || claim_.claim(winner_);
  if (has_otherwise_) return true;
  if (for_handler_ && is_hopeless()) {
    outcome_ = waiter::state::aborted;
    return true;
  }
  shared_ = true;
  try {
    for (auto& e : entries_) {
      if (e.lock) e.functions->enlist(*e.w);
      ++enlisted_;
    }
    return false;
  } catch (...) {
    failure_ = std::current_exception();
    return claim_.claim(failed);
  }
}

// Under all locks. Channels lose their last handle once, and tell those that stand there then; who
// comes later sees it, under the same lock. What never can happen, as of a nil channel, is no hope,
// and does not end a select either.
bool select_wait::is_hopeless() noexcept {
  std::uint32_t hopes = static_cast<std::uint32_t>(foreign_.size());
  bool forsaken = false;
  for (const auto& e : entries_) {
    if (!e.lock) continue;
    const bool without_handle =
        (e.functions == &send_functions || e.functions == &receive_functions) &&
        static_cast<const channel_waiter&>(*e.w).core->has_lost_handles();
    forsaken |= without_handle;
    hopes += !without_handle;
  }
  claim_.count_hopes(hopes);
  return forsaken && hopes == 0;
}

// `passes` counts to the turn of the Asio cases. Once in a while, by chance, it counts from `turn`
// on: there is a second turn on that way, also by chance, for those whose turn never comes because
// the goroutine's selects follow each other at that very distance.
bool select_wait::asio_goes_first(const goroutine& g) noexcept {
  const std::uint32_t left = turn - 1 - g.passes % turn;
  return left == 0 || (g.passes >= turn && scheduler::choose(left + 1) == 0);
}

void select_wait::count_pass(goroutine& g, bool asio_went_first) noexcept {
  constexpr std::uint32_t seldom = 32;
  std::uint32_t next = g.passes + 1U;
  if (next % turn == 0)
    next = scheduler::choose(seldom) == 0 ? turn : 0;
  else if (asio_went_first)
    next = next % turn;
  g.passes = next & 0x7f;
}

bool select_wait::start(goroutine& g, std::span<select_entry> entries,
                        std::span<std::uint32_t> candidates, std::span<foreign_case*> foreign) {
  goroutine_ = &g;
  g.waiting_on = "select";
  entries_ = entries;
  candidates_ = candidates;
  foreign_ = foreign;
  if (g.cancel) {
    outcome_ = g.cancel->outcome();
    if (outcome_ != waiter::state::waiting) return g.must_yield();
  }
  bind(g);
  asio_first_ = !foreign.empty() && !for_timeout_ && asio_goes_first(g);
  if (asio_first_)
    turn_used_ = ready_case() != none;
  else if (try_hinted())
    return g.must_yield();
  if (foreign.empty()) return start_plain();
  strand_party_.home = g.home;
  strand_party_.owner = this;
  bind(strand_party_);
  const bool on_strand = g.on_its_strand();
  if (!on_strand) g.become_serial();
  if (g.cancel) {
    const std::lock_guard guard(g.cancel->lock());
    outcome_ = g.cancel->begin(*this);
    if (outcome_ != waiter::state::waiting) {
      if (on_strand) return g.must_yield();
      g.make_ready();
      return true;
    }
  }
  shared_ = true;
  if (on_strand)
    launch_foreign();
  else
    post_to_strand(&select_wait::launch_foreign);
  return true;
}

bool select_wait::start_plain() {
  goroutine& g = *goroutine_;
  bool done = false;
  {
    wake_list woken;
    std::unique_lock<byte_lock> cancellation_guard;
    if (g.cancel) {
      cancellation_guard = std::unique_lock(g.cancel->lock());
      outcome_ = g.cancel->begin(*this);
      if (outcome_ != waiter::state::waiting) return g.must_yield();
    }
    done = attempt_or_enlist(woken);
  }
  if (done) return g.must_yield();
  return !claim_.arrive_second() || g.must_yield();
}

void select_wait::post_to_strand(void (select_wait::*step)()) {
  detail::queue(executor(goroutine_->where), [this, step, held = ticket(*goroutine_)] {
    if (!held->ended()) (this->*step)();
  });
}

// An operation may complete from inside its launch; the rest is not launched then.
void select_wait::launch_foreign() {
  busy_ = true;
  for (foreign_case* const c : foreign_) {
    if (claim_.winner() != none) break;
    launch(*c);
  }
  busy_ = false;
  if (asio_first_)
    give_event_loop_a_turn();
  else
    register_entries();
}

void select_wait::launch(foreign_case& c) {
  c.owner = this;
  c.launched = true;
  ++outstanding_;
  launching_ = &c;
  try {
    const on_behalf_of current(*goroutine_);
    c.launch(c);
    launching_ = nullptr;
  } catch (...) {
    launching_ = nullptr;
    c.launched = false;
    --outstanding_;
    if (claim_.claim(failed)) failure_ = std::current_exception();
    return;
  }
  if (c.dropped) foreign_abandoned(c);
}

// The event loop polls between handlers: when the second of two handlers posted one by the other
// runs, what was ready has been dispatched.
void select_wait::give_event_loop_a_turn() {
  const auto ex = goroutine_->home->event_loop_executor();
  try {
    asio::post(ex, [this, ex, held = ticket(*goroutine_)]() mutable {
      asio::post(ex, [this, kept = std::move(held)] {
        if (!kept->ended()) post_to_strand(&select_wait::register_entries);
      });
    });
  } catch (...) {
    register_entries();  // without memory for it there is no turn
  }
}

void select_wait::register_entries() {
  goroutine& g = *goroutine_;
  registered_ = true;
  bool claimed_here = true;
  {
    wake_list woken;
    std::unique_lock<byte_lock> cancellation_guard;
    if (g.cancel) cancellation_guard = std::unique_lock(g.cancel->lock());
    if (claim_.winner() == none)
      claimed_here = attempt_or_enlist(woken);
    else if (claim_.winner() == cancelled)
      claimed_here = false;
  }
  if (claimed_here || claim_.arrive_second()) on_claimed();
}

void select_wait::on_claimed() {
  claim_seen_ = true;
  cancel_foreign();
  go_on_if_finished();
}

// Every type at once, terminal among them, whatever weaker type came before.
void select_wait::cancel_foreign() {
  if (std::exchange(busy_, true)) return;
  const auto winner = claim_.winner();
  for (foreign_case* const c : foreign_)
    if (c->launched && !c->completed && c->index != winner)
      c->signal.emit(asio::cancellation_type::all);
  busy_ = false;
}

void select_wait::foreign_completed(foreign_case& c) {
  note_completion(*goroutine_);
  c.completed = true;
  c.signal.slot().clear();
  --outstanding_;
  if (claim_.claim(c.index)) {
    claim_seen_ = true;
    foreign_won_ = true;
    cancel_foreign();
  } else if (claim_.winner() == cancelled && (c.succeeded || for_timeout_) && rescued_ == none) {
    rescued_ = c.index;
  }
  go_on_if_finished();
}

void select_wait::foreign_abandoned(foreign_case& c) {
  // Perhaps because the launch throws.
  if (launching_ == &c) {
    c.dropped = true;
    return;
  }
  abandoned_ = true;
  foreign_completed(c);
}

void select_wait::go_on_if_finished() {
  if (busy_ || !registered_ || outstanding_ != 0 || !claim_seen_ || resumed_) return;
  resumed_ = true;
  if (abandoned_)
    goroutine_->abandon();
  else
    goroutine_->make_ready();
}

void select_wait::wake_on_strand(party& p) noexcept {
  static_cast<strand_party&>(p).owner->post_to_strand(&select_wait::on_claimed);
}

bool select_wait::cancel(cancellable& wait, asio::cancellation_type,
                         waiter::state outcome) noexcept {
  auto& self = static_cast<select_wait&>(wait);
  if (!self.claim_.claim(cancelled)) return false;
  self.outcome_ = outcome;
  if (!self.claim_.arrive_second()) return false;
  if (self.foreign_.empty()) return true;
  self.post_to_strand(&select_wait::on_claimed);
  return false;
}

std::uint32_t select_wait::finish() {
  if (goroutine_->cancel) goroutine_->cancel->end();
  if (shared_) winner_ = claim_.winner();
  // Asio cases that won without passing anything over leave their turn to the next select.
  if (!foreign_.empty() && !for_timeout_ && (turn_used_ || !foreign_won_))
    count_pass(*goroutine_, asio_first_);
  static_cast<void>(withdraw_losers());
  for (const auto& e : entries_) e.w->who = nullptr;
  goroutine_ = nullptr;
  if (failure_) std::rethrow_exception(failure_);
  if (winner_ == cancelled) {
    winner_ = rescued_;
    if (outcome_ == waiter::state::waiting) outcome_ = waiter::state::aborted;
  }
  if (outcome_ != waiter::state::waiting && winner_ == none)
    throw_error(outcome_error(outcome_), "sluice: select");
  return winner_;
}

}  // namespace sluice::detail
