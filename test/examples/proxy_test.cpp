// The TCP proxy of the examples between clients and targets that are the test's own.
#include "connection.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

std::string random_bytes(std::size_t n) {
  static std::mt19937_64 random(20240229);
  std::string bytes(n, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

std::vector<std::string> to(std::uint16_t target, std::vector<std::string> options = {}) {
  options.insert(options.begin(), {"127.0.0.1", std::to_string(target)});
  return options;
}

std::string end_of(std::size_t bytes, std::size_t connections) {
  return "carried " + std::to_string(bytes) + " bytes on " + std::to_string(connections) +
         " connections";
}

/// A client and a target, with the proxy between them.
struct ends {
  ends(const server_process& proxy, listener& l) : client(proxy.port()), target(l.accept()) {}
  connection client;
  connection target;
};

/// Sends it from a thread, and then the end.
std::jthread send_all(connection& c, const std::string& bytes) {
  return std::jthread([&] {
    c.send(bytes);
    c.close_half();
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(proxy_of_the_examples)

BOOST_AUTO_TEST_CASE(megabytes_go_both_ways_at_the_same_time_and_arrive_as_they_were) {
  constexpr std::size_t n = SLUICE_TEST_SANITIZED ? 2'000'000 : 8'000'000;
  listener target;
  server_process proxy("proxy", to(target.port()));
  ends e(proxy, target);
  const std::string there = random_bytes(n), back = random_bytes(n + 1);
  std::string got_there, got_back;
  {
    const auto sending = send_all(e.client, there);
    const auto answering = send_all(e.target, back);
    const std::jthread receiving([&] { got_there = e.target.receive_all(); });
    got_back = e.client.receive_all();
  }
  BOOST_TEST((got_there == there));
  BOOST_TEST((got_back == back));
  proxy.signal(SIGINT);
  proxy.check_end(end_of(2 * n + 1, 1));
}

BOOST_AUTO_TEST_CASE(many_connections_are_kept_apart) {
  constexpr std::size_t n = 100, length = 100'000;
  listener target;
  server_process proxy("proxy", to(target.port()));
  std::deque<ends> all;
  for (std::size_t i = 0; i < n; ++i) all.emplace_back(proxy, target);
  for (auto& e : all) e.client.send(random_bytes(length / 10));
  for (auto& e : all) e.target.send(e.target.receive(length / 10));
  std::mt19937_64 order(1);
  for (auto& e : all) e.client.receive(length / 10);
  for (std::size_t i = 0; i < n; ++i) {
    const std::string text = random_bytes(length);
    auto& e = all[order() % n];
    std::string got;
    {
      const std::jthread receiving([&] { got = e.target.receive(length); });
      e.client.send(text);
    }
    BOOST_TEST((got == text));
  }
  proxy.signal(SIGTERM);
  for (auto& e : all) {
    BOOST_TEST(e.client.receive_all() == "");
    BOOST_TEST(e.target.receive_all() == "");
  }
  proxy.check_end(end_of(n * length / 5 + n * length, n));
}

// RFC 9293, 3.6: the closing of one direction says nothing about the other.
BOOST_AUTO_TEST_CASE(the_end_of_one_direction_is_passed_on_and_the_other_goes_on) {
  listener target;
  server_process proxy("proxy", to(target.port()));
  {
    ends e(proxy, target);  // as a request whose end is the end of the stream
    e.client.send("question");
    e.client.close_half();
    BOOST_TEST(e.target.receive_all() == "question");
    const std::string answer = random_bytes(1'000'000);
    const auto answering = send_all(e.target, answer);
    BOOST_TEST((e.client.receive_all() == answer));
  }
  {
    ends e(proxy, target);  // as a server that has said all, and goes on listening
    e.target.send("welcome");
    e.target.close_half();
    BOOST_TEST(e.client.receive_all() == "welcome");
    const std::string much = random_bytes(1'000'000);
    const auto sending = send_all(e.client, much);
    BOOST_TEST((e.target.receive_all() == much));
  }
  proxy.signal(SIGINT);
  proxy.check_end(end_of(8 + 1'000'000 + 7 + 1'000'000, 2));
}

BOOST_AUTO_TEST_CASE(an_end_that_is_reset_closes_the_other) {
  listener target;
  server_process proxy("proxy", to(target.port()));
  for (int i = 0; i < 20; ++i) {
    ends e(proxy, target);
    e.client.send("x");
    BOOST_TEST(e.target.receive(1) == "x");
    auto& rude = i % 2 ? e.client : e.target;
    auto& other = i % 2 ? e.target : e.client;
    rude.reset();
    BOOST_TEST(other.receive_all() == "");
  }
  proxy.signal(SIGINT);
  proxy.check_end(end_of(20, 20));
}

BOOST_AUTO_TEST_CASE(an_idle_connection_is_cut_and_one_that_moves_either_way_is_not) {
  constexpr auto idle = SLUICE_TEST_SANITIZED ? 500ms : 150ms;
  listener target;
  server_process proxy("proxy", to(target.port(), {"--idle-ms", std::to_string(idle.count())}));
  ends one_way(proxy, target);
  ends silent(proxy, target);
  const auto started = steady::now();
  std::size_t sent = 0;
  // Something moves in one direction all the time, for longer than the idle time.
  while (!silent.client.readable(10ms) || steady::now() - started < 3 * idle) {
    one_way.target.send("x");
    BOOST_REQUIRE(one_way.client.receive(1) == "x");
    ++sent;
  }
  BOOST_TEST((steady::now() - started >= idle));
  BOOST_TEST(silent.client.receive_all() == "");
  BOOST_TEST(silent.target.receive_all() == "");
  // Then it is idle as well.
  BOOST_TEST(one_way.client.receive_all() == "");
  proxy.signal(SIGINT);
  proxy.check_end(end_of(sent, 2));
}

BOOST_AUTO_TEST_CASE(one_that_does_not_take_what_is_sent_is_cut_like_an_idle_one) {
  listener target;
  server_process proxy("proxy", to(target.port(), {"--idle-ms", "150"}));
  ends e(proxy, target);
  const std::string much(1'000'000, 'x');
  while (e.client.send(much)) continue;  // until the proxy closes
  proxy.signal(SIGINT);
  BOOST_TEST(proxy.end().ends_with(" on 1 connections\n"));
}

BOOST_AUTO_TEST_CASE(a_target_that_is_not_there_closes_the_connection) {
  listener target;
  server_process proxy("proxy", to(target.port()));
  ends before(proxy, target);
  target.close();
  for (int i = 0; i < 5; ++i) BOOST_TEST(connection(proxy.port()).receive_all() == "");
  before.client.send("still there");
  BOOST_TEST(before.target.receive(11) == "still there");
  proxy.signal(SIGINT);
  proxy.check_end(end_of(11, 6));
}

BOOST_AUTO_TEST_CASE(a_target_that_does_not_answer_is_given_up_and_does_not_delay_a_stop) {
  // Its queue of connections is full: the kernel takes no notice of more.
  listener target(0);
  std::deque<connection> queued;
  queued.emplace_back(target.port());
  {
    server_process proxy("proxy", to(target.port(), {"--connect-ms", "100"}));
    connection c(proxy.port());
    BOOST_TEST(c.receive_all() == "");
    proxy.signal(SIGINT);
    proxy.check_end(end_of(0, 1));
  }
  server_process proxy("proxy", to(target.port(), {"--connect-ms", "3600000", "--threads", "1"}));
  connection c(proxy.port());
  c.send("x");
  BOOST_TEST(!c.readable(20ms));
  proxy.signal(SIGINT);
  BOOST_TEST(c.receive_all() == "");
  proxy.check_end(end_of(0, 1));
}

BOOST_AUTO_TEST_CASE(a_stop_in_mid_traffic_closes_both_ends) {
  listener target;
  server_process proxy("proxy", to(target.port()));
  ends e(proxy, target);
  {
    const std::jthread sending([&] {
      const std::string much(1'000'000, 'x');
      while (e.client.send(much)) continue;
    });
    BOOST_TEST(e.target.receive(1'000'000).size() == 1'000'000);
    proxy.signal(SIGTERM);
    e.target.receive_all();
  }
  BOOST_TEST(proxy.end().ends_with(" on 1 connections\n"));
}

BOOST_AUTO_TEST_CASE(what_it_does_not_understand_it_says) {
  check_usage("proxy", {});
  check_usage("proxy", {"0"});
  check_usage("proxy", {"x", "127.0.0.1", "80"});
  check_usage("proxy", {"0", "127.0.0.1", "80", "--threads", "0"});
}

BOOST_AUTO_TEST_SUITE_END()
