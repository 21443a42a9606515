// How what is ready gets to the threads of a context, and how its timers' alarm is set, in the
// interleavings of two or three threads: the library's own scheduler, on a walked event loop.

#include "walk/walked_library.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
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

/// Two threads set a deadline each, an earlier and a later one, while a third fires what is due;
/// one of them takes back a third deadline.
class deadlines {
 public:
  deadlines() {
    if (!home.timers.make_wakeup_timer()) std::abort();
  }
  ~deadlines() { loop.shut_down(); }

  void set_later() { set(later); }
  void set_earlier() {
    set(earlier);
    in_time = walked_clock::now() < earlier.deadline;
  }
  void set_and_take_back() {
    set(taken_back);
    {
      const walked_std::lock_guard guard(home.timers.lock);
      home.timers.remove(taken_back);
    }
    home.timers_changed();
    left.fetch_sub(1);
    loop.changed();
  }
  void run() {
    loop.run([this] { return left.load() == 0; });
  }
  void check() {
    if (loop.is_set()) walk::fail("the alarm is set, and there is no deadline");
  }

  walked_loop loop;
  walked::scheduler& home = scheduler_of(loop);

 private:
  struct timer : walked::timer_node {
    explicit timer(deadlines& d, std::chrono::milliseconds after) : timer_node(fires), of(d) {
      deadline = walked_clock::now() + after;
    }

    static const kind fires;
    void fire() noexcept {
      if (walked_clock::now() < deadline) walk::fail("a timer is fired before its time");
      if (walked_clock::now() > deadline && this == &of.earlier && of.in_time)
        walk::fail("the alarm goes off for a later deadline");
      if (this != &of.taken_back) of.left.fetch_sub(1);
    }

    deadlines& of;
  };

  void set(timer& t) {
    {
      const walked_std::lock_guard guard(home.timers.lock);
      home.timers.insert(t);
    }
    home.timers_changed();
  }

 public:
  walked_std::atomic<int> left{2};
  bool in_time = false;
  timer later{*this, std::chrono::milliseconds(5)};
  timer earlier{*this, std::chrono::milliseconds(3)};
  timer taken_back{*this, std::chrono::milliseconds(1)};
};

const walked::timer_node::kind deadlines::timer::fires{
    [](timer_node&) noexcept { return true; },
    [](timer_node& n) noexcept { static_cast<timer&>(n).fire(); }};

/// A function in the event loop makes something ready, and waits until another thread has run that:
/// the drain for it stays behind the function, and a watch finds it. Twice, so that the watch may
/// be about to end the second time.
struct behind_a_function : jobs_of_loop<4> {
  behind_a_function() {
    for (std::size_t i = 0; i != 2; ++i) {  // it is known that several threads run the context
      home.schedule(jobs[i]);
      loop.run_before_walk(100 + i);
    }
    loop.post([this] {
      for (int i = 2; i != 4; ++i) {
        home.schedule(jobs[static_cast<std::size_t>(i)]);
        while (left.load() != 3 - i) walk::wait_for_a_write();
      }
    });
  }
};

/// A step sets a deadline and goes on, until another thread has seen to that.
struct deadline_behind_a_step : jobs_of_loop<2> {
  deadline_behind_a_step() {
    if (!home.timers.make_wakeup_timer()) std::abort();
    jobs[0].then = [this] {
      {
        const walked_std::lock_guard guard(home.timers.lock);
        home.timers.insert(due);
      }
      home.timers_changed();
      while (left.load() != 2 - 1) walk::wait_for_a_write();
    };
    home.schedule(jobs[0]);
  }
  ~deadline_behind_a_step() { loop.shut_down(); }

 private:
  struct timer : walked::timer_node {
    explicit timer(deadline_behind_a_step& d) : timer_node(fires), of(d) {
      deadline = walked_clock::now() + std::chrono::milliseconds(1);
    }

    static const kind fires;
    deadline_behind_a_step& of;
  };

  timer due{*this};
};

const walked::timer_node::kind deadline_behind_a_step::timer::fires{
    [](timer_node&) noexcept { return true; },
    [](timer_node& n) noexcept {
      auto& s = static_cast<timer&>(n).of;
      s.home.schedule(s.jobs[1]);
    }};

/// A worker puts nodes into its list and takes them again; another thread takes half of what is
/// there, as `work_sharing::take_half` does.
class owner_and_thief {
 public:
  ~owner_and_thief() { loop.shut_down(); }

