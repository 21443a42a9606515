// What the two programs with a pool of workers print, and when they have ended.
#include "../child_process.hpp"

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
using namespace std::chrono_literals;
using boost::test_tools::per_element;
using steady = std::chrono::steady_clock;

const std::string programs[] = {"worker_pool", "worker_pool_short"};

/// Runs an example to its end, checks that it succeeds, and gives what it printed.
std::string output_of(const std::string& example) {
  child_process program({SLUICE_EXAMPLES_DIR "/" + example}, true);
  const std::string output = program.read_all();
  BOOST_TEST(program.wait() == 0, example << " failed");
  return output;
}

void check_jobs(const std::string& printed) {
  BOOST_TEST(printed.ends_with('\n'), "the last line has no end");
  std::set<int> jobs;
  std::istringstream lines(printed);
  for (std::string line; std::getline(lines, line);) {
    int worker = 0, job = 0, input = 0, output = 0, length = 0;
    std::sscanf(line.c_str(), "Worker %d a traité job %d : %d → %d%n", &worker, &job, &input,
                &output, &length);
    BOOST_TEST(static_cast<std::size_t>(length) == line.size(), line);
    BOOST_TEST((worker >= 1 && worker <= 3), line);
    BOOST_TEST(input == job, line);
    BOOST_TEST(output == 2 * job, line);
    BOOST_TEST(jobs.insert(job).second, line);
  }
  const std::set<int> expected{1, 2, 3, 4, 5};
  BOOST_TEST(jobs == expected, per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(examples_with_workers)

BOOST_AUTO_TEST_CASE(every_job_is_done_once_by_one_of_three_workers) {
  for (const auto& program : programs) check_jobs(output_of(program));
}

BOOST_AUTO_TEST_CASE(the_workers_work_at_the_same_time) {
  // Five jobs of 50 ms: two rounds for three workers, five for one. On a busy machine even three
  // may take as long now and then, but not every time.
  for (const auto& program : programs) {
    auto shortest = steady::duration::max();
    for (int run = 0; run < 20 && shortest >= 5 * 50ms; ++run) {
      const auto started = steady::now();
      check_jobs(output_of(program));
      shortest = std::min(shortest, steady::now() - started);
    }
    BOOST_TEST((shortest >= 2 * 50ms), program);
    BOOST_TEST((shortest < 5 * 50ms), program);
  }
}

BOOST_AUTO_TEST_SUITE_END()
