// What jobs allocate.
#include <sluice/worker_pool.hpp>

#include <sluice/task.hpp>

#include "allocation_counts.hpp"
#include "helpers.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <string>
#include <utility>

namespace {

using namespace sluice_test;

/// How many allocations `jobs` jobs make that a goroutine awaits one after another, when as many
/// have been done before.
template <class Pool, class Job>
std::size_t allocations_of(Pool& pool, asio::io_context& io, std::size_t jobs, Job job) {
  std::size_t counted = 0;
  sluice::go(io, [&]() -> task<> {
    for (int turn = 0; turn < 2; ++turn) {
      const std::size_t before = allocations;
      for (std::size_t i = 0; i < jobs; ++i) static_cast<void>(co_await pool.submit(job()));
      counted = allocations - before;
    }
  });
  run(io);
  return counted;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_job_that_a_goroutine_awaits)

BOOST_AUTO_TEST_CASE(allocates_nothing_in_the_end) {
  if (sanitized) return;  // frames are allocated one by one there
  constexpr std::size_t jobs = 1000;
  {
    asio::io_context io;
    int_pool p(io, {}, [](int n) { return n + 1; });
    BOOST_TEST(allocations_of(p, io, jobs, [] { return 1; }) == 0u);
  }
  {
    asio::io_context io;
    int_pool p(io, {.workers = 4}, [](int n) -> task<int> { co_return n + 1; });
    BOOST_TEST(allocations_of(p, io, jobs, [] { return 1; }) == 0u);
  }
  {
    asio::io_context io;
    using text_pool = sluice::worker_pool<std::string, std::string>;
    text_pool p(io, {}, [](std::string s) { return s; });
    BOOST_TEST(allocations_of(p, io, jobs, [] { return std::string("short"); }) == 0u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
