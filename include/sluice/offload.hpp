// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/safe_in_co_await.hpp>
#include <sluice/detail/base/stop.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/go.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/task.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice {

/// Threads for functions that block or compute for long.
/** @par Thread safety Safe. */
class offload_pool {
 public:
  /// @throws std::invalid_argument if `threads` is 0; std::system_error if they cannot be started
  SLUICE_DECL explicit offload_pool(std::size_t threads);
  offload_pool(const offload_pool&) = delete;
  offload_pool& operator=(const offload_pool&) = delete;
  /// Waits for the functions that are running.
  SLUICE_DECL ~offload_pool();

  /// To be called before and after a fork, as Asio's contexts have it, for a pool that goes on.
  /**
   * Before it, it waits for the functions that are running; afterwards parent and child have
   * threads of their own. The pool of a context is told by `context.notify_fork`, which also waits
   * for the context's functions on other pools. Not to be called by such a function, nor while
   * another thread uses the pool.
   * @throws std::system_error if the threads cannot be started again
   */
  SLUICE_DECL void notify_fork(asio::execution_context::fork_event event);

  /// One unit for each thread; whoever has none waits in line.
  [[nodiscard]] semaphore& free_threads() noexcept { return free_; }
  /// The executor of its threads; what runs there takes no unit.
  [[nodiscard]] asio::thread_pool::executor_type get_executor() noexcept {
    return threads_->get_executor();
  }

 private:
  semaphore free_;
  const std::size_t size_;
  std::optional<asio::thread_pool> threads_;
};

namespace detail {

template <class F>
concept stoppable = has_stop_tokens && std::invocable<F&, stop_token>;

/// What can be offloaded.
template <class F>
concept offloadable = stoppable<F> || std::invocable<F&>;

template <class F>
struct offloaded {
  using type = std::invoke_result_t<F&>;
};
template <stoppable F>
struct offloaded<F> {
  using type = std::invoke_result_t<F&, stop_token>;
};

/// The result of a function that ran elsewhere.
template <class T>
struct offload_result {
  std::optional<T> value;
  std::exception_ptr failure;
};
template <>
struct offload_result<void> {
  std::exception_ptr failure;
};

template <class T, class F>
void call_offloaded(F& f, [[maybe_unused]] const stop_token& stop, offload_result<T>& r) noexcept {
  const auto call = [&]() -> decltype(auto) {
    if constexpr (stoppable<F>)
      return std::invoke(f, stop);
    else
      return std::invoke(f);
  };
  SLUICE_TRY {
    if constexpr (std::is_void_v<T>)
      call();
    else
      r.value.emplace(call());
  }
  SLUICE_CATCH_ALL {
    r.failure = std::current_exception();
  }
}

class offload_service;

/// A function that is on a thread of a pool, or on its way there, from when it is launched until it
/// is destroyed. The end of its context asks it to stop and waits for that.
class offloaded_function : registered {
 public:
  SLUICE_DECL explicit offloaded_function(offload_service& s);
  offloaded_function(const offloaded_function&) = delete;
  offloaded_function& operator=(const offloaded_function&) = delete;
  SLUICE_DECL ~offloaded_function();

  /// False if its context is ending: it is not to be called.
  [[nodiscard]] bool registered_in_time() const noexcept { return in_time_; }
  [[nodiscard]] const stop_source& stop() const noexcept { return stop_; }

 private:
  friend class offload_service;

