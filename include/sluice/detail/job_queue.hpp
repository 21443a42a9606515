#pragma once

#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/cancellation_type.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace sluice {

struct worker_pool_options;
struct worker_pool_stats;

namespace detail {

class job_queue;

/// A job of a worker pool, with whom to tell.
class job {
 public:
  job() = default;
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  virtual ~job() = default;

  /// Does it, keeping the result.
  [[nodiscard]] virtual task<> run(std::size_t worker) = 0;
  /// Tells how it ended: a failure, or null for the result. Called once, under no lock.
  virtual void tell(std::exception_ptr failure) = 0;
  /// Passes requests for cancellation on to `cancel`, from now on.
  virtual void listen(std::function<void()> cancel) = 0;

 private:
  friend class job_queue;
  enum class state : unsigned char { waiting, running, overdue, ended };

  state state_ = state::waiting;
  bool has_borrowed_worker_ = false;  ///< that of the job that awaits it
  bool told_ = false;
  bool cancel_requested_ = false;
  clock::duration limit_{};
  std::size_t worker_ = 0;
  const goroutine* goroutine_ = nullptr;
  std::list<std::shared_ptr<job>>::iterator place_;
  std::optional<cancellable_context> tree_;
  std::unique_ptr<context_registration> timeout_;
};

/// All of a worker pool that does not depend on the types of its jobs.
/** Kept by its jobs, so it outlives the pool while they run. Thread safe. */
class job_queue : public std::enable_shared_from_this<job_queue> {
 public:
  job_queue(start_place where, const worker_pool_options& options);

  [[nodiscard]] clock::duration job_timeout() const noexcept { return job_timeout_; }
  [[nodiscard]] const target_ptr& where() const noexcept { return place_.where; }

  /// Room for one job, kept as long as it lives.
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
    job_queue* queue_;
  };

  /// Accepts a job, or tells it that the pool is stopped.
  /** @param waiting The goroutine that awaits it, if one does. */
  void add(std::shared_ptr<job> j, clock::duration limit, const goroutine* waiting);

  [[nodiscard]] wait_group_operation stop();
  void cancel() noexcept;
  void resize(std::size_t workers);
  [[nodiscard]] worker_pool_stats stats() const noexcept;

 private:
  class run_of_job;
  using jobs = std::list<std::shared_ptr<job>>;

  static task<> run_job(run_of_job r);
  static task<> look_after(std::shared_ptr<job_queue> self, std::shared_ptr<job> j);

  [[nodiscard]] bool reserve() noexcept;
  void unreserve() noexcept;
  void start_jobs();
  [[nodiscard]] job* job_of(const goroutine* g) const noexcept;
  void make_running(const std::shared_ptr<job>& j, std::size_t worker);
  void begin(const std::shared_ptr<job>& j, const context& ctx);
  void end(job& j, std::exception_ptr failure);
  void cancel_job(const std::shared_ptr<job>& j);
  void time_out(const std::shared_ptr<job>& j);
  [[nodiscard]] std::size_t take_worker();
  void leave_worker(const job& j) noexcept;

  const start_place place_;
  const std::size_t capacity_;
  const clock::duration job_timeout_;

  mutable std::mutex mutex_;
  std::size_t workers_;
  std::size_t reserved_ = 0;
  bool stopped_ = false;
  bool starting_ = false;
  jobs waiting_;
  jobs active_;
  std::vector<bool> busy_;
  std::size_t running_ = 0;
  std::size_t overdue_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::size_t timed_out_ = 0;
  std::size_t cancelled_ = 0;
  wait_group accepted_;
};

}  // namespace detail

}  // namespace sluice
