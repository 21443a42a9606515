#pragma once

#include <sluice/detail/base/handler_arguments.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/select/select_group.hpp>
#include <sluice/detail/select/select_wait.hpp>
#include <sluice/error.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/error.hpp>

#include <array>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

namespace detail {

/// What `timeout` returns.
template <class Case>
class timeout_operation : public select_with_token<timeout_operation<Case>> {
 public:
  using sluice_operation = void;
  using value_type = std::conditional_t<std::is_same_v<typename Case::value_type, std::monostate>,
                                        void, typename Case::value_type>;

  timeout_operation(Case&& c, clock::duration d)
      : case_(std::move(c)),
        sleep_(sleep_wait(d)),
        wait_(select_wait::order::written, select_wait::purpose::timeout) {}
  timeout_operation(timeout_operation&& other)
      : case_(std::move(other.case_)),
        sleep_(std::move(other.sleep_)),
        wait_(select_wait::order::written, select_wait::purpose::timeout) {}

  [[nodiscard]] bool try_now(goroutine& g) noexcept {
    if constexpr (Case::can_be_looked_at)
      taken_at_once_ = !g.cancel && case_.look() == readiness::at_once &&
                       g.try_now([this] { return case_.try_now(); });
    return taken_at_once_;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    bind_cases();
    if constexpr (Case::is_asio)
      return wait_.start(*h.promise().g, entries_, candidates_, asio_cases_);
    else
      return wait_.start(*h.promise().g, entries_, candidates_);
  }

  /// Whether with a token it needs a goroutine behind it.
  static constexpr bool needs_goroutine = false;

  // For a handler.
  static constexpr bool often_ready = Case::can_be_looked_at && !Case::is_asio;
  static constexpr bool needs_executor = true;
  [[nodiscard]] bool done_for_handler() noexcept {
    if constexpr (Case::can_be_looked_at)
      taken_at_once_ = case_.look() == readiness::at_once && case_.try_now();
    return taken_at_once_;
  }
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h) noexcept
    requires(!Case::is_asio)
  {
    if (done_for_handler()) return begun::done;
    try {
      bind_cases();
    } catch (...) {
      wait_.fail();
      return begun::done;
    }
    return wait_.start_for_handler(p, h, entries_, candidates_);
  }
  /// @throws As `select_group::start_launching`.
  template <class Where>
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h, Where where)
    requires Case::is_asio
  {
    bind_cases();
    if (wait_.done_before_launch(p, entries_, candidates_, asio_cases_,
                                 select_group::turn_of::sluice))
      return begun::done;
    return wait_.start_launching(h, where());
  }
  [[nodiscard]] bool abandoned() const noexcept
    requires Case::is_asio
  {
    return wait_.abandoned();
  }
  [[nodiscard]] bool cancel_for_handler() noexcept { return wait_.cancel_for_handler(); }
  void woken_for_handler(bool leaves) noexcept { wait_.woken_for_handler(leaves); }
  void forget() noexcept { wait_.forget(); }
  static void end_for_handler() noexcept {}
  [[nodiscard]] typename Case::arguments take_arguments()
    requires(!Case::is_asio)
  {
    error_code e;
    try {
      if (!taken_at_once_ && wait_.finish() == the_timer) e = asio::error::timed_out;
    } catch (...) {
      this->note_failure(e, *this);
    }
    auto all = case_.take_arguments();
    if (e) std::get<0>(all) = e;
    return all;
  }
  template <class D = timeout_operation>
  [[nodiscard]] typename token_signature<D>::arguments take_arguments()
    requires Case::is_asio
  {
    try {
      if constexpr (std::is_void_v<value_type>) {
        static_cast<void>(take());
        return {};
      } else {
        return {typename token_signature<D>::failure(), take()};
      }
    } catch (...) {
      return take_failure<token_signature<D>>();
    }
  }

  value_type await_resume() { return static_cast<value_type>(take()); }

  /// For the token form.
  [[nodiscard]] bool move_failed() const noexcept { return case_.move_failed(); }

  static constexpr bool gives_exceptions = Case::gives_exceptions;
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return case_.handler_dispatcher(); }
  void keep() noexcept { case_.keep(); }

 private:
  // Its own limit and the deadline of a context that cancelled it say different things.
  typename Case::value_type take() {
    if (taken_at_once_) return case_.take();
    if (wait_.finish() == the_timer) return case_.take_after_timeout();
    if constexpr (Case::is_asio)
      if (wait_.outcome() == waiter::state::timed_out)
        return case_.take_cancelled(error::deadline_exceeded);
    return case_.take();
  }

  // For the exception that is being handled. What came beside an error is told; that it cannot be
  // moved is the failure then.
  template <class Told>
  [[nodiscard]] typename Told::arguments take_failure() {
    typename Told::arguments all{};
    this->note_failure(std::get<0>(all), *this);
    if constexpr (!std::is_void_v<value_type>) {
      try {
        case_.take_beside_error(std::get<1>(all));
      } catch (...) {
        std::get<0>(all) = detail::failure_to_move<typename Told::failure>();
      }
    }
    return all;
  }

  void bind_cases() {
    select_entry* entry = entries_.data();
    launched_case** asio_cases = asio_cases_.data();
    detail::bind_case(case_, the_operation, entry, asio_cases);
    detail::bind_case(sleep_, the_timer, entry, asio_cases);
  }

  static constexpr std::uint32_t the_operation = 0, the_timer = 1;
  static constexpr std::size_t sluice_count = Case::is_asio ? 1 : 2;

  bool taken_at_once_ = false;
  Case case_;
  sluice_case<sleep_wait> sleep_;
  std::array<select_entry, sluice_count> entries_;
  std::array<std::uint32_t, sluice_count> candidates_;
  std::array<launched_case*, 2 - sluice_count> asio_cases_;
  std::conditional_t<Case::is_asio, select_group, select_wait> wait_;
};

}  // namespace detail

