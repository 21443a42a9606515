// How what is ready gets to the threads of a context, and how its timers' alarm is set, in the
// interleavings of two or three threads: the library's own scheduler, on a walked event loop.

#include "walk/walked_library.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace sluice_test;
using walked_clock = walked_std::chrono::steady_clock;

/// Something that is ready, and is to run once.
struct job : walked::ready_node {
  job() : ready_node(&run_it) {}

  static void run_it(ready_node& node, walked::worker* w) {
    auto& self = static_cast<job&>(node);
    if (!w) return walk::fail("what is ready is dropped");
    if (self.runs++ != 0) walk::fail("what is ready runs twice");
    if (self.then) self.then();
    self.left->fetch_sub(1);
  }

  std::function<void()> then;
  walked_std::atomic<int>* left = nullptr;
  int runs = 0;
};

/// Jobs of a context that two threads run.
template <std::size_t N>
struct jobs_of_loop {
  jobs_of_loop() {
    for (auto& j : jobs) j.left = &left;
  }
  ~jobs_of_loop() { loop.shut_down(); }

  void run() {
    loop.run([this] { return left.load() == 0; });
  }
  void check() {
    for (const auto& j : jobs)
      if (j.runs != 1) walk::fail("what is ready does not run");
  }

  walked_loop loop;
  walked::scheduler& home = scheduler_of(loop);
  std::array<job, N> jobs;
  walked_std::atomic<int> left{static_cast<int>(N)};
};

/// A thread that belongs to nobody makes something ready while the threads of the context go idle.
struct foreign_push : jobs_of_loop<2> {
  foreign_push() { home.schedule(jobs[0]); }
  void push() { home.schedule(jobs[1]); }
};

/// What a step makes ready goes into its worker's list, and the step waits until another thread has
/// run that: it is stolen.
struct behind_a_step : jobs_of_loop<2> {
  behind_a_step() {
    jobs[0].then = [this] {
      home.schedule(jobs[1]);
      while (left.load() != 2 - 1) walk::wait_for_a_write();
    };
    home.schedule(jobs[0]);
  }
};

/// Two threads whose steps make something ready for both.
struct two_lists : jobs_of_loop<4> {
  two_lists() {
    for (std::size_t i = 0; i != 2; ++i) {
      jobs[i].then = [this, i] { home.schedule(jobs[2 + i]); };
      home.schedule(jobs[i]);
    }
  }
};

template <class S>
bodies two_threads() {
  return threads_of<S>(std::make_shared<S>(), {&S::run, &S::run});
}

bodies threads_and_foreigner() {
  using s = foreign_push;
  return threads_of<s>(std::make_shared<s>(), {&s::run, &s::run, &s::push});
}

bodies thread_and_foreigner() {
  using s = foreign_push;
  return threads_of<s>(std::make_shared<s>(), {&s::run, &s::push});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(every_interleaving_of)

BOOST_AUTO_TEST_CASE(a_push_from_elsewhere_is_drained) {
  BOOST_TEST(wrong_of(as_it_is, thread_and_foreigner) == "nothing");
}

BOOST_AUTO_TEST_CASE(two_threads_and_a_push_from_elsewhere_drains_all_once) {
  BOOST_TEST(wrong_of(as_it_is, threads_and_foreigner) == "nothing");
}

BOOST_AUTO_TEST_CASE(what_waits_behind_a_step_is_stolen) {
  BOOST_TEST(wrong_of(as_it_is, two_threads<behind_a_step>) == "nothing");
}

BOOST_AUTO_TEST_CASE(two_lists_runs_all_once) {
  BOOST_TEST(wrong_of(as_it_is, two_threads<two_lists>) == "nothing");
}

BOOST_AUTO_TEST_SUITE_END()
