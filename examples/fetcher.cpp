// SPDX-License-Identifier: BSL-1.0
// Fetches many pages of an HTTP server at the same time: so many at once and no more, all of them
// before a deadline, and the first that fails cancels the rest. The Go counterpart is an
// errgroup.Group with SetLimit, made with the context of context.WithTimeout.
//
//   fetcher HOST PORT LIMIT DEADLINE_MS PATH...
//
// It prints how long each page is, in the order of the paths; or what was wrong and how many pages
// had come by then. What is bounded: pages on their way; what is read and not understood yet, at
// 16 KiB for each of them, headers at 8 KiB and bodies at 8 MiB, beyond which the page has failed.
#include "program.hpp"

#include <sluice.hpp>

#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using sluice::use_task;

struct options {
  std::string host;
  unsigned port = 0;
  unsigned limit = 0;
  unsigned deadline_ms = 0;
  std::vector<std::string> paths;
};

using response_parser = http::response_parser<http::string_body>;

/// The size of a page. Nothing in here knows of the deadline or of the others: the goroutine is
/// bound to a context, and when that is done every wait ends.
sluice::task<std::size_t> fetch(const tcp::resolver::results_type& server, std::string host,
                                std::string path) {
  tcp::socket socket(co_await asio::this_coro::executor);
  co_await asio::async_connect(socket, server, use_task);

  http::request<http::empty_body> request(http::verb::get, path, 11);
  request.set(http::field::host, host);
  request.keep_alive(false);
  co_await http::async_write(socket, request, use_task);

  boost::beast::flat_buffer buffer(16 * 1024);
  std::optional<response_parser> parser;
  for (bool interim = true; interim;) {
    parser.emplace();
    co_await http::async_read_header(socket, buffer, *parser, use_task);
    const unsigned status = parser->get().result_int();
    interim = status < 200 && status != 101;
  }
  // In pieces: where data is always there, the whole would never wait, and so never see the end.
  while (!parser->is_done()) co_await http::async_read_some(socket, buffer, *parser, use_task);
  const auto& response = parser->get();
  if (response.result() != http::status::ok)
    throw std::runtime_error(std::to_string(response.result_int()));
  co_return response.body().size();
}

/// As `fetch`, but its error says which path.
sluice::task<std::size_t> fetch_by_name(const tcp::resolver::results_type& server, std::string host,
                                        std::string path) {
  try {
    co_return co_await fetch(server, std::move(host), path);
  } catch (...) {
    throw std::runtime_error(path + ": " + sluice::describe(std::current_exception()));
  }
}

/// What a request calls the server (RFC 9110, 7.2): the port is left out if it is that of HTTP.
std::string host_of(const options& o) {
  const bool address = o.host.find(':') != std::string::npos;  // of IPv6
  const std::string host = address ? '[' + o.host + ']' : o.host;
  return o.port == 80 ? host : host + ':' + std::to_string(o.port);
}

/// Fetches them all and notes their `sizes`, when the server's name has been looked up.
sluice::task<> fetch_pages(const options& o, sluice::context ctx,
                           std::vector<std::optional<std::size_t>>& sizes, bool& looked_up) {
  tcp::resolver resolver(co_await asio::this_coro::executor);
  // A lookup cannot be cancelled: a thread of Asio's waits for it.
  const auto server = co_await sluice::abandon(
      resolver.async_resolve(o.host, std::to_string(o.port), asio::deferred));
  looked_up = true;
  const auto start_all = [&](sluice::task_group& group) -> sluice::task<> {
    group.set_limit(o.limit);
    for (std::size_t i = 0; i < sizes.size(); ++i)
      group.go([&, i]() -> sluice::task<> {
        sizes[i] = co_await fetch_by_name(server, host_of(o), o.paths[i]);
      });
    co_return;
  };
  co_await sluice::with_task_group(ctx, start_all);  // returns when all of them have ended
}

sluice::task<int> fetch_all(const options& o) {
  std::vector<std::optional<std::size_t>> sizes(o.paths.size());
  const auto [ctx, cancel] =
      sluice::with_timeout(sluice::context::background(), std::chrono::milliseconds(o.deadline_ms));
  std::string failure;
  bool looked_up = false;
  sluice::wait_group fetching;
  const auto where = co_await asio::this_coro::executor;
  const auto note = [&](std::exception_ptr e) {
    if (e) failure = sluice::describe(e);
    fetching.done();
  };
  fetching.add();
  sluice::go(ctx, where, fetch_pages(o, ctx, sizes, looked_up), asio::bind_executor(where, note));
  co_await fetching.wait();

  if (!failure.empty()) {
    if (ctx.err() == sluice::error::deadline_exceeded) failure = "the deadline has passed";
    const auto fetched = std::ranges::count_if(sizes, [](const auto& s) { return s.has_value(); });
    std::fprintf(stderr, "fetcher: %s; %td of %zu pages fetched\n", failure.c_str(), fetched,
                 sizes.size());
    // The thread that still looks the name up would be waited for.
    if (!looked_up) std::_Exit(1);
    co_return 1;
  }
  for (std::size_t i = 0; i < sizes.size(); ++i)
    std::printf("%s: %zu bytes\n", o.paths[i].c_str(), *sizes[i]);
  co_return 0;
}

/// What is wrong with a path: it goes into the request as it is.
const char* objection(std::string_view path) {
  if (!path.starts_with('/')) return "does not begin with /";
  const auto bad = [](char c) { return c <= ' ' || c == 0x7F; };
  return std::ranges::any_of(path, bad) ? "has spaces, control characters or what is not ASCII"
                                        : nullptr;
}

int main(int argc, char* argv[]) {
  options o;
  command_line line("fetcher", "Fetches pages of an HTTP server, many at the same time.");
  line.positional("HOST", o.host, "the server's name or address");
  line.positional("PORT", o.port, 1, 65535, "its port");
  line.positional("LIMIT", o.limit, 1, 1'000'000, "how many pages may be on their way");
  line.positional("DEADLINE_MS", o.deadline_ms, 1, 86'400'000, "when all of them must be there");
  line.rest("PATH", o.paths, objection, "what to fetch");
  int status = 0;
  if (!line.parse(argc, argv, status)) return status;
  const int failed =
      run_program("fetcher", [&] { status = sluice::run([&] { return fetch_all(o); }); });
  return failed ? failed : status;
}
