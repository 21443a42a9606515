// What the classic programs among the examples print: pipeline, prime_sieve, publish_subscribe,
// rate_limited.
#include "../child_process.hpp"
#include "../names.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Runs an example to its end, checks that it succeeds, and gives the lines that it printed.
lines lines_of(std::vector<std::string> command) {
  command.front().insert(0, SLUICE_EXAMPLES_DIR "/");
  child_process program(std::move(command));
  std::istringstream in(program.read_all());
  BOOST_TEST(program.wait() == 0);
  lines result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

/// After how many milliseconds each request of `rate_limited` was made, and again with bursts.
struct rates {
  std::vector<int> steady;
  std::vector<int> bursty;
};

rates run_rate_limited() {
  rates r;
  auto* current = &r.steady;
  for (const std::string& line : lines_of({"rate_limited"})) {
    int number = 0, after = 0;
    if (line == "with bursts:")
      current = &r.bursty;
    else if (std::sscanf(line.c_str(), "request %d after %d ms", &number, &after) == 2 &&
             number == static_cast<int>(current->size()) + 1)
      current->push_back(after);
    else
      BOOST_ERROR(line);
  }
  return r;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(classics_of_the_examples)

// "Go Concurrency Patterns: Pipelines and cancellation", in the Go blog.
BOOST_AUTO_TEST_CASE(the_pipeline_adds_up_every_square_once) {
  const lines expected{"the squares of 1 to 1000 add up to 333833500"};
  for (int i = 0; i < 5; ++i) BOOST_TEST(lines_of({"pipeline"}) == expected, per_element());
}

// test/chan/sieve1.go of the Go repository.
BOOST_AUTO_TEST_CASE(the_prime_sieve_prints_the_first_primes) {
  const lines first{"2", "3", "5", "7", "11", "13", "17", "19", "23", "29"};
  BOOST_TEST(lines_of({"prime_sieve"}) == first, per_element());
  const auto more = lines_of({"prime_sieve", "200"});
  BOOST_REQUIRE(more.size() == 200);
  BOOST_TEST(more[99] == "541");
  BOOST_TEST(more[199] == "1223");
  BOOST_TEST(lines_of({"prime_sieve", "0"}).empty());
}

BOOST_AUTO_TEST_CASE(subscribers_get_what_is_published_while_they_are_subscribed_and_fits) {
  std::map<std::string, lines> got;
  const auto all = lines_of({"publish_subscribe"});
  BOOST_REQUIRE(!all.empty());
  for (const std::string& line : all) {
    const auto colon = line.find(": ");
    BOOST_REQUIRE(colon != std::string::npos);
    got[line.substr(0, colon)].push_back(line.substr(colon + 2));
  }
  const lines five{"message 1", "message 2", "message 3", "message 4", "message 5"};
  const lines two(five.begin(), five.begin() + 2);
  const lines three(five.begin(), five.begin() + 3);
  BOOST_TEST(got["faithful"] == five, per_element());
  BOOST_TEST(got["leaving"] == two, per_element());
  BOOST_TEST(got["slow"] == three, per_element());
  BOOST_TEST(got.size() == 3);
  BOOST_TEST(all.back() == "slow: message 3");
}

BOOST_AUTO_TEST_CASE(the_rate_limiter_lets_requests_through_at_its_rate) {
  bool burst_seen = false;
  for (int attempt = 0; attempt < 5 && !burst_seen; ++attempt) {
    const rates r = run_rate_limited();
    BOOST_REQUIRE(r.steady.size() == 5);
    BOOST_REQUIRE(r.bursty.size() == 5);
    for (int i = 0; i < 5; ++i) {
      const auto at = static_cast<std::size_t>(i);
      BOOST_TEST(r.steady[at] >= 50 * i - 1);
      BOOST_TEST(r.bursty[at] >= 50 * (i - 2) - 1);
    }
    // Without a burst it would come after 100 ms; on a busy machine it may all the same.
    burst_seen = r.bursty[2] < 100;
  }
  BOOST_TEST(burst_seen);
}

BOOST_AUTO_TEST_SUITE_END()
