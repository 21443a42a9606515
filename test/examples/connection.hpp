#pragma once

#include "../child_process.hpp"
#include "../names.hpp"

#include <boost/test/unit_test.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

// What the tests of the network programs share: the program under test, and sockets that are no
// concern of Asio's.
namespace sluice_test {

[[noreturn]] inline void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// The arguments of an example.
inline std::vector<std::string> example(const std::string& name, std::vector<std::string> options) {
  options.insert(options.begin(), SLUICE_EXAMPLES_DIR "/" + name);
  return options;
}

/// One of the examples that serve, on a port that the system chose.
class server_process {
 public:
  /// @param errors_too Whether what it says on standard error is among its last words.
  explicit server_process(const std::string& name, std::vector<std::string> options = {},
                          bool errors_too = false)
      : process_(example(name, with_port_0(std::move(options))), errors_too) {
    const std::string line = process_.read_line();
    BOOST_REQUIRE_MESSAGE(std::sscanf(line.c_str(), "listening on %hu", &port_) == 1,
                          name << " said \"" << line << '"');
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] ::pid_t pid() const { return process_.pid(); }
  void signal(int number) const { process_.signal(number); }

  /// Waits until it has ended, and checks that it ended well. @return Its last words.
  /** A sanitizer that has found something, a leak for example, changes the exit status. */
  std::string end() {
    std::string last_words = process_.read_all();
    BOOST_TEST(process_.wait() == 0);
    return last_words;
  }
  void check_end(const std::string& last_words) { BOOST_TEST(end() == last_words + '\n'); }

 private:
  static std::vector<std::string> with_port_0(std::vector<std::string> options) {
    options.insert(options.begin(), "0");
    return options;
  }

  child_process process_;
  std::uint16_t port_ = 0;
};

/// Checks what an example says to arguments that it does not understand.
inline void check_usage(const std::string& name, std::vector<std::string> arguments) {
  child_process refused(example(name, std::move(arguments)), true);
  const std::string said = refused.read_all();
  BOOST_TEST(said.starts_with("usage: " + name + ' '), said);
  BOOST_TEST(refused.wait() == 2);
}

/// Allows this program, and those that it starts, `n` open descriptors.
inline void allow_descriptors(::rlim_t n) {
  ::rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit)) fail("getrlimit");
  BOOST_REQUIRE_MESSAGE(limit.rlim_max >= n, "the hard limit of open descriptors is "
                                                 << limit.rlim_max << ", needed are " << n);
  if (limit.rlim_cur >= n) return;
  limit.rlim_cur = n;
  if (::setrlimit(RLIMIT_NOFILE, &limit)) fail("setrlimit");
}

/// A socket's descriptor.
class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { close(); }

  [[nodiscard]] int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Whether it can be read from within `limit`: there are bytes, the end, or somebody to accept.
  [[nodiscard]] bool readable(std::chrono::milliseconds limit) const {
    ::pollfd p{fd_, POLLIN, 0};
    return ::poll(&p, 1, static_cast<int>(limit.count())) > 0;
  }

 private:
  int fd_;
};

inline ::sockaddr_in loopback(std::uint16_t port) {
  ::sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// One end of a TCP connection, with blocking calls.
class connection {
 public:
  explicit connection(descriptor socket) : socket_(std::move(socket)) {
    const int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const ::timeval limit{patience.count(), 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  /// Connects.
  /// @param narrow Whether the systems at both ends hold little that is not taken: a server then
  /// soon waits for this client, however small its answers are.
  explicit connection(std::uint16_t port, bool narrow = false)
      : connection(descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))) {
    if (socket_.get() < 0) fail("socket");
    if (narrow) {
      const int buffer = 4096, segment = 256;  // a sender's buffer grows with its segments
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
      ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    const auto address = loopback(port);
    if (::connect(socket_.get(), reinterpret_cast<const ::sockaddr*>(&address), sizeof address))
      fail("connect");
  }

  [[nodiscard]] int socket() const { return socket_.get(); }

  /// @return False if the other end takes no more.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const auto n = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) throw std::runtime_error("nothing was taken for a long time");
      if (n < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// Waits for more bytes. @return False at the end, which `was_reset` explains.
  bool receive_more() {
    if (!socket_.readable(patience)) throw std::runtime_error("nothing has come for a long time");
    char data[1 << 16];
    const auto n = ::recv(socket_.get(), data, sizeof data, 0);
    if (n > 0) unread_.append(data, static_cast<std::size_t>(n));
    reset_ = n < 0 && errno == ECONNRESET;
    return n > 0;
  }

  /// Takes what comes up to and including `mark`; less at the end.
  std::string receive_through(std::string_view mark) {
    std::size_t end;
    while ((end = unread_.find(mark)) == std::string::npos)
      if (!receive_more()) return std::exchange(unread_, {});
    return take(end + mark.size());
  }
  /// Takes so many bytes; fewer at the end.
  std::string receive(std::size_t n) {
    while (unread_.size() < n && receive_more()) continue;
    return take(n);
  }
  /// Takes all that comes until the other end closes.
  std::string receive_all() {
    while (receive_more()) continue;
    return std::exchange(unread_, {});
  }

  /// Whether something comes within `limit`.
  [[nodiscard]] bool readable(std::chrono::milliseconds limit) const {
    return !unread_.empty() || socket_.readable(limit);
  }
  [[nodiscard]] bool was_reset() const { return reset_; }

  /// Says that nothing more will be sent, and still receives.
  void close_half() {
    if (::shutdown(socket_.get(), SHUT_WR)) fail("shutdown");
  }
  void close() { socket_.close(); }
  /// Closes abruptly: the other end is reset.
  void reset() {
    const ::linger at_once{1, 0};
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once))
      fail("setsockopt");
    close();
  }

 private:
  std::string take(std::size_t n) {
    std::string taken = unread_.substr(0, n);
    unread_.erase(0, n);
    return taken;
  }

  descriptor socket_;
  std::string unread_;
  bool reset_ = false;
};

/// A listening socket on a port that the system chose.
class listener {
 public:
  /// @param queue About how many connections wait to be accepted; more are not answered.
  explicit listener(int queue = 1000) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    auto address = loopback(0);
    ::socklen_t size = sizeof address;
    auto* const a = reinterpret_cast<::sockaddr*>(&address);
    if (::bind(socket_.get(), a, size) || ::listen(socket_.get(), queue) ||
        ::getsockname(socket_.get(), a, &size))
      fail("listen");
    port_ = ntohs(address.sin_port);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Whether somebody connects within `limit`.
  [[nodiscard]] bool called(std::chrono::milliseconds limit) const {
    return socket_.readable(limit);
  }
  [[nodiscard]] connection accept() {
    if (!called(patience)) throw std::runtime_error("nobody has connected for a long time");
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) fail("accept4");
    return connection(descriptor(fd));
  }
  void close() { socket_.close(); }

 private:
  descriptor socket_;
  std::uint16_t port_ = 0;
};

}  // namespace sluice_test
