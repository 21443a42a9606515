// The echo server of the examples under real load: real sockets, a real signal.
#include "../child_process.hpp"
#include "../names.hpp"

#include <boost/test/unit_test.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_TEST_ADDRESS_SANITIZED 1
#elif defined(__has_feature)
#define SLUICE_TEST_ADDRESS_SANITIZED __has_feature(address_sanitizer)
#else
#define SLUICE_TEST_ADDRESS_SANITIZED 0
#endif

namespace {

using namespace sluice_test;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// The server, on a port that the system chose.
class echo_server {
 public:
  explicit echo_server(const char* threads = "2", bool errors_too = false)
      : process_({SLUICE_EXAMPLES_DIR "/echo_server", "0", threads}, errors_too) {
    const std::string line = process_.read_line();
    BOOST_REQUIRE_MESSAGE(std::sscanf(line.c_str(), "listening on %hu", &port_) == 1,
                          "the server said \"" << line << '"');
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] child_process& process() { return process_; }

  void signal(int number) { process_.signal(number); }

  /// Waits until it has ended, and checks that it ended well, having served so many connections.
  /** A sanitizer that has found something, a leak for example, changes the exit status.
   * @param never_seen How many the system may have dropped, reset before they were accepted. */
  void check_end(std::size_t served, std::size_t never_seen = 0) {
    const std::string last = process_.read_all();
    std::size_t said = 0;
    const bool understood = std::sscanf(last.c_str(), "served %zu connections\n", &said) == 1;
    BOOST_TEST_INFO("the server said \"" << last << '"');
    BOOST_TEST((understood && said <= served && said + never_seen >= served));
    BOOST_TEST(process_.wait() == 0);
  }

 private:
  child_process process_;
  std::uint16_t port_ = 0;
};

/// Allows this program, and the servers that it starts, `n` open descriptors.
void allow_descriptors(::rlim_t n) {
  ::rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit)) fail("getrlimit");
  BOOST_REQUIRE_MESSAGE(limit.rlim_max >= n, "this test needs "
                                                 << n << " open descriptors, and the hard limit is "
                                                 << limit.rlim_max << ": raise it (ulimit -Hn " << n
                                                 << ") and run the test again");
  if (limit.rlim_cur >= n) return;
  limit.rlim_cur = n;
  if (::setrlimit(RLIMIT_NOFILE, &limit)) fail("setrlimit");
}

/// A connection to the server, which sends a stream of random bytes and compares what comes back.
class client {
 public:
  static constexpr std::size_t endless = std::numeric_limits<std::size_t>::max();

  /// @param length How much to send.
  /// @param buffers The size of the socket's buffers; 0: what the system chooses.
  client(std::uint16_t port, std::size_t length, int buffers = 0)
      : length_(length), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (socket_ < 0) fail("socket");
    if (buffers) {
      ::setsockopt(socket_, SOL_SOCKET, SO_SNDBUF, &buffers, sizeof buffers);
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &buffers, sizeof buffers);
    }
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<::sockaddr*>(&address), sizeof address))
      fail("connect");
    if (::fcntl(socket_, F_SETFL, O_NONBLOCK)) fail("fcntl");

    static std::mt19937_64 random(20240229);
    pattern_.resize(1 << 14);
    std::ranges::generate(pattern_, [] { return static_cast<char>(random()); });
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { close(); }

  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

  /// Closes abruptly: the server's end is reset.
  void reset() {
    const ::linger at_once{1, 0};
    if (::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once)) fail("setsockopt");
    close();
  }

  /// Says that nothing more will be sent, and still receives.
  void close_half() {
    if (::shutdown(socket_, SHUT_WR)) fail("shutdown");
  }

  /// Lets it send `length` bytes in all.
  void end_after(std::size_t length) { length_ = length; }
  /// Lets it send so much more.
  void extend(std::size_t more) { length_ += more; }

  /// Sends until all is sent or the socket takes no more. Returns false in the latter case.
  bool send() {
    while (!ended_ && sent_ < length_) {
      const auto piece = next(sent_, length_);
      const auto n = ::send(socket_, piece.data(), piece.size(), MSG_NOSIGNAL);
      if (n >= 0)
        sent_ += static_cast<std::size_t>(n);
      else if (errno == EAGAIN)
        return false;
      else if (errno == EPIPE || errno == ECONNRESET)
        break;  // receiving gives the bytes that are still there, and then the end
      else if (errno != EINTR)
        fail("send");
    }
    return true;
  }

  /// Receives at most `limit` bytes of what there is.
  void receive(std::size_t limit = endless) {
    char buffer[1 << 14];
    while (!ended_ && limit > 0) {
      const auto n = ::recv(socket_, buffer, std::min(limit, sizeof buffer), 0);
      if (n > 0) {
        compare({buffer, static_cast<std::size_t>(n)});
        limit -= static_cast<std::size_t>(n);
      } else if (n == 0 || errno == ECONNRESET || errno == EPIPE) {
        ended_ = true;
        reset_ = n < 0;
      } else if (errno == EAGAIN) {
        return;
      } else if (errno != EINTR) {
        fail("recv");
      }
    }
  }

  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] std::size_t sent() const { return sent_; }
  [[nodiscard]] std::size_t received() const { return received_; }
  [[nodiscard]] bool all_sent() const { return sent_ == length_; }
  [[nodiscard]] bool all_back() const { return received_ == length_; }
  /// The server has closed its end.
  [[nodiscard]] bool ended() const { return ended_; }
  /// It ended with a reset.
  [[nodiscard]] bool was_reset() const { return reset_; }

 private:
  /// The bytes of the stream from `from` on, as many as lie in one piece, not beyond `to`.
  [[nodiscard]] std::string_view next(std::size_t from, std::size_t to) const {
    const std::size_t start = from % pattern_.size();
    return std::string_view(pattern_).substr(start, to - from);
  }

  void compare(std::string_view got) {
    while (!got.empty()) {
      const auto expected = next(received_, sent_).substr(0, got.size());
      if (expected.empty() || got.substr(0, expected.size()) != expected)
        throw std::runtime_error("what came back is not what was sent");
      received_ += expected.size();
      got.remove_prefix(expected.size());
    }
  }

  std::size_t length_;
  int socket_;
  std::string pattern_;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  bool ended_ = false;
  bool reset_ = false;
};

