// Fetches many pages of an HTTP server at the same time: so many at once and no more, all of them
// before a deadline, and the first that fails cancels the rest. The Go counterpart is an
// errgroup.Group with SetLimit, made with the context of context.WithTimeout.
//
//   fetcher HOST PORT LIMIT DEADLINE_MS PATH...
//
// It prints how long each page is, in the order of the paths; or what was wrong and how many pages
// had come by then.
#include <sluice.hpp>

#include <boost/asio.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
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
  std::string port;
  unsigned limit = 0;
  unsigned deadline_ms = 0;
  std::vector<std::string> paths;
};

/// Nothing in here knows of the deadline or of the others: the goroutine is bound to a context, and
/// when that is done every wait ends.
sluice::task<std::string> fetch(const tcp::resolver::results_type& server, std::string host,
                                std::string path) {
  tcp::socket socket(co_await asio::this_coro::executor);
  co_await asio::async_connect(socket, server, use_task);

  http::request<http::empty_body> request(http::verb::get, path, 11);
  request.set(http::field::host, host);
  request.keep_alive(false);
  co_await http::async_write(socket, request, use_task);

  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  co_await http::async_read(socket, buffer, response, use_task);
  if (response.result() != http::status::ok)
    throw std::runtime_error(path + ": " + std::to_string(response.result_int()));
  co_return std::move(response.body());
}

sluice::task<int> fetch_all(const options& o) {
  tcp::resolver resolver(co_await asio::this_coro::executor);
  const auto server = co_await resolver.async_resolve(o.host, o.port, use_task);

  std::vector<std::optional<std::string>> pages(o.paths.size());
  const auto [ctx, cancel] =
      sluice::with_timeout(sluice::context::background(), std::chrono::milliseconds(o.deadline_ms));
  const auto start_all = [&](sluice::task_group& group) -> sluice::task<> {
    group.set_limit(o.limit);
    for (std::size_t i = 0; i < pages.size(); ++i)
      group.go(
          [&, i]() -> sluice::task<> { pages[i] = co_await fetch(server, o.host, o.paths[i]); });
    co_return;
  };
  std::string failure;
  try {
    co_await sluice::with_task_group(ctx, start_all);  // returns when all of them have ended
  } catch (const std::exception& e) {
    failure = ctx.err() == sluice::error::deadline_exceeded ? "the deadline has passed" : e.what();
  }

  if (!failure.empty()) {
    const auto fetched = std::ranges::count_if(pages, [](const auto& p) { return p.has_value(); });
    std::fprintf(stderr, "fetcher: %s; %td of %zu pages fetched\n", failure.c_str(), fetched,
                 pages.size());
    co_return 1;
  }
  for (std::size_t i = 0; i < pages.size(); ++i)
    std::printf("%s: %zu bytes\n", o.paths[i].c_str(), pages[i]->size());
  co_return 0;
}

/// Reads a positive decimal number.
bool parse(std::string_view text, unsigned& number) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && rest == text.data() + text.size() && number > 0;
}

int main(int argc, char* argv[]) {
  options o;
  if (argc < 6 || !parse(argv[3], o.limit) || !parse(argv[4], o.deadline_ms)) {
    std::fputs("usage: fetcher HOST PORT LIMIT DEADLINE_MS PATH...\n", stderr);
    return 2;
  }
  o.host = argv[1];
  o.port = argv[2];
  o.paths.assign(argv + 5, argv + argc);
  try {
    return sluice::run([&] { return fetch_all(o); });
  } catch (const std::exception& e) {
    std::fprintf(stderr, "fetcher: %s\n", e.what());
    return 1;
  }
}
