// SPDX-License-Identifier: BSL-1.0
// A worker pool whose handler is known: what its workers do with a job.
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/detail/pool/submit_operation.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/task.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// A pool of jobs that `Handler` does.
template <class Job, class Result, class Handler>
class handler_pool final : public job_queue {
 public:
  template <class H>
  handler_pool(const start_point& where, const worker_pool_options& options, H&& handler)
      : job_queue(where, options), handler_(std::forward<H>(handler)) {}

 private:
  static decltype(auto) call(Handler& handler, Job&& job, std::size_t worker) {
    if constexpr (std::invocable<Handler&, Job, std::size_t>)
      return std::invoke(handler, std::move(job), worker);
    else
      return std::invoke(handler, std::move(job));
  }

  /// What is called gives a task or an awaitable, which is to be awaited.
  using called = std::remove_cvref_t<decltype(call(std::declval<Handler&>(), std::declval<Job>(),
                                                   std::size_t()))>;
  static constexpr bool gives_what_is_awaited = is_awaited<called>;

  [[nodiscard]] task<> work(working w) override { return do_jobs(std::move(w), handler_); }

  /// @param handler Kept by the pool, which the worker keeps.
  static task<> do_jobs(working w, Handler& handler) {
    typename submit_operation<Job, Result>::slot slot;
    next_job next(*w, slot);
    for (;;) {
      const bool has_job = co_await next;
      if (!has_job) co_return;
      slot.drop_result();
      SLUICE_TRY {
        if constexpr (gives_what_is_awaited) {
          auto started = call(handler, slot.job(), w->number);
          if constexpr (std::is_void_v<Result>) {
            co_await std::move(started);
            slot.put();
          } else {
            slot.put(co_await std::move(started));
          }
        } else if constexpr (std::is_void_v<Result>) {
          call(handler, slot.job(), w->number);
          slot.put();
        } else {
          slot.put(call(handler, slot.job(), w->number));
        }
      }
      SLUICE_CATCH_ALL {
        slot.failure = detail::failure_to_move<job_failure>();
      }
      slot.drop_job();
    }
  }

  Handler handler_;
};

}  // namespace sluice::detail
