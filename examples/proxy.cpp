// SPDX-License-Identifier: BSL-1.0
// A TCP proxy: what comes over a connection goes on to a target, and back. Three goroutines for
// each connection, one that copies each way and one that watches them, share a strand, and so need
// no locks. The Go counterpart is two goroutines with io.Copy and CloseWrite.
//
//   proxy PORT TARGET_HOST TARGET_PORT [--threads N] [--connections N] [--idle-ms N] [--connect-ms
//   N]
//
// An end of one direction is passed on while the other goes on, and a reset as a reset. A
// connection on which nothing has moved for the idle time is closed. It listens on 127.0.0.1 (PORT
// 0: the system chooses one) until SIGINT or SIGTERM; then it closes every connection and says what
// it has carried. What is bounded: connections, of which the next one waits until another has
// ended; what has been read and not been passed on, at 32 KiB each way: no more is read before that
// is taken.
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using sluice::on;
using std::chrono::milliseconds;

constexpr auto as_result = asio::as_tuple(sluice::use_task);

struct options : server_arguments {
  options() { connections = connections_at_most(2); }
  std::string target_host;
  unsigned target_port = 0;
  unsigned idle_ms = 300'000;
  unsigned connect_ms = 5'000;
};

/// Two sockets whose bytes are exchanged. Used on the strand of both.
class connection {
 public:
  connection(tcp::socket c, milliseconds idle)
      : client(std::move(c)), target(client.get_executor()), idle_time_(idle) {}

  tcp::socket client;
  tcp::socket target;

  /// Something has moved.
  void touch() { last_moved_ = sluice::clock::now(); }
  [[nodiscard]] bool idle() const { return sluice::clock::now() - last_moved_ >= idle_time_; }
  [[nodiscard]] sluice::clock::duration idle_in() const {
    if (idle_time_ == milliseconds::max()) return sluice::clock::duration::max();
    return last_moved_ + idle_time_ - sluice::clock::now();
  }

  /// Every operation on the sockets ends. With a reset nobody takes what has come for all of it.
  void close(bool with_reset) {
    error_code ignored;
    for (auto* const socket : {&client, &target}) {
      if (with_reset) socket->set_option(asio::socket_base::linger(true, 0), ignored);
      socket->close(ignored);
    }
  }

 private:
  const milliseconds idle_time_;
  sluice::clock::time_point last_moved_ = sluice::clock::now();
};

class proxy {
 public:
  proxy(server_loop& loop, const options& o)
      : options_(o),
        target_(tcp::resolver(loop.io).resolve(o.target_host, std::to_string(o.target_port))) {
    loop.options.grace = {};
    sluice::serve(loop.acceptor, loop.options,
                  [this](tcp::socket client) { return serve(std::move(client)); })(loop.ended());
  }

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  sluice::task<> serve(tcp::socket client) {
    const auto strand = co_await asio::this_coro::executor;
    connection c(std::move(client), limit_of(options_.idle_ms));
    const auto [error, endpoint] = co_await sluice::timeout(
        asio::async_connect(c.target, target_, as_result), limit_of(options_.connect_ms));
    if (error) {
      c.close(true);
      throw sluice::system_error(error, "connect");
    }
    error_code ignored;
    c.client.set_option(tcp::no_delay(true), ignored);
    c.target.set_option(tcp::no_delay(true), ignored);
    c.touch();
    sluice::wait_group directions;
    // They refer to c, which stays until they have been waited for, below.
    directions.go(strand, copy(c, c.client, c.target));
    directions.go(strand, copy(c, c.target, c.client));
    try {
      for (bool open = true; open;)
        co_await sluice::select(on(directions.wait(), [&] { open = false; }),
                                on(sluice::sleep_for(c.idle_in()), [&] { open = !c.idle(); }));
    } catch (...) {
      // The proxy is being stopped, or memory is out: the connection ends either way.
    }
    c.close(directions.count() != 0);  // with a reset if a direction is still going on
    // Being stopped ends every wait; this one has to last until both copies have ended.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await directions.wait();
  }

  /// Copies one direction until its end, which it passes on, or until an error, which ends both.
  sluice::task<> copy(connection& c, tcp::socket& from, tcp::socket& to) {
    std::vector<char> data(1 << 15);
    for (;;) {
      const auto [read_error, n] = co_await from.async_read_some(asio::buffer(data), as_result);
      if (read_error == asio::error::eof) {
        error_code ignored;
        to.shutdown(tcp::socket::shutdown_send, ignored);
        co_return;
      }
      if (read_error) break;
      c.touch();
      const auto [write_error, written] =
          co_await asio::async_write(to, asio::buffer(data, n), as_result);
      if (write_error) break;
      c.touch();
      bytes_ += written;
    }
    c.close(true);
  }

  const options options_;
  const tcp::resolver::results_type target_;
  std::atomic<std::uint64_t> bytes_ = 0;
};

int main(int argc, char* argv[]) {
  constexpr unsigned day = 86'400'000;
  options o;
  command_line line("proxy", "Passes connections to 127.0.0.1 on to a target.");
  line.positional("PORT", o.port, 0, 65535, "where to listen; 0: the system chooses");
  line.positional("TARGET_HOST", o.target_host, "the target's name or address");
  line.positional("TARGET_PORT", o.target_port, 1, 65535, "the target's port");
  line.option("--threads", o.threads, 1, 256, "how many threads run it");
  line.option("--connections", o.connections, 1, 1'000'000, "how many at a time; more wait");
  line.option("--idle-ms", o.idle_ms, 0, day, "where nothing moves is closed; 0: never");
  line.option("--connect-ms", o.connect_ms, 0, day, "how long the target may take; 0: for ever");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;

  return run_program("proxy", [&] {
    server_loop loop(o);
    const proxy p(loop, o);
    loop.run();
    std::printf("carried %llu bytes on %zu connections\n",
                static_cast<unsigned long long>(p.bytes()), loop.result.served);
  });
}
