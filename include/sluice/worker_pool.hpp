// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/from_parts.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/channel/element.hpp>
#include <sluice/detail/pool/handler_pool.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/detail/pool/submit_operation.hpp>
#include <sluice/detail/task/start.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/error.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/async_result.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>

namespace sluice {

/// How a `worker_pool` works: `{.workers = 3, .queue_capacity = 5, .job_timeout = 1s}`.
struct worker_pool_options {
  /// How many jobs run at a time.
  std::size_t workers = 1;
  /// How many accepted jobs wait for a worker before `try_submit` refuses more.
  std::size_t queue_capacity = 0;
  /// How long a job may run; by default for ever.
  clock::duration job_timeout = clock::duration::max();
};

/// What a pool has been doing: `worker_pool::stats`.
struct worker_pool_stats {
  std::size_t queued;     ///< jobs that wait for a worker
  std::size_t running;    ///< jobs that run, but for the overdue ones
  std::size_t overdue;    ///< timed-out or cancelled jobs that have not ended; others run instead
  std::size_t done;       ///< jobs that gave a result
  std::size_t failed;     ///< jobs that threw
  std::size_t timed_out;  ///< jobs whose time ran out
  std::size_t cancelled;  ///< jobs that were cancelled, queued or running
};

/// Workers for jobs of one kind, with a bounded queue and a limit on a job's time.
/**
 * @tparam Job What is to be done; movable.
 * @tparam Result What comes of it: void, or movable and default-constructible, because a completion
 * signature carries one beside an exception.
 *
 * Each worker does one job at a time, in a goroutine whose waits end when the job is cancelled or
 * its time runs out, and takes the next when it has ended that. No job finds anything that another
 * has left in its goroutine. The handler is called by several goroutines at the same time.
 *
 * The submitter of every accepted job is notified exactly once: the job gave a result, threw, timed
 * out or was cancelled.
 *
 * The destructor does what `cancel` does and does not wait: `co_await pool.stop()` before what the
 * handler uses goes away. A pool whose context has ended is stopped.
 *
 * @par Thread safety
 * Safe, but for the destructor.
 *
 * @code
 * sluice::worker_pool<int, int> pool(io, {.workers = 3, .queue_capacity = 5, .job_timeout = 1s},
 *                                    [](int n) { return 2 * n; });
 * const int six = co_await pool.submit(3);
 * co_await pool.stop();
 * @endcode
 */
template <class Job, class Result>
class worker_pool {
 public:
  /// Starts a pool.
  /**
   * @param where An executor or an execution context, as for `go`.
   * @param options How many workers, jobs and how much time.
   * @param handler Called with a `Job`, or with a `Job` and the number of the worker, from 1; gives
   * a `Result`, a `task` or an `asio::awaitable` of one.
   *
   * @throws std::invalid_argument if there are no workers or the timeout is not positive;
   * std::bad_alloc
   */
  template <detail::executor_or_context Where, class Handler>
  worker_pool(Where&& where, worker_pool_options options, Handler&& handler)
      : jobs_(make_queue(detail::start_point_of(where), options, std::forward<Handler>(handler))) {}
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  ~worker_pool() { jobs_->cancel(); }

