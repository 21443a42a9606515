// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/time/asio_timeout_operation.hpp>
#include <sluice/detail/time/timeout_operation.hpp>
#include <sluice/error.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include <chrono>
#include <utility>

namespace sluice {

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
 * the call, and completes on a strand over that executor. There is no goroutine behind it. One that
 * has a name may be awaited again, like a select, and has all of `d` again.
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
      std::in_place, detail::case_source(std::forward<Operation>(op)), detail::saturate(d));
}

/// Refuses what is no operation and a duration; the compiler shows the line.
template <class... Args>
void timeout(Args&&...) = delete;  // timeout(operation, 1s)(token). Task: go(ex, t, asio::deferred)

}  // namespace sluice
