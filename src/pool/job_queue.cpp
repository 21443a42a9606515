// SPDX-License-Identifier: BSL-1.0
// The queue of a worker pool: who is accepted, and how a wait for a job ends. Every accepted job
// ends once, and whoever submitted it is told exactly once: by who takes him from his place here or
// from his worker, under the lock.

#include <sluice/detail/pool/job_queue.hpp>

#include "pool/failures.hpp"
#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/worker_pool.hpp>

#include <mutex>
#include <stdexcept>
#include <utility>

namespace sluice::detail {

namespace {

std::size_t checked(std::size_t workers) {
  if (workers == 0)
    detail::throw_exception(std::invalid_argument("sluice::worker_pool: no workers"));
  return workers;
}

}  // namespace

job_queue::job_queue(const start_point& where, const worker_pool_options& options)
    : where_(where.where),
      counts_as_work_(where.counts_as_work),
      on_a_strand_(where.where->is_serial()),
      capacity_(options.queue_capacity),
      job_timeout_(options.job_timeout),
      workers_(checked(options.workers)) {
  if (job_timeout_ <= clock::duration::zero())
    detail::throw_exception(
        std::invalid_argument("sluice::worker_pool: a job timeout that is not positive"));
  free_numbers_.reserve(workers_);
  static_cast<void>(pool_failures::all());
}

// --- room ----------------------------------------------------------------------------------------

bool job_queue::reserve() noexcept {
  const std::lock_guard guard(lock_);
  if (stopped_) return false;
  const auto free = workers_ > running() ? workers_ - running() : 0;
  if (queued_ + reserved_ >= free + capacity_) return false;
  ++reserved_;
  return true;
}

void job_queue::unreserve() noexcept {
  const std::lock_guard guard(lock_);
  SLUICE_ASSERT(reserved_ != 0, "room for a job that is given back was reserved");
  --reserved_;
}

// --- acceptance ----------------------------------------------------------------------------------

// Under the lock. A pool that has to start a worker for the job looks whether its context still is
// there; while workers are busy it is.
job_queue::entry job_queue::enter(submission& s, const job_awaiter& by, parked_handler* h,
                                  reservation* room, pinned_dispatcher& where,
                                  ref<job_queue>& starter) noexcept {
  const auto refuse = [&s] {
    s.failure = pool_failures::all().closed;
    s.outcome = waiter::state::done;
    s.at = submission::stage::ended;
    return entry::refused;
  };
  if (stopped_) return refuse();
  s.at = submission::stage::queued;
  queue_.push_back(s);
  ++queued_;
  if (pool_worker* const lender = job_of(by); lender && lender->at == pool_worker::stage::busy) {
    s.lender = lender;
    lender->borrowers.push_back(s);
    offer_place_of(*lender);
  }
  if (wants_worker()) {
    where = this->where();
    if (!where) {
      stopped_ = true;
      take_out(s);
      return refuse();
    }
    starter = ref<job_queue>(*this);
  }
  if (h && s.who->home && !s.who->home->try_add(*h)) {
    take_out(s);
    s.who = nullptr;
    return entry::unwanted;
  }
  if (room && std::exchange(room->queue_, nullptr)) --reserved_;
  if (unfinished_++ == 0) accepted_.add();
  return entry::accepted;
}

bool job_queue::submit_for(goroutine& g, submission& s, cancellable& wait) noexcept {
  ref<job_queue> starter;
  pinned_dispatcher where;
  auto entered = entry::refused;
  g.before_wait();
  s.begin(g);
  g.waiting_on = wait_reason::worker_pool;
  {
    std::unique_lock<byte_lock> requests;
    if (g.cancel) {
      requests = std::unique_lock(g.cancel->lock());
      s.outcome = g.cancel->begin(wait);
    }
    if (s.outcome == waiter::state::waiting) {
      const std::lock_guard guard(lock_);
      entered = enter(s, {&g, {}}, nullptr, nullptr, where, starter);
    }
  }
  if (starter) starter->start_workers();
  return entered == entry::accepted || g.must_yield();
}

begun job_queue::submit_for(waker& p, parked_handler& h, submission& s, const job_awaiter& by,
                            reservation* room) noexcept {
  ref<job_queue> starter;
  pinned_dispatcher where;
  auto entered = entry::refused;
  s.begin(p);
  {
    const std::lock_guard guard(lock_);
    entered = enter(s, by, &h, room, where, starter);
  }
  if (starter) starter->start_workers();
  return entered == entry::accepted  ? begun::waits
         : entered == entry::refused ? begun::done
                                     : begun::refused;
}

// Under the lock: out of the queue, for good.
void job_queue::take_out(submission& s) noexcept {
  SLUICE_ASSERT(s.at == submission::stage::queued,
                "a job is taken out of the queue while it waits");
  leave_lender(s);
  waiter_list::remove(s);
  --queued_;
  s.at = submission::stage::ended;
}

// --- telling -------------------------------------------------------------------------------------

// Under the lock. Who tells has pinned the context of the one who is told before that can be seen.
void job_queue::tell(submission& s, job_failure failure, wake_list& told) noexcept {
  SLUICE_ASSERT(s.at != submission::stage::idle, "who is told of a job has submitted it");
  static_cast<void>(claim(s));
  s.at = submission::stage::ended;
  s.outcome = waiter::state::done;
  if (failure) s.failure = std::move(failure);
  if (pool_worker* const w = std::exchange(s.worker, nullptr)) w->client = nullptr;
  told.add(s);
}

// Under the lock: takes a job out of the queue that has been accepted. @return Whether it was the
// last that had not ended.
bool job_queue::withdraw(submission& s) noexcept {
  take_out(s);
  ++cancelled_;
  return --unfinished_ == 0;
}

bool job_queue::cancel_submission(submission& s) noexcept {
  ref<pool_worker> asked;
  bool withdrawn = false;
  bool last = false;
  {
    const std::lock_guard guard(lock_);
    if (s.at == submission::stage::queued) {
      last = withdraw(s);
      s.failure = pool_failures::all().cancelled;
      s.outcome = waiter::state::done;
      withdrawn = true;
    } else if (s.at == submission::stage::begun && s.worker->ask()) {
      asked = ref<pool_worker>(*s.worker);
    }
  }
  if (last) accepted_.done();
  if (asked) cancel_job_of(*asked.get());
  return withdrawn;
}

// What may call an executor of a user's comes when the goroutine's lock is free: who goes on tells
// those who wait for the last job, and a step of the worker's asks its goroutine.
bool job_queue::cancel_awaited(submission& s, waiter::state outcome, ready_list& steps) noexcept {
  const std::lock_guard guard(lock_);
  if (s.at != submission::stage::ended) s.asked = outcome;
  if (s.at == submission::stage::queued) {
    s.owes_end = withdraw(s);
    s.outcome = outcome;
    return true;
  }
  if (s.at == submission::stage::begun && s.worker->ask()) {
    s.worker->retain();
    steps.push_back(*s.worker);
  }
  return false;
}

void job_queue::settle(submission& s) noexcept {
  if (std::exchange(s.owes_end, false)) accepted_.done();
}

// Cancels the job, which is not needed any more. Who has been told is woken by a thread that holds
// a pin until it has done so.
void job_queue::forget(submission& s) noexcept {
  ref<pool_worker> asked;
  bool told = false;
  {
    const std::lock_guard guard(lock_);
    if (s.at == submission::stage::queued) {
      s.owes_end = withdraw(s);
    } else if (s.at == submission::stage::begun) {
      ++cancelled_;
      pool_worker& w = *std::exchange(s.worker, nullptr);
      w.client = nullptr;
      s.at = submission::stage::ended;
      if (w.ask()) asked = ref<pool_worker>(w);
    } else {
      told = s.at == submission::stage::ended;
    }
  }
  settle(s);
  if (asked) cancel_job_of(*asked.get());
  if (told && s.who->home) s.who->home->wait_for_pins();
}

// --- the pool ------------------------------------------------------------------------------------

void job_queue::resize(std::size_t workers) {
  {
    const std::lock_guard guard(lock_);
    free_numbers_.reserve(checked(workers));
    workers_ = workers;
    if (!wants_worker()) return;
  }
  start_workers();
}

worker_pool_stats job_queue::stats() const noexcept {
  const std::lock_guard guard(lock_);
  return {queued_, running(), overdue_, done_, failed_, timed_out_, cancelled_};
}

wait_group_operation job_queue::stop() {
  const std::lock_guard guard(lock_);
  if (job_of(this_goroutine_or_null()))
    detail::throw_exception(
        system_error(make_error_code(boost::system::errc::resource_deadlock_would_occur),
                     "sluice::worker_pool: stop by one of its own jobs"));
  stopped_ = true;
  return wait_group_operation(access::state_of(accepted_), where_);
}

}  // namespace sluice::detail
