// TCP: a server with limits on its reads and writes, as Asio's coroutines have them: the operation
// or a timer.
#include "../sockets.hpp"
#include "run.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <cstddef>
#include <deque>
#include <exception>
#include <tuple>
#include <variant>
#include <vector>

namespace asio_side {
namespace {

using measure::tcp;
using namespace asio::experimental::awaitable_operators;
constexpr auto as_tuple = asio::as_tuple(use_awaitable);

awaitable<void> serve(tcp::socket& socket) {
  measure::message data;
  for (;;) {
    const auto [e, n] = co_await socket.async_read_some(asio::buffer(data), as_tuple);
    if (e) co_return;
    co_await asio::async_write(socket, asio::buffer(data, n), use_awaitable);
  }
}

awaitable<void> serve_with_limits(tcp::socket& socket) {
  measure::message data;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (;;) {
    timer.expires_after(measure::longest_read);
    const auto read = co_await (socket.async_read_some(asio::buffer(data), as_tuple) ||
                                timer.async_wait(as_tuple));
    if (read.index() != 0 || std::get<0>(std::get<0>(read))) co_return;
    timer.expires_after(measure::longest_write);
    const auto written = co_await (
        asio::async_write(socket, asio::buffer(data, std::get<1>(std::get<0>(read))), as_tuple) ||
        timer.async_wait(as_tuple));
    if (written.index() != 0) co_return;
  }
}

awaitable<void> request(tcp::socket& socket, std::size_t n, measure::latencies& l) {
  measure::message data{};
  for (std::size_t i = 0; i < n; ++i) {
    l.begin();
    data.front() = static_cast<char>(i);
    co_await asio::async_write(socket, asio::buffer(data), use_awaitable);
    co_await asio::async_read(socket, asio::buffer(data), use_awaitable);
    if (data.front() != static_cast<char>(i)) throw measure::wrong("another's answer");
    l.end();
  }
  socket.close();
}

template <class Serve>
measure::results echo(const measure::setting& s, std::size_t connections, Serve serve_one) {
  const std::size_t each = s.size / connections;
  measure::program program(s.threads);
  std::deque<measure::connection> all;
  std::vector<measure::latencies> clients(connections, measure::latencies(each));
  std::atomic<std::size_t> open = connections;
  for (auto& l : clients) {
    auto& c = all.emplace_back(program.io());
    go(program.io(), serve_one(c.server));
    asio::co_spawn(asio::make_strand(program.io()), request(c.client, each, l),
                   [&](std::exception_ptr e) {
                     if (e) std::rethrow_exception(e);
                     if (--open == 0) program.end();
                   });
  }
  const double seconds = program.run();
  return measure::echo_results(seconds, clients, each);
}

const measure::workload echo_100("echo_100",
                                 [](const measure::setting& s) { return echo(s, 100, serve); });
const measure::workload timeouts("server_timeouts", [](const measure::setting& s) {
  return echo(s, 100, serve_with_limits);
});

}  // namespace
}  // namespace asio_side
