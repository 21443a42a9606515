// SPDX-License-Identifier: BSL-1.0
// What differs between the supported versions of Asio, and nowhere else.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/version.hpp>
#if BOOST_ASIO_VERSION >= 102800
#include <boost/asio/associated_immediate_executor.hpp>
#endif

#include <type_traits>
#include <utility>

namespace sluice {

namespace asio = boost::asio;

namespace detail {

/// Whether handlers have an immediate executor for operations that complete at once (1.82).
inline constexpr bool has_immediate_executors = BOOST_ASIO_VERSION >= 102800;

#if BOOST_ASIO_VERSION >= 102800
/// A handler that has nothing associated with it.
struct plain_handler {};

/// Whether `Handler` names one itself, on which it may be called inside the initiating function.
template <class Handler>
inline constexpr bool has_own_immediate_executor =
    !std::is_same_v<asio::associated_immediate_executor_t<Handler, asio::system_executor>,
                    asio::associated_immediate_executor_t<plain_handler, asio::system_executor>>;
#else
template <class Handler>
inline constexpr bool has_own_immediate_executor = false;
#endif

/// The one of `handler`; `ex` if there are none.
template <class Handler, class Executor>
[[nodiscard]] auto immediate_executor_of([[maybe_unused]] const Handler& handler,
                                         const Executor& ex) {
#if BOOST_ASIO_VERSION >= 102800
  return asio::get_associated_immediate_executor(handler, ex);
#else
  return ex;
#endif
}

/// The associated executor of a handler whose operation names no default. Up to Boost 1.89
/// that is `system_executor` for a handler that has none; newer ones have an executor there that no
/// `any_io_executor` can hold, and get `system_executor` too.
template <class Handler>
[[nodiscard]] asio::any_io_executor associated_executor_of(const Handler& handler) {
  auto ex = asio::get_associated_executor(handler);
  if constexpr (std::is_convertible_v<decltype(ex), asio::any_io_executor>)
    return ex;
  else
    return asio::system_executor();
}

}  // namespace detail

}  // namespace sluice
