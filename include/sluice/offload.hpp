#pragma once

#include <sluice/detail/select_cases.hpp>
#include <sluice/go.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/task.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace sluice {

/// Threads for functions that block or compute for long.
/** @par Thread safety Safe. */
class offload_pool {
 public:
  /// @throws std::invalid_argument if `threads` is 0; std::system_error if they cannot be started
  explicit offload_pool(std::size_t threads);
  offload_pool(const offload_pool&) = delete;
  offload_pool& operator=(const offload_pool&) = delete;
  /// Waits for the functions that are running. The goroutines that wait for them must not have been
  /// destroyed together with their context before.
  ~offload_pool();

  /// One unit for each thread; whoever has none waits in line.
  [[nodiscard]] semaphore& free_threads() noexcept { return free_; }
  [[nodiscard]] asio::thread_pool::executor_type get_executor() noexcept {
    return threads_.get_executor();
  }

 private:
  semaphore free_;
  asio::thread_pool threads_;
};

namespace detail {

template <class F>
concept stoppable = std::invocable<F&, std::stop_token>;

template <class F>
struct offloaded {
  using type = std::invoke_result_t<F&>;
};
template <stoppable F>
struct offloaded<F> {
  using type = std::invoke_result_t<F&, std::stop_token>;
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
[[nodiscard]] offload_result<T> call_offloaded(F& f, const std::stop_token& stop) noexcept {
  offload_result<T> r;
  const auto call = [&]() -> decltype(auto) {
    if constexpr (stoppable<F>)
      return std::invoke(f, stop);
    else
      return std::invoke(f);
  };
  try {
    if constexpr (std::is_void_v<T>)
      call();
    else
      r.value.emplace(call());
  } catch (...) {
    r.failure = std::current_exception();
  }
  return r;
}

/// Runs `f`, which it takes, on `pool` and calls a handler with its result: an Asio operation.
template <class T, class F>
[[nodiscard]] auto run_on_thread(asio::thread_pool::executor_type pool, F& f) {
  return asio::async_initiate<const use_task_t, void(offload_result<T>)>(
      [pool](auto handler, F function) {
        std::stop_source source;
        if (auto slot = asio::get_associated_cancellation_slot(handler); slot.is_connected())
          slot.assign([source](asio::cancellation_type) mutable { source.request_stop(); });
        auto work = asio::make_work_guard(asio::get_associated_executor(handler, pool));
        asio::post(pool, [f = std::move(function), stop = source.get_token(),
                          work = std::move(work), h = std::move(handler)]() mutable {
          auto complete = [h = std::move(h), r = call_offloaded<T>(f, stop)]() mutable {
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
  auto r = co_await run_on_thread<T>(pool.get_executor(), f);
  if (r.failure) std::rethrow_exception(r.failure);
  if constexpr (!std::is_void_v<T>) co_return *std::move(r.value);
}

/// The pool of a context: as many threads as processors, begun at first use.
[[nodiscard]] offload_pool& offload_pool_of_this_goroutine();

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
 * @param f A callable without arguments, or one that takes a `std::stop_token`. It is kept until it
 * has ended.
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
[[nodiscard]] auto offload(F&& f) {
  static_assert(detail::safe_in_co_await_expression<F>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  using T = std::decay_t<typename detail::offloaded<std::decay_t<F>>::type>;
  return detail::offload_here<T, std::decay_t<F>>(std::forward<F>(f));
}
template <class F>
[[nodiscard]] auto offload(offload_pool& pool, F&& f) {
  static_assert(detail::safe_in_co_await_expression<F>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  using T = std::decay_t<typename detail::offloaded<std::decay_t<F>>::type>;
  return detail::offload_to<T, std::decay_t<F>>(pool, std::forward<F>(f));
}

}  // namespace sluice
