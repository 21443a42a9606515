// Worker pools in small programs of a seed that a simulation runs by the same seed: each accepted
// job has one notification, of what became of it, and the pool's counts say the same.

#include <sluice/context.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"
#include "testing/actors.hpp"
#include "testing/search.hpp"
#include "time_helpers.hpp"
#include "worker_pool/helpers.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using sluice::testing::simulation;

/// What has become of one job, as its submitter and its worker have seen it.
struct job_seen {
  int accepted = 0;
  int told = 0;
  int begun = 0;
  bool awaited = false;  ///< by a goroutine, which may have been cancelled before
  fate last{};
};

/// A pool, and what its submitters know.
struct pool_model {
  pool_model(simulation& sim, random_numbers& r)
      : random(r),
        workers(1 + random.below(2)),
        pool(sim,
             {.workers = workers,
              .queue_capacity = random.below(3),
              .job_timeout = random.below(2) == 0 ? clock::duration::max() : clock::duration(3ms)},
             [this](int job) { return do_job(job); }) {}

  task<int> do_job(int number) {
    if (++job(number).begun != 1) wrong = "a job is done twice";
    const one_inside here(running);
    const auto s = pool.stats();
    if (s.running > workers) wrong = "more jobs run than there are workers";
    if (running > s.running + s.overdue) wrong = "a job runs that is not counted";
    switch (random.below(4)) {
      case 0:
        throw std::runtime_error("the job fails");
      case 1:
        co_await sluice::sleep_for(std::chrono::milliseconds(random.below(8)));
        break;
      case 2:
        co_await sluice::this_goroutine::yield();
        break;
      default:
        break;
    }
    co_return number;
  }

  job_seen& job(int number) { return jobs.at(static_cast<std::size_t>(number)); }
  int new_job() {
    jobs.emplace_back();
    return static_cast<int>(jobs.size()) - 1;
  }
  void tell(int number, fate f) {
    ++job(number).told;
    job(number).last = f;
  }

  random_numbers& random;
  const std::size_t workers;
  std::vector<job_seen> jobs;
  std::size_t running = 0;
  /// What a handler has seen, whose exceptions are results.
  std::string wrong;
  int_pool pool;
};

bool code_is(const std::exception_ptr& e, const error_code& code) {
  try {
    std::rethrow_exception(e);
  } catch (const sluice::system_error& x) {
    return x.code() == code;
  } catch (...) {
    return false;
  }
}

/// Submits one job by one of the ways that there are.
task<> submit_one(pool_model& m, bool planted) {
  const int number = m.new_job();
  const auto tell = [&m, number](const std::exception_ptr& e, int result) {
    if (!e && result != number) m.wrong = "a result is of another job";
    m.tell(number, fate_of(e));
  };
  switch (m.random.below(4)) {
    case 0: {
      int job = number;
      if (m.pool.try_submit(std::move(job), tell) || planted) m.job(number).accepted = 1;
      break;
    }
    case 1:
      m.job(number).accepted = 1;
      m.pool.submit(number)(tell);
      break;
    case 2:
      m.job(number).accepted = 1;
      m.pool.submit(number, std::chrono::milliseconds(1 + m.random.below(4)))(tell);
      break;
    default: {
      m.job(number).accepted = 1;
      m.job(number).awaited = true;
      fate f = fate::done;
      try {
        const int result = co_await m.pool.submit(number);
        if (result != number) m.wrong = "a result is of another job";
      } catch (...) {
        const auto e = std::current_exception();
        // Of the context that the goroutine is bound to.
        f = code_is(e, sluice::error::deadline_exceeded) ? fate::cancelled : fate_of(e);
      }
      m.tell(number, f);
    }
  }
  co_await do_nothing_for_a_while(m.random);
}

task<> jobs(simulation& sim, bool planted) {
  random_numbers random(sim.seed());
  pool_model m(sim, random);
  const bool ends_early = random.below(3) == 0;
  const std::function<task<>()> act = [&]() -> task<> {
    if (ends_early && random.below(6) == 0) m.pool.cancel();
    return submit_one(m, planted);
  };
  co_await run_actors(random, false, act);
  co_await m.pool.stop();
  co_await sluice::testing::settle();
  if (!m.wrong.empty()) refuse(m.wrong);
  std::size_t never_submitted = 0;
  std::map<fate, std::size_t> told;
  for (const job_seen& j : m.jobs) {
    if (j.told != j.accepted) refuse("a job has " + std::to_string(j.told) + " notifications");
    if (j.accepted == 0) {
      if (j.begun != 0) refuse("a job that was refused is done");
      continue;
    }
    if ((j.last == fate::done || j.last == fate::failed) && j.begun != 1)
      refuse("a job has an outcome, and was not begun");
    if (j.last == fate::refused && j.begun != 0) refuse("a job that was refused is done");
    ++told[j.last];
    if (j.awaited && j.last == fate::cancelled && j.begun == 0) ++never_submitted;
  }
  const auto s = m.pool.stats();
  if (s.queued != 0 || s.running != 0 || s.overdue != 0) refuse("a pool that has stopped has jobs");
  if (s.done != told[fate::done] || s.failed != told[fate::failed] ||
      s.timed_out != told[fate::out_of_time] || s.cancelled > told[fate::cancelled] ||
      s.cancelled + never_submitted < told[fate::cancelled])
    refuse("the pool counts " + std::to_string(s.done) + " done, " + std::to_string(s.failed) +
           " failed, " + std::to_string(s.timed_out) + " timed out, " +
           std::to_string(s.cancelled) + " cancelled; told were " +
           std::to_string(told[fate::done]) + ", " + std::to_string(told[fate::failed]) + ", " +
           std::to_string(told[fate::out_of_time]) + ", " + std::to_string(told[fate::cancelled]));
}

const std::vector<named_program> programs{{"jobs", &jobs}};

}  // namespace

BOOST_AUTO_TEST_SUITE(pools_in_a_simulation)

BOOST_DATA_TEST_CASE(tell_each_submitter_once, boost::unit_test::data::make(programs), p) {
  try_seeds(rounds(10'000), p.run, false);
}

BOOST_DATA_TEST_CASE(are_refused_with_a_fault, boost::unit_test::data::make(programs), p) {
  BOOST_TEST(search_finds(p.run));
}

BOOST_AUTO_TEST_SUITE_END()
