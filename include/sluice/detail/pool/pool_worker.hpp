// SPDX-License-Identifier: BSL-1.0
// A worker of a pool: a goroutine that does one job after the other, and what it needs for that.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/intrusive_list.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/pool/submission.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <utility>

namespace sluice::detail {

class callback_timer;
class goroutine;
class job_queue;
class pool_worker;

/// Workers by the strands of their goroutines, if those have one.
using workers_by_strand = std::map<const dispatcher*, pool_worker*>;

/// Where a worker has its job and what comes of it: in its goroutine's frame.
class job_slot {
 public:
  job_slot() noexcept = default;
  job_slot(const job_slot&) = delete;
  job_slot& operator=(const job_slot&) = delete;

  /// Under the pool's lock.
  virtual void take_job(submission& from) noexcept = 0;
  /// Under the pool's lock, of a job that has not failed.
  virtual void give_result(submission& to) noexcept = 0;
  /// The job is not done.
  virtual void drop_job() noexcept = 0;

  /// Why the job has no result.
  job_failure failure;

 protected:
  ~job_slot() = default;
};

/// A worker. Used under the pool's lock, but for what only its own goroutine uses.
/**
 * It takes the next job in the step in which it ends the last. One whose goroutine is not as it was
 * at first, because a job was cancelled, timed out or has left traces, ends with that job, and so
 * does one that finds none: another is started when there is something to do. Counted: its
 * goroutine has a reference, and whoever is about to ask it for something.
 */
class pool_worker final : public member, public ready_node, public list_hook<pool_worker> {
 public:
  enum class stage : std::uint8_t {
    vacant,   ///< it has no job: it is on its way to one, or to its end
    busy,     ///< it does a job
    overdue,  ///< the same, but another one works in its place
    ended,
  };

  SLUICE_DECL explicit pool_worker(job_queue& q);
  pool_worker(const pool_worker&) = delete;
  pool_worker& operator=(const pool_worker&) = delete;
  SLUICE_DECL virtual ~pool_worker();

  SLUICE_DECL static void* operator new(std::size_t size);
  SLUICE_DECL static void operator delete(void* memory, std::size_t size) noexcept;

  void retain() noexcept { references_.add(); }
  void release() noexcept {
    if (references_.release()) delete this;
  }

  /// Notes that its job is to be cancelled. @return False if that has been noted before.
  [[nodiscard]] bool ask() noexcept { return !std::exchange(asked, true); }

  const ref<job_queue> queue;
  stage at = stage::vacant;
  /// Its goroutine has been given to its executor, and ends it at the latest.
  bool started = false;
  /// Its job is to be cancelled.
  bool asked = false;
  /// The time of its job has run out.
  bool expired = false;
  /// It is in the queue's list of `offers_`.
  bool offers_place = false;
  /// The number that its jobs are told.
  std::size_t number = 0;
  /// Counts its jobs.
  std::size_t jobs = 0;
  /// Who is to be told of its job.
  submission* client = nullptr;
  /// How long its job may run, and until when.
  std::chrono::steady_clock::duration limit{};
  std::chrono::steady_clock::time_point deadline{};
  std::shared_ptr<callback_timer> timer;
  /// Used in the goroutine itself.
  goroutine* runs_in = nullptr;
  cancellation_ref cancel;
  /// The queued jobs that its job awaits.
  borrower_list borrowers;
  /// The one whose place it uses, and the one that uses its.
  pool_worker* borrowed_from = nullptr;
  pool_worker* lent_to = nullptr;
  ref<pool_worker> next_offer;
  /// The next of those that `job_queue::cancel` asks.
  pool_worker* next_asked = nullptr;
  /// Its entry among the queue's strands, while it is not there, and the key once it is.
  workers_by_strand::node_type entry;
  const dispatcher* strand = nullptr;

 private:
  SLUICE_DECL void runs_on(const dispatcher& where) noexcept override;
  static void run_request(ready_node& node, worker* w);

  reference_count<> references_{0};
};

/// A worker in its goroutine: its place is given back when this is destroyed at the latest.
class working {
 public:
  explicit working(ref<pool_worker> w) noexcept : worker_(std::move(w)) {}
  working(working&&) noexcept = default;
  working& operator=(working&&) = delete;
  SLUICE_DECL ~working();

  [[nodiscard]] pool_worker& operator*() const noexcept { return *worker_.get(); }
  pool_worker* operator->() const noexcept { return worker_.get(); }

 private:
  ref<pool_worker> worker_;
};

}  // namespace sluice::detail
