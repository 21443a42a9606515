// A worker pool but for the types of its jobs: who begins next, with which worker, and how a job
// ends. Every accepted job ends once, its submitter is notified exactly once, under no lock, and
// each worker is used by one job at a time.

#include <sluice/detail/pool/job_queue.hpp>

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/worker_pool.hpp>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>

namespace sluice::detail {

namespace {

std::exception_ptr failure_of(const error_code& e) {
  return std::make_exception_ptr(system_error(e, "sluice::worker_pool"));
}

/// What a pool tells by itself. Made with the first pool: telling needs no memory for it.
struct failures {
  static const failures& all() {
    static const failures* const made = new failures;  // threads may need it to the very end
    return *made;
  }

  const std::exception_ptr closed = failure_of(error::closed);
  const std::exception_ptr cancelled = failure_of(asio::error::operation_aborted);
  const std::exception_ptr timed_out = failure_of(asio::error::timed_out);
};

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

/// A job in its goroutine; once it has begun it has ended when this is destroyed at the latest.
class job_queue::run_of_job {
 public:
  explicit run_of_job(std::shared_ptr<job> j) noexcept : job_(std::move(j)) {}
  run_of_job(run_of_job&&) noexcept = default;
  run_of_job& operator=(run_of_job&&) = delete;
  ~run_of_job() {
    if (job_ && job_->begun_) end(failures::all().cancelled);
  }

  [[nodiscard]] job& operator*() const noexcept { return *job_; }
  [[nodiscard]] bool may_run() const noexcept { return job_->queue_->may_run(*job_); }
  void end(std::exception_ptr failure) {
    const auto ended = std::exchange(job_, nullptr);
    const auto queue = ended->queue_;
    queue->end(ended, std::move(failure));
  }

