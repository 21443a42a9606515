// SPDX-License-Identifier: BSL-1.0
// Submitting a job to a worker pool: awaited by a goroutine, in whose frame the job waits for a
// worker, or with a completion token, in the memory of the handler.
#pragma once

#include <sluice/detail/base/associated_goroutine.hpp>
#include <sluice/detail/base/boxed.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/handler_arguments.hpp>
#include <sluice/detail/channel/element.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/operation/handler_operation.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/detail/operation/started_once.hpp>
#include <sluice/detail/operation/without_executor.hpp>
#include <sluice/detail/pool/job_queue.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace sluice::detail {

/// Who awaits a job that this handler is told of.
template <class Handler>
[[nodiscard]] job_awaiter awaiter_of(const Handler& handler, const executor& fallback) {
  job_awaiter by{detail::get_associated_goroutine(handler), {}};
  if constexpr (std::is_same_v<asio::associated_executor_t<Handler, executor>,
                               asio::any_io_executor>) {
    auto ex = asio::get_associated_executor(handler, fallback);
    const auto* const known = ex.template target<executor>();
    if (!by.waiting && known && where_of(*known)->is_serial()) by.strand = where_of(*known);
  }
  return by;
}

/// What a job's completion handler takes.
template <class Result>
struct job_arguments {
  using signature = void(job_failure, Result);
  using tuple = std::tuple<job_failure, Result>;
  using value = completion_value<job_failure, Result>;
};
template <>
struct job_arguments<void> {
  using signature = void(job_failure);
  using tuple = std::tuple<job_failure>;
  using value = completion_value<job_failure>;
};

/// What `worker_pool::submit` returns: an Asio operation that a goroutine awaits in a shorter way.
/** Job and result travel as the elements of a channel do: in boxes, if moving them may throw. */
template <class Job, class Result>
class submit_operation : private submission, private cancellable {
  /// What there is of a result.
  using kept = std::conditional_t<std::is_void_v<Result>, std::monostate, Result>;

 public:
  using arguments = typename job_arguments<Result>::tuple;
  using value = typename job_arguments<Result>::value;
  using signature = typename job_arguments<Result>::signature;
  static constexpr bool has_error_code = !has_exceptions;
  static constexpr bool has_exception_ptr = has_exceptions;

  submit_operation(ref<job_queue> q, clock::duration most, Job&& job)
      : submission(most), cancellable{&cancel}, queue_(std::move(q)) {
    if constexpr (travels_in_box<Job>)
      job_.emplace(make_box<Job>(std::move(job)));
    else
      job_.emplace(std::move(job));
  }
  /// One that fails, because the job could not be moved.
  submit_operation(ref<job_queue> q, job_failure why) noexcept
      : submission({}, std::move(why)), cancellable{&cancel}, queue_(std::move(q)) {}
  submit_operation(submit_operation&& other) noexcept
      : submission(other.limit, std::move(other.failure)),
        cancellable{&cancel},
        queue_(std::move(other.queue_)),
        by_(std::move(other.by_)),
        room_(other.room_) {
    if (other.at != stage::idle) at = stage::ended;
    if (other.job_) job_.emplace(*std::move(other.job_));
  }
  submit_operation& operator=(submit_operation&&) = delete;
  ~submit_operation() { forget(); }

  /// Whether its job has been submitted.
  [[nodiscard]] bool was_started() const noexcept { return at != stage::idle || !queue_; }

