// A worker pool without the types of its jobs: who waits, who runs, who uses whose worker.
#pragma once

#include <sluice/context.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/go.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace sluice {

struct worker_pool_options;
struct worker_pool_stats;

namespace detail {

class job;
class job_queue;

/// Running jobs by the strands of their goroutines, if those have one.
using jobs_by_strand = std::map<const dispatcher*, job*>;

/// A job of a worker pool, and its submitter, who is notified of the job's end.
/**
 * The submitter has a context of his own, which may end before the job does: until somebody has
 * claimed the right to notify him, the job is registered with that context's scheduler, whose
 * shutdown claims it.
 */
class job : public std::enable_shared_from_this<job>, private parked_handler, private member {
 public:
  job() noexcept : parked_handler(&end_parked) {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  virtual ~job() = default;

  /// Does it, keeping the result.
  [[nodiscard]] virtual task<> run(std::size_t worker) = 0;
  /// Tells how it ended: a failure, or null for the result. Called once, under no lock.
  virtual void tell(std::exception_ptr failure) = 0;
  /// There is nobody to tell any more.
  virtual void drop() noexcept = 0;
  /// Passes requests for cancellation on to `cancel`, from now on.
  virtual void listen(std::function<void()> cancel) = 0;

 protected:
  /// The scheduler of the submitter; null if his executor has no context.
  scheduler* home_ = nullptr;

 private:
  pin_count::epoch pinned_ = 0;  // of whoever has the right to notify the submitter
  friend class job_queue;
  enum class state : unsigned char { idle, waiting, running, overdue, ended };

  static void end_parked(parked_handler& h) noexcept;
  void runs_on(const dispatcher& strand) noexcept override;

  std::shared_ptr<job_queue> queue_;
  /// The job itself, while it is registered with the submitter's scheduler.
  std::shared_ptr<job> registered_;
  state state_ = state::idle;
  /// Its goroutine has been given to its executor: the job ends with that goroutine at the latest.
  bool begun_ = false;
  /// Somebody has won the right to notify the submitter, or there is nobody to notify.
  bool told_ = false;
  bool cancel_requested_ = false;
  /// How long it may run.
  clock::duration limit_{};
  /// The number of the worker that it uses.
  std::size_t worker_ = 0;
  /// The cancellation of the goroutine that does the job.
  cancellation_ref cancellation_;
  /// Its entry in the queue's `strands_`, while it is not there.
  jobs_by_strand::node_type strand_;
  /// The key of that entry once it is there.
  const dispatcher* own_strand_ = nullptr;
  /// Its position in the queue's `waiting_`, then in `active_`.
  std::list<std::shared_ptr<job>>::iterator position_;
  /// The job that awaits it, while it has not begun.
  job* lender_ = nullptr;
  std::list<job*>::iterator position_at_lender_;
  /// The jobs that it awaits and that have not begun.
  std::list<job*> borrowers_;
  /// The job whose worker it uses, and the one that uses its.
  job* borrowed_from_ = nullptr;
  job* lent_to_ = nullptr;
  /// It is in the queue's list of `offers_`.
  bool offers_worker_ = false;
  std::shared_ptr<job> next_offer_;
  /// The next in a list of those whose submitters `cancel` notifies.
  std::shared_ptr<job> next_to_tell_;
  /// Its context, while it runs.
  std::optional<cancellable_context> tree_;
  /// What happens when its time is up.
  std::unique_ptr<context_registration> timeout_;
};

/// Who awaits a job: a goroutine, or something that runs on a goroutine's strand.
struct job_awaiter {
  const goroutine* waiting = nullptr;
  dispatcher_ptr strand;
};

/// All of a worker pool that does not depend on the types of its jobs.
/** Kept by its jobs, so it outlives the pool while they run. Thread safe. */
class job_queue : public std::enable_shared_from_this<job_queue> {
 public:
  job_queue(const start_point& where, const worker_pool_options& options);

  [[nodiscard]] clock::duration job_timeout() const noexcept { return job_timeout_; }
  /// Where its jobs run; nowhere if its context has ended.
  [[nodiscard]] pinned_dispatcher where() const noexcept { return pinned_dispatcher(where_); }

  /// Room for one job, kept until one is added with it, or as long as it lives.
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

  /// Accepts a job, tells it that the pool is stopped, or tells it why it cannot be accepted.
  /** @param by Who awaits it. @param room What `try_submit` has reserved for it. */
  void submit(const std::shared_ptr<job>& j, clock::duration limit, const job_awaiter& by,
              reservation* room) noexcept;

  [[nodiscard]] wait_group_operation stop();
  void cancel() noexcept;
  void resize(std::size_t workers);
  [[nodiscard]] worker_pool_stats stats() const noexcept;

 private:
  friend class job;
  class run_of_job;
  using jobs = std::list<std::shared_ptr<job>>;

  static task<> run_job(run_of_job r);
  static task<> look_after(std::shared_ptr<job_queue> self, std::shared_ptr<job> j);

  [[nodiscard]] bool reserve() noexcept;
  void unreserve() noexcept;
  void add(const std::shared_ptr<job>& j, clock::duration limit, const job_awaiter& by,
           reservation* room);
  [[nodiscard]] job* job_of(const goroutine* g) const noexcept;
  [[nodiscard]] job* job_of(const job_awaiter& by) const noexcept;
  [[nodiscard]] static bool claim_telling(job& j) noexcept;
  static void tell(job& j, std::exception_ptr failure) noexcept;

  void start_jobs() noexcept;
  [[nodiscard]] std::shared_ptr<job> next_job() noexcept;
  void begin(const std::shared_ptr<job>& j) noexcept;
  void start_goroutine(const std::shared_ptr<job>& j);
  [[nodiscard]] bool may_run(job& j) noexcept;
  void end(const std::shared_ptr<job>& j, std::exception_ptr failure);
  void cancel_job(const std::shared_ptr<job>& j);
  void time_out(const std::shared_ptr<job>& j);
  void replace_if_slow(const std::shared_ptr<job>& j) noexcept;
  void be_overdue(job& j) noexcept;

  void take_out(job& j, jobs& out) noexcept;
  void leave_lender(job& j) noexcept;
  void offer_worker_of(job& j) noexcept;
  void give_worker_back(job& j) noexcept;

  const lasting_dispatcher where_;
  const bool counts_as_work_;
  const bool on_a_strand_;
  const std::size_t capacity_;
  const clock::duration job_timeout_;

  mutable std::mutex mutex_;
  /// How many workers may be in use.
  std::size_t workers_;
  /// For how many jobs `try_submit` has kept room that have not been added yet.
  std::size_t reserved_ = 0;
  /// Nothing is accepted any more.
  bool stopped_ = false;
  /// A thread is in `start_jobs`.
  bool starting_ = false;
  /// Accepted jobs that have not begun, and those that have and have not ended.
  jobs waiting_;
  jobs active_;
  jobs_by_strand strands_;
  /// Jobs whose worker is free for those that they await.
  std::shared_ptr<job> offers_;
  /// Numbers of workers: how many there have been, and a heap of those not in use.
  std::size_t numbers_ = 0;
  std::vector<std::size_t> free_numbers_;
  /// Workers in use, each once, however often it is lent.
  std::size_t running_ = 0;
  std::size_t overdue_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::size_t timed_out_ = 0;
  std::size_t cancelled_ = 0;
  /// Counts the accepted jobs that have not ended.
  wait_group accepted_;
};

}  // namespace detail

}  // namespace sluice
