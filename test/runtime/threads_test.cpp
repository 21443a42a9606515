// Runtimes whose threads cannot all be started, or whose context somebody stops.

#include <sluice/runtime.hpp>
#include <sluice/timer.hpp>

#include "../support.hpp"

#include <boost/asio/error.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <system_error>
#include <thread>

#if defined(__linux__) && !SLUICE_TEST_SANITIZED
#include <dlfcn.h>
#include <pthread.h>

#include <cerrno>

namespace {

/// How many more threads can be started; all if it is negative.
std::atomic<int> threads_left{-1};

}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*function)(void*), void* argument) noexcept {
  using create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_left.load() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for those that are there
    return EAGAIN;
  }
  if (threads_left.load() > 0) --threads_left;
  return real(thread, attributes, function, argument);
}

BOOST_AUTO_TEST_CASE(main_does_not_begin_if_a_thread_cannot_be_started) {
  for (const int started : {0, 1, 2}) {
    bool begun = false;
    threads_left = started;
    BOOST_CHECK_THROW(sluice::run(
                          [&]() -> sluice::task<int> {
                            begun = true;
                            co_return 7;
                          },
                          4),
                      std::system_error);
    threads_left = -1;
    BOOST_TEST(!begun);
  }
}

#endif

BOOST_AUTO_TEST_CASE(a_runtime_that_somebody_stops_says_so) {
  using namespace sluice_test;
  const auto was_stopped = [](const sluice::system_error& x) {
    return x.code() == boost::asio::error::operation_aborted;
  };
  for (const std::size_t threads : {1U, 2U}) {
    sluice::runtime r(threads);
    BOOST_CHECK_EXCEPTION(r.run([&]() -> sluice::task<> {
      r.context().stop();
      co_await sluice::sleep_for(1h);
    }),
                          sluice::system_error, was_stopped);
    BOOST_TEST(r.run([]() -> sluice::task<int> { co_return 1; }) == 1);
  }
}
