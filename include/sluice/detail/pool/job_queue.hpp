// SPDX-License-Identifier: BSL-1.0
// A worker pool without the types of its jobs: who waits, who works, in whose place.
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/intrusive_list.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/pool/pool_worker.hpp>
#include <sluice/detail/pool/submission.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

namespace sluice {

struct worker_pool_options;
struct worker_pool_stats;

namespace detail {

/// All of a worker pool that does not depend on the types of its jobs.
/**
 * Counted: workers and submissions keep it, so it outlives the pool while they are there. Thread
 * safe.
 *
 * A place is what `workers` counts: one worker at a time uses it, has its number, and does its jobs
 * from the queue. A job that awaits others lends its place to a worker that does these, one after
 * the other, and that keeps the place if it is still busy when the lender has ended.
 */
class job_queue {
 public:
  SLUICE_DECL job_queue(const start_point& where, const worker_pool_options& options);
  job_queue(const job_queue&) = delete;
  job_queue& operator=(const job_queue&) = delete;
  virtual ~job_queue() = default;

  void retain() noexcept { references_.add(); }
  void release() noexcept {
    if (references_.release()) delete this;
  }

  [[nodiscard]] clock::duration job_timeout() const noexcept { return job_timeout_; }
  /// Where its jobs run; nowhere if its context has ended.
  [[nodiscard]] pinned_dispatcher where() const noexcept { return pinned_dispatcher(where_); }

  /// Room for one job, kept until one is accepted with it, or as long as it lives.
  class reservation {
   public:
    explicit reservation(job_queue& q) noexcept : queue_(q.reserve() ? &q : nullptr) {}
    reservation(const reservation&) = delete;
    reservation& operator=(const reservation&) = delete;
    ~reservation() {
      if (queue_) queue_->unreserve();
    }
    [[nodiscard]] explicit operator bool() const noexcept { return queue_ != nullptr; }

   private:
    friend class job_queue;
    job_queue* queue_;
  };

  // For submissions.

  /// Submits the job of a goroutine that is suspending.
  /** @param wait What cancels the job. @return True if it stays suspended; it may have been resumed
   * then. */
  [[nodiscard]] SLUICE_DECL bool submit_for(goroutine& g, submission& s,
                                            cancellable& wait) noexcept;
  /// Submits a job for a handler. @param room What `try_submit` has reserved for it.
  [[nodiscard]] SLUICE_DECL begun submit_for(waker& p, parked_handler& h, submission& s,
                                             const job_awaiter& by, reservation* room) noexcept;
  /// Takes a job out of the queue, or asks for its cancellation.
  /** @return Whether its wait has ended, and the caller is to tell so. */
  [[nodiscard]] SLUICE_DECL bool cancel_submission(submission& s) noexcept;
  /// The same, under the lock of the cancellation of the goroutine that waits.
  /** @param outcome What its waits end with. @param steps What is to be run once that is free. */
  [[nodiscard]] SLUICE_DECL bool cancel_awaited(submission& s, waiter::state outcome,
                                                ready_list& steps) noexcept;
  /// Who waited has gone on: makes up for what could not be done then.
  SLUICE_DECL void settle(submission& s) noexcept;
  /// Who waits is destroyed. Nobody uses the submission when this returns.
  SLUICE_DECL void forget(submission& s) noexcept;

  // For workers.

  enum class turn : std::uint8_t {
    job,    ///< it has a job
    later,  ///< it lets others go first, and asks again
    end,    ///< there is nothing for it to do
  };
  /// Ends the worker's job, if it has one, and gives it the next.
  /** @param may_go_on Whether it may do one more in this step. */
  [[nodiscard]] SLUICE_DECL turn next(pool_worker& w, job_slot& slot, bool may_go_on) noexcept;
  /// Its goroutine is destroyed.
  SLUICE_DECL void dropped(pool_worker& w) noexcept;
  /// It runs on a strand of its own from now on.
  void note_strand(pool_worker& w, const dispatcher& strand) noexcept;
  /// Cancels its job, which has been asked for.
  void cancel_job_of(pool_worker& w) noexcept;

  // For the pool.

  [[nodiscard]] SLUICE_DECL wait_group_operation stop();
  SLUICE_DECL void cancel() noexcept;
  SLUICE_DECL void resize(std::size_t workers);
  [[nodiscard]] SLUICE_DECL worker_pool_stats stats() const noexcept;

 protected:
  /// What a worker's goroutine does.
  [[nodiscard]] virtual task<> work(working w) = 0;

 private:
  class job_limit;
  enum class entry : std::uint8_t { accepted, refused, unwanted };

