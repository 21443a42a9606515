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
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using sluice::error_code;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

/// A parser that knows where the trailer of a chunked body begins in what it is given.
class request_parser : public http::request_parser<http::string_body> {
 public:
  request_parser() { on_chunk_header(note_last_chunk_); }

  /// What of a text that it has just parsed is header or trailer.
  [[nodiscard]] std::string_view fields_of(std::string_view parsed, bool in_body) const {
    if (!in_body) return parsed;
    return trailer_ ? parsed.substr(static_cast<std::size_t>(trailer_ - parsed.data())) : "";
  }

 private:
  std::function<void(std::uint64_t, beast::string_view, error_code&)> note_last_chunk_ =
      [this](std::uint64_t size, beast::string_view extensions, error_code&) {
        if (size == 0) trailer_ = extensions.data() + extensions.size();
      };
  const char* trailer_ = nullptr;
};

constexpr auto as_result = asio::as_tuple(sluice::use_task);
constexpr std::size_t most_buffered = 16 * 1024;

struct options : server_arguments {
  unsigned idle_ms = 60'000;
  unsigned request_ms = 5'000;
  unsigned workers = 4;
  unsigned queue = 16;
  unsigned left_ms = 400;
  unsigned grace_ms = 10'000;
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

/// An error that ends the connection: where the next request would begin is unknown.
response make_refusal(http::status status) {
  response r = make_error(status);
  r.keep_alive(false);
  return r;
}

/// What to say about a request that could not be read; nothing if there is nobody to say it to.
std::optional<response> refusal(error_code e) {
  if (e == asio::error::timed_out) return make_refusal(http::status::request_timeout);
  if (e == http::error::header_limit)
    return make_refusal(http::status::request_header_fields_too_large);
  if (e == http::error::body_limit) return make_refusal(http::status::payload_too_large);
  if (e != http::error::end_of_stream &&
      e.category() == error_code(http::error::bad_method).category())
    return make_refusal(http::status::bad_request);
  return std::nullopt;
}

/// Whether a field Host can be one: a name or an address, perhaps a port (RFC 9110, 7.2).
bool is_host(std::string_view text) {
  const auto has_only = [](std::string_view s, std::string_view others) {
    return std::ranges::all_of(s, [&](unsigned char c) {
      return (c < 0x80 && std::isalnum(c)) || others.find(static_cast<char>(c)) != others.npos;
    });
  };
  std::string_view port;
  if (const auto colon = text.rfind(':'); colon != text.npos && !text.ends_with(']')) {
    port = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  if (!std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; })) return false;
  if (text.starts_with('[') && text.ends_with(']'))
    return has_only(text.substr(1, text.size() - 2), ":.-_~!$&'()*+;=");
  return has_only(text, ".-_~!$&'()*+;=%");
}

/// Whom a target in the absolute form names; nothing if it is in another form.
std::optional<std::string_view> authority_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!beast::iequals(target.substr(0, scheme.size()), scheme)) continue;
    const auto rest = target.substr(scheme.size());
    return rest.substr(0, rest.find_first_of("/?"));
  }
  return std::nullopt;
}

/// What is wrong with a header that could be read: RFC 9112, 3.2 and 6.1; RFC 9110, 10.1.1.
std::optional<http::status> objection(const request& asked) {
  const auto hosts = asked.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && asked.version() >= 11)) return http::status::bad_request;
  if (!is_host(asked[http::field::host])) return http::status::bad_request;
  const auto authority = authority_of(asked.target());
  if (authority && (authority->empty() || !is_host(*authority))) return http::status::bad_request;
  if (const auto codings = asked.count(http::field::transfer_encoding)) {
    // Where such a body ends, others may see differently.
    if (asked.version() < 11 || codings > 1 || asked.count(http::field::content_length))
      return http::status::bad_request;
    if (!beast::iequals(asked[http::field::transfer_encoding], "chunked"))
      return http::status::not_implemented;
  }
  const auto expected = asked.equal_range(http::field::expect);
  for (auto e = expected.first; e != expected.second; ++e)
    if (!beast::iequals(e->value(), "100-continue")) return http::status::expectation_failed;
  return std::nullopt;
}

/// Whether any of its fields Connection says so; Beast looks at the first.
bool asks_to_close(const request& asked) {
  const auto fields = asked.equal_range(http::field::connection);
  return std::any_of(fields.first, fields.second, [](const auto& field) {
    return http::token_list(field.value()).exists("close");
  });
}

/// Whether a field goes on in the next line (obs-fold, RFC 9112, 5.2), which Beast would let pass.
bool is_folded(std::string_view fields) {
  return fields.find("\n ") != fields.npos || fields.find("\n\t") != fields.npos;
}

