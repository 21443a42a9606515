// SLUICE_WATCHDOG, in a child process: it is looked at once.

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "../child_process.hpp"
#include "../support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace sluice_test;

/// What this program says when it runs the case below that is only for children.
std::string output_of_child(const char* what, const char* limit) {
  ::setenv("SLUICE_WATCHDOG", limit, 1);
  ::setenv("SLUICE_TEST_CHILD", what, 1);
  child_process child({"/proc/self/exe", "--run_test=a_child_of_the_watchdogs_test",
                       "--run_test=*/a_child_of_the_watchdogs_test"},
                      true);
  ::unsetenv("SLUICE_TEST_CHILD");
  ::unsetenv("SLUICE_WATCHDOG");
  std::string text = child.read_all();
  BOOST_TEST(child.wait() == 0);
  return text;
}

task<> hold_the_thread(std::chrono::milliseconds time) {
  sluice::this_goroutine::set_name("hog");
  co_await sluice::this_goroutine::yield();
  std::this_thread::sleep_for(time);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_child_of_the_watchdogs_test) {
  const char* const what = std::getenv("SLUICE_TEST_CHILD");
  if (!what) return;
  if (what == std::string("hog")) {
    sluice::run([]() -> task<> { co_await hold_the_thread(1s); }, 1);
  } else if (what == std::string("patient")) {
    sluice::run(
        []() -> task<> {
          auto ch = sluice::make_channel<int>();
          sluice::go([ch]() -> task<> {
            for (int i = 0; i < 500; ++i) {
              co_await sluice::sleep_for(2ms);
              co_await ch.send(i);
            }
            ch.close();
          });
          while (auto v = co_await ch.receive()) co_await sluice::this_goroutine::yield();
        },
        2);
  } else {
    BOOST_CHECK_THROW(sluice::run([]() -> task<> { co_return; }, 1), std::invalid_argument);
  }
}

BOOST_AUTO_TEST_CASE(the_watchdog_names_a_goroutine_that_holds_its_thread) {
  const std::string text = output_of_child("hog", "50ms");
  BOOST_TEST(contains(text, "a goroutine \"hog\" has held its thread for 50 ms"), text);
  BOOST_TEST(contains(text, "it was started at "), text);
  BOOST_TEST(contains(text, "watchdog_test.cpp:"), text);
}

BOOST_AUTO_TEST_CASE(the_watchdog_says_nothing_of_goroutines_that_wait) {
  const std::string text = output_of_child("patient", "500ms");
  BOOST_TEST(!contains(text, "has held its thread"), text);
}

BOOST_AUTO_TEST_CASE(a_limit_that_is_no_duration_is_refused) {
  BOOST_TEST(contains(output_of_child("refused", "100"), "No errors detected"));
}