 private:
  std::shared_ptr<job> job_;
};

job_queue::job_queue(const start_point& where, const worker_pool_options& options)
    : where_(where.where),
      counts_as_work_(where.counts_as_work),
      on_a_strand_(where.where->is_serial()),
      capacity_(options.queue_capacity),
      job_timeout_(options.job_timeout),
      workers_(checked(options.workers)) {
  if (job_timeout_ <= clock::duration::zero())
    throw std::invalid_argument("sluice::worker_pool: a job timeout that is not positive");
  free_numbers_.reserve(workers_);
  static_cast<void>(failures::all());
}

// --- room ----------------------------------------------------------------------------------------

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
  SLUICE_ASSERT(reserved_ != 0, "room for a job that is given back was reserved");
  --reserved_;
}

// --- telling -------------------------------------------------------------------------------------

// Under the lock: wins the right to tell, once. Who has told is pinned, before he has the right, to
// the context of the one who is told.
bool job_queue::claim_telling(job& j) noexcept {
  if (std::exchange(j.told_, true)) return false;
  if (j.home_) j.pinned_ = j.home_->pin();
  return true;
}

// A context that is ending has the handler for itself. Who is told cannot be told otherwise: an
// executor that throws ends the process.
void job_queue::tell(job& j, std::exception_ptr failure) noexcept {
  std::shared_ptr<job> self;
  const pinned_wake until_told(pinned_scheduler(j.home_, j.pinned_));
  if (j.home_ && !j.home_->remove(static_cast<parked_handler&>(j))) return;
  self.swap(j.registered_);
  j.tell(std::move(failure));
}

// The context of the one who was to be told ends: the job is not needed any more, and is cancelled.
void job::end_parked(parked_handler& h) noexcept {
  auto& j = static_cast<job&>(h);
  const auto self = std::exchange(j.registered_, nullptr);
  {
    const std::lock_guard guard(j.queue_->mutex_);
    if (!std::exchange(j.told_, true)) ++j.queue_->cancelled_;
  }
  j.drop();
  j.queue_->cancel_job(self);
}

// --- who awaits whom -----------------------------------------------------------------------------

job* job_queue::job_of(const goroutine* g) const noexcept {
  auto* const j = static_cast<job*>(g && g->cancel ? g->cancel->pool_job : nullptr);
  return j && j->queue_.get() == this ? j : nullptr;
}

// An `asio::awaitable` that a job awaits runs on the job's strand. Jobs that share a strand cannot
// be told apart.
job* job_queue::job_of(const job_awaiter& by) const noexcept {
  if (by.waiting || !by.strand || on_a_strand_) return job_of(by.waiting);
  const auto found = strands_.find(by.strand.get());
  return found == strands_.end() ? nullptr : found->second;
}

// The strand is the goroutine's, which outlives the job.
void job::runs_on(const dispatcher& strand) noexcept {
  const std::lock_guard guard(queue_->mutex_);
  if (strand_.empty() || state_ == state::ended) return;
  strand_.key() = &strand;
  queue_->strands_.insert(std::move(strand_));
  own_strand_ = &strand;
}

void job_queue::leave_lender(job& j) noexcept {
  if (job* const lender = std::exchange(j.lender_, nullptr))
    lender->borrowers_.erase(j.position_at_lender_);
}

void job_queue::offer_worker_of(job& j) noexcept {
  if (j.lent_to_ || j.borrowers_.empty() || std::exchange(j.offers_worker_, true)) return;
  j.next_offer_ = std::exchange(offers_, j.shared_from_this());
}

// The job's worker goes back to where it is from; a worker that it has lent stays with the
// borrower.
void job_queue::give_worker_back(job& j) noexcept {
  for (job* const b : j.borrowers_) b->lender_ = nullptr;
  j.borrowers_.clear();
  job* const from = std::exchange(j.borrowed_from_, nullptr);
  job* const heir = std::exchange(j.lent_to_, nullptr);
  if (heir) heir->borrowed_from_ = from;
  if (from) {
    from->lent_to_ = heir;
    offer_worker_of(*from);
  } else if (!heir) {
    SLUICE_ASSERT(running_ != 0, "a worker that is free again was in use");
    --running_;
    free_numbers_.push_back(j.worker_);
    std::ranges::push_heap(free_numbers_, std::greater<>());
  }
}

// --- from submission to end ----------------------------------------------------------------------

void job_queue::submit(const std::shared_ptr<job>& j, clock::duration limit, const job_awaiter& by,
                       reservation* room) noexcept {
  try {
    add(j, limit, by, room);
  } catch (...) {
    return j->tell(std::current_exception());
  }
  start_jobs();
}

// It throws before it has done anything, or not at all.
void job_queue::add(const std::shared_ptr<job>& j, clock::duration limit, const job_awaiter& by,
                    reservation* room) {
  jobs entry{j};
  std::list<job*> entry_at_lender{j.get()};
  j->position_ = entry.begin();
  j->position_at_lender_ = entry_at_lender.begin();
  jobs_by_strand entry_by_strand{{nullptr, j.get()}};
  j->strand_ = entry_by_strand.extract(entry_by_strand.begin());
  j->limit_ = limit;
  j->queue_ = shared_from_this();
  j->listen([weak = std::weak_ptr(j)] {
    if (const auto target = weak.lock()) target->queue_->cancel_job(target);
  });
  bool refused = false;
  bool nobody_to_tell = false;
  {
    const std::lock_guard guard(mutex_);
    job* const lender = job_of(by);
    nobody_to_tell = j->home_ && !j->home_->try_add(static_cast<parked_handler&>(*j));
    if (nobody_to_tell) {
      j->told_ = true;
    } else {
      if (j->home_) j->registered_ = j;
      refused = stopped_ && claim_telling(*j);
    }
    if (!nobody_to_tell && !refused) {
      j->state_ = job::state::waiting;
      waiting_.splice(waiting_.end(), entry);
      accepted_.add();
      if (room && std::exchange(room->queue_, nullptr)) --reserved_;
      if (lender && lender->state_ == job::state::running) {
        j->lender_ = lender;
        lender->borrowers_.splice(lender->borrowers_.end(), entry_at_lender);
        offer_worker_of(*lender);
      }
    }
  }
  if (nobody_to_tell) j->drop();
  if (refused) tell(*j, failures::all().closed);
}

// Under the lock: a job that may begin now, with its worker; null if there is none.
std::shared_ptr<job> job_queue::next_job() noexcept {
  while (const auto lender = offers_) {
    offers_ = std::move(lender->next_offer_);
    lender->offers_worker_ = false;
    if (lender->state_ != job::state::running || lender->lent_to_ || lender->borrowers_.empty())
      continue;
    const auto j = lender->borrowers_.front()->shared_from_this();
    j->borrowed_from_ = lender.get();
    j->worker_ = lender->worker_;
    lender->lent_to_ = j.get();
    return j;
  }
  if (running_ >= workers_ || waiting_.empty()) return nullptr;
  const auto j = waiting_.front();
  ++running_;
  if (free_numbers_.empty()) {
    j->worker_ = ++numbers_;
  } else {
    std::ranges::pop_heap(free_numbers_, std::greater<>());
    j->worker_ = free_numbers_.back();
    free_numbers_.pop_back();
  }
  return j;
}

// Must not be entered again from inside: a job that cannot be started ends at once, which would
// start the next. Whoever finds `starting_` set has changed something under the lock that this
// looks at again under it.
void job_queue::start_jobs() noexcept {
  const auto self = shared_from_this();
  std::unique_lock lock(mutex_);
  if (std::exchange(starting_, true)) return;
  while (const auto j = next_job()) {
    SLUICE_ASSERT(j->state_ == job::state::waiting, "a job begins once, out of the queue");
    leave_lender(*j);
    active_.splice(active_.end(), waiting_, j->position_);
    j->state_ = job::state::running;
    lock.unlock();
    begin(j);
    lock.lock();
  }
  starting_ = false;
}

void job_queue::begin(const std::shared_ptr<job>& j) noexcept {
  try {
    start_goroutine(j);
  } catch (...) {
    end(j, std::current_exception());
  }
}

// Until it has begun, what is destroyed on the way does not end it.
void job_queue::start_goroutine(const std::shared_ptr<job>& j) {
  auto tree = with_cancel(context::background());
  const context ctx = tree.ctx;
  std::unique_ptr<context_registration> timeout;
  const bool limited = j->limit_ != clock::duration::max();
  if (limited) {
    timeout =
        std::make_unique<context_registration>(access::state_of(ctx), [weak = std::weak_ptr(j)] {
          if (const auto target = weak.lock()) target->queue_->time_out(target);
        });
    static_cast<void>(timeout->start());
  }
  const pinned_dispatcher where = this->where();
  if (!where) detail::throw_error(asio::error::operation_aborted, "sluice::worker_pool");
  new_goroutine g({*where, counts_as_work_}, run_job(run_of_job(j)), false,
                  std::source_location::current());
  if (!g) detail::throw_error(asio::error::operation_aborted, "sluice::worker_pool");
  bind_to_context(*g, access::state_of(ctx));
  (*g).cancel->pool_job = j.get();
  bool cancelled = false;
  {
    const std::lock_guard guard(mutex_);
    j->cancellation_ = (*g).cancel;
    j->tree_.emplace(std::move(tree));
    j->timeout_ = std::move(timeout);
    cancelled = j->told_ || j->cancel_requested_;
  }
  if (limited)
    access::state_of(ctx)->set_deadline(*where, add_saturated(clock::now(), j->limit_), nullptr);
  if (cancelled) access::state_of(ctx)->cancel(asio::error::operation_aborted, nullptr);
  j->begun_ = true;
  try {
    g.start();
  } catch (...) {
    if (!g) return;  // its executor has dropped it: it ends by itself
    j->begun_ = false;
    throw;
  }
}

task<> job_queue::run_job(run_of_job r) {
  std::exception_ptr failure;
  if (r.may_run()) {
    try {
      co_await (*r).run((*r).worker_);
    } catch (...) {
      failure = std::current_exception();
    }
  } else {
    failure = failures::all().cancelled;
  }
  r.end(std::move(failure));
}

// One that was cancelled before its first step does nothing.
bool job_queue::may_run(job& j) noexcept {
  const std::lock_guard guard(mutex_);
  return !j.told_ && !j.cancel_requested_;
}

void job_queue::end(const std::shared_ptr<job>& j, std::exception_ptr failure) {
  // Not under the lock: a context that is found late tells what was registered with it, here too.
  const bool late = failure && j->tree_ && j->tree_->ctx.err() == error::deadline_exceeded;
  jobs ended;
  std::optional<cancellable_context> tree;
  std::unique_ptr<context_registration> timeout;
  bool tell_it = false;
  {
    const std::lock_guard guard(mutex_);
    SLUICE_ASSERT(j->state_ == job::state::running || j->state_ == job::state::overdue,
                  "a job ends once, after it has begun");
    timeout = std::move(j->timeout_);
    tree = std::exchange(j->tree_, std::nullopt);
    tell_it = claim_telling(*j);
    if (!tell_it) {
      // It was told when its time ran out or the pool was cancelled, or there is nobody any more.
    } else if (!failure) {
      ++done_;
    } else if (late) {
      ++timed_out_;
      failure = failures::all().timed_out;
    } else if (j->cancel_requested_ && is_cancellation(failure)) {
      ++cancelled_;
    } else {
      ++failed_;
    }
    if (j->state_ == job::state::overdue)
      --overdue_;
    else
      give_worker_back(*j);
    j->state_ = job::state::ended;
    if (j->own_strand_) strands_.erase(j->own_strand_);
    if (j->cancellation_) j->cancellation_->pool_job = nullptr;
    j->cancellation_ = {};
    ended.splice(ended.end(), active_, j->position_);
  }
  if (tell_it) tell(*j, std::move(failure));
  accepted_.done();
  start_jobs();
}

// Cancels the job also when nobody is left who waits for it.
void job_queue::cancel_job(const std::shared_ptr<job>& j) {
  jobs never_begun;
  bool tell_it = false;
  context running;
  {
    const std::lock_guard guard(mutex_);
    if (j->state_ == job::state::waiting) {
      take_out(*j, never_begun);
      tell_it = claim_telling(*j);
      cancelled_ += tell_it;
    } else if (j->state_ == job::state::running && !std::exchange(j->cancel_requested_, true) &&
               j->tree_) {
      running = j->tree_->ctx;
    }
  }
  if (tell_it) tell(*j, failures::all().cancelled);
  if (!never_begun.empty()) accepted_.done();
  if (!access::state_of(running)) return;
  access::state_of(running)->cancel(asio::error::operation_aborted, nullptr);
  replace_if_slow(j);
}

// Under the lock: takes the job out of the queue, for good.
void job_queue::take_out(job& j, jobs& out) noexcept {
  SLUICE_ASSERT(j.state_ == job::state::waiting, "a job is taken out of the queue while it waits");
  leave_lender(j);
  out.splice(out.end(), waiting_, j.position_);
  j.state_ = job::state::ended;
}

// Called when its context is done, whatever the reason.
void job_queue::time_out(const std::shared_ptr<job>& j) {
  {
    const std::lock_guard guard(mutex_);
    if (!j->tree_ || j->tree_->ctx.err() != error::deadline_exceeded || !claim_telling(*j)) return;
    ++timed_out_;
  }
  tell(*j, failures::all().timed_out);
  replace_if_slow(j);
}

void job_queue::replace_if_slow(const std::shared_ptr<job>& j) noexcept {
  try {
    if (const pinned_dispatcher where = this->where())
      start({*where, counts_as_work_}, look_after(shared_from_this(), j), false,
            std::source_location::current());
  } catch (...) {
    be_overdue(*j);  // no memory to wait for it in
  }
}

// A job that ends when it is cancelled has ended after a few turns of its own and of the event
// loop, and its worker goes on.
task<> job_queue::look_after(std::shared_ptr<job_queue> self, std::shared_ptr<job> j) {
  const auto event_loop = [&] {
    const pinned_dispatcher where = self->where();
    return (*where)->owner().event_loop_executor(**where);
  }();
  for (int turns = 0; turns < 3; ++turns) {
    co_await asio::post(event_loop, use_task);
    co_await this_goroutine::yield();
  }
  self->be_overdue(*j);
}

void job_queue::be_overdue(job& j) noexcept {
  {
    const std::lock_guard guard(mutex_);
    if (j.state_ != job::state::running) return;
    j.state_ = job::state::overdue;
    give_worker_back(j);
    ++overdue_;
  }
  start_jobs();
}

void job_queue::cancel() noexcept {
  jobs never_begun;
  std::shared_ptr<job> to_tell;
  std::size_t left = 0;
  {
    const std::lock_guard guard(mutex_);
    stopped_ = true;
    cancelled_ += left = waiting_.size();
    while (!waiting_.empty()) take_out(*waiting_.front(), never_begun);
    const auto note = [&](const std::shared_ptr<job>& j) {
      const bool claimed = claim_telling(*j);
      if (claimed) j->next_to_tell_ = std::exchange(to_tell, j);
      return claimed;
    };
    std::for_each(never_begun.rbegin(), never_begun.rend(), note);
    for (const auto& j : active_) cancelled_ += note(j);
  }
  const auto failure = failures::all().cancelled;
  while (const auto j = to_tell) {
    to_tell = std::exchange(j->next_to_tell_, nullptr);
    tell(*j, failure);
    context running;
    {
      const std::lock_guard guard(mutex_);
      if (j->tree_) running = j->tree_->ctx;
    }
    if (access::state_of(running))
      access::state_of(running)->cancel(asio::error::operation_aborted, nullptr);
  }
  for (; left != 0; --left) accepted_.done();
}

void job_queue::resize(std::size_t workers) {
  {
    const std::lock_guard guard(mutex_);
    free_numbers_.reserve(checked(workers));
    workers_ = workers;
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
  return wait_group_operation(access::state_of(accepted_), where_);
}

}  // namespace sluice::detail
