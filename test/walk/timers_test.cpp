// Timers that one thread stops, sets again or drops while another ends their context, in the
// interleavings of both: the library's own timers and scheduler, on a walked event loop.

#include "walk/walked_library.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>
#include <memory>

namespace {

using namespace sluice_test;
using walked_clock = walked_std::chrono::steady_clock;
using namespace std::chrono_literals;

/// A context that can have timers, and ends.
struct context {
  context() {
    if (!home.timers.make_wakeup_timer()) std::abort();
  }
  ~context() { loop.shut_down(); }

  void end() { loop.shut_down(); }

  walked_loop loop;
  walked::scheduler& home = scheduler_of(loop);
};

/// A function that is called at an instant.
struct function_of_context : context {
  function_of_context() {
    if (!timer->start(walked_clock::now() + 1ms)) std::abort();
  }

  void stop() {
    timer->stop();
    stopped.store(true);
    loop.changed();
  }
  void run() {
    loop.run([this] { return stopped.load() && !loop.is_set(); });
  }
  void check() {
    if (calls > 1) walk::fail("a function is called twice");
  }

  int calls = 0;
  walked_std::atomic<bool> stopped{false};
  std::shared_ptr<walked::callback_timer> timer = std::make_shared<walked::callback_timer>(
      walked::dispatcher_ptr(home), [this](walked::callback_timer::reason) { ++calls; });
};

/// A timer of the user's and its channel.
struct timer_of_context : context {
  void stop() { static_cast<void>(timer->stop()); }
  void set_again() { static_cast<void>(timer->set(2ms, {})); }
  void drop() { values = {}; }
  void check() {}

  std::shared_ptr<walked::channel_timer> timer;
  walked_sluice::channel<walked_clock::time_point> values =
      walked::channel_timer::make(walked::dispatcher_ptr(home), 1ms, {}, &timer);
};

template <class S>
bodies two(void (S::*f)(), void (S::*g)()) {
  return threads_of<S>(std::make_shared<S>(), {f, g});
}

bodies stop_and_end() {
  return two<function_of_context>(&function_of_context::stop, &function_of_context::end);
}

bodies stop_and_go_off() {
  return two<function_of_context>(&function_of_context::stop, &function_of_context::run);
}

using t = timer_of_context;

}  // namespace

BOOST_AUTO_TEST_SUITE(every_interleaving_of)

BOOST_AUTO_TEST_CASE(a_stop_and_the_instant_calls_a_function_once_at_most) {
  BOOST_TEST(wrong_of(as_it_is, stop_and_go_off) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_stop_and_the_end_of_a_context_touches_nothing_that_has_gone) {
  BOOST_TEST(wrong_of(as_it_is, stop_and_end) == "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::takes_no_lock, "scheduler_link::pin"), stop_and_end) !=
             "nothing");
}

BOOST_AUTO_TEST_CASE(what_is_done_to_a_timer_and_the_end_of_its_context_ends_both) {
  BOOST_TEST(wrong_of(as_it_is, [] { return two<t>(&t::stop, &t::end); }) == "nothing");
  BOOST_TEST(wrong_of(as_it_is, [] { return two<t>(&t::set_again, &t::end); }) == "nothing");
  BOOST_TEST(wrong_of(as_it_is, [] { return two<t>(&t::drop, &t::end); }) == "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::takes_no_lock, "scheduler_link::pin"),
                      [] { return two<t>(&t::set_again, &t::end); }) != "nothing");
}

BOOST_AUTO_TEST_SUITE_END()
