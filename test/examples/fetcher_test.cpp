// The fetcher of the examples against the HTTP server of the examples, and against servers that are
// the test's own.
#include "connection.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

std::vector<std::string> arguments(std::uint16_t port, int limit, int deadline_ms,
                                   const std::vector<std::string>& paths) {
  std::vector<std::string> all{"127.0.0.1", std::to_string(port), std::to_string(limit),
                               std::to_string(deadline_ms)};
  all.insert(all.end(), paths.begin(), paths.end());
  return example("fetcher", std::move(all));
}

struct outcome {
  std::string said;
  int status;
  steady::duration took;
};

outcome fetch(std::uint16_t port, int limit, int deadline_ms,
              const std::vector<std::string>& paths) {
  const auto started = steady::now();
  child_process fetcher(arguments(port, limit, deadline_ms, paths), true);
  std::string said = fetcher.read_all();
  const int status = fetcher.wait();
  return {said, status, steady::now() - started};
}

/// Answers the request that has come over `c`.
void answer(connection& c) {
  const std::string request = c.receive_through("\r\n\r\n");
  BOOST_TEST(request.starts_with("GET /"), request);
  c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fetcher_of_the_examples)

BOOST_AUTO_TEST_CASE(many_pages_are_fetched_and_printed_in_order) {
  server_process server("http_server", {"--queue", "1000"});
  std::vector<std::string> paths;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    paths.push_back(i % 2 ? "/" : "/slow/" + std::to_string(i % 10));
    expected += paths.back() + (i % 2 ? ": 6 bytes\n" : ": 10 bytes\n");
  }
  const auto o = fetch(server.port(), 20, 60'000, paths);
  BOOST_TEST(o.said == expected);
  BOOST_TEST(o.status == 0);
  server.signal(SIGINT);
  server.check_end("served 200 requests on 200 connections");
}

BOOST_AUTO_TEST_CASE(the_first_that_fails_cancels_the_rest) {
  server_process server("http_server", {"--workers", "100"});
  std::vector<std::string> paths(50, "/slow/60000");
  paths[10] = "/nothing";
  const auto o = fetch(server.port(), 20, 3'600'000, paths);
  BOOST_TEST(o.said == "fetcher: /nothing: 404; 0 of 50 pages fetched\n");
  BOOST_TEST(o.status == 1);
  BOOST_TEST((o.took < 30s));
}

// golang.org/x/sync/errgroup: with a limit, the next begins when one has ended.
BOOST_AUTO_TEST_CASE(so_many_are_in_flight_and_no_more) {
  listener server;
  child_process fetcher(arguments(server.port(), 3, 60'000, std::vector<std::string>(8, "/x")));
  std::deque<connection> in_flight;
  for (int i = 0; i < 3; ++i) in_flight.push_back(server.accept());
  for (int answered = 0; answered < 8; ++answered) {
    BOOST_TEST(!server.called(20ms));
    answer(in_flight.front());
    BOOST_TEST(in_flight.front().receive_all() == "");
    in_flight.pop_front();
    if (answered < 5) in_flight.push_back(server.accept());
  }
  std::string expected;
  for (int i = 0; i < 8; ++i) expected += "/x: 2 bytes\n";
  BOOST_TEST(fetcher.read_all() == expected);
  BOOST_TEST(fetcher.wait() == 0);
}

BOOST_AUTO_TEST_CASE(the_deadline_ends_them_all_wherever_they_are) {
  listener server;  // which never answers
  const auto o = fetch(server.port(), 2, 100, std::vector<std::string>(10, "/"));
  BOOST_TEST(o.said == "fetcher: the deadline has passed; 0 of 10 pages fetched\n");
  BOOST_TEST(o.status == 1);
  BOOST_TEST((o.took >= 100ms));

  listener full(0);
  connection queued(full.port());
  const auto p = fetch(full.port(), 100, 100, std::vector<std::string>(10, "/"));
  BOOST_TEST(p.said.ends_with("the deadline has passed; 0 of 10 pages fetched\n"));
}

BOOST_AUTO_TEST_CASE(pages_that_came_before_the_failure_are_counted) {
  listener server;
  child_process fetcher(arguments(server.port(), 1, 60'000, {"/a", "/b", "/c"}), true);
  for (int i = 0; i < 2; ++i) {
    connection c = server.accept();
    answer(c);
  }
  connection c = server.accept();
  c.receive_through("\r\n\r\n");
  c.send("nonsense\r\n\r\n");
  BOOST_TEST(fetcher.read_all().ends_with("; 2 of 3 pages fetched\n"));
  BOOST_TEST(fetcher.wait() == 1);
}

BOOST_AUTO_TEST_CASE(a_server_that_is_not_there_is_an_error) {
  listener server;
  server.close();
  const auto o = fetch(server.port(), 4, 60'000, {"/", "/"});
  BOOST_TEST(o.said.find("Connection refused") != std::string::npos, o.said);
  BOOST_TEST(o.said.ends_with("; 0 of 2 pages fetched\n"));
  BOOST_TEST(o.status == 1);
}

BOOST_AUTO_TEST_CASE(what_it_does_not_understand_it_says) {
  check_usage("fetcher", {});
  check_usage("fetcher", {"127.0.0.1", "80", "0", "100", "/"});
  check_usage("fetcher", {"127.0.0.1", "80", "5", "100"});
}

BOOST_AUTO_TEST_SUITE_END()
