#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/version.hpp>
#if BOOST_ASIO_VERSION >= 102800
#include <boost/asio/associated_immediate_executor.hpp>
#endif

#include <utility>

// What differs between the supported versions of Asio, and nowhere else.

namespace sluice {

namespace asio = boost::asio;

namespace detail {

/// Calls `function`, which has completed at once, for `handler`: through the handler's immediate
/// executor where this Asio has them (1.82 and newer), by a post to `ex` otherwise.
template <class Handler, class Executor, class Function>
void complete_immediately([[maybe_unused]] const Handler& handler, const Executor& ex,
                          Function function) {
#if BOOST_ASIO_VERSION >= 102800
  asio::dispatch(asio::get_associated_immediate_executor(handler, ex), std::move(function));
#else
  asio::post(ex, std::move(function));
#endif
}

}  // namespace detail

}  // namespace sluice
