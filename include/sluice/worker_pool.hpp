#pragma once

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/detail/base/associated_goroutine.hpp>
#include <sluice/detail/base/boxed.hpp>
#include <sluice/detail/base/from_parts.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/operation/without_executor.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/strand.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

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
 * its time runs out. The handler is called by several goroutines at the same time.
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
      : jobs_(std::make_shared<detail::job_queue>(detail::start_point_of(where), options)),
        handler_(std::make_shared<handler_function>(make_handler(std::forward<Handler>(handler)))) {
  }
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  ~worker_pool() { jobs_->cancel(); }

  /// Has a job done and gives its result.
  /**
   * An Asio operation: awaited it gives a `Result` or throws; with a token its signature is
   * `void(std::exception_ptr[, Result])`; it is a case of `select`. The handler runs on its
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
    return asio::async_initiate<const use_task_t, signature>(
        detail::initiation(jobs_->where(),
                           [jobs = jobs_, run = handler_, limit = detail::saturate(timeout)](
                               auto handler, carried_job j) {
                             worker_pool::start(*jobs, run, limit, nullptr, std::move(handler),
                                                job_in(j));
                           }),
        use_task, carry(static_cast<Job&&>(std::move(job))));
  }

  /// Has a job done if a worker is free or the queue has room, and tells `token`.
  /**
   * @param job Moved from if it is accepted, untouched otherwise.
   * @param token A completion handler, or a token that gives nothing back, such as `detached`; as
   * for `submit`.
   * @return Whether it was accepted; if not, `token` is not used.
   */
  template <asio::completion_token_for<typename detail::start_signature<Result>::type> Token>
  [[nodiscard]] bool try_submit(Job&& job, Token&& token) {
    detail::job_queue::reservation room(*jobs_);
    if (!room || !jobs_->where()) return false;
    asio::async_initiate<Token, signature>(
        detail::initiation(jobs_->where(),
                           [&, this](auto handler, std::reference_wrapper<Job> j) {
                             worker_pool::start(*jobs_, handler_, jobs_->job_timeout(), &room,
                                                std::move(handler), j.get());
                           }),
        token, std::ref(job));
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
  using signature = typename detail::start_signature<Result>::type;
  using arguments = std::conditional_t<std::is_void_v<Result>, std::tuple<std::exception_ptr>,
                                       std::tuple<std::exception_ptr, Result>>;
  using handler_function = std::function<task<Result>(Job, std::size_t worker)>;

  /// A job on its way through a token, as an element through a channel: in a box if it is not
  /// moved safely, so that the launch of the operation does not throw.
  static constexpr bool in_box = detail::travels_in_box<Job>;
  using carried_job = detail::carried<Job>;
  static carried_job carry(Job&& job) {
    if constexpr (in_box)
      return detail::make_box<Job>(std::move(job));
    else
      return std::move(job);
  }
  static Job& job_in(carried_job& carried) noexcept {
    if constexpr (in_box)
      return detail::unboxed<Job>(carried);
    else
      return carried;
  }

  template <class Handler>
  static handler_function make_handler(Handler&& handler) {
    using f = std::decay_t<Handler>;
    static_assert(
        std::invocable<f&, Job> || std::invocable<f&, Job, std::size_t>,
        "the handler of a worker_pool<Job, Result> takes a Job, or a Job and the number of "
        "the worker");
    // Shared, because std::function copies and handlers may be move-only.
    auto h = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
    return [h](Job job, std::size_t worker) { return call(h, std::move(job), worker); };
  }

  template <class Handler>
  static task<Result> call(std::shared_ptr<Handler> handler, Job job, std::size_t worker) {
    const auto started = [&]() -> decltype(auto) {
      if constexpr (std::invocable<Handler&, Job, std::size_t>)
        return std::invoke(*handler, std::move(job), worker);
      else
        return std::invoke(*handler, std::move(job));
    };
    using given = std::remove_cvref_t<decltype(started())>;
    if constexpr (detail::is_task<given> || detail::is_awaitable<given>)
      co_return co_await started();
    else
      co_return started();
  }

  /// Who awaits a job that this handler is told of.
  template <class Token>
  static detail::job_awaiter awaiter_of(const Token& token, const executor& fallback) {
    detail::job_awaiter by{detail::get_associated_goroutine(token), {}};
    if constexpr (std::is_same_v<asio::associated_executor_t<Token, executor>,
                                 asio::any_io_executor>) {
      auto ex = asio::get_associated_executor(token, fallback);
      const auto* const known = ex.template target<executor>();
      if (!by.waiting && known && detail::where_of(*known)->is_serial())
        by.strand = detail::where_of(*known);
    }
    return by;
  }

  /// What cannot be done is told as every failure, but for what the telling itself needs.
  template <class Token>
  static void start(detail::job_queue& jobs, const std::shared_ptr<handler_function>& run,
                    clock::duration limit, detail::job_queue::reservation* room, Token&& token,
                    Job& j) {
    using work = submission<std::decay_t<Token>>;
    detail::pinned_dispatcher where = jobs.where();
    if (!where)
      return detail::complete_without_executor<arguments>(std::move(token), error::closed);
    const executor fallback = detail::executor_on(*where);
    const auto by = awaiter_of(token, fallback);
    const auto s = std::make_shared<work>(run, std::move(token), fallback);
    where = {};
    try {
      s->take(std::move(j));
    } catch (...) {
      return s->tell(std::current_exception());
    }
    jobs.submit(s, limit, by, room);
  }

  /// A job with whom to tell.
  template <class Token>
  class submission final : public detail::job {
   public:
    submission(std::shared_ptr<handler_function> run, Token&& token, const executor& fallback)
        : run_(std::move(run)), token_(std::move(token), fallback) {
      home_ = token_.home();
    }

    void take(Job&& j) { job_.emplace(std::move(j)); }

    // The result is moved once, on the handler's executor: an exception is told there.
    void tell(std::exception_ptr failure) override {
      auto self = std::static_pointer_cast<submission>(shared_from_this());
      detail::boxed_handler<Token>::post(
          std::move(token_), [kept = std::move(self), e = std::move(failure)](Token&& t) mutable {
            call(std::move(kept), std::move(t), std::move(e));
          });
    }

   private:
    void listen(std::function<void()> cancel) override {
      if (auto slot = token_.slot(); slot.is_connected())
        slot.assign([cancel = std::move(cancel)](asio::cancellation_type type) {
          if (type != asio::cancellation_type::none) cancel();
        });
    }

    task<> run(std::size_t worker) override {
      if constexpr (std::is_void_v<Result>)
        co_await (*run_)(std::move(*job_), worker);
      else
        result_.emplace(co_await (*run_)(std::move(*job_), worker));
    }

    void drop() noexcept override { const auto dropped = std::move(token_); }

    static void call(std::shared_ptr<submission> last, Token&& token, std::exception_ptr failure) {
      if constexpr (std::is_void_v<Result>) {
        last.reset();
        std::move(token)(std::move(failure));
      } else {
        std::optional<Result> result;
        try {
          if (!failure) result.emplace(*std::move(last->result_));
        } catch (...) {
          failure = std::current_exception();
        }
        last.reset();
        if (result)
          std::move(token)(std::move(failure), *std::move(result));
        else
          std::move(token)(std::move(failure), Result());
      }
    }

    std::optional<Job> job_;
    std::shared_ptr<handler_function> run_;
    detail::boxed_handler<Token> token_;
    std::optional<std::conditional_t<std::is_void_v<Result>, std::monostate, Result>> result_;
  };

  const std::shared_ptr<detail::job_queue> jobs_;
  const std::shared_ptr<handler_function> handler_;
};

}  // namespace sluice
