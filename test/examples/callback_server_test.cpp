// The callback server of the examples with clients that are many, hasty, long-winded or gone.
#include "connection.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace sluice_test;

std::string end_of(std::size_t words, std::size_t lines) {
  return "counted " + std::to_string(words) + " words in " + std::to_string(lines) + " lines";
}

std::string ask(connection& c, const std::string& line) {
  BOOST_REQUIRE(c.send(line + '\n'));
  return c.receive_through("\n");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(callback_server_of_the_examples)

BOOST_AUTO_TEST_CASE(every_line_is_answered_with_its_number_of_words) {
  server_process server("callback_server");
  connection c(server.port());
  BOOST_TEST(ask(c, "one") == "1\n");
  BOOST_TEST(ask(c, "") == "0\n");
  BOOST_TEST(ask(c, "  two   words\r") == "2\n");
  BOOST_TEST(ask(c, "three of them") == "3\n");
  c.send("no end");
  c.close_half();
  BOOST_TEST(c.receive_all() == "");
  server.signal(SIGINT);
  server.check_end(end_of(6, 4));
}

BOOST_AUTO_TEST_CASE(what_a_worker_throws_is_told_to_the_one_who_asked) {
  server_process server("callback_server", {"2"});
  connection c(server.port()), other(server.port());
  BOOST_TEST(ask(c, std::string(1'001, 'x')) == "no\n");
  BOOST_TEST(ask(other, "well then") == "2\n");
  BOOST_TEST(ask(c, std::string(999, 'x')) == "1\n");
  // A line without an end is not waited for.
  c.send(std::string(100'000, 'x'));
  BOOST_TEST(c.receive_all() == "");
  server.signal(SIGTERM);
  server.check_end(end_of(3, 2));
}

BOOST_AUTO_TEST_CASE(lines_sent_at_once_are_answered_in_order) {
  server_process server("callback_server", {"2"});
  connection c(server.port());
  std::string lines, answers, words;
  std::size_t total = 0;
  for (std::size_t i = 0; i < 200; ++i) {
    lines += words + '\n';
    answers += std::to_string(i) + '\n';
    words += " w";
    total += i;
  }
  std::string got;
  {
    const std::jthread sending([&] { c.send(lines); });
    got = c.receive(answers.size());
  }
  BOOST_TEST(got == answers);
  server.signal(SIGINT);
  server.check_end(end_of(total, 200));
}

// More sessions than workers, queue and channel hold together.
BOOST_AUTO_TEST_CASE(hundreds_of_sessions_lose_no_line_and_no_count) {
  constexpr std::size_t n = 300, rounds = 5;
  allow_descriptors(n + 200);
  server_process server("callback_server", {"2"});
  std::deque<connection> clients;
  for (std::size_t i = 0; i < n; ++i) clients.emplace_back(server.port());
  for (std::size_t round = 0; round < rounds; ++round) {
    for (auto& c : clients) BOOST_REQUIRE(c.send("a b c\n"));
    for (auto& c : clients) BOOST_REQUIRE(c.receive_through("\n") == "3\n");
  }
  server.signal(SIGTERM);
  for (auto& c : clients) BOOST_REQUIRE(c.receive_all() == "");
  server.check_end(end_of(3 * n * rounds, n * rounds));
}

BOOST_AUTO_TEST_CASE(clients_that_go_away_end_their_own_session_only) {
  server_process server("callback_server", {"2"});
  connection bystander(server.port());
  for (int i = 0; i < 50; ++i) {
    connection c(server.port());
    c.send("one two\nthree\nfou");
    i % 2 ? c.close() : c.reset();
    BOOST_TEST(ask(bystander, "still here") == "2\n");
  }
  server.signal(SIGINT);
  BOOST_TEST(bystander.receive_all() == "");
  server.end();
}

BOOST_AUTO_TEST_CASE(a_stop_in_mid_traffic_ends_every_session) {
  for (const int signal : {SIGINT, SIGTERM}) {
    server_process server("callback_server", {"2"});
    std::deque<connection> deaf;
    const std::string lines(4'000, '\n');
    for (int i = 0; i < 20; ++i) deaf.emplace_back(server.port()).send(lines);
    connection talker(server.port());
    for (int i = 0; i < 10; ++i) BOOST_TEST(ask(talker, "a") == "1\n");
    server.signal(signal);
    BOOST_TEST(talker.receive_all() == "");
    for (auto& c : deaf) {
      const std::string answers = c.receive_all();
      BOOST_TEST(answers.find_first_not_of("0\n") == std::string::npos);
    }
    server.end();
  }
}

BOOST_AUTO_TEST_CASE(what_it_does_not_understand_it_says) {
  check_usage("callback_server", {});
  check_usage("callback_server", {"65536"});
  check_usage("callback_server", {"0", "0"});
}

BOOST_AUTO_TEST_SUITE_END()
