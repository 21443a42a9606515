// The children of a `when_all` in the interleavings of two or three threads: their goroutines, the
// end of the last of them, failures and cancellation, by the library's own sources.

#include "walk/walked_library.hpp"

#include <boost/test/unit_test.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace sluice_test;

using walked_sluice::task;

/// A goroutine that waits for two children, on a context that its threads run, and may be cancelled
/// by another.
class family {
 public:
  explicit family(bool one_fails) : one_fails_(one_fails), cancel_(start()) {}
  ~family() {
    cancel_ = {};
    loop.shut_down();
  }

  void run() {
    loop.run([this] { return ended.load() != 0; });
  }
  void cancel() { cancel_->request(boost::asio::cancellation_type::terminal); }
  void check() {
    if (ended.load() != 1) walk::fail("who waits for children goes on twice");
    if (inside.load() != 0) walk::fail("who waits for children goes on before they have ended");
  }

  walked_loop loop;
  walked::scheduler& home = scheduler_of(loop);
  walked_std::atomic<int> ended{0};
  walked_std::atomic<int> inside{0};

 private:
  task<> child() {
    inside.fetch_add(1);
    co_await walked_sluice::this_goroutine::yield();
    inside.fetch_sub(1);
  }

  task<> failing_or_not() {
    if (one_fails_) throw std::runtime_error("a child fails");
    co_await child();
  }

  task<> parent() {
    try {
      co_await walked_sluice::when_all(child(), failing_or_not());
    } catch (const std::runtime_error&) {
      // It was cancelled, or a child has failed.
    }
    if (inside.load() != 0) walk::fail("who waits for children goes on before they have ended");
    ended.fetch_add(1);
    loop.changed();
  }

  walked::cancellation_ref start() {
    walked::new_goroutine g({walked::dispatcher_ptr(home), true}, parent(), false,
                            std::source_location::current());
    auto made = (*g).become_cancellable();
    g.start();
    return made;
  }

  const bool one_fails_;
  walked::cancellation_ref cancel_;
};

bodies two_threads_run_it() {
  return threads_of<family>(std::make_shared<family>(false), {&family::run, &family::run});
}

bodies two_threads_run_it_and_one_fails() {
  return threads_of<family>(std::make_shared<family>(true), {&family::run, &family::run});
}

bodies one_runs_it_one_cancels_it() {
  return threads_of<family>(std::make_shared<family>(false), {&family::run, &family::cancel});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(every_interleaving_of)

BOOST_AUTO_TEST_CASE(two_threads_ends_a_fork_once) {
  BOOST_TEST(wrong_of(as_it_is, two_threads_run_it, of_long) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_child_that_fails_and_one_that_ends_ends_a_fork_once) {
  BOOST_TEST(wrong_of(as_it_is, two_threads_run_it_and_one_fails, of_long) == "nothing");
}

BOOST_AUTO_TEST_CASE(a_cancellation_and_the_end_of_children_wakes_once) {
  BOOST_TEST(wrong_of(as_it_is, one_runs_it_one_cancels_it) == "nothing");
}

// What the walk is worth.
BOOST_AUTO_TEST_CASE(children_with_a_fault_is_not_what_it_seems) {
  using enum walk::mistake;
  BOOST_TEST(wrong_of(with(changes_in_steps, "owned_goroutines::count_down"),
                      one_runs_it_one_cancels_it) != "nothing");
  BOOST_TEST(wrong_of(with(changes_in_steps, "owned_goroutines::count_up_unless_over"),
                      one_runs_it_one_cancels_it) != "nothing");
  BOOST_TEST(wrong_of(with(changes_in_steps, "owned_goroutines::stop"),
                      one_runs_it_one_cancels_it) != "nothing");
  BOOST_TEST(wrong_of(with(takes_no_lock, "cancellation::request"), one_runs_it_one_cancels_it) !=
             "nothing");
}

BOOST_AUTO_TEST_SUITE_END()
