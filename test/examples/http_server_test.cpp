// The HTTP server of the examples with curl, and with clients that are many, malformed, slow, deaf
// or gone.
#include "connection.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

// Long enough to send some requests, also under a sanitizer.
const std::string slow_ms = SLUICE_TEST_SANITIZED ? "1500" : "300";

struct reply {
  std::string head;  ///< the status line and the fields
  std::string body;

  [[nodiscard]] int status() const {
    int code = 0;
    if (head.starts_with("HTTP/1.1 ")) std::from_chars(&head[9], head.data() + head.size(), code);
    return code;
  }
  [[nodiscard]] bool closes() const {
    return head.find("\r\nConnection: close\r\n") != std::string::npos;
  }
};

/// The next reply; an empty one if the server has closed the connection.
reply receive_reply(connection& c) {
  reply r;
  r.head = c.receive_through("\r\n\r\n");
  if (r.head.empty()) return r;
  constexpr std::string_view field = "\r\nContent-Length: ";
  const auto length = r.head.find(field);
  BOOST_REQUIRE(length != std::string::npos);
  r.body = c.receive(std::stoul(r.head.substr(length + field.size())));
  return r;
}

std::string get(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n";
}

reply ask(connection& c, const std::string& path) {
  BOOST_REQUIRE(c.send(get(path)));
  return receive_reply(c);
}

std::string end_of(std::size_t requests, std::size_t connections) {
  return "served " + std::to_string(requests) + " requests on " + std::to_string(connections) +
         " connections";
}

