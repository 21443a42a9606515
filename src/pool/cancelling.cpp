// SPDX-License-Identifier: BSL-1.0
// How jobs are cancelled: by who submitted them, because their time runs out, or with the pool. A
// job that goes on all the same loses its place to another worker.

#include "failures.hpp"
#include "wait/waking.hpp"

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/time/callback_timer.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/post.hpp>

#include <memory>
#include <mutex>
#include <source_location>
#include <utility>

namespace sluice::detail {

/// The end of a job's time. It keeps the worker, for whose job it may come too late.
class job_queue::job_limit final : public callback_timer {
 public:
  explicit job_limit(pool_worker& w)
      : callback_timer(w.runs_in->where,
                       [&w, which = w.jobs](reason why) {
                         if (why == reason::due && w.queue->expire(w, which))
                           w.queue->end_waits_of(w, waiter::state::timed_out);
                       }),
        worker_(w) {}

 private:
  const ref<pool_worker> worker_;
};

// A step of whoever has asked under the lock of a goroutine, and has a reference.
void pool_worker::run_request(ready_node& node, worker*) {
  const auto asked = ref<pool_worker>::adopt(static_cast<pool_worker&>(node));
  asked->queue->cancel_job_of(*asked.get());
}

// The worker does no other job after one that is to be cancelled, so no other is cancelled here.
void job_queue::end_waits_of(pool_worker& w, waiter::state outcome) noexcept {
  w.cancel->context_done(outcome);
  replace_if_slow(w);
}

void job_queue::cancel_job_of(pool_worker& w) noexcept {
  end_waits_of(w, waiter::state::aborted);
}

// --- limits --------------------------------------------------------------------------------------

// @return Whether the job is to be done.
bool job_queue::limit_job(pool_worker& w, job_slot& slot) noexcept {
  if (w.limit == clock::duration::max()) return true;
  slot.failure = pool_failures::all().cancelled;
  if (w.limit <= clock::duration::zero()) {
    w.deadline = clock::time_point::min();
    static_cast<void>(expire(w, w.jobs));
    return false;
  }
  SLUICE_TRY {
    w.deadline = add_saturated(scheduler::now_here(), w.limit);
    auto timer = std::allocate_shared<job_limit>(recycling_allocator<job_limit>(), w);
    if (!timer->start(w.deadline)) return false;
    w.timer = std::move(timer);
  }
  SLUICE_CATCH_ALL {
    slot.failure = detail::failure_to_move<job_failure>();
    return false;
  }
  slot.failure = {};
  return true;
}

// @param which Its number among the worker's jobs. @return Whether the job is to be cancelled.
bool job_queue::expire(pool_worker& w, std::size_t which) noexcept {
  wake_list told;
  const std::lock_guard guard(lock_);
  if (w.jobs != which || w.at != pool_worker::stage::busy || w.asked ||
      std::exchange(w.expired, true))
    return false;
  if (w.client) {
    ++timed_out_;
    tell(*w.client, pool_failures::all().timed_out, told);
  }
  return true;
}

// --- jobs that do not end ------------------------------------------------------------------------

void job_queue::replace_if_slow(pool_worker& w) noexcept {
  SLUICE_TRY {
    if (const pinned_dispatcher where = this->where())
      detail::start({*where, counts_as_work_}, look_after(ref<pool_worker>(w)), false,
                    std::source_location::current());
  }
  SLUICE_CATCH_ALL {
    be_overdue(w);  // no memory to wait for it in
  }
}

// A job that ends when it is cancelled has ended after a few turns of its own and of the event
// loop.
task<> job_queue::look_after(ref<pool_worker> w) {
  const auto event_loop = [&] {
    const pinned_dispatcher where = w->queue->where();
    return (*where)->owner().event_loop_executor(**where);
  }();
  for (int turns = 0; turns < 3; ++turns) {
    co_await asio::post(event_loop, use_task);
    co_await this_goroutine::yield();
  }
  w->queue->be_overdue(*w.get());
}

void job_queue::be_overdue(pool_worker& w) noexcept {
  {
    const std::lock_guard guard(lock_);
    if (w.at != pool_worker::stage::busy) return;
    give_place_back(w);
    w.at = pool_worker::stage::overdue;
    ++overdue_;
    if (!wants_worker()) return;
  }
  start_workers();
}

// --- the pool as a whole -------------------------------------------------------------------------

void job_queue::cancel() noexcept {
  const ref<job_queue> self(*this);
  const auto& failure = pool_failures::all().cancelled;
  pool_worker* asked = nullptr;
  bool last = false;
  {
    wake_list told;
    const std::lock_guard guard(lock_);
    stopped_ = true;
    while (!queue_.empty()) {
      submission& s = *first_queued();
      last = withdraw(s);
      tell(s, failure, told);
    }
    for (pool_worker* w = active_.front(); w; w = intrusive_list<pool_worker>::after(*w)) {
      if (w->at == pool_worker::stage::vacant) continue;
      if (w->client) {
        ++cancelled_;
        tell(*w->client, failure, told);
      }
      if (!w->ask()) continue;
      w->retain();
      w->next_asked = std::exchange(asked, w);
    }
  }
  if (last) accepted_.done();
  while (asked) {
    const auto w = ref<pool_worker>::adopt(*asked);
    asked = w->next_asked;
    w->cancel->context_done(waiter::state::aborted);
  }
}

}  // namespace sluice::detail
