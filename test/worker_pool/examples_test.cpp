// What the two programs with a pool of workers print, and when they have ended.
#include "../child_process.hpp"
#include "../time_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <set>
#include <sstream>
#include <string>

namespace {

using namespace sluice_test;

const std::string programs[] = {"worker_pool", "worker_pool_short"};
/// One that ends at once.
const std::string empty = "select_default";

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
  // Five jobs of 50 ms: two rounds for three workers, five for one, beside what it takes to start a
  // program. On a busy machine even three may take as long now and then, but not every time.
  const auto time_of = [](const std::string& program) {
    const stopwatch watch;
    const std::string printed = output_of(program);
    const auto took = watch.elapsed();
    if (program != empty) check_jobs(printed);
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
