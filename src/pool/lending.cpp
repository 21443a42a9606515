// SPDX-License-Identifier: BSL-1.0
// Whose place a worker uses. A job that awaits others lends its own to a worker that does them;
// `lent_to` and `borrowed_from` are set together, under the lock.

#include <sluice/detail/pool/job_queue.hpp>

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

namespace sluice::detail {

pool_worker* job_queue::job_of(const goroutine* g) const noexcept {
  auto* const w = static_cast<pool_worker*>(g && g->cancel ? g->cancel->pool_member : nullptr);
  return w && w->queue.get() == this ? w : nullptr;
}

// An `asio::awaitable` that a job awaits runs on the job's strand. Jobs that share a strand cannot
// be told apart.
pool_worker* job_queue::job_of(const job_awaiter& by) const noexcept {
  if (by.waiting || !by.strand || on_a_strand_) return job_of(by.waiting);
  const auto found = strands_.find(by.strand.get());
  return found == strands_.end() ? nullptr : found->second;
}

// The strand is the goroutine's, which outlives the job.
void job_queue::note_strand(pool_worker& w, const dispatcher& strand) noexcept {
  const std::lock_guard guard(lock_);
  if (on_a_strand_ || w.entry.empty() || w.at == pool_worker::stage::ended) return;
  w.entry.key() = &strand;
  strands_.insert(std::move(w.entry));
  w.strand = &strand;
}

void job_queue::leave_lender(submission& s) noexcept {
  if (pool_worker* const lender = std::exchange(s.lender, nullptr)) lender->borrowers.remove(s);
}

void job_queue::offer_place_of(pool_worker& w) noexcept {
  if (w.lent_to || !w.borrowers.front() || std::exchange(w.offers_place, true)) return;
  w.next_offer = std::exchange(offers_, ref<pool_worker>(w));
}

// Null if none of those who have offered their place still can lend it.
ref<pool_worker> job_queue::take_offer() noexcept {
  while (const ref<pool_worker> w = std::exchange(offers_, {})) {
    offers_ = std::exchange(w->next_offer, {});
    w->offers_place = false;
    if (w->at == pool_worker::stage::busy && !w->lent_to && w->borrowers.front()) return w;
  }
  return {};
}

// Under the lock: gives a new worker a place. @return False if none is needed.
bool job_queue::give_place(pool_worker& w) noexcept {
  if (const ref<pool_worker> lender = take_offer()) {
    w.borrowed_from = lender.get();
    lender->lent_to = &w;
    w.number = lender->number;
  } else {
    if (!wants_worker()) return false;
    ++places_;
    ++vacant_;
    if (free_numbers_.empty()) {
      w.number = ++numbers_;
    } else {
      std::ranges::pop_heap(free_numbers_, std::greater<>());
      w.number = free_numbers_.back();
      free_numbers_.pop_back();
    }
  }
  active_.push_front(w);
  return true;
}

// Under the lock: the worker's place goes back to where it is from; one that it has lent stays with
// the borrower.
void job_queue::give_place_back(pool_worker& w) noexcept {
  while (submission* const s = w.borrowers.front()) leave_lender(*s);
  pool_worker* const from = std::exchange(w.borrowed_from, nullptr);
  pool_worker* const heir = std::exchange(w.lent_to, nullptr);
  if (heir) heir->borrowed_from = from;
  if (from) {
    SLUICE_ASSERT(from->lent_to == &w, "a place that is given back was lent");
    from->lent_to = heir;
    offer_place_of(*from);
  } else if (heir) {
    SLUICE_ASSERT(w.at == pool_worker::stage::busy, "a place is lent by a job");
    if (heir->at == pool_worker::stage::vacant) ++vacant_;
  } else {
    SLUICE_ASSERT(places_ != 0, "a place that is free again was in use");
    --places_;
    if (w.at == pool_worker::stage::vacant) --vacant_;
    free_numbers_.push_back(w.number);
    std::ranges::push_heap(free_numbers_, std::greater<>());
  }
}

}  // namespace sluice::detail
