#include <sluice/worker_pool.hpp>

#include <sluice/this_goroutine.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <stdexcept>

namespace sluice::detail {

namespace {

std::exception_ptr failure_of(const error_code& e) {
  return std::make_exception_ptr(system_error(e, "sluice::worker_pool"));
}

std::size_t checked(std::size_t workers) {
  if (workers == 0) throw std::invalid_argument("sluice::worker_pool: no workers");
  return workers;
}

bool is_cancellation(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const system_error& x) {
    return x.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

}  // namespace

/// A job in its goroutine; it has ended when this is destroyed at the latest.
class job_queue::run_of_job {
 public:
  run_of_job(std::shared_ptr<job_queue> q, std::shared_ptr<job> j) noexcept
      : queue_(std::move(q)), job_(std::move(j)) {}
  run_of_job(run_of_job&&) noexcept = default;
  run_of_job& operator=(run_of_job&&) = delete;
  ~run_of_job() {
    if (queue_) end(failure_of(asio::error::operation_aborted));
  }

  [[nodiscard]] job& operator*() const noexcept { return *job_; }
  void end(std::exception_ptr failure) {
    std::exchange(queue_, nullptr)->end(*job_, std::move(failure));
  }

 private:
  std::shared_ptr<job_queue> queue_;
  std::shared_ptr<job> job_;
};

job_queue::job_queue(start_place where, const worker_pool_options& options)
    : place_(std::move(where)),
      capacity_(options.queue_capacity),
      job_timeout_(options.job_timeout),
      workers_(checked(options.workers)) {
  if (job_timeout_ <= clock::duration::zero())
    throw std::invalid_argument("sluice::worker_pool: a job timeout that is not positive");
}

bool job_queue::reserve() noexcept {
  const std::lock_guard guard(mutex_);
  if (stopped_) return false;
  const auto free = workers_ > running_ ? workers_ - running_ : 0;
  if (waiting_.size() + reserved_ >= free + capacity_) return false;
  ++reserved_;
  return true;
}

void job_queue::unreserve() noexcept {
  const std::lock_guard guard(mutex_);
  --reserved_;
}

job* job_queue::job_of(const goroutine* g) const noexcept {
  if (g)
    for (const auto& j : active_)
      if (j->goroutine_ == g) return j.get();
  return nullptr;
}

void job_queue::add(std::shared_ptr<job> j, clock::duration limit, const goroutine* waiting) {
  j->limit_ = limit;
  j->listen([queue = weak_from_this(), weak = std::weak_ptr(j)] {
    const auto q = queue.lock();
    const auto target = weak.lock();
    if (q && target) q->cancel_job(target);
  });
  bool accepted = false;
  context borrower;
  {
    const std::lock_guard guard(mutex_);
    accepted = !stopped_;
    if (accepted) {
      j->place_ = waiting_.insert(waiting_.end(), j);
      accepted_.add();
      if (const job* const lender = job_of(waiting)) {
        j->has_borrowed_worker_ = true;
        make_running(j, lender->worker_);
        borrower = j->tree_->ctx;
      }
    }
  }
  if (!accepted)
    j->tell(failure_of(error::closed));
  else if (j->has_borrowed_worker_)
    begin(j, borrower);
  else
    start_jobs();
}

void job_queue::make_running(const std::shared_ptr<job>& j, std::size_t worker) {
  active_.splice(active_.end(), waiting_, j->place_);
  j->state_ = job::state::running;
  j->worker_ = worker;
  j->tree_.emplace(with_cancel(context::background()));
}

// Not reentered: a job that cannot be started ends at once, which would start the next.
void job_queue::start_jobs() {
  std::unique_lock lock(mutex_);
  if (std::exchange(starting_, true)) return;
  while (running_ < workers_ && !waiting_.empty()) {
    const auto j = waiting_.front();
    ++running_;
    make_running(j, take_worker());
    const context ctx = j->tree_->ctx;
    lock.unlock();
    begin(j, ctx);
    lock.lock();
  }
  starting_ = false;
}

void job_queue::begin(const std::shared_ptr<job>& j, const context& ctx) {
  new_goroutine g(place_, run_job(run_of_job(shared_from_this(), j)), false,
                  std::source_location::current());
  if (!g) return;
  bind_to_context(*g, ctx);
  if (j->limit_ != clock::duration::max()) {
    auto timeout = std::make_unique<context_registration>(
        ctx, [queue = weak_from_this(), weak = std::weak_ptr(j)] {
          const auto q = queue.lock();
          const auto target = weak.lock();
          if (q && target) q->time_out(target);
        });
    static_cast<void>(timeout->start());
    const std::lock_guard guard(mutex_);
    j->timeout_ = std::move(timeout);
  }
  {
    const std::lock_guard guard(mutex_);
    j->goroutine_ = &*g;
  }
  if (j->limit_ != clock::duration::max())
    ctx.state()->set_deadline(place_.where, add_saturated(clock::now(), j->limit_), nullptr);
  g.start();
}

task<> job_queue::run_job(run_of_job r) {
  std::exception_ptr failure;
  try {
    co_await (*r).run((*r).worker_);
  } catch (...) {
    failure = std::current_exception();
  }
  r.end(std::move(failure));
}

void job_queue::end(job& j, std::exception_ptr failure) {
  std::unique_ptr<context_registration> timeout;
  std::optional<cancellable_context> tree;
  bool tell = false;
  {
    const std::lock_guard guard(mutex_);
    timeout = std::move(j.timeout_);
    tree = std::exchange(j.tree_, std::nullopt);
    tell = !std::exchange(j.told_, true);
    if (!tell) {
      // It was told when its time ran out or the pool was cancelled.
    } else if (!failure) {
      ++done_;
    } else if (tree->ctx.err() == error::deadline_exceeded) {
      ++timed_out_;
      failure = failure_of(asio::error::timed_out);
    } else if (j.cancel_requested_ && is_cancellation(failure)) {
      ++cancelled_;
    } else {
      ++failed_;
    }
    if (j.state_ == job::state::overdue)
      --overdue_;
    else
      leave_worker(j);
    j.state_ = job::state::ended;
    j.goroutine_ = nullptr;
    active_.erase(j.place_);
  }
  if (tell) j.tell(std::move(failure));
  accepted_.done();
  start_jobs();
}

void job_queue::cancel_job(const std::shared_ptr<job>& j) {
  bool never_begun = false;
  context running;
  {
    const std::lock_guard guard(mutex_);
    if (j->told_) return;
    never_begun = j->state_ == job::state::waiting;
    if (never_begun) {
      waiting_.erase(j->place_);
      j->state_ = job::state::ended;
      j->told_ = true;
      ++cancelled_;
    } else {
      j->cancel_requested_ = true;
      running = j->tree_->ctx;
    }
  }
  if (never_begun) {
    j->tell(failure_of(asio::error::operation_aborted));
    accepted_.done();
  } else {
    running.state()->cancel(asio::error::operation_aborted, nullptr);
    start(place_, look_after(shared_from_this(), j), false, std::source_location::current());
  }
}

void job_queue::time_out(const std::shared_ptr<job>& j) {
  {
    const std::lock_guard guard(mutex_);
    if (j->told_ || j->tree_->ctx.err() != error::deadline_exceeded) return;
    j->told_ = true;
    ++timed_out_;
  }
  j->tell(failure_of(asio::error::timed_out));
  start(place_, look_after(shared_from_this(), j), false, std::source_location::current());
}

// A job that ends when it is cancelled has ended after a few turns of its own and of the event
// loop, and its worker goes on.
task<> job_queue::look_after(std::shared_ptr<job_queue> self, std::shared_ptr<job> j) {
  const auto event_loop = self->place_.where->owner().event_loop_executor();
  for (int turns = 0; turns < 3; ++turns) {
    co_await asio::post(event_loop, use_task);
    co_await this_goroutine::yield();
  }
  {
    const std::lock_guard guard(self->mutex_);
    if (j->state_ != job::state::running) co_return;
    j->state_ = job::state::overdue;
    self->leave_worker(*j);
    ++self->overdue_;
  }
  self->start_jobs();
}

std::size_t job_queue::take_worker() {
  const auto free = std::find(busy_.begin(), busy_.end(), false);
  const auto index = static_cast<std::size_t>(free - busy_.begin());
  if (free == busy_.end())
    busy_.push_back(true);
  else
    *free = true;
  return index + 1;
}

void job_queue::leave_worker(const job& j) noexcept {
  if (j.has_borrowed_worker_) return;
  busy_[j.worker_ - 1] = false;
  --running_;
}

void job_queue::cancel() noexcept {
  jobs never_begun;
  std::vector<std::pair<std::shared_ptr<job>, context>> running;
  {
    const std::lock_guard guard(mutex_);
    stopped_ = true;
    never_begun.swap(waiting_);
    cancelled_ += never_begun.size();
    for (const auto& j : never_begun) {
      j->state_ = job::state::ended;
      j->told_ = true;
    }
    for (const auto& j : active_) {
      if (std::exchange(j->told_, true)) continue;
      ++cancelled_;
      running.emplace_back(j, j->tree_->ctx);
    }
  }
  const auto failure = failure_of(asio::error::operation_aborted);
  for (const auto& j : never_begun) {
    j->tell(failure);
    accepted_.done();
  }
  for (const auto& [j, ctx] : running) {
    j->tell(failure);
    ctx.state()->cancel(asio::error::operation_aborted, nullptr);
  }
}

void job_queue::resize(std::size_t workers) {
  {
    const std::lock_guard guard(mutex_);
    workers_ = checked(workers);
  }
  start_jobs();
}

worker_pool_stats job_queue::stats() const noexcept {
  const std::lock_guard guard(mutex_);
  return {waiting_.size(), running_, overdue_, done_, failed_, timed_out_, cancelled_};
}

wait_group_operation job_queue::stop() {
  const std::lock_guard guard(mutex_);
  if (job_of(this_goroutine_or_null()))
    throw system_error(make_error_code(boost::system::errc::resource_deadlock_would_occur),
                       "sluice::worker_pool: stop by one of its own jobs");
  stopped_ = true;
  return accepted_.wait();
}

}  // namespace sluice::detail
