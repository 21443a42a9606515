// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/task/main_task.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/task.hpp>

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

namespace sluice {

/// The executor of a context with this library's ready list in front of it.
/** @param where An executor or an execution context. Thread safe. */
template <detail::executor_or_context Where>
[[nodiscard]] executor get_executor(Where&& where) {
  return detail::executor_on(detail::start_point_of(where).where);
}

/// How many goroutines of `where`'s context have not ended. Go's `runtime.NumGoroutine`. Thread
/// safe; of children in a tree of `when_all` that other threads run just now some may be missed.
template <detail::executor_or_context Where>
[[nodiscard]] std::size_t goroutine_count(Where&& where) {
  return detail::start_point_of(where).where->owner().goroutine_count();
}

/// One line for each kind of wait: how many goroutines of `where`'s context, on what, since where.
/** Call it while no thread runs the context. */
template <detail::executor_or_context Where>
[[nodiscard]] std::string describe_goroutines(Where&& where) {
  return detail::start_point_of(where).where->owner().describe_goroutines();
}

/// Outstanding work held by a thread that will wake a goroutine started with `untracked`, or one of
/// `sluice::run`'s.
/**
 * As `asio::executor_work_guard`. While one exists `run` neither ends nor reports a deadlock.
 *
 * @par Thread safety
 * Distinct objects: safe.
 */
class work_guard {
 public:
  /// Of the running goroutine's context. @throws system_error `error::not_in_goroutine`
  work_guard() : work_guard(detail::current_start_point("sluice::work_guard").where) {}
  /// Of an executor or an execution context.
  template <detail::executor_or_context Where>
  explicit work_guard(Where&& where) : work_guard(detail::start_point_of(where).where) {}

  /// What it is moved from holds none any more.
  work_guard(work_guard&&) noexcept = default;
  /// Gives up the work that it held.
  work_guard& operator=(work_guard&& other) noexcept {
    if (this == &other) return *this;
    reset();
    where_ = std::exchange(other.where_, {});
    return *this;
  }
  ~work_guard() { reset(); }

  /// Gives up the work early.
  void reset() noexcept {
    if (const auto where = std::exchange(where_, {})) where->work_finished();
  }

 private:
  explicit work_guard(detail::dispatcher_ptr where) noexcept : where_(std::move(where)) {
    where_->work_started();
  }

  detail::dispatcher_ptr where_;
};

/// Runs a context on several threads, which go on after an exception.
/**
 * `io_context::run` ends with the first exception that leaves a handler, and a thread that does not
 * catch it ends the program. This calls `run` on this thread and `threads - 1` others until the
 * context has run out of work or has been stopped; what escapes is given to `escaped`, and the
 * thread goes on.
 *
 * @param context What is run.
 * @param threads 0 counts as 1.
 * @param escaped Called with what has left a completion handler, or a goroutine that was started
 * without a token, on the thread that ran it; by several threads at the same time perhaps. What it
 * throws stops the context, and is thrown here when all threads have ended. Without one, `describe`
 * of the exception is written to standard error.
 * @throws what `escaped` throws; std::system_error if a thread cannot be started, when those that
 * were have ended.
 */
SLUICE_DECL void run_threads(asio::io_context& context, std::size_t threads,
                             const std::function<void(std::exception_ptr)>& escaped = {});

template <detail::startable Main>
detail::result_of_start_t<Main> run(Main&& main, std::size_t threads = 0,
                                    std::source_location here = std::source_location::current());

/// An `io_context` and the threads that run it, for programs that own none.
/**
 * If the environment variable SLUICE_WATCHDOG holds a duration such as `100ms`, a thread reports on
 * standard error each goroutine of the process, of whatever context, that holds its thread for
 * longer: its name, where it was started or last waited, and where the platform has it the stack.
 * It sends that thread a real-time signal. A library that is built without `NDEBUG` and without
 * sanitizers does so after two seconds unless the variable says `off`. The first use of a context
 * throws std::invalid_argument if the variable is neither.
 *
 * @par Thread safety
 * Distinct objects: safe. `run` is not called twice at the same time.
 */
class runtime {
 public:
  /// @param threads How many threads run goroutines; 0: the environment variable SLUICE_THREADS, or
  /// as many as the machine has processors.
  /// @throws std::invalid_argument if SLUICE_THREADS is not a positive number.
  explicit runtime(std::size_t threads = 0) : runtime(threads, {}) {}
  /// @param threads As above.
  /// @param escaped Told of what leaves a completion handler, or a goroutine other than main that
  /// was started without a token, as of `run_threads`: the program goes on. Without one, it leaves
  /// `run`.
  SLUICE_DECL runtime(std::size_t threads, std::function<void(std::exception_ptr)> escaped);
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  /// Destroys the goroutines that are left.
  SLUICE_DECL ~runtime();

