// What is started by one thread while another ends the context.

#include <sluice/detail/make_target.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "hold.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <memory>
#include <thread>

namespace {

using namespace sluice_test;
using namespace std::chrono_literals;

/// Calls `begin`, which a thread is held in before it registers, while the context's end begins.
template <class F>
void begin_while_it_ends(F begin) {
  const watchdog dog;
  auto io = std::make_unique<asio::io_context>();
  auto& scheduler = sluice::detail::scheduler_of(io->get_executor());
  hold before_registering("register");
  std::thread starter([&] { begin(*io); });
  before_registering.wait_until_held();
  std::thread ender([&] { io.reset(); });
  while (!scheduler.shutting_down()) std::this_thread::yield();
  before_registering.release();
  starter.join();
  ender.join();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(in_a_context_whose_end_has_begun)

BOOST_AUTO_TEST_CASE(a_goroutine_is_refused_and_destroyed) {
  std::atomic<int> alive = 0;
  bool ran = false;
  begin_while_it_ends([&](asio::io_context& io) {
    sluice::go(io, [&ran, here = witness(alive)]() -> task<> {
      ran = true;
      co_return;
    });
  });
  BOOST_TEST(alive == 0);
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(a_timers_function_is_refused_and_destroyed) {
  std::atomic<int> alive = 0;
  begin_while_it_ends([&](asio::io_context& io) {
    static_cast<void>(sluice::after_func(io, 1h, [here = witness(alive)] {}));
  });
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
