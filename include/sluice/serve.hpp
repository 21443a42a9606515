// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/serve/accept_loop.hpp>
#include <sluice/peer_watch.hpp>
#include <sluice/serve_options.hpp>
#include <sluice/server_connection.hpp>

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

namespace sluice {

/// Accepts connections and has each handled by a goroutine of its own, until it is stopped.
/**
 * An Asio operation: awaited it gives a `serve_result`; with a token its signature is
 * `void(error_code, serve_result)`; `timeout` limits it, and it is a case of `select`, as
 * `on(serve(…), f, lost)`: if another case happens it stops, and `lost(error_code, serve_result)`
 * is told its result. The goroutines run, and the handler of a token by default too, on the
 * acceptor's executor.
 *
 * @param acceptor An `asio::ip::tcp::acceptor`, a local one, one with an executor of one's own:
 * listening, and used by nobody else until the operation has completed. It is closed when the
 * server stops.
 * @param options How it goes about it.
 * @param handler Called for every connection, with its socket and, if it takes one, a
 * `server_connection`, or else a `context` (that one's `ctx()`). It gives a `task` or an
 * `asio::awaitable`, and the connection has ended when that has; or nothing, and the connection
 * ends when its `server_connection` is destroyed. Kept until the last connection has ended; called
 * by several threads at the same time if several run the context. A goroutine is a strand; a
 * connection of callbacks has one of its own then, `asio::make_strand(socket.get_executor())`, for
 * all its handlers.
 *
 * When nobody can be accepted, because descriptors or memory have run out, it tries again ten times
 * a second. An exception that leaves `handler` is reported and ends that connection only.
 *
 * @par Stopping
 * By a signal of the options, by cancellation, or by closing the acceptor on its strand: nobody is
 * accepted any more, and `server_connection::stopping()` is done. Connections that have not ended
 * within the grace time, or when a second signal or a second request for cancellation comes, are
 * cut off: every wait of their goroutines ends with `asio::error::operation_aborted`. The operation
 * completes when the last has ended; one that ignores that it has been cut off holds it up for
 * ever. Signals have their default effect again after the second: the third ends the program.
 *
 * @par Cancellation
 * Any type stops the server, which is no error: the result says what it has done. Requests that
 * come before the server has seen the first are one with it.
 *
 * @par Errors
 * What is wrong with the acceptor (it is not open, or does not listen) or with the signals, when
 * the connections have ended; `asio::error::no_memory`.
 *
 * @par Thread safety
 * Distinct acceptors: safe.
 *
 * @code
 * sluice::serve_options options;
 * options.max_connections = 1000;
 * options.signals = {SIGINT, SIGTERM};
 * const auto result = co_await sluice::serve(acceptor, options,
 *     [&](tcp::socket socket, sluice::context) { return echo(std::move(socket)); });
 * @endcode
 */
template <class Acceptor, class Handler>
  requires detail::connection_handler<
      std::decay_t<Handler>, typename Acceptor::protocol_type::socket::template rebind_executor<
                                 typename Acceptor::executor_type>::other>
[[nodiscard("co_await it, or give it a completion token")]] auto serve(
    Acceptor& acceptor, serve_options options, Handler&& handler,
    std::source_location location = std::source_location::current()) {
  return detail::serve(acceptor, std::move(options), std::forward<Handler>(handler),
                       detail::no_refusal(), location);
}
/// The same, and `refuse` is called with the socket of a connection that is one too many; it does
/// not block.
template <class Acceptor, class Handler, class Refuse>
  requires detail::connection_handler<
               std::decay_t<Handler>,
               typename Acceptor::protocol_type::socket::template rebind_executor<
                   typename Acceptor::executor_type>::other> &&
           std::invocable<std::decay_t<Refuse>&,
                          typename Acceptor::protocol_type::socket::template rebind_executor<
                              typename Acceptor::executor_type>::other>
[[nodiscard("co_await it, or give it a completion token")]] auto serve(
    Acceptor& acceptor, serve_options options, Handler&& handler, Refuse&& refuse,
    std::source_location location = std::source_location::current()) {
  return detail::serve(acceptor, std::move(options), std::forward<Handler>(handler),
                       std::forward<Refuse>(refuse), location);
}

}  // namespace sluice
