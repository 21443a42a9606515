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
#include <csignal>
#include <cstdio>
#include <utility>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using std::chrono::milliseconds;

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
  unsigned port = 0, threads = 1, connections = 10'000, idle_ms = 60'000;
  command_line line("echo_server", "Sends back what it gets, on 127.0.0.1.");
  line.positional("PORT", port, 0, 65535, "where to listen; 0: the system chooses");
  line.positional("THREADS", threads, 1, 256, "how many threads run it (1)", false);
  line.option("--connections", connections, 1, 1'000'000, "how many at a time; more wait");
  line.option("--idle-ms", idle_ms, 0, 86'400'000, "a silent connection is closed; 0: never");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;

  return run_program("echo_server", [&] {
    asio::io_context io(static_cast<int>(threads));
    tcp::acceptor acceptor(io,
                           {asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)});
    sluice::serve_options options;
    options.max_connections = connections;
    options.grace = {};
    options.signals = {SIGINT, SIGTERM};
    const auto idle = limit_of(idle_ms);
    sluice::serve_result result;
    sluice::serve(acceptor, options, [&](tcp::socket socket) {
      return echo(std::move(socket), idle);
    })([&](error_code e, sluice::serve_result r) {
      if (e) throw sluice::system_error(e);
      result = r;
    });
    std::printf("listening on %d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    sluice::run_threads(io, threads);  // until the last goroutine has ended
    std::printf("served %zu connections\n", result.served);
  });
}
