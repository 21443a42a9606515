// SPDX-License-Identifier: BSL-1.0
// What the HTTP server does with a connection, whatever that is made of: `tcp::socket` in the
// program, a connection in memory in a test in virtual time.
#pragma once

#include "requests.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// The limits of an HTTP server; a time of `milliseconds::max()` is none.
struct http_limits {
  std::chrono::milliseconds idle{60'000};    ///< how long to wait for a request
  std::chrono::milliseconds request{5'000};  ///< for one to arrive, or for an answer to be taken
  std::chrono::milliseconds left{400};       ///< slow work for a client that has ended its stream
  unsigned workers = 4;                      ///< how many do slow work
  unsigned queue = 16;                       ///< how much slow work waits
};

template <class Socket>
class http_service {
 public:
  /// @param where An execution context: where the workers run.
  template <class Context>
  http_service(Context& where, const http_limits& limits)
      : limits_(limits),
        workers_(where, {.workers = limits.workers, .queue_capacity = limits.queue}, do_slow_work) {
  }

  /// Answers one request after another, until the client has had enough, or the server stops.
  sluice::task<> serve(Socket socket, sluice::server_connection connection) {
    error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
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
          co_await sluice::timeout(http::async_write(socket, *r, as_result), limits_.request);
      if (!write_error) ++requests_;
      open = !write_error && r->keep_alive();
      if (!open && (!whole || socket.available(ignored) > 0)) co_await discard_rest(socket);
    }
  }

  /// Tells one that is too many, without waiting for it to listen.
  static void refuse(Socket socket) {
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                   "Connection: close\r\n\r\n"),
                      ignored);
    socket.shutdown(Socket::shutdown_send, ignored);
  }

  /// No request comes any more: the workers end.
  [[nodiscard]] auto stop() { return workers_.stop(); }
  [[nodiscard]] std::size_t requests() const { return requests_; }

 private:
  using milliseconds = std::chrono::milliseconds;

  static constexpr auto as_result = asio::as_tuple(sluice::use_task);
  static constexpr std::size_t most_buffered = 16 * 1024;

  /// Waits for the next request. A connection that waits here is idle: a server that stops need not
  /// wait for it, but for what has been sent to it already.
  sluice::task<bool> request_begins(Socket& socket, beast::flat_buffer& buffer,
                                    sluice::context stopping) {
    std::size_t n = 0;
    bool stops = false;
    // Also called for a read that has lost: it may have read something all the same.
    const auto note = [&n](error_code, std::size_t read) { n = read; };
    co_await sluice::select(
        sluice::on(socket.async_read_some(buffer.prepare(4096), asio::deferred), note, note),
        sluice::on(sluice::sleep_for(limits_.idle), [] {}),
        sluice::on(stopping.done(), [&stops] { stops = true; }));
    if (stops && n == 0) {
      const auto last = co_await sluice::timeout(
          socket.async_read_some(buffer.prepare(4096), as_result), milliseconds(100));
      n = std::get<1>(last);
    }
    buffer.commit(n);
    co_return n != 0;
  }

  /// Reads a request and gives what is to be said; nothing if there is nobody to say it to.
  /// @param whole Becomes true if all of the request has been read.
  sluice::task<std::optional<response>> answer_next(Socket& socket, beast::flat_buffer& buffer,
                                                    sluice::context ctx, bool& whole) {
    request_parser parser;
    std::optional<response> r = co_await answer(socket, buffer, ctx, parser, whole);
    if (r && parser.get().method() == http::verb::head) r->body().clear();
    co_return r;
  }

  sluice::task<std::optional<response>> answer(Socket& socket, beast::flat_buffer& buffer,
                                               sluice::context ctx, request_parser& parser,
                                               bool& whole) {
    const auto begun = sluice::now();
    error_code e = co_await read(socket, buffer, parser, false, begun);
    if (e) co_return refusal(e);
    const request& asked = parser.get();
    if (const auto status = objection(asked)) co_return make_refusal(*status);
    if (!parser.is_done()) {
      if (asked.count(http::field::expect) && asked.version() >= 11 && buffer.size() == 0) {
        constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        const auto [write_error, written] = co_await sluice::timeout(
            asio::async_write(socket, asio::buffer(go_on), as_result), limits_.request);
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
  sluice::task<error_code> read(Socket& socket, beast::flat_buffer& buffer, request_parser& parser,
                                bool all, sluice::clock::time_point begun) {
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
      const auto left = limits_.request == milliseconds::max()
                            ? sluice::clock::duration::max()
                            : begun + limits_.request - sluice::now();
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
  sluice::task<> discard_rest(Socket& socket) {
    error_code ignored;
    socket.shutdown(Socket::shutdown_send, ignored);
    const auto end = sluice::now() + milliseconds(500);
    char rest[4096];
    for (bool more = true; more;) {
      const auto [e, n] = co_await sluice::timeout(
          socket.async_read_some(asio::buffer(rest), as_result), end - sluice::now());
      more = !e;
    }
  }

  // --- the routes

  sluice::task<std::optional<response>> route(const request& asked, Socket& socket,
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
  sluice::task<std::optional<response>> answer_slowly(milliseconds time, Socket& socket,
                                                      sluice::context ctx) {
    const auto strand = co_await asio::this_coro::executor;
    const sluice::peer_watch client(strand, ctx, socket, limits_.left);
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

  const http_limits limits_;
  sluice::worker_pool<milliseconds, std::string> workers_;
  std::atomic<std::size_t> requests_ = 0;
};