  [[nodiscard]] SLUICE_DECL bool reserve() noexcept;
  SLUICE_DECL void unreserve() noexcept;
  [[nodiscard]] entry enter(submission& s, const job_awaiter& by, parked_handler* h,
                            reservation* room, pinned_dispatcher& where,
                            ref<job_queue>& starter) noexcept;
  void take_out(submission& s) noexcept;
  [[nodiscard]] SLUICE_DECL bool withdraw(submission& s) noexcept;
  SLUICE_DECL static void tell(submission& s, job_failure failure, wake_list& told) noexcept;

  [[nodiscard]] pool_worker* job_of(const goroutine* g) const noexcept;
  [[nodiscard]] pool_worker* job_of(const job_awaiter& by) const noexcept;
  static void leave_lender(submission& s) noexcept;
  void offer_place_of(pool_worker& w) noexcept;
  [[nodiscard]] ref<pool_worker> take_offer() noexcept;
  void give_place_back(pool_worker& w) noexcept;

  [[nodiscard]] std::size_t running() const noexcept { return places_ - vacant_; }
  [[nodiscard]] bool wants_worker() const noexcept {
    return offers_ || (places_ < workers_ && vacant_ < queued_);
  }
  void start_workers() noexcept;
  [[nodiscard]] bool give_place(pool_worker& w) noexcept;
  SLUICE_DECL void start(const ref<pool_worker>& w);
  void fail_to_start(pool_worker* w, const job_failure& failure) noexcept;
  [[nodiscard]] submission* next_for(const pool_worker& w) const noexcept;
  [[nodiscard]] submission* first_queued() const noexcept;
  SLUICE_DECL void begin(pool_worker& w, submission& s) noexcept;
  [[nodiscard]] static bool ends_with_its_job(const pool_worker& w) noexcept;
  [[nodiscard]] turn take_next(pool_worker& w, job_slot& slot, bool may_go_on) noexcept;
  [[nodiscard]] bool end_job(pool_worker& w, job_slot* slot, job_failure& failure, bool late,
                             bool by_cancellation, wake_list& told) noexcept;
  SLUICE_DECL void leave(pool_worker& w) noexcept;
  [[nodiscard]] bool limit_job(pool_worker& w, job_slot& slot) noexcept;
  [[nodiscard]] SLUICE_DECL bool expire(pool_worker& w, std::size_t which) noexcept;
  void end_waits_of(pool_worker& w, waiter::state outcome) noexcept;
  void replace_if_slow(pool_worker& w) noexcept;
  static task<> look_after(ref<pool_worker> w);
  void be_overdue(pool_worker& w) noexcept;

  const lasting_dispatcher where_;
  const bool counts_as_work_;
  const bool on_a_strand_;
  const std::size_t capacity_;
  const clock::duration job_timeout_;

  /// Ordered as that of a wait queue.
  mutable byte_lock lock_;
  /// Nothing is accepted any more.
  bool stopped_ = false;
  /// How many places there are to be.
  std::size_t workers_;
  /// Places in use, each once, however often it is lent, and those of them whose worker is vacant.
  std::size_t places_ = 0;
  std::size_t vacant_ = 0;
  /// Accepted jobs that have not begun.
  waiter_list queue_;
  std::size_t queued_ = 0;
  /// For how many jobs `try_submit` has kept room that have not been accepted yet.
  std::size_t reserved_ = 0;
  /// Accepted jobs that have not ended.
  std::size_t unfinished_ = 0;
  /// Workers that have not ended.
  intrusive_list<pool_worker> active_;
  workers_by_strand strands_;
  /// Workers whose place is free for those that their jobs await.
  ref<pool_worker> offers_;
  /// Numbers of places: how many there have been, and a heap of those not in use.
  std::size_t numbers_ = 0;
  std::vector<std::size_t> free_numbers_;
  std::size_t overdue_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::size_t timed_out_ = 0;
  std::size_t cancelled_ = 0;
  /// Counts one while there are accepted jobs that have not ended.
  wait_group accepted_;
  reference_count<std::size_t> references_{0};
};

/// A worker's wait for its next job: awaited it says whether there is one.
class next_job {
 public:
  using sluice_operation = void;

  next_job(pool_worker& w, job_slot& slot) noexcept : worker_(w), slot_(slot) {}

  [[nodiscard]] SLUICE_DECL bool try_now(goroutine& g) noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> h) noexcept {
    h.promise().g->make_ready();
  }
  [[nodiscard]] bool await_resume() noexcept {
    if (turn_ == job_queue::turn::later) turn_ = worker_.queue->next(worker_, slot_, true);
    return turn_ == job_queue::turn::job;
  }

 private:
  pool_worker& worker_;
  job_slot& slot_;
  job_queue::turn turn_ = job_queue::turn::end;
};

}  // namespace detail

}  // namespace sluice
