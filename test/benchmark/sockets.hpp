#pragma once

#include "measure.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <vector>

/// What the echo workloads of the Asio programs share.
namespace measure {

using asio::ip::tcp;
/// A request, and what comes back.
using message = std::array<char, 64>;

/// How long a server waits for the next request, and for an answer to be taken.
inline constexpr std::chrono::seconds longest_read{30};
inline constexpr std::chrono::seconds longest_write{5};

/// Both ends of a connection.
struct connection {
  explicit connection(asio::io_context& io) : client(io), server(io) {
    tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    client.connect(acceptor.local_endpoint());
    acceptor.accept(server);
    client.set_option(tcp::no_delay(true));
    server.set_option(tcp::no_delay(true));
  }

  tcp::socket client;
  tcp::socket server;
};

/// What an echo workload has measured, when every client has had `each` answers.
[[nodiscard]] inline results echo_results(double seconds, const std::vector<latencies>& clients,
                                          std::size_t each) {
  std::vector<double> all;
  for (const auto& c : clients)
    all.insert(all.end(), c.microseconds().begin(), c.microseconds().end());
  check(static_cast<std::int64_t>(all.size()), static_cast<std::int64_t>(clients.size() * each));
  return {{"ns", seconds * 1e9 / static_cast<double>(all.size())},
          {"p99_us", percentile_99(std::move(all))}};
}

}  // namespace measure
