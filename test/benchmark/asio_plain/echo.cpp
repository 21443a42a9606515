// TCP: requests and their echoes over one and over a hundred connections, with callbacks.
#include "../sockets.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <vector>

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using measure::tcp;

class server {
 public:
  explicit server(tcp::socket& s) : socket_(s) {}

  void read() {
    socket_.async_read_some(asio::buffer(data_), [this](error_code e, std::size_t n) {
      if (!e) write(n);
    });
  }

 private:
  void write(std::size_t n) {
    asio::async_write(socket_, asio::buffer(data_, n), [this](error_code e, std::size_t) {
      if (!e) read();
    });
  }

  tcp::socket& socket_;
  measure::message data_{};
};

/// With a timer for each connection. It is moved for each operation, as most servers do.
class server_with_limits {
 public:
  explicit server_with_limits(tcp::socket& s) : socket_(s), timer_(s.get_executor()) {}

  void read() {
    limit(measure::longest_read);
    socket_.async_read_some(asio::buffer(data_), [this](error_code e, std::size_t n) {
      if (e)
        timer_.cancel();
      else
        write(n);
    });
  }

 private:
  void write(std::size_t n) {
    limit(measure::longest_write);
    asio::async_write(socket_, asio::buffer(data_, n), [this](error_code e, std::size_t) {
      if (!e) read();
    });
  }
  void limit(std::chrono::seconds longest) {
    timer_.expires_after(longest);
    timer_.async_wait([this](error_code e) {
      if (!e) socket_.cancel();
    });
  }

  tcp::socket& socket_;
  asio::steady_timer timer_;
  measure::message data_{};
};

class client {
 public:
  client(tcp::socket& s, std::size_t n, measure::latencies& l, std::function<void()> end)
      : socket_(s), left_(n), latencies_(l), end_(std::move(end)) {}

  void request() {
    latencies_.begin();
    data_.front() = static_cast<char>(left_);
    asio::async_write(socket_, asio::buffer(data_), [this](error_code e, std::size_t) {
      if (!e) read();
    });
  }

 private:
  void read() {
    asio::async_read(socket_, asio::buffer(data_), [this](error_code e, std::size_t) {
      if (e || data_.front() != static_cast<char>(left_))
        throw measure::wrong("no or wrong answer");
      latencies_.end();
      if (--left_ > 0) return request();
      socket_.close();
      end_();
    });
  }

  tcp::socket& socket_;
  measure::message data_{};
  std::size_t left_;
  measure::latencies& latencies_;
  std::function<void()> end_;
};

template <class Server>
measure::results echo(const measure::setting& s, std::size_t connections) {
  const std::size_t each = s.size / connections;
  measure::program program(s.threads);
  std::deque<measure::connection> all;
  std::deque<Server> servers;
  std::deque<client> clients;
  std::vector<measure::latencies> latencies(connections, measure::latencies(each));
  std::atomic<std::size_t> open = connections;
  for (auto& l : latencies) {
    auto& c = all.emplace_back(program.io());
    servers.emplace_back(c.server).read();
    clients.emplace_back(c.client, each, l, [&] {
      if (--open == 0) program.end();
    });
    asio::post(program.io(), [&last = clients.back()] { last.request(); });
  }
  const double seconds = program.run();
  return measure::echo_results(seconds, latencies, each);
}

const measure::workload echo_1("echo_1",
                               [](const measure::setting& s) { return echo<server>(s, 1); });
const measure::workload echo_100("echo_100",
                                 [](const measure::setting& s) { return echo<server>(s, 100); });
const measure::workload timeouts("server_timeouts", [](const measure::setting& s) {
  return echo<server_with_limits>(s, 100);
});

}  // namespace