  offload_service& service_;
  stop_source stop_;
  bool told_ = false;
  const bool in_time_;
};

/// The functions of the running goroutine's context.
[[nodiscard]] SLUICE_DECL offload_service& offload_service_of_this_goroutine();

/// Runs `f`, which it takes, on `pool` and calls a handler with its result: an Asio operation.
/** The result goes by its address, because its move may throw. */
template <class T, class F>
[[nodiscard]] auto run_on_thread(asio::thread_pool::executor_type pool, offload_service& service,
                                 F& f) {
  return asio::async_initiate<const use_task_t, void(std::unique_ptr<offload_result<T>>)>(
      [pool, &service](auto handler, F function) {
        auto running = std::make_unique<offloaded_function>(service);
        if (!running->registered_in_time()) return;
        if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected())
          slot.assign([source = running->stop()](asio::cancellation_type) mutable {
            source.request_stop();
          });
        auto work = asio::make_work_guard(asio::get_associated_executor(handler, pool));
        auto result = std::make_unique<offload_result<T>>();
        // What is running is destroyed last: the context's end waits for all of it.
        asio::post(
            pool, [running = std::move(running), f = std::move(function), work = std::move(work),
                   h = std::move(handler), r = std::move(result)]() mutable {
              detail::call_offloaded(f, running->stop().get_token(), *r);
              auto complete = [h = std::move(h), r = std::move(r)]() mutable {
                if (auto slot = asio::get_associated_cancellation_slot(h); slot.is_connected())
                  slot.clear();
                std::move(h)(std::move(r));
              };
              asio::post(work.get_executor(), std::move(complete));
            });
      },
      use_task, std::move(f));
}

template <class T, class F>
task<T> offload_to(offload_pool& pool, F f) {
  const auto thread = co_await pool.free_threads().acquire();
  const auto r =
      co_await run_on_thread<T>(pool.get_executor(), offload_service_of_this_goroutine(), f);
  if (r->failure) std::rethrow_exception(r->failure);
  if constexpr (!std::is_void_v<T>) co_return *std::move(r->value);
}

/// The pool of a context: as many threads as processors, begun at first use.
[[nodiscard]] SLUICE_DECL offload_pool& offload_pool_of_this_goroutine();

template <class T, class F>
task<T> offload_here(F f) {
  co_return co_await offload_to<T, F>(offload_pool_of_this_goroutine(), std::move(f));
}

}  // namespace detail

/// Runs a function that blocks or computes for long on a thread of its own, so that the event loop
/// goes on.
/**
 * A task: await it, or start it, `go(where, offload(f), token)`. The goroutine is parked until `f`
 * has ended and then has its result. As many run at a time as there are threads; others wait in
 * line. Without `pool` the context has one of its own, with as many threads as processors, begun
 * when it is first used and joined when the context is destroyed.
 *
 * The end of the context asks the functions of its goroutines to stop, by their stop tokens, and
 * waits for them on every pool, before it destroys the goroutines.
 *
 * @param f A callable without arguments, or one that takes a `std::stop_token`, where the standard
 * library has that. It is kept until it has ended.
 *
 * @par Errors
 * What `f` throws. `asio::error::operation_aborted` or `error::deadline_exceeded` if cancelled
 * while it waits for a thread: `f` has not been called.
 *
 * @par Cancellation
 * Before `f` has begun it never does. Afterwards its stop token is requested to stop, and the
 * result is what it returns or throws.
 *
 * @code
 * const std::string hash = co_await sluice::offload([&] { return hash_of(file); });
 * @endcode
 */
template <class F>
  requires detail::offloadable<std::decay_t<F>>
[[nodiscard]] auto offload(F&& f) {
  static_assert(detail::safe_in_co_await_expression<F>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  using T = std::decay_t<typename detail::offloaded<std::decay_t<F>>::type>;
  return detail::offload_here<T, std::decay_t<F>>(std::forward<F>(f));
}
/// The same on the threads of `pool`.
template <class F>
  requires detail::offloadable<std::decay_t<F>>
[[nodiscard]] auto offload(offload_pool& pool, F&& f) {
  static_assert(detail::safe_in_co_await_expression<F>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  using T = std::decay_t<typename detail::offloaded<std::decay_t<F>>::type>;
  return detail::offload_to<T, std::decay_t<F>>(pool, std::forward<F>(f));
}

}  // namespace sluice
