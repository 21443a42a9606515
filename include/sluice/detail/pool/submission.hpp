// SPDX-License-Identifier: BSL-1.0
// Who has submitted a job of a worker pool: the wait for its end, and his place among those that a
// job of the same pool awaits.
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace sluice::detail {

class goroutine;
class pool_worker;

/// Who awaits a job: a goroutine, or something that runs on a goroutine's strand.
struct job_awaiter {
  const goroutine* waiting = nullptr;
  dispatcher_ptr strand;
};

/// Why a job has no result. Without exceptions it has one, unless the pool itself has none to give.
using job_failure = std::conditional_t<has_exceptions, std::exception_ptr, error_code>;

/// A submitted job, and who is told of its end.
/**
 * It lives in the operation that waits. All of it is used under the pool's lock from when it enters
 * the queue until its wait has ended. A job that begins moves from here to its worker, so this may
 * go before the job has ended: because its time is over, or with the submitter's context.
 */
struct submission : waiter {
  enum class stage : std::uint8_t {
    idle,    ///< not submitted
    queued,  ///< the job is here, and waits for a worker
    begun,   ///< a worker has the job
    ended,   ///< who waits has been told, or is not there any more
  };

  explicit submission(std::chrono::steady_clock::duration most) noexcept : limit(most) {}
  /// One that has failed with `why`, or with nothing.
  submission(std::chrono::steady_clock::duration most, job_failure why) noexcept : limit(most) {
    std::swap(failure, why);
  }

  stage at = stage::idle;
  /// It was taken out of the queue by somebody who could not report that the job has ended.
  bool owes_end = false;
  /// What its goroutine's cancellation ends waits with, once that has been asked for.
  waiter::state asked = waiter::state::waiting;
  /// How long the job may run.
  const std::chrono::steady_clock::duration limit;
  /// Whose job awaits this one, while that is queued.
  pool_worker* lender = nullptr;
  submission* previous_borrower = nullptr;
  submission* next_borrower = nullptr;
  /// Who does the job.
  pool_worker* worker = nullptr;
  /// Why there is no result.
  job_failure failure;
};

/// The queued jobs that one job awaits, first come, first served.
class borrower_list {
 public:
  borrower_list() noexcept = default;
  borrower_list(const borrower_list&) = delete;
  borrower_list& operator=(const borrower_list&) = delete;
  ~borrower_list() {
    SLUICE_ASSERT(!first_, "a job that ends lets those go who wait for its worker");
  }

  [[nodiscard]] submission* front() const noexcept { return first_; }

  void push_back(submission& s) noexcept {
    s.previous_borrower = last_;
    s.next_borrower = nullptr;
    (last_ ? last_->next_borrower : first_) = &s;
    last_ = &s;
  }

  void remove(submission& s) noexcept {
    (s.previous_borrower ? s.previous_borrower->next_borrower : first_) = s.next_borrower;
    (s.next_borrower ? s.next_borrower->previous_borrower : last_) = s.previous_borrower;
  }

 private:
  submission* first_ = nullptr;
  submission* last_ = nullptr;
};

}  // namespace sluice::detail