/// The path of a target: without the query, and without what precedes it in the absolute form.
std::string_view path_of(std::string_view target) {
  if (const auto authority = authority_of(target))
    target.remove_prefix(
        static_cast<std::size_t>(authority->data() + authority->size() - target.data()));
  target = target.substr(0, target.find('?'));
  return target.empty() ? "/" : target;
}

/// Reads a decimal number of at most `limit`.
bool parse(std::string_view text, unsigned limit, unsigned& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number <= limit;
}

/// Tells one that is too many, without waiting for it to listen.
void refuse(tcp::socket socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                 "Connection: close\r\n\r\n"),
                    ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

/// Some clients end a request with an empty line too many (RFC 9112, 2.2).
void skip_empty_lines(beast::flat_buffer& buffer, const request_parser& parser) {
  const auto begins = [&] {
    const auto data = buffer.cdata();
    return std::string_view(static_cast<const char*>(data.data()), data.size()).starts_with("\r\n");
  };
  while (!parser.got_some() && begins()) buffer.consume(2);
}

class http_server {
 public:
  http_server(server_loop& loop, const options& o)
      : idle_time_(limit_of(o.idle_ms)),
        request_time_(limit_of(o.request_ms)),
        patience_(o.left_ms),
        workers_(loop.io, {.workers = o.workers, .queue_capacity = o.queue}, do_slow_work) {
    loop.options.grace = milliseconds(o.grace_ms);
    const auto serve_one = [this](tcp::socket socket, sluice::server_connection connection) {
      return serve(std::move(socket), std::move(connection));
    };
    sluice::serve(loop.acceptor, loop.options, serve_one,
                  refuse)([this, &loop](error_code e, sluice::serve_result result) {
      // No request comes any more: the workers end, and then io.run() returns.
      workers_.stop()(asio::bind_executor(loop.io, asio::detached));
      loop.ended()(e, result);
    });
  }

  [[nodiscard]] std::size_t requests() const { return requests_; }

