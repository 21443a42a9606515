// SPDX-License-Identifier: BSL-1.0
// Workers: how one is started, takes a job in the step in which it ends the last, and ends itself.

#include <sluice/detail/pool/pool_worker.hpp>

#include "failures.hpp"
#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/recycling.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/time/callback_timer.hpp>

#include <boost/asio/error.hpp>

#include <mutex>
#include <source_location>

namespace sluice::detail {

namespace {

[[maybe_unused]] bool is_cancellation(const error_code& failure) {
  return failure == asio::error::operation_aborted;
}
[[maybe_unused]] bool is_cancellation(const std::exception_ptr& failure) {
  return detail::visit_exception<system_error>(
      failure, [](const system_error& x) { return is_cancellation(x.code()); },
      [] { return false; });
}

/// Whether the goroutine is as it was at first, so that the next job does not find what the last
/// has left: used in it.
bool is_as_at_first(const goroutine& g) noexcept {
  return g.cancel->is_unset() && !g.may_be_elsewhere() &&
         (g.known & scheduled_goroutine::name) == 0;
}

}  // namespace

pool_worker::pool_worker(job_queue& q) : ready_node(&run_request), queue(q) {
  workers_by_strand one{{nullptr, this}};
  entry = one.extract(one.begin());
}

pool_worker::~pool_worker() = default;

void* pool_worker::operator new(std::size_t size) {
  return allocate_recycled(size);
}
void pool_worker::operator delete(void* memory, std::size_t size) noexcept {
  deallocate_recycled(memory, size);
}

void pool_worker::runs_on(const dispatcher& where) noexcept {
  queue->note_strand(*this, where);
}

working::~working() {
  if (worker_) worker_->queue->dropped(*worker_.get());
}

bool next_job::try_now(goroutine& g) noexcept {
  worker_.runs_in = &g;
  turn_ = worker_.queue->next(worker_, slot_, --g.on->ticks > 0 || g.on->may_go_on());
  return turn_ != job_queue::turn::later;
}

// --- starting ------------------------------------------------------------------------------------

// Whoever changes something under the lock so that a worker is wanted calls this. What cannot be
// started fails a job for each time, as long as there is one that nobody else is about to do.
void job_queue::start_workers() noexcept {
  const ref<job_queue> self(*this);
  for (;;) {
    ref<pool_worker> w;
    job_failure failure;
    SLUICE_TRY {
      w = ref<pool_worker>(*new pool_worker(*this));
    }
    SLUICE_CATCH_ALL {
      failure = detail::failure_to_move<job_failure>();
    }
    {
      const std::lock_guard guard(lock_);
      if (!(w ? give_place(*w.get()) : wants_worker())) return;
    }
    if (w) {
      SLUICE_TRY {
        start(w);
        continue;
      }
      SLUICE_CATCH_ALL {
        failure = detail::failure_to_move<job_failure>();
      }
    }
    fail_to_start(w.get(), failure);
  }
}

// Until it is started, what is destroyed on the way does not end it.
void job_queue::start(const ref<pool_worker>& w) {
  const pinned_dispatcher where = this->where();
  if (!where) detail::throw_error(asio::error::operation_aborted, "sluice::worker_pool");
  new_goroutine g({*where, counts_as_work_}, work(working(w)), false,
                  std::source_location::current());
  if (!g) detail::throw_error(asio::error::operation_aborted, "sluice::worker_pool");
  w->cancel = (*g).become_cancellable();
  w->cancel->pool_member = w.get();
  w->started = true;
  SLUICE_TRY {
    g.start();
  }
  SLUICE_CATCH_ALL {
    if (!g) return;  // its executor has dropped it: it ends by itself
    w->started = false;
    detail::rethrow();
  }
}

// A job that it would have done fails.
void job_queue::fail_to_start(pool_worker* w, const job_failure& failure) noexcept {
  bool last = false;
  {
    wake_list told;
    const std::lock_guard guard(lock_);
    submission* s = nullptr;
    if (w) {
      s = next_for(*w);
      leave(*w);
    } else {
      const ref<pool_worker> lender = take_offer();
      s = lender ? lender->borrowers.front() : queue_.empty() ? nullptr : first_queued();
    }
    if (s) {
      take_out(*s);
      ++failed_;
      last = --unfinished_ == 0;
      tell(*s, failure, told);
    }
  }
  if (last) accepted_.done();
}

// --- from one job to the next --------------------------------------------------------------------

// Under the lock.
submission* job_queue::next_for(const pool_worker& w) const noexcept {
  if (w.borrowed_from) return w.borrowed_from->borrowers.front();
  return places_ <= workers_ && !queue_.empty() ? first_queued() : nullptr;
}

submission* job_queue::first_queued() const noexcept {
  return static_cast<submission*>(queue_.front());
}

// Under the lock: the worker has the job from here on, and a client to tell of it.
void job_queue::begin(pool_worker& w, submission& s) noexcept {
  SLUICE_ASSERT(!w.client && !w.borrowers.front(), "a worker does one job at a time");
  take_out(s);
  s.at = submission::stage::begun;
  s.worker = &w;
  w.client = &s;
  w.limit = s.limit;
  ++w.jobs;
  if (w.at == pool_worker::stage::vacant && !w.borrowed_from) --vacant_;
  w.at = pool_worker::stage::busy;
}

// Under the lock. One that has lent its place leaves it to the borrower.
bool job_queue::ends_with_its_job(const pool_worker& w) noexcept {
  return w.at == pool_worker::stage::overdue || w.lent_to || w.asked || w.expired || w.strand ||
         !is_as_at_first(*w.runs_in);
}

// Under the lock: what is next for a worker whose job, if it had one, has ended. One that finds
// none looks once more after those whom it has woken: they may be about to submit the next.
job_queue::turn job_queue::take_next(pool_worker& w, job_slot& slot, bool may_go_on) noexcept {
  const bool had_job = w.at != pool_worker::stage::vacant;
  if (had_job && ends_with_its_job(w)) {
    leave(w);
    return turn::end;
  }
  submission* const s = next_for(w);
  if (had_job && (s ? !may_go_on : !stopped_ && places_ <= workers_)) {
    while (submission* const left = w.borrowers.front()) leave_lender(*left);
    w.at = pool_worker::stage::vacant;
    if (!w.borrowed_from) ++vacant_;
    return turn::later;
  }
  if (!s) {
    leave(w);
    return turn::end;
  }
  while (submission* const left = w.borrowers.front()) leave_lender(*left);
  begin(w, *s);
  slot.take_job(*s);
  return turn::job;
}

// Under the lock: whoever waits for the job is told, unless he has been. @param slot Null if it has
// no result. @return Whether it was the last that had not ended.
bool job_queue::end_job(pool_worker& w, job_slot* slot, job_failure& failure, bool late,
                        bool by_cancellation, wake_list& told) noexcept {
  SLUICE_ASSERT(w.at == pool_worker::stage::busy || w.at == pool_worker::stage::overdue,
                "a job ends once, after it has begun");
  if (submission* const s = w.client) {
    if (!failure) {
      ++done_;
      slot->give_result(*s);
    } else if (late && !w.asked) {
      ++timed_out_;
      failure = pool_failures::all().timed_out;
    } else if (w.asked && by_cancellation) {
      ++cancelled_;
    } else {
      ++failed_;
    }
    tell(*s, std::move(failure), told);
  }
  return --unfinished_ == 0;
}

// Under the lock: the worker's place is free for others, and it is not there any more.
void job_queue::leave(pool_worker& w) noexcept {
  if (w.at == pool_worker::stage::overdue)
    --overdue_;
  else
    give_place_back(w);
  w.at = pool_worker::stage::ended;
  if (w.strand) strands_.erase(w.strand);
  if (w.cancel) w.cancel->pool_member = nullptr;
  active_.remove(w);
}

job_queue::turn job_queue::next(pool_worker& w, job_slot& slot, bool may_go_on) noexcept {
  for (;;) {
    if (const auto timer = std::exchange(w.timer, nullptr)) timer->stop();
    job_failure failure = std::exchange(slot.failure, {});
    const bool late =
        failure && w.limit != clock::duration::max() && w.deadline <= scheduler::now_here();
    const bool by_cancellation = failure && is_cancellation(failure);
    auto next = turn::end;
    bool last = false;
    bool wants = false;
    {
      wake_list told;
      const std::lock_guard guard(lock_);
      if (w.at != pool_worker::stage::vacant)
        last = end_job(w, &slot, failure, late, by_cancellation, told);
      next = take_next(w, slot, may_go_on);
      wants = wants_worker();
    }
    if (last) accepted_.done();
    if (wants) start_workers();
    if (next != turn::job || limit_job(w, slot)) return next;
    slot.drop_job();
  }
}

// One that has not begun a job ends one all the same: an executor that drops what it is given would
// be given others without an end.
void job_queue::dropped(pool_worker& w) noexcept {
  if (!w.started) return;
  if (const auto timer = std::exchange(w.timer, nullptr)) timer->stop();
  job_failure failure = pool_failures::all().cancelled;
  bool last = false;
  bool wants = false;
  {
    wake_list told;
    const std::lock_guard guard(lock_);
    if (w.at == pool_worker::stage::ended) return;
    if (w.at == pool_worker::stage::vacant) {
      if (submission* const s = next_for(w)) {
        take_out(*s);
        ++cancelled_;
        last = --unfinished_ == 0;
        tell(*s, std::move(failure), told);
      }
    } else {
      last = end_job(w, nullptr, failure, false, true, told);
    }
    leave(w);
    wants = wants_worker();
  }
  if (last) accepted_.done();
  if (wants) start_workers();
}

}  // namespace sluice::detail
