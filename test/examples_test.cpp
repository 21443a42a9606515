// What the founding programs print, and when they have ended.
#include "names.hpp"
#include "child_process.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace sluice_test;

/// Runs an example to its end, checks that it succeeds, and gives the lines that it printed.
lines lines_of(const std::string& example) {
  child_process program({std::string(SLUICE_EXAMPLES_DIR "/") + example});
  const std::string output = program.read_all();
  BOOST_TEST(program.wait() == 0, example << " failed");
  BOOST_TEST((output.empty() || output.back() == '\n'), "the last line has no end");
  std::istringstream in(output);
  lines result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

lines sorted(lines all) {
  std::sort(all.begin(), all.end());
  return all;
}

std::ptrdiff_t position(const lines& all, const std::string& line) {
  return std::find(all.begin(), all.end(), line) - all.begin();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(examples)

BOOST_AUTO_TEST_CASE(hello_goroutine_prints_both_greetings) {
  const lines expected{"Bonjour !", "Programme principal"};
  BOOST_TEST(sorted(lines_of("hello_goroutine")) == expected, per_element());
}

BOOST_AUTO_TEST_CASE(message_prints_what_the_goroutine_sent) {
  const lines expected{"Bonjour depuis la goroutine !"};
  BOOST_TEST(lines_of("message") == expected, per_element());
}

BOOST_AUTO_TEST_CASE(two_counters_count_at_the_same_time_and_main_waits_for_both) {
  const auto started = std::chrono::steady_clock::now();
  const lines printed = lines_of("two_counters");
  const auto took = std::chrono::steady_clock::now() - started;

  const lines expected{"A: 1", "A: 2", "A: 3", "B: 1", "B: 2", "B: 3"};
  BOOST_TEST(sorted(printed) == expected, per_element());
  for (const std::string name : {"A", "B"}) {
    BOOST_TEST(position(printed, name + ": 1") < position(printed, name + ": 2"));
    BOOST_TEST(position(printed, name + ": 2") < position(printed, name + ": 3"));
  }
  BOOST_TEST(position(printed, "A: 1") < position(printed, "B: 3"));
  BOOST_TEST(position(printed, "B: 1") < position(printed, "A: 3"));
  BOOST_TEST((took >= 1s));
}

BOOST_AUTO_TEST_CASE(buffered_channel_prints_both_values_in_the_order_sent) {
  const lines expected{"1", "2"};
  BOOST_TEST(lines_of("buffered_channel") == expected, per_element());
}

BOOST_AUTO_TEST_CASE(fan_out_does_every_job_once) {
  std::set<int> jobs;
  for (const std::string& line : lines_of("fan_out")) {
    int worker = 0, job = 0, input = 0, output = 0, length = 0;
    std::sscanf(line.c_str(), "Worker %d a traité job %d : %d → %d%n", &worker, &job, &input,
                &output, &length);
    BOOST_TEST(static_cast<std::size_t>(length) == line.size(), line);
    BOOST_TEST((worker >= 1 && worker <= 3), line);
    BOOST_TEST(input == 10 * job, line);
    BOOST_TEST(output == 2 * input, line);
    BOOST_TEST(jobs.insert(job).second, line);
  }
  const std::set<int> expected{1, 2, 3, 4, 5};
  BOOST_TEST(jobs == expected, per_element());
}

BOOST_AUTO_TEST_SUITE_END()
