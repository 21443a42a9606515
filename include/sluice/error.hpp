// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace sluice {

using boost::system::error_code;
using boost::system::system_error;

/// The errors of this library, as `error_code` values of `sluice_category()`.
enum class error {
  /// Sending on a closed channel, or closing a channel twice.
  closed = 1,
  /// The operation was given a nil or moved-from handle where it needs a channel.
  nil_channel,
  /// A handler without an executor of its own, given outside a goroutine to an operation without
  /// one. It is told so by a post to `asio::system_executor`.
  no_executor,
  /// A call that works only while a goroutine's body runs was made elsewhere.
  not_in_goroutine,
  /// Moving the element of a channel operation threw; with a token the exception itself cannot be
  /// given.
  move_failed,
  /// The deadline of a context has passed; equal to `std::errc::timed_out`. A `timeout`'s own limit
  /// says `asio::error::timed_out`, so that who tries again on one ends on the other.
  deadline_exceeded,
  /// Starting an operation threw what is no `system_error`; with a token the exception itself
  /// cannot be given.
  initiation_failed,
};

/// The category of `sluice::error`; its name is "sluice". Thread safe.
SLUICE_DECL const boost::system::error_category& sluice_category() noexcept;

/// Makes an `error_code` of a `sluice::error`, found by argument-dependent lookup.
inline error_code make_error_code(error e) noexcept {
  return {static_cast<int>(e), sluice_category()};
}

/// Thrown by `sluice::run` when every goroutine is parked and nothing is left that could wake one.
/**
 * Its text lists how many goroutines wait, on what, and since where, as Go's
 * "all goroutines are asleep - deadlock!" does.
 */
class SLUICE_DECL deadlock_error : public std::runtime_error {
 public:
  /// @param text Who waits on what.
  explicit deadlock_error(const std::string& text) : std::runtime_error(text) {}
};

/// What an exception says: of a `system_error` the message of its code, without the source location
/// that Asio puts into `what()`; of any other `std::exception` its `what()`.
/** @param e Not null. Thread safe. */
[[nodiscard]] SLUICE_DECL std::string describe(const std::exception_ptr& e);

namespace detail {
[[noreturn]] SLUICE_DECL void throw_error(error e, const char* where);
[[noreturn]] SLUICE_DECL void throw_error(const error_code& e, const char* where);
}  // namespace detail

}  // namespace sluice

template <>
struct boost::system::is_error_code_enum<sluice::error> : std::true_type {};
