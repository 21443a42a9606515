// TCP: requests and their echoes over one and over a hundred connections, also with a server as it
// is really written: with limits on its reads and writes, and a context that can stop it.
#include "../sockets.hpp"
#include "run.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <cstddef>
#include <deque>
#include <vector>

namespace sluice_side {
namespace {

namespace asio = boost::asio;
using measure::tcp;
using sluice::task;

task<> serve(tcp::socket& socket) {
  measure::message data;
  for (;;) {
    const auto [e, n] =
        co_await socket.async_read_some(asio::buffer(data), asio::as_tuple(asio::deferred));
    if (e) co_return;
    co_await asio::async_write(socket, asio::buffer(data, n), asio::deferred);
  }
}

task<> serve_with_limits(tcp::socket& socket) {
  measure::message data;
  for (;;) {
    const auto [e, n] = co_await sluice::timeout(
        socket.async_read_some(asio::buffer(data), asio::as_tuple(asio::deferred)),
        measure::longest_read);
    if (e) co_return;
    co_await sluice::timeout(asio::async_write(socket, asio::buffer(data, n), asio::deferred),
                             measure::longest_write);
  }
}

task<> request(tcp::socket& socket, std::size_t n, measure::latencies& l) {
  measure::message data{};
  for (std::size_t i = 0; i < n; ++i) {
    l.begin();
    data.front() = static_cast<char>(i);
    co_await asio::async_write(socket, asio::buffer(data), asio::deferred);
    co_await asio::async_read(socket, asio::buffer(data), asio::deferred);
    if (data.front() != static_cast<char>(i)) throw measure::wrong("another's answer");
    l.end();
  }
  socket.close();
}

/// @param serve Starts the server of a connection.
template <class Serve>
measure::results echo(const measure::setting& s, std::size_t connections, Serve serve) {
  const std::size_t each = s.size / connections;
  measure::program program(s.threads);
  std::deque<measure::connection> all;
  std::vector<measure::latencies> clients(connections, measure::latencies(each));
  sluice::wait_group open;
  for (auto& l : clients) {
    auto& c = all.emplace_back(program.io());
    serve(program.io(), c.server);
    open.go(program.io(), request(c.client, each, l));
  }
  sluice::go(program.io(), [&]() -> task<> {
    co_await open.wait();
    program.end();
  });
  const double seconds = program.run();
  return measure::echo_results(seconds, clients, each);
}

void start(asio::io_context& io, tcp::socket& socket) {
  sluice::go(io, serve(socket));
}

const measure::workload echo_1("echo_1",
                               [](const measure::setting& s) { return echo(s, 1, start); });
const measure::workload echo_100("echo_100",
                                 [](const measure::setting& s) { return echo(s, 100, start); });

const measure::workload timeouts("server_timeouts", [](const measure::setting& s) {
  return echo(s, 100, [](asio::io_context& io, tcp::socket& socket) {
    sluice::go(io, serve_with_limits(socket));
  });
});

const measure::workload stop("server_stop", [](const measure::setting& s) {
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  return echo(s, 100, [&ctx = ctx](asio::io_context& io, tcp::socket& socket) {
    sluice::go(ctx, io, serve(socket));
  });
});

const measure::workload both("server_both", [](const measure::setting& s) {
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  return echo(s, 100, [&ctx = ctx](asio::io_context& io, tcp::socket& socket) {
    sluice::go(ctx, io, serve_with_limits(socket));
  });
});

}  // namespace
}  // namespace sluice_side
