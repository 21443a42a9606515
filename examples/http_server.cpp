// An HTTP/1.1 server on Boost.Beast. Every connection is one goroutine, which reads and answers one
// request after another; `timeout` limits how long a request may take to arrive and an answer to be
// taken, and a worker pool how much slow work is accepted. The Go counterpart is net/http.
//
//   http_server PORT [--threads N] [--idle-ms N] [--request-ms N] [--workers N] [--queue N]
//
//   GET /          says hello
//   POST /echo     gives back the body
//   GET /slow/MS   has a worker do something that takes so many milliseconds; if all are busy and
//                  the queue is full it says 503 at once
//
// It listens on 127.0.0.1 (PORT 0: the system chooses one) until SIGINT or SIGTERM; then it answers
// the requests that have begun to arrive, closes every connection, and says how much it has served.
#include <sluice.hpp>

#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using sluice::error_code;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

constexpr auto as_result = asio::as_tuple(sluice::use_task);

struct options {
  unsigned port = 0;
  unsigned threads = 2;
  unsigned idle_ms = 60'000;
  unsigned request_ms = 5'000;
  unsigned workers = 4;
  unsigned queue = 16;
};

response make_response(http::status status, std::string body) {
  response r(status, 11);
  r.set(http::field::content_type, "text/plain");
  r.body() = std::move(body);
  r.prepare_payload();
  return r;
}

response make_error(http::status status) {
  return make_response(status, std::string(http::obsolete_reason(status)) + '\n');
}

/// What to say about a request that could not be read; nothing if there is nobody to say it to.
std::optional<response> refusal(error_code e) {
  std::optional<response> r;
  if (e == asio::error::timed_out)
    r = make_error(http::status::request_timeout);
  else if (e == http::error::header_limit)
    r = make_error(http::status::request_header_fields_too_large);
  else if (e == http::error::body_limit)
    r = make_error(http::status::payload_too_large);
  else if (e != http::error::end_of_stream &&
           e.category() == error_code(http::error::bad_method).category())
    r = make_error(http::status::bad_request);
  if (r) r->keep_alive(false);  // where the next request would begin is unknown
  return r;
}

/// Reads a decimal number of at most `limit`.
bool parse(std::string_view text, unsigned limit, unsigned& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number <= limit;
}

class http_server {
 public:
  http_server(asio::io_context& io, const options& o)
      : idle_time_(o.idle_ms),
        request_time_(o.request_ms),
        acceptor_(io, {asio::ip::address_v4::loopback(), static_cast<unsigned short>(o.port)}),
        signals_(io, SIGINT, SIGTERM),
        workers_(io, {.workers = o.workers, .queue_capacity = o.queue}, do_slow_work) {
    sluice::go(io, run());
  }