/// Sends and receives on all the clients until each of them is `done`.
template <class Clients, class Done>
void drive(Clients&& clients, Done done) {
  std::vector<::pollfd> sockets;
  std::vector<client*> owners;
  while (!std::ranges::all_of(clients, done)) {
    sockets.clear();
    owners.clear();
    for (client& c : clients) {
      if (c.ended() || c.socket() < 0) continue;
      const int events = POLLIN | (c.all_sent() ? 0 : POLLOUT);
      sockets.push_back({c.socket(), static_cast<short>(events), 0});
      owners.push_back(&c);
    }
    if (sockets.empty()) throw std::runtime_error("the server has closed every connection");
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    const int ready = ::poll(sockets.data(), sockets.size(), static_cast<int>(limit.count()));
    if (ready == 0) throw std::runtime_error("nothing has happened for a long time");
    if (ready < 0) {
      if (errno == EINTR) continue;
      fail("poll");
    }
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      if (sockets[i].revents & (POLLIN | POLLERR | POLLHUP)) owners[i]->receive(1 << 16);
      if (sockets[i].revents & POLLOUT) owners[i]->send();
    }
  }
}

bool all_back(const client& c) {
  return c.all_back();
}
bool ended(const client& c) {
  return c.ended();
}

/// Sends `more` bytes and gets them back.
void exchange(client& c, std::size_t more) {
  c.extend(more);
  drive(std::span(&c, 1), all_back);
}

