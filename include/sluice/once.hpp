#pragma once

#include <sluice/detail/select_cases.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/task.hpp>

#include <boost/asio/error.hpp>

#include <atomic>
#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice {

/// Does something once, whoever comes first. Go's `sync.Once`.
/**
 * The nearest in the standard library is `std::call_once`; unlike there an exception counts as done
 * and is thrown to later callers, too, as Go's `OnceFunc` panics again.
 *
 * @par Thread safety
 * Safe. What the function did happened before every `call` returns.
 *
 * @code
 * sluice::once opened;
 * co_await opened.call([&]() -> sluice::task<> { co_await database.open(); });
 * @endcode
 */
class once {
 public:
  once() = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  /// Calls `f` if nothing has been called yet; returns when what was called first has ended.
  /**
   * A task: await it, or start it with a token, `go(where, o.call(f), token)`. `f` is a callable
   * without arguments and gives a `task`, an `asio::awaitable` or a plain value, which is ignored;
   * it is destroyed before the call returns. Calling `call` from `f` on the same object never ends.
   *
   * @par Errors
   * What `f` threw, for every caller. `asio::error::operation_aborted`: for every caller if the
   * goroutine that called `f` was destroyed in it; or this one was cancelled while it waited.
   *
   * @par Cancellation
   * A call that is cancelled while it waits for another has had no effect. One that is cancelled in
   * `f` ends as `f` does.
   */
  template <class F>
  requires std::invocable < std::decay_t<F>
  & > [[nodiscard]] task<> call(F&& f) {
    static_assert(
        detail::safe_in_co_await_expression<F>,
        "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression "
        "and "
        "destroys it twice: capture by reference, or name the closure first and pass the name");
    return call_first<std::decay_t<F>>(std::forward<F>(f));
  }

 private:
  /// Sets a flag, also if its goroutine is destroyed.
  class at_end {
   public:
    explicit at_end(std::atomic<bool>& flag) noexcept : flag_(flag) {}
    at_end(const at_end&) = delete;
    at_end& operator=(const at_end&) = delete;
    ~at_end() { flag_.store(true, std::memory_order_release); }

   private:
    std::atomic<bool>& flag_;
  };

  template <class F>
  task<> call_first(F f) {
    if (!done_.load(std::memory_order_acquire)) {
      const auto turn = co_await mutex_.lock();
      if (!done_.load(std::memory_order_relaxed)) {
        failure_ =
            std::make_exception_ptr(system_error(asio::error::operation_aborted, "sluice: once"));
        const at_end done(done_);
        try {
          static_cast<void>(co_await detail::make_task(std::move(f)));
          failure_ = nullptr;
        } catch (...) {
          failure_ = std::current_exception();
        }
      }
    }
    if (failure_) std::rethrow_exception(failure_);
  }

  mutex mutex_;
  std::atomic<bool> done_{false};
  std::exception_ptr failure_;
};

/// A value that is computed when it is first asked for. Go's `sync.OnceValue`.
/**
 * `F` is as for `once::call`, and its result is kept. It is called once and then destroyed.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * sluice::once_value config([&]() -> sluice::task<settings> { co_return co_await load(); });
 * const settings& s = co_await config();
 * @endcode
 */
template <class F>
class once_value {
 public:
  using value_type = detail::result_of_start_t<F>;

  explicit once_value(F f) : function_(std::move(f)) {}
  once_value(const once_value&) = delete;
  once_value& operator=(const once_value&) = delete;

  /// The value. A task, with the errors and the cancellation of `once::call`.
  [[nodiscard]] task<const value_type&> operator()() {
    co_await once_.call([this] { return compute(); });
    co_return *value_;
  }

 private:
  task<> compute() {
    F f(std::move(*function_));
    function_.reset();
    value_.emplace(co_await detail::make_task(std::move(f)));
  }

  once once_;
  std::optional<F> function_;
  std::optional<value_type> value_;
};

}  // namespace sluice