  void own() {
    walked::worker w(home);
    w.must_expose = false;
    list.store(&w);
    for (auto& n : nodes) w.push(n);
    for (;;) {
      w.gate.lock_as_owner();
      auto* const n = w.local.pop_front();
      w.gate.unlock_as_owner();
      if (!n) break;
      had(*n);
    }
    list.store(nullptr);
    if (w.local.size() != 0) walk::fail("a list is not as long as it says");
    while (!thief_is_through.load()) walk::wait_for_a_write();
  }
  void steal() {
    walked::work_list taken;
    if (walked::worker* const w = list.load(); w && w->gate.lock_as_other()) {
      w->local.move_half(512, taken);
      w->gate.unlock_as_other();
    }
    while (auto* const n = taken.pop_front()) had(*n);
    thief_is_through.store(true);
  }
  void check() {
    for (const auto& n : nodes)
      if (n.times != 1) walk::fail("a node is lost, or is there twice");
  }

 private:
  struct node : walked::ready_node {
    node() : ready_node(nullptr) {}
    int times = 0;
  };

  static void had(walked::ready_node& n) { ++static_cast<node&>(n).times; }

  walked_loop loop;
  walked::scheduler& home = scheduler_of(loop);
  std::array<node, 3> nodes;
  walked_std::atomic<walked::worker*> list{nullptr};
  walked_std::atomic<bool> thief_is_through{false};
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

bodies list_with_thief() {
  using s = owner_and_thief;
  return threads_of<s>(std::make_shared<s>(), {&s::own, &s::steal});
}

bodies two_deadlines_and_alarm() {
  using s = deadlines;
  return threads_of<s>(std::make_shared<s>(), {&s::set_later, &s::set_earlier, &s::run});
}

bodies deadline_taken_back() {
  using s = deadlines;
  return threads_of<s>(std::make_shared<s>(), {&s::set_later, &s::set_and_take_back, &s::run});
}

constexpr walk::machine without_barriers{.barriers_in_all_threads = false};

}  // namespace

BOOST_AUTO_TEST_SUITE(every_interleaving_of)

BOOST_AUTO_TEST_CASE(a_push_from_elsewhere_is_drained) {
  BOOST_TEST(wrong_of(as_it_is, thread_and_foreigner) == "nothing");
}

BOOST_AUTO_TEST_CASE(two_threads_and_a_push_from_elsewhere_drains_all_once) {
  BOOST_TEST(wrong_of(as_it_is, threads_and_foreigner, of_long) == "nothing");
}

BOOST_AUTO_TEST_CASE(an_owner_and_a_thief_has_each_node_once) {
  BOOST_TEST(wrong_of(as_it_is, list_with_thief) == "nothing");
}

BOOST_AUTO_TEST_CASE(what_waits_behind_a_step_is_stolen) {
  BOOST_TEST(wrong_of(as_it_is, two_threads<behind_a_step>, of_long) == "nothing");
}

BOOST_AUTO_TEST_CASE(what_waits_behind_a_function_is_found_by_a_watch) {
  BOOST_TEST(wrong_of(as_it_is, two_threads<behind_a_function>, of_long) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_deadline_behind_a_step_is_seen_to_by_another_thread) {
  BOOST_TEST(wrong_of(as_it_is, two_threads<deadline_behind_a_step>) == "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::writes_nothing, "publish_next"),
                      two_threads<deadline_behind_a_step>) == "a thread waits for ever");
}

BOOST_AUTO_TEST_CASE(two_lists_runs_all_once) {
  BOOST_TEST(wrong_of(as_it_is, two_threads<two_lists>) == "nothing");
}

BOOST_AUTO_TEST_CASE(two_deadlines_and_the_alarm_fires_both) {
  BOOST_TEST(wrong_of(as_it_is, two_deadlines_and_alarm) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_deadline_that_is_taken_back_and_the_alarm_fires_the_other) {
  BOOST_TEST(wrong_of(as_it_is, deadline_taken_back) == "nothing");
}

// What the walk is worth.
BOOST_AUTO_TEST_CASE(lists_with_a_fault_is_not_what_it_seems) {
  using enum walk::mistake;
  BOOST_TEST(wrong_of(without_barriers, list_with_thief) != "nothing");
  BOOST_TEST(wrong_of(with(takes_no_lock, "take_shared"), thread_and_foreigner) != "nothing");
  BOOST_TEST(wrong_of(with(takes_no_lock, "run_posted_drain"), thread_and_foreigner) != "nothing");
}

// Without the lock the store before the look may be late.
BOOST_AUTO_TEST_CASE(a_watch_that_looks_without_the_lock_loses_a_wake_up) {
  BOOST_TEST(wrong_of(with(walk::mistake::takes_no_lock, "anything_shared"),
                      two_threads<behind_a_function>) == "a thread waits for ever");
}

BOOST_AUTO_TEST_CASE(an_alarm_with_a_fault_is_not_what_it_seems) {
  using enum walk::mistake;
  BOOST_TEST(wrong_of(with(takes_no_lock, "wakeup_timer::set"), two_deadlines_and_alarm) !=
             "nothing");
  BOOST_TEST(wrong_of(with(takes_no_lock, "wakeup_timer::go_off"), two_deadlines_and_alarm) !=
             "nothing");
}

BOOST_AUTO_TEST_SUITE_END()
