// examples/http_server.cpp's routes GET / and POST /echo, and its limits on time, with callbacks as
// Boost.Beast's own examples have them: a session object for each connection, on a strand.
//
//   http_asio_plain PORT THREADS
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

constexpr std::chrono::seconds idle_time{60};
constexpr std::chrono::seconds request_time{5};

response answer(const request& asked) {
  const std::string_view path(asked.target().data(), asked.target().size());
  response r(http::status::ok, asked.version());
  r.set(http::field::content_type, "text/plain");
  if (path == "/") {
    r.body() = "hello\n";
  } else if (path == "/echo") {
    r.body() = asked.body();
  } else {
    r.result(http::status::not_found);
    r.body() = "Not Found\n";
  }
  r.keep_alive(asked.keep_alive());
  r.prepare_payload();
  return r;
}

class session : public std::enable_shared_from_this<session> {
 public:
  explicit session(tcp::socket&& socket) : stream_(std::move(socket)) {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }

  void start() {
    asio::dispatch(stream_.get_executor(), [self = shared_from_this()] { self->wait(); });
  }

 private:
  void wait() {
    if (buffer_.size() > 0) return read();
    stream_.expires_after(idle_time);
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = shared_from_this()](error_code e, std::size_t n) {
                              self->buffer_.commit(n);
                              if (!e) self->read();
                            });
  }

  void read() {
    parser_.emplace();
    stream_.expires_after(request_time);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code e, std::size_t) {
                       if (!e) self->write();
                     });
  }

  void write() {
    response_ = answer(parser_->get());
    stream_.expires_after(request_time);
    http::async_write(stream_, response_, [self = shared_from_this()](error_code e, std::size_t) {
      if (!e && self->response_.keep_alive()) self->wait();
    });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  response response_;
};

class listener {
 public:
  listener(asio::io_context& io, unsigned short port)
      : io_(io), acceptor_(io, {asio::ip::address_v4::loopback(), port}) {}

  [[nodiscard]] unsigned short port() const { return acceptor_.local_endpoint().port(); }

  void accept() {
    acceptor_.async_accept(asio::make_strand(io_), [this](error_code e, tcp::socket socket) {
      if (!e) std::make_shared<session>(std::move(socket))->start();
      accept();
    });
  }

 private:
  asio::io_context& io_;
  tcp::acceptor acceptor_;
};

int main(int argc, char* argv[]) {
  const int port = argc == 3 ? std::atoi(argv[1]) : -1;
  const int threads = argc == 3 ? std::atoi(argv[2]) : 0;
  if (port < 0 || port > 65535 || threads < 1) {
    std::fputs("usage: http_asio_plain PORT THREADS\n", stderr);
    return 2;
  }
  asio::io_context io(threads);
  listener l(io, static_cast<unsigned short>(port));
  l.accept();
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](error_code, int) { io.stop(); });
  std::printf("listening on %d\n", l.port());
  std::fflush(stdout);
  std::vector<std::jthread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back([&] { io.run(); });
  io.run();
  return 0;
}