/// Gives an operation at most `d`; what has not happened by then is cancelled.
/**
 * Not a select: the timer only cancels the operation, whose own completion is the result, so
 * nothing is lost. A ready operation arms no timer. An Asio operation that ignores cancellation
 * delays the timeout until it ends, unless it is one to `abandon`. With zero or a negative duration
 * a ready operation of this library still completes, and an Asio operation is not launched.
 *
 * @param op An operation of this library (an lvalue stays the caller's: a send that timed out keeps
 * its value), an Asio operation given `asio::deferred`, `use_task` or `asio::as_tuple` of these, or
 * what else `asio::is_async_operation` holds for.
 * @param d How long it may take, counted from when it is started.
 *
 * Awaited: what `op` gives. With a token: `void(error_code[, value])`, or
 * `void(std::exception_ptr[, value])` if that is how `op` completes; the handler runs by default on
 * the executor of `op`, otherwise on the running goroutine's. An Asio operation is launched inside
 * the call, and completes on a strand over that executor. There is no goroutine behind it.
 *
 * @par Errors
 * `asio::error::timed_out` if the time ran out; otherwise those of `op`. With a token, in an
 * `error_code`: `error::move_failed` for a value whose move throws, `error::initiation_failed` for
 * an Asio operation that throws as it is launched. The deadline of the goroutine's context says
 * `error::deadline_exceeded`, so a loop that tries again after its own limit ends with its context;
 * one that tries again after every error asks `ctx.err()`.
 *
 * @code
 * const auto v = co_await sluice::timeout(ch.receive(), 50ms);
 * const std::size_t n =
 *     co_await sluice::timeout(socket.async_read_some(buffer, asio::deferred), 5s);
 * @endcode
 */
template <detail::case_operand Operation, class Rep, class Period>
[[nodiscard("co_await it, or give it a completion token")]] auto timeout(
    Operation&& op, std::chrono::duration<Rep, Period> d) {
  return detail::timeout_operation<typename detail::case_for<Operation>::type>(
      detail::make_case(std::forward<Operation>(op)), detail::saturate(d));
}

/// Refuses what is no operation and a duration; the compiler shows the line.
template <class... Args>
void timeout(Args&&...) = delete;  // timeout(operation, 1s)(token). Task: go(ex, t, asio::deferred)

}  // namespace sluice
