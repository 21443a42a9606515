// A TCP proxy: what comes over a connection goes on to a target, and back. Three goroutines for
// each connection, one that copies each way and one that watches them, share a strand, and so need
// no locks. The Go counterpart is two goroutines with io.Copy and CloseWrite.
//
//   proxy PORT TARGET_HOST TARGET_PORT [--threads N] [--idle-ms N] [--connect-ms N]
//
// An end of one direction is passed on while the other goes on. A connection on which nothing has
// moved for the idle time is closed. It listens on 127.0.0.1 (PORT 0: the system chooses one) until
// SIGINT or SIGTERM; then it closes every connection and says what it has carried.
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using sluice::on;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr auto as_result = asio::as_tuple(sluice::use_task);

struct options {
  unsigned port = 0;
  std::string target_host;
  std::string target_port;
  unsigned threads = 2;
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
  [[nodiscard]] sluice::clock::time_point idle_at() const { return last_moved_ + idle_time_; }

  /// Every operation on the sockets ends.
  void close() {
    error_code ignored;
    client.close(ignored);
    target.close(ignored);
  }

 private:
  const milliseconds idle_time_;
  sluice::clock::time_point last_moved_ = sluice::clock::now();
};

class proxy {
 public:
  proxy(asio::io_context& io, const options& o)
      : options_(o),
        executor_(sluice::get_executor(io)),
        acceptor_(io, {asio::ip::address_v4::loopback(), static_cast<unsigned short>(o.port)}),
        signals_(io, SIGINT, SIGTERM) {
    target_ = tcp::resolver(io).resolve(o.target_host, o.target_port);
    sluice::go(stopping_.ctx, io, accept_connections());
    sluice::go(io, stop_at_signal());
  }

  [[nodiscard]] unsigned short port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] std::size_t connections() const { return connections_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  /// Bound to the context: its waits end when the proxy stops.
  sluice::task<> accept_connections() {
    while (!stopping_.ctx.err()) {
      const auto strand = asio::make_strand(executor_);
      auto [error, socket] = co_await acceptor_.async_accept(strand, as_result);
      if (!error) {
        ++connections_;
        sluice::go(strand, serve(std::move(socket)));
      } else if (!stopping_.ctx.err() && error != asio::error::connection_aborted) {
        // Out of descriptors or memory, most likely. Connections that end give them back.
        std::fprintf(stderr, "accept: %s\n", error.message().c_str());
        co_await sluice::sleep_for(100ms)(as_result);
      }
    }
    acceptor_.close();
  }

  sluice::task<> stop_at_signal() {
    co_await signals_.async_wait(sluice::use_task);
    stopping_.cancel();
  }

  sluice::task<> serve(tcp::socket client) {
    connection c(std::move(client), milliseconds(options_.idle_ms));
    auto unless_stopped = sluice::bind_context(stopping_.ctx, as_result);
    const auto [error, endpoint] = co_await sluice::timeout(
        asio::async_connect(c.target, target_, unless_stopped), milliseconds(options_.connect_ms));
    if (error) {
      if (!stopping_.ctx.err()) std::fprintf(stderr, "connect: %s\n", error.message().c_str());
      co_return;
    }
    error_code ignored;
    c.client.set_option(tcp::no_delay(true), ignored);
    c.target.set_option(tcp::no_delay(true), ignored);
    c.touch();
    sluice::wait_group directions;
    directions.go(c.client.get_executor(), copy(c, c.client, c.target));
    directions.go(c.client.get_executor(), copy(c, c.target, c.client));
    for (bool open = true; open;) {
      co_await sluice::select(
          on(directions.wait(), [&] { open = false; }),
          on(stopping_.ctx.done(), [&] { open = false; }),
          on(sluice::sleep_until(c.idle_at()), [&] { open = sluice::clock::now() < c.idle_at(); }));
    }
    c.close();
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
    c.close();
  }

  const options options_;
  const sluice::executor executor_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  tcp::resolver::results_type target_;
  const sluice::cancellable_context stopping_ = sluice::with_cancel(sluice::context::background());
  std::size_t connections_ = 0;
  std::atomic<std::uint64_t> bytes_ = 0;
};

/// Reads a decimal number of at most `limit`.
bool parse(std::string_view text, unsigned limit, unsigned& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number <= limit;
}

std::optional<options> parse(int argc, char* argv[]) {
  options o;
  if (argc < 4 || argc % 2 != 0 || !parse(argv[1], 65535, o.port)) return std::nullopt;
  o.target_host = argv[2];
  o.target_port = argv[3];
  for (int i = 4; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const bool known = (name == "--threads" && parse(argv[i + 1], 256, o.threads)) ||
                       (name == "--idle-ms" && parse(argv[i + 1], 86'400'000, o.idle_ms)) ||
                       (name == "--connect-ms" && parse(argv[i + 1], 86'400'000, o.connect_ms));
    if (!known || o.threads == 0) return std::nullopt;
  }
  return o;
}

int main(int argc, char* argv[]) {
  const auto o = parse(argc, argv);
  if (!o) {
    std::fputs(
        "usage: proxy PORT TARGET_HOST TARGET_PORT [--threads N] [--idle-ms N] [--connect-ms N]\n",
        stderr);
    return 2;
  }
  try {
    asio::io_context io(static_cast<int>(o->threads));
    proxy p(io, *o);
    std::printf("listening on %d\n", p.port());
    std::fflush(stdout);

    std::vector<std::jthread> others;
    for (unsigned i = 1; i < o->threads; ++i) others.emplace_back([&] { io.run(); });
    io.run();  // ends with the last goroutine
    others.clear();

    std::printf("carried %llu bytes on %zu connections\n",
                static_cast<unsigned long long>(p.bytes()), p.connections());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "proxy: %s\n", e.what());
    return 1;
  }
}
