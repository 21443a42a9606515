// The tests of this folder hold threads at places inside the library
// (sluice/detail/base/test_point.hpp).

#include "hold.hpp"

#include <boost/test/unit_test.hpp>

#include <thread>

BOOST_AUTO_TEST_CASE(a_thread_is_held_at_its_test_point_until_it_is_released) {
  sluice_test::hold here("here");
  std::atomic<bool> passed_there{false}, passed_here{false};
  std::thread thread([&] {
    sluice::detail::test_point("there");
    passed_there = true;
    sluice::detail::test_point("here");
    passed_here = true;
  });
  here.wait_until_held();
  BOOST_TEST(passed_there.load());
  BOOST_TEST(!passed_here.load());
  here.release();
  thread.join();
  BOOST_TEST(passed_here.load());
}
