// The chat server of the examples with real guests, who are polite, hasty, silent, deaf or rude.
#include "../child_process.hpp"
#include "../names.hpp"

#include <boost/test/unit_test.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
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
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

#if SLUICE_TEST_SANITIZED
constexpr auto scale = 5;
#else
constexpr auto scale = 1;
#endif

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string milliseconds(std::chrono::milliseconds d) {
  return std::to_string(d.count());
}

/// The server, on a port that the system chose.
class chat_server {
 public:
  explicit chat_server(std::vector<std::string> options = {}) : process_(command(options)) {
    const std::string line = process_.read_line();
    BOOST_REQUIRE_MESSAGE(std::sscanf(line.c_str(), "listening on %hu", &port_) == 1,
                          "the server said \"" << line << '"');
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void signal(int number) { process_.signal(number); }

  /// Waits until it has ended, and checks that it ended well, having served so many guests.
  /** A sanitizer that has found something, a leak for example, changes the exit status. */
  void check_end(std::size_t served) {
    BOOST_TEST(process_.read_all() == "served " + std::to_string(served) + " guests\n");
    BOOST_TEST(process_.wait() == 0);
  }

 private:
  static std::vector<std::string> command(const std::vector<std::string>& options) {
    std::vector<std::string> result{SLUICE_EXAMPLES_DIR "/chat_server", "0"};
    result.insert(result.end(), options.begin(), options.end());
    return result;
  }

  child_process process_;
  std::uint16_t port_ = 0;
};

/// A connection to the server.
class guest {
 public:
  /// Returns when the server has let it in and said which guest it is.
  explicit guest(const chat_server& server)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (socket_ < 0) fail("socket");
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<::sockaddr*>(&address), sizeof address))
      fail("connect");
    const std::string line = read_line();
    BOOST_REQUIRE_MESSAGE(line.starts_with("* you are guest "), "it said \"" << line << '"');
    name_ = line.substr(10);
  }
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;
  ~guest() { close(); }

  [[nodiscard]] const std::string& name() const { return name_; }

  /// @return False if the server has gone, or will not take more.
  bool say(std::string_view text) {
    while (!text.empty()) {
      const auto n = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// The next line, without its end; empty if the server has closed the connection.
  std::string read_line() {
    for (;;) {
      if (const auto end = unread_.find('\n'); end != std::string::npos) {
        std::string line = unread_.substr(0, end);
        unread_.erase(0, end + 1);
        return line;
      }
      ::pollfd readable{socket_, POLLIN, 0};
      const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
      if (::poll(&readable, 1, static_cast<int>(limit.count())) == 0)
        throw std::runtime_error(name_ + " has heard nothing for a long time");
      char data[4096];
      const auto n = ::recv(socket_, data, sizeof data, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return {};
      unread_.append(data, static_cast<std::size_t>(n));
    }
  }

  /// Reads until this line comes. @return What came before it.
  lines read_until(const std::string& last) {
    lines before;
    for (;;) {
      std::string line = read_line();
      if (line == last) return before;
      if (line.empty()) throw std::runtime_error(name_ + " waits in vain for \"" + last + '"');
      before.push_back(std::move(line));
    }
  }

  /// Reads until the server has closed the connection.
  lines read_to_the_end() {
    lines all;
    for (std::string line = read_line(); !line.empty(); line = read_line())
      all.push_back(std::move(line));
    return all;
  }

  /// Says that nothing more will be said, and still listens.
  void close_half() {
    if (::shutdown(socket_, SHUT_WR)) fail("shutdown");
  }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  /// Closes abruptly: the server's end is reset.
  void reset() {
    const ::linger at_once{1, 0};
    if (::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once)) fail("setsockopt");
    close();
  }

 private:
  int socket_;
  std::string name_ = "a guest";
  std::string unread_;
};

/// Checks that what one guest says now is what the other reads next.
void check_talk(guest& from, guest& to, const std::string& text) {
  BOOST_REQUIRE(from.say(text + "\n"));
  BOOST_TEST(to.read_line() == from.name() + ": " + text);
}

/// What comes from neither of two guests.
lines not_from(const lines& all, const guest& a, const guest& b) {
  lines result;
  std::ranges::copy_if(all, std::back_inserter(result), [&](const std::string& line) {
    return !line.starts_with(a.name() + ": ") && !line.starts_with(b.name() + ": ");
  });
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(chat_server_of_the_examples)

BOOST_AUTO_TEST_CASE(what_a_guest_says_is_read_by_all_others_and_not_by_itself) {
  chat_server server;
  guest a(server);
  guest b(server);
  BOOST_TEST(a.name() == "guest 1");
  BOOST_TEST(b.name() == "guest 2");
  BOOST_TEST(a.read_line() == "* guest 2 has come");
  guest c(server);
  BOOST_TEST(a.read_line() == "* guest 3 has come");
  BOOST_TEST(b.read_line() == "* guest 3 has come");

  a.say("hello\n");
  BOOST_TEST(b.read_line() == "guest 1: hello");
  BOOST_TEST(c.read_line() == "guest 1: hello");
  c.say("hello yourself\n");
  BOOST_TEST(a.read_line() == "guest 3: hello yourself");
  BOOST_TEST(b.read_line() == "guest 3: hello yourself");

  b.close();
  BOOST_TEST(a.read_line() == "* guest 2 has gone");
  BOOST_TEST(c.read_line() == "* guest 2 has gone");
  check_talk(a, c, "still here");
  server.signal(SIGINT);
  BOOST_TEST(a.read_to_the_end().size() <= 1u);  // perhaps that c has gone
  server.check_end(3);
}

BOOST_AUTO_TEST_CASE(all_guests_read_the_same_in_the_same_order_however_fast_it_comes) {
  constexpr std::size_t guests = 6;
  constexpr std::size_t each = 500;
  chat_server server({"--threads", "3"});
  std::deque<guest> all;
  for (std::size_t i = 0; i < guests; ++i) all.emplace_back(server);

  std::vector<lines> heard(guests);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < guests; ++i) {
    threads.emplace_back([&, i] {
      for (std::size_t k = 0; k < each; ++k) all[i].say(std::to_string(k) + "\n");
    });
    threads.emplace_back([&, i] {
      while (heard[i].size() < (guests - 1) * each) {
        std::string line = all[i].read_line();
        if (line.empty()) return;
        if (!line.starts_with("*")) heard[i].push_back(std::move(line));
      }
    });
  }
  for (auto& t : threads) t.join();

  for (std::size_t i = 0; i < guests; ++i) {
    BOOST_REQUIRE(heard[i].size() == (guests - 1) * each);
    for (std::size_t from = 0; from < guests; ++from) {
      std::size_t next = 0;
      for (const auto& line : heard[i])
        if (line == all[from].name() + ": " + std::to_string(next)) ++next;
      BOOST_TEST(next == (from == i ? 0u : each));
    }
    const auto& one = heard[0];
    BOOST_TEST(not_from(heard[i], all[0], all[i]) == not_from(one, all[0], all[i]), per_element());
  }
  server.signal(SIGTERM);
  server.check_end(guests);
}

BOOST_AUTO_TEST_CASE(a_line_is_passed_on_when_it_is_whole) {
  chat_server server;
  guest a(server);
  guest b(server);
  a.read_until("* guest 2 has come");

  a.say("hel");
  check_talk(b, a, "something else meanwhile");
  a.say("lo\nwor");
  BOOST_TEST(b.read_line() == "guest 1: hello");
  check_talk(b, a, "and again");
  a.say("ld\n");
  BOOST_TEST(b.read_line() == "guest 1: world");
  for (const char c : std::string("one by one\n")) a.say({&c, 1});
  BOOST_TEST(b.read_line() == "guest 1: one by one");
  a.say("two\nin one\n\nand empty ones\r\n");
  BOOST_TEST(b.read_line() == "guest 1: two");
  BOOST_TEST(b.read_line() == "guest 1: in one");
  BOOST_TEST(b.read_line() == "guest 1: ");
  BOOST_TEST(b.read_line() == "guest 1: and empty ones");
  const std::string long_line(10'000, 'x');
  check_talk(a, b, long_line);
  server.signal(SIGINT);
  server.check_end(2);
}

BOOST_AUTO_TEST_CASE(a_guest_that_closes_its_half_has_said_its_whole_lines) {
  chat_server server;
  guest a(server);
  guest b(server);
  a.read_until("* guest 2 has come");
  b.say("first\nsecond\nnot finished");
  b.close_half();
  BOOST_TEST(a.read_line() == "guest 2: first");
  BOOST_TEST(a.read_line() == "guest 2: second");
  BOOST_TEST(a.read_line() == "* guest 2 has gone");
  BOOST_TEST(b.read_line() == "");
  server.signal(SIGINT);
  server.check_end(2);
}

BOOST_AUTO_TEST_CASE(a_line_without_an_end_costs_the_guest_its_place) {
  chat_server server;
  guest a(server);
  guest b(server);
  a.read_until("* guest 2 has come");
  b.say(std::string(20'000, 'x'));
  BOOST_TEST(a.read_line() == "* guest 2 has gone");
  guest c(server);
  a.read_until("* guest 3 has come");
  check_talk(c, a, "hello");
  server.signal(SIGINT);
  server.check_end(3);
}

BOOST_AUTO_TEST_CASE(a_guest_that_is_silent_for_the_idle_time_has_to_go) {
  const auto idle = 300ms * scale;
  chat_server server({"--idle-ms", milliseconds(idle)});
  guest talker(server);
  const auto started = steady::now();
  guest silent(server);
  guest listener(server);
  std::thread talk([&] {
    for (int i = 0; i < 15; ++i) {
      talker.say("bla\n");
      std::this_thread::sleep_for(idle / 10);
    }
  });
  // Another may go between this and its own end.
  const auto was_told_why = [](const lines& heard) {
    return std::ranges::count(heard, "* you have been silent for too long") == 1;
  };
  BOOST_TEST(was_told_why(silent.read_to_the_end()));
  BOOST_TEST((steady::now() - started >= idle));
  talk.join();
  talker.read_until("* guest 2 has gone");
  BOOST_TEST(was_told_why(listener.read_to_the_end()));
  talker.read_until("* you have been silent for too long");
  server.signal(SIGINT);
  server.check_end(3);
}

BOOST_AUTO_TEST_CASE(guests_that_reset_their_connections_disturb_nobody_else) {
  chat_server server;
  guest a(server);
  guest b(server);
  a.read_until("* guest 2 has come");
  for (int i = 0; i < 30; ++i) {
    guest rude(server);
    if (i % 3 == 0) rude.say("good-b");
    if (i % 3 == 1) rude.say("bla\nbla\nbla\nbla");
    rude.reset();
    a.read_until("* " + rude.name() + " has gone");
  }
  b.read_until("* guest 32 has gone");
  check_talk(a, b, "what a crowd");
  check_talk(b, a, "yes");
  server.signal(SIGINT);
  server.check_end(32);
}

BOOST_AUTO_TEST_CASE(a_guest_that_does_not_read_has_to_go_and_the_others_miss_nothing) {
  chat_server server({"--slow-ms", milliseconds(100ms * scale)});
  guest deaf(server);
  guest reader(server);
  guest talker(server);
  const std::string text(10'000, 'y');
  constexpr int n = 800;  // more than the buffers on the way to the deaf one
  std::thread talk([&] {
    for (int i = 0; i < n; ++i) talker.say(std::to_string(i) + text + "\n");
    talker.say("over\n");
  });
  const lines heard = reader.read_until("guest 3: over");
  talk.join();
  int next = 0;
  int deaf_has_gone = 0;
  for (const auto& line : heard) {
    if (line == "guest 3: " + std::to_string(next) + text) ++next;
    if (line == "* guest 1 has gone") ++deaf_has_gone;
  }
  BOOST_TEST(next == n);
  BOOST_TEST(deaf_has_gone == 1);
  server.signal(SIGINT);
  server.check_end(3);
}

BOOST_AUTO_TEST_CASE(a_stop_in_mid_traffic_ends_everything) {
  for (const int signal : {SIGINT, SIGTERM}) {
    chat_server server({"--threads", "3"});
    std::deque<guest> talkers;
    for (int i = 0; i < 5; ++i) talkers.emplace_back(server);
    guest silent(server);
    guest deaf(server);
    deaf.say("never read");
    std::vector<std::thread> threads;
    for (auto& t : talkers) {
      threads.emplace_back([&] {
        while (t.say("bla bla bla\n")) continue;
      });
      threads.emplace_back([&] { t.read_to_the_end(); });
    }
    for (int i = 0; i < 100; ++i) silent.read_line();
    server.signal(signal);
    silent.read_to_the_end();
    server.check_end(7);
    for (auto& t : threads) t.join();
  }
}

BOOST_AUTO_TEST_CASE(a_stop_with_nobody_there_ends_at_once) {
  chat_server server({"--threads", "1"});
  server.signal(SIGINT);
  server.check_end(0);
}

BOOST_AUTO_TEST_CASE(what_it_cannot_do_it_says_and_fails) {
  chat_server server;
  child_process second({SLUICE_EXAMPLES_DIR "/chat_server", std::to_string(server.port())}, true);
  const std::string complaint = second.read_all();
  BOOST_TEST(complaint.find("Address already in use") != std::string::npos, complaint);
  BOOST_TEST(second.wait() == 1);

  const std::vector<lines> wrong{{},
                                 {"x"},
                                 {"65536"},
                                 {"0", "--idle-ms"},
                                 {"0", "--idle-ms", "x"},
                                 {"0", "--threads", "0"},
                                 {"0", "--unknown", "1"}};
  for (auto arguments : wrong) {
    arguments.insert(arguments.begin(), SLUICE_EXAMPLES_DIR "/chat_server");
    child_process refused(arguments, true);
    BOOST_TEST(refused.read_all().starts_with("usage: chat_server PORT "));
    BOOST_TEST(refused.wait() == 2);
  }
  server.signal(SIGTERM);
  server.check_end(0);
}

BOOST_AUTO_TEST_SUITE_END()