  /// Has a job done and gives its result.
  /**
   * An Asio operation: awaited it gives a `Result` or throws; with a token its signature is
   * `void(std::exception_ptr[, Result])`, without exceptions `void(error_code[, Result])`; it is a
   * case of `select`. The handler runs on its
   * associated executor, by default the pool's. If all workers are busy and the queue is full the
   * job waits its turn before the queue, as Go's sender on a full channel does. A job that awaits
   * others of the same pool, in a task or an `asio::awaitable` of its own, lends its worker to one
   * of them at a time meanwhile.
   *
   * @param job What is to be done; taken by this call.
   *
   * @par Errors
   * What the handler throws; as a `system_error`: `error::closed` if the pool is stopped,
   * `asio::error::timed_out` as soon as its time has run out,
   * `asio::error::operation_aborted` if it was cancelled.
   * std::logic_error if it is awaited again.
   *
   * @par Cancellation
   * Any type takes a job that waits out of the queue: it is never begun. One that runs is
   * cancelled, and its outcome is what it ends with. When the handler's context ends, so does the
   * job: nobody is told.
   */
  [[nodiscard("co_await it, or give it a completion token")]] auto submit(
      detail::parameter<Job> job) {
    return submit(std::move(job), jobs_->job_timeout());
  }
  /// The same with a limit of its own: how long it may run, counted from when a worker begins it.
  template <class Rep, class Period>
  [[nodiscard("co_await it, or give it a completion token")]] auto submit(
      detail::parameter<Job> job, std::chrono::duration<Rep, Period> timeout) {
    return submission(jobs_, detail::saturate(timeout), static_cast<Job&&>(std::move(job)));
  }

  /// Has a job done if a worker is free or the queue has room, and tells `token`.
  /**
   * @param job Moved from if it is accepted, untouched otherwise.
   * @param token A completion handler, or a token that gives nothing back, such as `detached`; as
   * for `submit`.
   * @return Whether it was accepted; if not, `token` is not used.
   */
  template <asio::completion_token_for<typename detail::job_arguments<Result>::signature> Token>
  [[nodiscard]] bool try_submit(Job&& job, Token&& token) {
    detail::job_queue::reservation room(*jobs_.get());
    if (!room || !jobs_->where()) return false;
    accepted(std::move(job)).submit_in(room, std::forward<Token>(token));
    return true;
  }

  /// Accepts no more jobs, and waits until all that were accepted have ended.
  /**
   * An operation: awaited it gives nothing; with a token `void(error_code)`. The pool is stopped by
   * this call, whether the operation is awaited or not. Stopping again waits again.
   *
   * @par Errors
   * `asio::error::operation_aborted` if the wait is cancelled; the pool stays stopped.
   * @throws system_error `resource_deadlock_would_occur` if one of the pool's own jobs calls it.
   */
  [[nodiscard("co_await it, or give it a completion token")]] wait_group_operation stop() {
    return jobs_->stop();
  }

  /// Ends at once: accepts no more jobs and tells everybody who waits `operation_aborted`.
  /** Running jobs are cancelled; `stop` waits for them. May be called by one of them. */
  void cancel() noexcept { jobs_->cancel(); }

  /// Changes the number of workers. Fewer workers finish what they are doing first.
  /** @throws std::invalid_argument if `workers` is 0 */
  void resize(std::size_t workers) { jobs_->resize(workers); }

  /// What it has been doing, as of one instant.
  [[nodiscard]] worker_pool_stats stats() const noexcept { return jobs_->stats(); }

 private:
  using submission = detail::submit_operation<Job, Result>;

  template <class Handler>
  static detail::ref<detail::job_queue> make_queue(const detail::start_point& where,
                                                   const worker_pool_options& options,
                                                   Handler&& handler) {
    using f = std::decay_t<Handler>;
    static_assert(
        std::invocable<f&, Job> || std::invocable<f&, Job, std::size_t>,
        "the handler of a worker_pool<Job, Result> takes a Job, or a Job and the number of "
        "the worker");
    using pool = detail::handler_pool<Job, Result, f>;
    return detail::ref<detail::job_queue>(
        *new pool(where, options, std::forward<Handler>(handler)));
  }

  /// What cannot be moved is told as every failure.
  submission accepted(Job&& job) {
    SLUICE_TRY {
      return submission(jobs_, jobs_->job_timeout(), std::move(job));
    }
    SLUICE_CATCH_ALL {
      return submission(jobs_, detail::failure_to_move<detail::job_failure>());
    }
  }

  const detail::ref<detail::job_queue> jobs_;
};

}  // namespace sluice