  /// The context that its threads run.
  [[nodiscard]] asio::io_context& context() noexcept { return context_; }
  /// How many threads run goroutines.
  [[nodiscard]] std::size_t threads() const noexcept { return threads_; }

  /// Runs `main` as a goroutine, on this thread and `threads() - 1` others, and returns its result.
  /**
   * When main returns nothing runs any more; the other goroutines stay as they are until the
   * runtime is destroyed. A goroutine is outstanding work only while it can run by itself (see
   * `untracked`).
   *
   * @throws deadlock_error if main and all others are parked and nothing is left that could wake
   * one; what leaves main or another goroutine; system_error `asio::error::operation_aborted` if
   * somebody stopped the context before main had returned; std::system_error if a thread cannot be
   * started.
   */
  template <detail::startable Main>
  detail::result_of_start_t<Main> run(Main&& main,
                                      std::source_location here = std::source_location::current()) {
    return run(std::forward<Main>(main), detail::as_it_is(), here);
  }

 private:
  template <detail::startable Main>
  friend detail::result_of_start_t<Main> run(Main&& main, std::size_t threads,
                                             std::source_location here);

  template <class Main, class Prepare>
  detail::result_of_start_t<Main> run(Main&& main, Prepare prepare, std::source_location here) {
    using result = detail::result_of_start_t<Main>;
    const auto end = std::make_shared<detail::end_of_main<result>>();
    const auto ended = [this](const void* which) { stop(which); };
    detail::start({detail::start_point_of(context_).where, false},
                  detail::run_main<std::decay_t<Main>>(end, std::forward<Main>(main), ended), false,
                  here, prepare);
    run_to_end(end.get(), end->reached);
    return end->take();
  }

  /// Ends the run whose main it is; the main of an earlier run, which failed, ends nothing.
  SLUICE_DECL void stop(const void* main) noexcept;
  SLUICE_DECL void run_to_end(const void* main, const bool& finished);

  const std::size_t threads_;
  const std::function<void(std::exception_ptr)> escaped_;
  asio::io_context context_;
  const void* main_ = nullptr;
};

/// Runs a whole program: `main` is its first goroutine.
/**
 * As a Go program: it owns an `io_context` and its threads; when main returns, the other goroutines
 * are destroyed and `run` returns what main returned.
 *
 * They are destroyed before main's local variables, which they may refer to, when a main that is a
 * coroutine comes to `co_return`: at that point main waits until those that run have suspended, for
 * a second at most. (One that never does keeps its thread, and `run` waits for that.) A main that
 * runs off its end, that throws, or that is a plain function has lost its locals before. One that
 * has moved to another executor waits once more before it returns, which brings it back: its
 * context ends with it. Nothing runs in the destructors of main's locals: one that waits there for
 * a goroutine or a handler, as a `std::jthread` that is joined may, waits for ever.
 *
 * @param main As the `what` of `go`.
 * @param threads As of `runtime`.
 * @throws deadlock_error, whose text lists who waits on what since where, if everything is parked
 * and nothing is left that could wake it; what leaves main or another goroutine; std::system_error
 * if a thread cannot be started, before main begins.
 *
 * @code
 * int main() {
 *   return sluice::run([]() -> sluice::task<int> { co_return 0; });
 * }
 * @endcode
 */
template <detail::startable Main>
detail::result_of_start_t<Main> run(Main&& main, std::size_t threads, std::source_location here) {
  return runtime(threads).run(
      std::forward<Main>(main), [](detail::goroutine& g) { g.become_main(); }, here);
}

namespace detail {

template <class Main>
concept no_main = !startable<Main>;

}  // namespace detail

/// Refuses what is no main; the compiler shows the line.
template <detail::no_main Main, class... Rest>
void run(Main&&, Rest&&...) = delete;  // With arguments: run([&] { return f(a, b); }).

}  // namespace sluice