void connect(std::deque<client>& clients, std::size_t n, const echo_server& server,
             std::size_t length, int buffers = 0) {
  for (std::size_t i = 0; i < n; ++i) clients.emplace_back(server.port(), length, buffers);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(echo_server_of_the_examples)

BOOST_AUTO_TEST_CASE(a_thousand_connections_at_once_get_their_bytes_back) {
  allow_descriptors(1200);
  echo_server server;
  std::deque<client> clients;
  connect(clients, 1000, server, 20'000);
  drive(clients, all_back);
  server.signal(SIGTERM);
  drive(clients, ended);
  server.check_end(1000);
}

BOOST_AUTO_TEST_CASE(a_client_that_closes_its_sending_half_gets_the_rest_and_then_the_end) {
  echo_server server;
  std::deque<client> clients;
  connect(clients, 20, server, 1'000'000);
  drive(clients, [](client& c) {
    if (c.all_sent()) c.close_half();
    return c.all_sent();
  });
  drive(clients, ended);
  for (const client& c : clients) {
    BOOST_TEST(c.all_back());
    BOOST_TEST(!c.was_reset());
  }

  client silent(server.port(), 0);
  silent.close_half();
  drive(std::span(&silent, 1), ended);
  BOOST_TEST(!silent.was_reset());

  server.signal(SIGINT);
  server.check_end(21);
}

BOOST_AUTO_TEST_CASE(a_client_that_resets_its_connection_ends_that_connection_only) {
  echo_server server;
  client bystander(server.port(), 1000);
  drive(std::span(&bystander, 1), all_back);

  // At once; with bytes on their way in both directions; with the server waiting to be read from.
  for (int i = 0; i < 100; ++i) client(server.port(), 0).reset();
  exchange(bystander, 1000);
  std::deque<client> busy;
  connect(busy, 100, server, client::endless);
  drive(busy, [](const client& c) { return c.received() > 0; });
  for (client& c : busy) c.reset();
  exchange(bystander, 1000);
  std::deque<client> deaf;
  connect(deaf, 10, server, client::endless, 4096);
  for (client& c : deaf) c.send();
  exchange(bystander, 1000);
  for (client& c : deaf) c.reset();

  exchange(bystander, 100'000);
  server.signal(SIGINT);
  drive(std::span(&bystander, 1), ended);
  server.check_end(211, 100);
}

BOOST_AUTO_TEST_CASE(a_slow_reader_holds_up_nobody_else_and_gets_everything) {
  echo_server server;
  client slow(server.port(), client::endless);
  client other(server.port(), 0);
  // Until all the buffers on the way are full: then nothing moves while others are served.
  for (int still = 0; still < 20; ++still) {
    const std::size_t before = slow.sent();
    slow.send();
    if (slow.sent() != before) still = 0;
    exchange(other, 10'000);
  }
  slow.end_after(slow.sent() + 500'000);

  while (!slow.all_back()) {
    BOOST_REQUIRE(!slow.ended());
    ::pollfd socket{slow.socket(), POLLIN, 0};
    ::poll(&socket, 1, -1);
    slow.receive(10'000);
    slow.send();
  }
  exchange(other, 10'000);
  server.signal(SIGINT);
  server.check_end(2);
}

BOOST_AUTO_TEST_CASE(a_stop_in_mid_traffic_closes_every_connection) {
  for (const int signal : {SIGINT, SIGTERM}) {
    echo_server server;
    std::deque<client> busy, idle, deaf;
    connect(busy, 100, server, client::endless);
    connect(idle, 20, server, 100);
    connect(deaf, 20, server, client::endless, 4096);
    drive(idle, all_back);
    for (client& c : deaf) c.send();
    drive(busy, [](const client& c) { return c.received() >= 50'000; });

    server.signal(signal);
    drive(busy, ended);
    drive(idle, ended);
    drive(deaf, ended);
    server.check_end(140);
  }
}

BOOST_AUTO_TEST_CASE(a_stop_with_nobody_there_ends_at_once) {
  echo_server server("1");
  server.signal(SIGINT);
  server.check_end(0);
}

// The undefined behaviour sanitizer needs descriptors of its own to look at memory, and takes what
// it cannot look at for an invalid object.
#if !SLUICE_TEST_ADDRESS_SANITIZED

BOOST_AUTO_TEST_CASE(a_server_without_descriptors_accepts_when_it_has_some_again) {
  // The way of net/http's Server.Serve: a temporary error of accept is waited out.
  echo_server server("2", true);
  ::rlimit few;
  if (::prlimit(server.process().pid(), RLIMIT_NOFILE, nullptr, &few)) fail("prlimit");
  few.rlim_cur = 32;
  if (::prlimit(server.process().pid(), RLIMIT_NOFILE, &few, nullptr)) fail("prlimit");

  std::deque<client> clients;
  connect(clients, 60, server, 1000);
  BOOST_TEST(server.process().read_line() == "accept: Too many open files");
  for (client& c : clients) {
    drive(std::span(&c, 1), all_back);
    c.close();
  }
  client last(server.port(), 1000);
  drive(std::span(&last, 1), all_back);
  server.signal(SIGINT);
  drive(std::span(&last, 1), ended);

  std::string line, before;
  while (!(line = server.process().read_line()).empty()) before = line;
  BOOST_TEST(before == "served 61 connections");
  BOOST_TEST(server.process().wait() == 0);
}

#endif

BOOST_AUTO_TEST_CASE(what_it_cannot_do_it_says_and_fails) {
  echo_server server;
  child_process second({SLUICE_EXAMPLES_DIR "/echo_server", std::to_string(server.port())}, true);
  const std::string complaint = second.read_all();
  BOOST_TEST(complaint.find("Address already in use") != std::string::npos, complaint);
  BOOST_TEST(second.wait() == 1);

  for (const std::string port : {"", "x", "1x", "65536", "-1"}) {
    child_process refused({SLUICE_EXAMPLES_DIR "/echo_server", port}, true);
    BOOST_TEST(refused.read_all().starts_with("usage: echo_server PORT [THREADS] "));
    BOOST_TEST(refused.wait() == 2);
  }
  server.signal(SIGTERM);
  server.check_end(0);
}

BOOST_AUTO_TEST_SUITE_END()
