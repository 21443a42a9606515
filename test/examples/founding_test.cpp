// What the founding programs print, and when they have ended.
#include "../child_process.hpp"
#include "../time_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <set>
#include <sstream>
#include <string>

namespace {

using namespace sluice_test;

/// Those with a pool of workers.
const std::string programs[] = {"worker_pool", "worker_pool_short"};
/// One that ends at once.
const std::string empty = "select_default";

/// Runs an example to its end, checks that it succeeds, and gives what it printed.
std::string output_of(const std::string& example, bool errors_too = false) {
  child_process program({std::string(SLUICE_EXAMPLES_DIR "/") + example}, errors_too);
  const std::string output = program.read_all();
  BOOST_TEST(program.wait() == 0, example << " failed");
  return output;
}

lines lines_in(const std::string& output) {
  BOOST_TEST((output.empty() || output.ends_with('\n')), "the last line has no end");
  std::istringstream in(output);
  lines result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

lines lines_of(const std::string& example) {
  return lines_in(output_of(example));
}

lines sorted(lines all) {
  std::sort(all.begin(), all.end());
  return all;
}

std::ptrdiff_t position(const lines& all, const std::string& line) {
  return std::find(all.begin(), all.end(), line) - all.begin();
}

/// Checks that each of five jobs was doubled once, by one of three workers.
void check_jobs(const lines& printed, int input_of_first) {
  std::set<int> jobs;
  for (const std::string& line : printed) {
    int worker = 0, job = 0, input = 0, output = 0, length = 0;
    std::sscanf(line.c_str(), "Worker %d a traité job %d : %d → %d%n", &worker, &job, &input,
                &output, &length);
    BOOST_TEST(static_cast<std::size_t>(length) == line.size(), line);
    BOOST_TEST((worker >= 1 && worker <= 3), line);
    BOOST_TEST(input == input_of_first * job, line);
    BOOST_TEST(output == 2 * input, line);
    BOOST_TEST(jobs.insert(job).second, line);
  }
  const std::set<int> expected{1, 2, 3, 4, 5};
  BOOST_TEST(jobs == expected, per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(founding_programs)

BOOST_AUTO_TEST_CASE(hello_goroutine_prints_both_greetings) {
  const lines expected{"Bonjour !", "Programme principal"};
  BOOST_TEST(sorted(lines_of("hello_goroutine")) == expected, per_element());
}

BOOST_AUTO_TEST_CASE(message_prints_what_the_goroutine_sent) {
  const lines expected{"Bonjour depuis la goroutine !"};
  BOOST_TEST(lines_of("message") == expected, per_element());
}

BOOST_AUTO_TEST_CASE(two_counters_count_at_the_same_time_and_main_waits_for_both) {
  const auto started = steady::now();
  const lines printed = lines_of("two_counters");
  const auto took = steady::now() - started;

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
  check_jobs(lines_of("fan_out"), 10);
}

BOOST_AUTO_TEST_CASE(select_two_channels_prints_each_message_when_it_comes) {
  const auto started = steady::now();
  const std::string output = output_of("select_two_channels");
  const auto took = steady::now() - started;
  BOOST_TEST(output == "Reçu : Message de ch1\nReçu : Message de ch2\n");
  BOOST_TEST((took >= 2s));
  BOOST_TEST((took < 3s));  // the waits overlap
}

BOOST_AUTO_TEST_CASE(select_default_does_not_wait_for_a_message) {
  BOOST_TEST(output_of("select_default") == "Aucun message, on continue\n");
}

BOOST_AUTO_TEST_CASE(every_job_is_done_once_by_one_of_three_workers) {
  for (const auto& program : programs) check_jobs(lines_in(output_of(program, true)), 1);
}

BOOST_AUTO_TEST_CASE(the_workers_work_at_the_same_time) {
  // Five jobs of 50 ms: two rounds for three workers, five for one, beside what it takes to start a
  // program. On a busy machine even three may take as long now and then, but not every time.
  const auto time_of = [](const std::string& program) {
    const stopwatch watch;
    const std::string printed = output_of(program, true);
    const auto took = watch.elapsed();
    if (program != empty) check_jobs(lines_in(printed), 1);
    return took;
  };
  for (const auto& program : programs) {
    const auto took = shortest(5 * 50ms, [&] {
      const auto start = time_of(empty);
      const auto whole = time_of(program);
      BOOST_TEST((whole >= 2 * 50ms), program);
      return whole - start;
    });
    BOOST_TEST((took < 5 * 50ms), program);
  }
}

BOOST_AUTO_TEST_SUITE_END()