  /// The pool's executor.
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return queue_ ? queue_->where() : pinned_dispatcher();
  }

  /// Submits the job with a completion token. @throws std::logic_error if it has been submitted.
  template <asio::completion_token_for<signature> Token>
  auto operator()(Token&& token) && {
    if (at != stage::idle) throw_started_before();
    const auto start = [](auto, pinned_dispatcher& own, auto&& handler, submit_operation&& op) {
      std::move(op).submit_for(own, std::move(handler));
    };
    return detail::initiate<signature>(*this, std::forward<Token>(token), start);
  }
  /// The same at once, in room that was reserved for it.
  template <class Token>
  void submit_in(job_queue::reservation& room, Token&& token) && {
    room_ = &room;
    std::move (*this)(std::forward<Token>(token));
  }
  /// Submits it for a case of a select.
  template <class Handler>
  void launch(Handler&& handler) {
    pinned_dispatcher own = handler_dispatcher();
    std::move(*this).submit_for(own, std::forward<Handler>(handler));
  }

  template <class Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> h) {
    if (was_started()) throw_started_before();
    return queue_->submit_for(*h.promise().g, *this, *this);
  }
  Result await_resume() {
    if (auto* const g = static_cast<goroutine*>(std::exchange(who, nullptr)); g->cancel)
      g->cancel->end();
    queue_->settle(*this);
    if (outcome != state::done) throw_wait_error(outcome, wait_reason::worker_pool);
    if (asked == state::timed_out) detail::explain_abort(failure, error::deadline_exceeded);
    return take();
  }

  // For a handler.

  /// It waits for workers, which are goroutines.
  static constexpr bool waits_for_goroutines = true;

  void keep() noexcept {}
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h) noexcept {
    return failure ? begun::done : queue_->submit_for(p, h, *this, by_, room_);
  }
  [[nodiscard]] bool cancel_for_handler() noexcept { return queue_->cancel_submission(*this); }
  void woken_for_handler(bool) noexcept {}
  void end_for_handler() noexcept { who = nullptr; }
  void forget() noexcept {
    if (!who) return;
    queue_->forget(*this);
    who = nullptr;
  }
  [[nodiscard]] arguments take_arguments() {
    if constexpr (std::is_void_v<Result>) {
      return {std::move(failure)};
    } else {
      if (!failure) {
        SLUICE_TRY {
          return arguments(job_failure(), take());
        }
        SLUICE_CATCH_ALL {
          failure = detail::failure_to_move<job_failure>();
        }
      }
      return arguments(std::move(failure), Result());
    }
  }

  /// A worker's job and its result, whose types are known here.
  class slot final : public job_slot {
   public:
    void take_job(submission& from) noexcept override { job_.emplace(*std::move(of(from).job_)); }
    void give_result(submission& to) noexcept override {
      of(to).result_.emplace(*std::move(result_));
    }
    void drop_job() noexcept override { job_.reset(); }
    void drop_result() noexcept { result_.reset(); }

    [[nodiscard]] Job&& job() noexcept {
      if constexpr (travels_in_box<Job>)
        return std::move(unboxed<Job>(*job_));
      else
        return *std::move(job_);
    }
    template <class... T>
    void put(T&&... r) {
      if constexpr (travels_in_box<kept>)
        result_.emplace(make_box<kept>(std::forward<T>(r)...));
      else
        result_.emplace(std::forward<T>(r)...);
    }

   private:
    std::optional<carried<Job>> job_;
    std::optional<carried<kept>> result_;
  };

 private:
  [[nodiscard]] static submit_operation& of(submission& s) noexcept {
    return static_cast<submit_operation&>(s);
  }

  static bool cancel(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                     ready_list& steps) noexcept {
    auto& self = static_cast<submit_operation&>(wait);
    return self.queue_->cancel_awaited(self, outcome, steps);
  }

  template <class Handler>
  void submit_for(pinned_dispatcher& own, Handler&& handler) && {
    if (!own)
      return detail::complete_without_executor<arguments>(std::forward<Handler>(handler),
                                                          error::closed);
    by_ = detail::awaiter_of(handler, detail::executor_on(*own));
    handler_operation<submit_operation, std::decay_t<Handler>, false>::start(
        own, std::move(*this), std::forward<Handler>(handler));
  }

  Result take() {
    if (failure) detail::throw_failure(std::exchange(failure, {}));
    if constexpr (std::is_void_v<Result>)
      return;
    else if constexpr (travels_in_box<Result>)
      return Result(std::move(unboxed<Result>(*result_)));
    else
      return *std::move(result_);
  }

  ref<job_queue> queue_;
  std::optional<carried<Job>> job_;
  std::optional<carried<kept>> result_;
  job_awaiter by_;
  job_queue::reservation* room_ = nullptr;
};

template <class Job, class Result>
inline constexpr bool is_asio_operation<submit_operation<Job, Result>> = true;

}  // namespace sluice::detail