/// Waits until a server with one worker and no queue has the worker busy.
/** @return How many requests that took. */
std::size_t wait_until_busy(const server_process& server) {
  connection c(server.port());
  for (std::size_t n = 1; n < 100'000; ++n)
    if (ask(c, "/slow/0").status() == 503) return n;
  throw std::runtime_error("the worker is never busy");
}

/// Connects until that is refused.
void wait_until_closed(const server_process& server) {
  try {
    for (;;) BOOST_TEST(connection(server.port()).receive_all() == "");
  } catch (const std::system_error& e) {
    BOOST_TEST(e.code().value() == ECONNREFUSED);
  }
}

std::string run_curl(std::vector<std::string> arguments) {
  std::vector<std::string> command{"/usr/bin/env", "curl", "-sS", "--max-time", "60"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  child_process curl(std::move(command));
  std::string output = curl.read_all();
  BOOST_TEST(curl.wait() == 0);
  return output;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(http_server_of_the_examples)

BOOST_AUTO_TEST_CASE(curl_gets_every_route_over_one_connection) {
  server_process server("http_server");
  const std::string url = "http://127.0.0.1:" + std::to_string(server.port());
  const std::string output = run_curl(
      {"-w", "%{http_code} %{num_connects}\n", url + "/", url + "/slow/1", url + "/nothing"});
  BOOST_TEST(output == "hello\n200 1\ntook 1 ms\n200 0\nNot Found\n404 0\n");
  server.signal(SIGINT);
  server.check_end(end_of(3, 1));
}

BOOST_AUTO_TEST_CASE(curl_gets_heads_and_its_own_words_back) {
  server_process server("http_server");
  const std::string url = "http://127.0.0.1:" + std::to_string(server.port());
  BOOST_TEST(run_curl({"-I", url + "/"}).find("Content-Length: 6\r\n") != std::string::npos);
  std::string words;
  while (words.size() < 100'000) words += "word " + std::to_string(words.size()) + ' ';
  BOOST_TEST((run_curl({"--data-raw", words, url + "/echo"}) == words));
  // In pieces whose number the server is not told.
  BOOST_TEST((run_curl({"-H", "Transfer-Encoding: chunked", "--data-raw", words, url + "/echo"}) ==
              words));
  BOOST_TEST(run_curl({"--http1.0", url + "/"}) == "hello\n");
  server.signal(SIGTERM);
  server.check_end(end_of(4, 4));
}

BOOST_AUTO_TEST_CASE(requests_that_come_before_they_are_asked_for_are_answered_in_order) {
  server_process server("http_server");
  connection c(server.port());
  std::string all;
  for (int i = 0; i < 100; ++i) all += get(i % 2 ? "/nothing" : "/slow/" + std::to_string(i % 3));
  c.send(all);
  for (int i = 0; i < 100; ++i) {
    const reply r = receive_reply(c);
    BOOST_TEST(r.status() == (i % 2 ? 404 : 200));
    if (i % 2 == 0) BOOST_TEST(r.body == "took " + std::to_string(i % 3) + " ms\n");
  }
  server.signal(SIGINT);
  BOOST_TEST(receive_reply(c).head == "");
  server.check_end(end_of(100, 1));
}

BOOST_AUTO_TEST_CASE(a_malformed_request_is_refused_and_its_connection_closed) {
  struct {
    std::string request;
    int status;
  } const malformed[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET / HTTP/9.9\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {std::string("GET /\0 HTTP/1.1\r\n\r\n", 20), 400},
      {"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {"GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", 431},
      {"POST /echo HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n" + std::string(500'000, 'x'), 413},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 405},
      {"GET /slow/1x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404},
  };
  server_process server("http_server");
  connection bystander(server.port());
  for (const auto& m : malformed) {
    connection c(server.port());
    c.send(m.request);
    const reply r = receive_reply(c);
    BOOST_TEST(r.status() == m.status, m.request.substr(0, 40));
    BOOST_TEST((r.head.find("Allow: GET, HEAD\r\n") != r.head.npos) == (m.status == 405), r.head);
    BOOST_TEST(r.closes());
    BOOST_TEST(receive_reply(c).head == "");
    BOOST_TEST(!c.was_reset());
  }
  BOOST_TEST(ask(bystander, "/").body == "hello\n");
  server.signal(SIGINT);
  server.check_end(end_of(std::size(malformed) + 1, std::size(malformed) + 1));
}

BOOST_AUTO_TEST_CASE(a_client_that_goes_away_ends_its_own_connection_only) {
  server_process server("http_server", {"--workers", "100"});
  connection bystander(server.port());
  for (int i = 0; i < 20; ++i) {
    connection(server.port()).close();
    connection(server.port()).reset();
    for (const std::string& text :
         {std::string("GET / HT"), get("/slow/10"), get("/"),
          std::string(
              "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly a part")}) {
      connection c(server.port());
      c.send(text);
      i % 2 ? c.close() : c.reset();
    }
    BOOST_TEST(ask(bystander, "/").body == "hello\n");
  }
  // A half-closed connection still gets its answer.
  connection half(server.port());
  half.send(get("/slow/10"));
  half.close_half();
  BOOST_TEST(receive_reply(half).body == "took 10 ms\n");
  BOOST_TEST(half.receive_all() == "");
  server.signal(SIGTERM);
  BOOST_TEST(bystander.receive_all() == "");
  BOOST_TEST(server.end().ends_with(" on 122 connections\n"));
}

// Slowloris: each byte comes in time for a limit on reads, never for one on requests.
BOOST_AUTO_TEST_CASE(a_client_that_sends_its_request_bit_by_bit_gets_a_408_and_holds_up_nobody) {
  server_process server("http_server", {"--request-ms", "300", "--threads", "1"});
  std::deque<connection> slow;
  for (int i = 0; i < 20; ++i) slow.emplace_back(server.port());
  connection other(server.port());
  std::size_t others = 0;
  const auto started = steady::now();
  const std::string endless = "GET / HTTP/1.1\r\nX: " + std::string(5'000, 'x');
  for (std::size_t i = 0; i < endless.size(); ++i) {
    for (auto& c : slow) c.send(endless.substr(i, 1));
    BOOST_REQUIRE(ask(other, "/").status() == 200);
    ++others;
    if (slow.back().readable(10ms)) break;
  }
  BOOST_TEST((steady::now() - started >= 290ms));
  for (auto& c : slow) {
    const reply r = receive_reply(c);
    BOOST_TEST(r.status() == 408);
    BOOST_TEST(r.closes());
    c.close();
  }
  BOOST_TEST(others > 3);
  server.signal(SIGINT);
  server.check_end(end_of(others + slow.size(), 21));
}

BOOST_AUTO_TEST_CASE(an_idle_connection_and_one_that_takes_no_answers_are_closed) {
  server_process server("http_server", {"--idle-ms", "100", "--request-ms", "200"});
  connection silent(server.port());
  connection used(server.port());
  BOOST_TEST(ask(used, "/").status() == 200);
  BOOST_TEST(silent.receive_all() == "");
  BOOST_TEST(used.receive_all() == "");
  BOOST_TEST(!used.was_reset());

  // It asks until nothing fits into the buffers on the way; then the server closes.
  connection deaf(server.port());
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
  const std::string request = post + std::string(1'000'000, 'x');
  while (deaf.send(request)) continue;
  server.signal(SIGINT);
  BOOST_TEST(server.end().ends_with(" on 3 connections\n"));
}

BOOST_AUTO_TEST_CASE(a_full_pool_says_503_at_once_and_does_what_it_has_accepted) {
  server_process server("http_server", {"--workers", "4", "--queue", "3", "--threads", "1"});
  std::deque<connection> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(server.port()).send(get("/slow/" + slow_ms));
  std::size_t done = 0, refused = 0;
  for (auto& c : clients) {
    const reply r = receive_reply(c);
    if (r.status() == 200) ++done;
    if (r.status() == 503) ++refused;
    BOOST_TEST(!r.closes());
  }
  BOOST_TEST(done == 7);
  BOOST_TEST(refused == 13);
  BOOST_TEST(ask(clients.front(), "/slow/0").status() == 200);
  server.signal(SIGINT);
  server.check_end(end_of(21, 20));
}

BOOST_AUTO_TEST_CASE(a_thousand_connections_are_served_and_closed_at_the_end) {
  constexpr std::size_t n = 1000;
  allow_descriptors(n + 200);
  server_process server("http_server", {"--idle-ms", "3600000"});
  std::deque<connection> clients;
  for (std::size_t i = 0; i < n; ++i) clients.emplace_back(server.port());
  for (int round = 0; round < 3; ++round) {
    for (auto& c : clients) BOOST_REQUIRE(c.send(get("/")));
    for (auto& c : clients) BOOST_REQUIRE(receive_reply(c).body == "hello\n");
  }
  server.signal(SIGTERM);
  for (auto& c : clients) {
    BOOST_REQUIRE(c.receive_all() == "");
    BOOST_REQUIRE(!c.was_reset());
  }
  server.check_end(end_of(3 * n, n));
}

BOOST_AUTO_TEST_CASE(a_stop_finishes_the_requests_in_flight) {
  for (const int signal : {SIGINT, SIGTERM}) {
    server_process server("http_server", {"--workers", "1", "--queue", "0", "--threads", "1",
                                          "--idle-ms", "3600000"});
    connection idle(server.port());
    BOOST_TEST(ask(idle, "/").status() == 200);
    connection slow(server.port());
    connection half_said(server.port());
    slow.send(get("/slow/" + slow_ms));
    half_said.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    const std::size_t asked = wait_until_busy(server);
    for (int i = 0; i < 3; ++i) ask(idle, "/");  // what was sent before has been read by now

    server.signal(signal);
    BOOST_TEST(idle.receive_all() == "");
    wait_until_closed(server);
    half_said.send("llo");
    const reply echoed = receive_reply(half_said);
    BOOST_TEST(echoed.body == "hello");
    BOOST_TEST(echoed.closes());
    const reply done = receive_reply(slow);
    BOOST_TEST(done.body == "took " + slow_ms + " ms\n");
    BOOST_TEST(done.closes());
    BOOST_TEST(slow.receive_all() == "");
    BOOST_TEST(server.end().starts_with("served " + std::to_string(asked + 6) + " requests on "));
  }
}

BOOST_AUTO_TEST_CASE(what_it_does_not_understand_it_says) {
  check_usage("http_server", {});
  check_usage("http_server", {"65536"});
  check_usage("http_server", {"0", "--workers", "0"});
  check_usage("http_server", {"0", "--speed", "9"});
  check_usage("http_server", {"0", "--idle-ms"});
}

BOOST_AUTO_TEST_SUITE_END()
