// A TCP echo server in a program of its own making: its io_context, its threads, Asio's acceptor,
// sockets and signals. Every connection is one goroutine.
//
//   echo_server PORT [THREADS]     PORT 0: the system chooses a free one
//
// It listens on 127.0.0.1 until SIGINT or SIGTERM; then it closes every connection and ends.
#include <sluice.hpp>

#include <boost/asio.hpp>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <list>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using sluice::error_code;
using namespace std::chrono_literals;

constexpr auto as_result = asio::as_tuple(asio::deferred);

/// Sends back what comes until the client has sent everything or the connection has failed.
sluice::task<> echo(std::shared_ptr<tcp::socket> socket) {
  char data[4096];
  for (;;) {
    const auto [read_error, n] = co_await socket->async_read_some(asio::buffer(data), as_result);
    if (read_error) break;  // asio::error::eof: all of it has been sent back
    const auto [write_error, written] =
        co_await asio::async_write(*socket, asio::buffer(data, n), as_result);
    if (write_error) break;
  }
  error_code ignored;
  socket->close(ignored);
}

/// Everything here happens on `strand_`; a connection is touched on its socket's strand only.
class server {
 public:
  server(asio::io_context& io, unsigned short port)
      : executor_(sluice::get_executor(io)),
        acceptor_(strand_, tcp::endpoint(asio::ip::address_v4::loopback(), port)),
        signals_(strand_, SIGINT, SIGTERM) {
    sluice::go(strand_, accept_connections());
    sluice::go(strand_, stop_at_signal());
  }

  [[nodiscard]] unsigned short port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] std::size_t served() const { return served_; }

 private:
  sluice::task<> accept_connections() {
    while (acceptor_.is_open()) {
      auto [error, socket] =
          co_await acceptor_.async_accept(asio::make_strand(executor_), as_result);
      if (!error) {
        start(std::move(socket));
      } else if (acceptor_.is_open() && error != asio::error::connection_aborted) {
        // Out of descriptors or memory, most likely. Connections that end give them back.
        std::fprintf(stderr, "accept: %s\n", error.message().c_str());
        co_await sluice::sleep_for(100ms);
      }
    }
  }

  void start(tcp::socket accepted) {
    if (!acceptor_.is_open()) return;  // accepted while the server was being stopped
    const auto socket = std::make_shared<tcp::socket>(std::move(accepted));
    const auto place = connections_.insert(connections_.end(), socket);
    ++served_;
    sluice::go(socket->get_executor(), echo(socket),
               asio::bind_executor(
                   strand_, [this, place](std::exception_ptr) { connections_.erase(place); }));
  }

  sluice::task<> stop_at_signal() {
    co_await signals_.async_wait(asio::deferred);
    acceptor_.close();
    for (const auto& socket : connections_) {
      asio::post(socket->get_executor(), [socket] {
        error_code ignored;
        socket->close(ignored);  // what its goroutine waits for ends with an error
      });
    }
  }

  const sluice::executor executor_;
  const asio::strand<sluice::executor> strand_{executor_};
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  std::list<std::shared_ptr<tcp::socket>> connections_;
  std::size_t served_ = 0;
};

/// Reads a decimal number of at most `limit`.
bool parse(const char* text, unsigned limit, unsigned& number) {
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, number);
  return error == std::errc() && rest == end && number <= limit;
}

int main(int argc, char* argv[]) {
  unsigned port = 0;
  unsigned threads = 1;
  if (argc < 2 || argc > 3 || !parse(argv[1], 65535, port) ||
      (argc == 3 && !parse(argv[2], 256, threads)) || threads == 0) {
    std::fputs("usage: echo_server PORT [THREADS]\n", stderr);
    return 2;
  }
  try {
    asio::io_context io(static_cast<int>(threads));
    server echo_server(io, static_cast<unsigned short>(port));
    std::printf("listening on %d\n", echo_server.port());
    std::fflush(stdout);

    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back([&] { io.run(); });
    io.run();  // ends with the last goroutine
    others.clear();

    std::printf("served %zu connections\n", echo_server.served());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "echo_server: %s\n", e.what());
    return 1;
  }
}