 private:
  sluice::task<> serve(tcp::socket socket, sluice::server_connection connection) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    beast::flat_buffer buffer(most_buffered);
    for (bool open = true; open;) {
      if (buffer.size() == 0) {
        const bool begins = co_await request_begins(socket, buffer, connection.stopping());
        if (!begins) break;
      }
      bool whole = false;
      std::optional<response> r = co_await answer_next(socket, buffer, connection.ctx(), whole);
      if (!r) break;
      if (connection.stopping().err() && buffer.size() == 0) r->keep_alive(false);
      const auto [write_error, written] =
          co_await sluice::timeout(http::async_write(socket, *r, as_result), request_time_);
      if (!write_error) ++requests_;
      open = !write_error && r->keep_alive();
      if (!open && (!whole || socket.available(ignored) > 0)) co_await discard_rest(socket);
    }
  }

  /// Waits for the next request. A connection that waits here is idle: a server that stops need not
  /// wait for it, but for what has been sent to it already.
  sluice::task<bool> request_begins(tcp::socket& socket, beast::flat_buffer& buffer,
                                    sluice::context stopping) {
    auto event = co_await sluice::select(socket.async_read_some(buffer.prepare(4096), as_result),
                                         sluice::sleep_for(idle_time_), stopping.done());
    // A read that has lost may have read something all the same.
    std::size_t n = 0;
    if (event.index() == 0)
      n = std::get<1>(event.get<0>());
    else if (const auto read = event.lost<0>())
      n = std::get<1>(std::get<0>(*read));
    if (event.index() == 2 && n == 0) {
      const auto last =
          co_await sluice::timeout(socket.async_read_some(buffer.prepare(4096), as_result), 100ms);
      n = std::get<1>(last);
    }
    buffer.commit(n);
    co_return n != 0;
  }

  /// Reads a request and gives what is to be said; nothing if there is nobody to say it to.
  /// @param whole Becomes true if all of the request has been read.
  sluice::task<std::optional<response>> answer_next(tcp::socket& socket, beast::flat_buffer& buffer,
                                                    sluice::context ctx, bool& whole) {
    request_parser parser;
    std::optional<response> r = co_await answer(socket, buffer, ctx, parser, whole);
    if (r && parser.get().method() == http::verb::head) r->body().clear();
    co_return r;
  }

  sluice::task<std::optional<response>> answer(tcp::socket& socket, beast::flat_buffer& buffer,
                                               sluice::context ctx, request_parser& parser,
                                               bool& whole) {
    const auto begun = sluice::clock::now();
    error_code e = co_await read(socket, buffer, parser, false, begun);
    if (e) co_return refusal(e);
    const request& asked = parser.get();
    if (const auto status = objection(asked)) co_return make_refusal(*status);
    if (!parser.is_done()) {
      if (asked.count(http::field::expect) && asked.version() >= 11 && buffer.size() == 0) {
        constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        const auto [write_error, written] = co_await sluice::timeout(
            asio::async_write(socket, asio::buffer(go_on), as_result), request_time_);
        if (write_error) co_return std::nullopt;
      }
      e = co_await read(socket, buffer, parser, true, begun);
      if (e) co_return refusal(e);
    }
    whole = true;
    std::optional<response> r = co_await route(asked, socket, ctx);
    if (!r) co_return std::nullopt;
    r->version(asked.version());
    r->keep_alive(asked.keep_alive() && !asks_to_close(asked));
    co_return r;
  }

  /// Reads until the parser has a header, or all of a request. What is in the buffer then belongs
  /// to what follows.
  sluice::task<error_code> read(tcp::socket& socket, beast::flat_buffer& buffer,
                                request_parser& parser, bool all, sluice::clock::time_point begun) {
    error_code e;
    parser.eager(all);
    for (;;) {
      if (!all) skip_empty_lines(buffer, parser);
      if (buffer.size() != 0) {
        const auto data = buffer.cdata();
        const std::string_view text(static_cast<const char*>(data.data()), parser.put(data, e));
        if (e && e != http::error::need_more) co_return e;
        const bool folded = is_folded(parser.fields_of(text, all));
        buffer.consume(text.size());
        if (folded) co_return http::error::bad_field;
      }
      if (all ? parser.is_done() : parser.is_header_done()) co_return error_code();
      if (buffer.size() == most_buffered) co_return http::error::buffer_overflow;
      const auto room = buffer.prepare(
          std::min<std::size_t>(most_buffered - buffer.size(), all ? most_buffered : 4096));
      const auto left = request_time_ == milliseconds::max()
                            ? sluice::clock::duration::max()
                            : begun + request_time_ - sluice::clock::now();
      const auto [read_error, n] =
          co_await sluice::timeout(socket.async_read_some(room, as_result), left);
      buffer.commit(n);
      if (read_error == asio::error::eof) {
        parser.put_eof(e);
        co_return e ? e : error_code(http::error::end_of_stream);
      }
      if (read_error) co_return read_error;
    }
  }

  /// Takes what the client is still sending: to close at once would reset the connection, and the
  /// client might never see the answer.
  sluice::task<> discard_rest(tcp::socket& socket) {
    error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    const auto end = sluice::clock::now() + 500ms;
    char rest[4096];
    for (bool more = true; more;) {
      const auto [e, n] = co_await sluice::timeout(
          socket.async_read_some(asio::buffer(rest), as_result), end - sluice::clock::now());
      more = !e;
    }
  }

  // --- the routes

  sluice::task<std::optional<response>> route(const request& asked, tcp::socket& socket,
                                              sluice::context ctx) {
    const std::string_view path = path_of({asked.target().data(), asked.target().size()});
    const bool get = asked.method() == http::verb::get || asked.method() == http::verb::head;
    unsigned ms = 0;
    if (path == "/" && !get) {
      response refused = make_error(http::status::method_not_allowed);
      refused.set(http::field::allow, "GET, HEAD");
      co_return refused;
    }
    if (path == "/") co_return make_response(http::status::ok, "hello\n");
    if (path == "/echo") co_return make_response(http::status::ok, asked.body());
    if (path.starts_with("/slow/") && parse(path.substr(6), 60'000, ms))
      co_return co_await answer_slowly(milliseconds(ms), socket, ctx);
    co_return make_error(http::status::not_found);
  }

  /// Has a worker do it, as long as the client waits for it. A pool that takes no more is what
  /// keeps a busy server from drowning.
  sluice::task<std::optional<response>> answer_slowly(milliseconds time, tcp::socket& socket,
                                                      sluice::context ctx) {
    const auto strand = co_await asio::this_coro::executor;
    const sluice::peer_watch client(strand, ctx, socket, patience_);
    const auto result = sluice::make_channel<std::string>(1);
    const auto tell = [result](std::exception_ptr failure, std::string text) {
      if (!failure) result.try_send(std::move(text));
      result.close();
    };
    // When the client leaves the job leaves the queue, or ends.
    const bool accepted =
        workers_.try_submit(milliseconds(time), sluice::bind_context(client.ctx(), tell));
    if (!accepted) co_return make_error(http::status::service_unavailable);
    auto text = co_await result.receive();
    if (client.ctx().err()) co_return std::nullopt;
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
  const milliseconds patience_;
  sluice::worker_pool<milliseconds, std::string> workers_;
  std::atomic<std::size_t> requests_ = 0;
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
    const http_server server(loop, o);
    loop.run();
    std::printf("served %zu requests on %zu connections\n", server.requests(), loop.result.served);
  });
}
