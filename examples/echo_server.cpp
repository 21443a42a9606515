// SPDX-License-Identifier: BSL-1.0
// A TCP echo server in a program of its own making: its io_context, its threads, Asio's acceptor
// and sockets. `sluice::serve` gives every connection a goroutine.
//
//   echo_server PORT [THREADS] [--connections N] [--idle-ms N]
//
// PORT 0: the system chooses a free one. It listens on 127.0.0.1 until SIGINT or SIGTERM; then it
// closes every connection and ends. What is bounded: connections, of which the next one waits until
// another has ended; the time in which a connection says nothing or takes nothing, after which it
// is closed; what has been read and not been sent back, at 4 KiB for each connection: no more is
// read before that has been taken.
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <chrono>
#include <cstdio>
#include <utility>

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

/// Gives (error, result) instead of throwing.
constexpr auto as_result = asio::as_tuple(asio::deferred);

/// Sends back what comes until the client has sent everything or the connection has failed.
sluice::task<> echo(tcp::socket socket, milliseconds idle) {
  char data[4096];
  for (;;) {
    const auto [read_error, n] =
        co_await sluice::timeout(socket.async_read_some(asio::buffer(data), as_result), idle);
    if (read_error) break;  // asio::error::eof: all of it has been sent back
    const auto [write_error, written] =
        co_await sluice::timeout(asio::async_write(socket, asio::buffer(data, n), as_result), idle);
    if (write_error) break;
  }
}

int main(int argc, char* argv[]) {
  server_arguments server{.threads = 1};
  unsigned idle_ms = 60'000;
  command_line line("echo_server", "Sends back what it gets, on 127.0.0.1.");
  line.positional("PORT", server.port, 0, 65535, "where to listen; 0: the system chooses");
  line.positional("THREADS", server.threads, 1, 256, "how many threads run it (1)", false);
  line.option("--connections", server.connections, 1, 1'000'000, "how many at a time; more wait");
  line.option("--idle-ms", idle_ms, 0, 86'400'000, "a silent connection is closed; 0: never");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;

  return run_program("echo_server", [&] {
    server_loop loop(server);
    loop.options.grace = {};  // none: at a signal connections are cut off at once
    const auto idle = limit_of(idle_ms);
    // `serve` gives an operation; the handler that it is given is told when the server has ended.
    sluice::serve(loop.acceptor, loop.options,
                  [&](tcp::socket socket) { return echo(std::move(socket), idle); })(loop.ended());
    loop.run();
    std::printf("served %zu connections\n", loop.result.served);
  });
}