  [[nodiscard]] unsigned short port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] std::size_t requests() const { return requests_; }
  [[nodiscard]] std::size_t connections() const { return connections_so_far_; }

 private:
  sluice::task<> run() {
    sluice::go(stopping_.ctx, accept_connections());
    co_await signals_.async_wait(sluice::use_task);
    stopping_.cancel();
    co_await connections_.wait();
    co_await workers_.stop();
  }

  /// Bound to the context: its waits end when the server stops.
  sluice::task<> accept_connections() {
    while (!stopping_.ctx.err()) {
      auto [error, socket] = co_await acceptor_.async_accept(as_result);
      if (!error) {
        ++connections_so_far_;
        connections_.go(serve(std::move(socket)));
      } else if (!stopping_.ctx.err() && error != asio::error::connection_aborted) {
        // Out of descriptors or memory, most likely. Connections that end give them back.
        std::fprintf(stderr, "accept: %s\n", error.message().c_str());
        co_await sluice::sleep_for(100ms)(as_result);
      }
    }
    acceptor_.close();
  }

  // --- a connection

  sluice::task<> serve(tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    boost::beast::flat_buffer buffer;
    for (bool open = true; open;) {
      if (buffer.size() == 0) {
        const bool begins = co_await request_begins(socket, buffer);
        if (!begins) break;
      }
      http::request_parser<http::string_body> parser;
      const auto [read_error, n] = co_await sluice::timeout(
          http::async_read(socket, buffer, parser, as_result), request_time_);
      std::optional<response> r;
      if (read_error)
        r = refusal(read_error);
      else
        r = co_await answer(parser.get());
      if (!r) break;
      if (stopping_.ctx.err()) r->keep_alive(false);
      const auto [write_error, written] =
          co_await sluice::timeout(http::async_write(socket, *r, as_result), request_time_);
      if (!write_error) ++requests_;
      open = !write_error && r->keep_alive();
      if (!open && (read_error || socket.available(ignored) > 0)) co_await discard_rest(socket);
    }
  }

  /// Waits for the next request. A connection that waits here is idle: a server that stops need not
  /// wait for it.
  sluice::task<bool> request_begins(tcp::socket& socket, boost::beast::flat_buffer& buffer) {
    auto event = co_await sluice::select(socket.async_read_some(buffer.prepare(4096), as_result),
                                         sluice::sleep_for(idle_time_), stopping_.ctx.done());
    if (event.index() != 0) co_return false;
    const auto [error, n] = event.get<0>();
    buffer.commit(n);
    co_return !error;
  }

  /// Takes what the client is still sending: to close at once would reset the connection, and the
  /// client might never see the answer.
  sluice::task<> discard_rest(tcp::socket& socket) {
    error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    std::string rest;
    co_await sluice::timeout(
        asio::async_read(socket, asio::dynamic_buffer(rest, 1 << 20), as_result), 500ms);
  }

  // --- the routes

  sluice::task<response> answer(const request& asked) {
    response r = co_await route(asked);
    r.version(asked.version());
    r.keep_alive(asked.keep_alive());
    if (asked.method() == http::verb::head) r.body().clear();
    co_return r;
  }

  sluice::task<response> route(const request& asked) {
    const std::string_view path(asked.target().data(), asked.target().size());
    const bool get = asked.method() == http::verb::get || asked.method() == http::verb::head;
    unsigned ms = 0;
    if (path == "/" && !get) co_return make_error(http::status::method_not_allowed);
    if (path == "/") co_return make_response(http::status::ok, "hello\n");
    if (path == "/echo") co_return make_response(http::status::ok, asked.body());
    if (path.starts_with("/slow/") && parse(path.substr(6), 60'000, ms))
      co_return co_await answer_slowly(milliseconds(ms));
    co_return make_error(http::status::not_found);
  }

  /// Has a worker do it. A pool that takes no more is what keeps a busy server from drowning.
  sluice::task<response> answer_slowly(milliseconds time) {
    const auto result = sluice::make_channel<std::string>(1);
    const auto tell = [result](std::exception_ptr failure, std::string text) {
      if (!failure) result.try_send(std::move(text));
      result.close();
    };
    const bool accepted = workers_.try_submit(std::move(time), tell);
    if (!accepted) co_return make_error(http::status::service_unavailable);
    auto text = co_await result.receive();
    if (!text) co_return make_error(http::status::internal_server_error);
    co_return make_response(http::status::ok, *std::move(text));
  }

  /// Stands for a query that a database takes so long to answer.
  static sluice::task<std::string> do_slow_work(milliseconds time) {
    co_await sluice::sleep_for(time);
    co_return "took " + std::to_string(time.count()) + " ms\n";
  }

  const milliseconds idle_time_;
  const milliseconds request_time_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  const sluice::cancellable_context stopping_ = sluice::with_cancel(sluice::context::background());
  sluice::worker_pool<milliseconds, std::string> workers_;
  sluice::wait_group connections_;
  std::size_t connections_so_far_ = 0;
  std::atomic<std::size_t> requests_ = 0;
};

std::optional<options> parse(int argc, char* argv[]) {
  options o;
  if (argc % 2 != 0 || !parse(argv[1], 65535, o.port)) return std::nullopt;
  for (int i = 2; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const bool known = (name == "--threads" && parse(argv[i + 1], 256, o.threads)) ||
                       (name == "--idle-ms" && parse(argv[i + 1], 86'400'000, o.idle_ms)) ||
                       (name == "--request-ms" && parse(argv[i + 1], 86'400'000, o.request_ms)) ||
                       (name == "--workers" && parse(argv[i + 1], 10'000, o.workers)) ||
                       (name == "--queue" && parse(argv[i + 1], 1'000'000, o.queue));
    if (!known || o.threads == 0 || o.workers == 0) return std::nullopt;
  }
  return o;
}

int main(int argc, char* argv[]) {
  const auto o = parse(argc, argv);
  if (!o) {
    std::fputs(
        "usage: http_server PORT [--threads N] [--idle-ms N] [--request-ms N] [--workers N] "
        "[--queue N]\n",
        stderr);
    return 2;
  }
  try {
    asio::io_context io(static_cast<int>(o->threads));
    http_server server(io, *o);
    std::printf("listening on %d\n", server.port());
    std::fflush(stdout);

    std::vector<std::jthread> others;
    for (unsigned i = 1; i < o->threads; ++i) others.emplace_back([&] { io.run(); });
    io.run();  // ends with the last goroutine
    others.clear();

    std::printf("served %zu requests on %zu connections\n", server.requests(),
                server.connections());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "http_server: %s\n", e.what());
    return 1;
  }
}
