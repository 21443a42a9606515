// SPDX-License-Identifier: BSL-1.0
// An HTTP/1.1 server on Boost.Beast. `sluice::serve` gives every connection a goroutine, which
// reads and answers one request after another; `timeout` limits how long a request may take to
// arrive and an answer to be taken, and a worker pool how much slow work is accepted. The Go
// counterpart is net/http.
//
//   http_server PORT [--threads N] [--connections N] [--idle-ms N] [--request-ms N] [--workers N]
//               [--queue N] [--left-ms N] [--grace-ms N]
//
//   GET /          says hello
//   POST /echo     gives back the body
//   GET /slow/MS   has a worker do something that takes so many milliseconds; if all are busy and
//                  the queue is full it says 503 at once; if the client leaves the work ends
//
// It listens on 127.0.0.1 (PORT 0: the system chooses one) until SIGINT or SIGTERM; then it answers
// the requests that have begun to arrive, closes every connection, and says how much it has served.
// What has not ended within the grace time, or at a second signal, is cut off.
//
// What is bounded: connections, one too many is told 503; what is read and not understood yet, at
// 16 KiB for each connection, beyond which the request is refused; headers at 8 KiB (431) and
// bodies at 1 MiB (413); one answer for each connection, and no more is read before it has been
// taken; jobs that wait for a worker (503).
#include "http_server/service.hpp"
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <chrono>
#include <cstdio>
#include <utility>

namespace asio = boost::asio;
using asio::ip::tcp;

struct options : server_arguments {
  unsigned idle_ms = 60'000;
  unsigned request_ms = 5'000;
  unsigned workers = 4;
  unsigned queue = 16;
  unsigned left_ms = 400;
  unsigned grace_ms = 10'000;
};

int main(int argc, char* argv[]) {
  constexpr unsigned day = 86'400'000;
  options o;
  command_line line("http_server", "Answers GET /, POST /echo and GET /slow/MS on 127.0.0.1.");
  line.positional("PORT", o.port, 0, 65535, "where to listen; 0: the system chooses");
  line.option("--threads", o.threads, 1, 256, "how many threads run it");
  line.option("--connections", o.connections, 1, 1'000'000, "how many at a time; more get a 503");
  line.option("--idle-ms", o.idle_ms, 0, day, "how long to wait for a request; 0: for ever");
  line.option("--request-ms", o.request_ms, 0, day,
              "how long a request may take to arrive, or an answer to be taken; 0: for ever");
  line.option("--workers", o.workers, 1, 10'000, "how many do slow work");
  line.option("--queue", o.queue, 0, 1'000'000,
              "how much slow work waits; for more there is a 503");
  line.option("--left-ms", o.left_ms, 0, day,
              "how long slow work goes on for a client that has ended its stream");
  line.option("--grace-ms", o.grace_ms, 0, day, "how long requests may go on after a signal");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;

  return run_program("http_server", [&] {
    server_loop loop(o);
    http_service<tcp::socket> service(loop.io, {.idle = limit_of(o.idle_ms),
                                                .request = limit_of(o.request_ms),
                                                .left = std::chrono::milliseconds(o.left_ms),
                                                .workers = o.workers,
                                                .queue = o.queue});
    loop.options.grace = std::chrono::milliseconds(o.grace_ms);
    const auto serve_one = [&](tcp::socket socket, sluice::server_connection connection) {
      return service.serve(std::move(socket), std::move(connection));
    };
    sluice::serve(loop.acceptor, loop.options, serve_one, http_service<tcp::socket>::refuse)(
        [&](sluice::error_code e, sluice::serve_result result) {
          service.stop()(asio::bind_executor(loop.io, asio::detached));
          loop.ended()(e, result);  // and then io.run() returns
        });
    loop.run();
    std::printf("served %zu requests on %zu connections\n", service.requests(), loop.result.served);
  });
}
