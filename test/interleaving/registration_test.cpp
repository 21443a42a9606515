// What is started by one thread while another ends the context.

#include <sluice/channel.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "hold.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>

namespace {

using namespace sluice_test;

/// Calls `begin`, which a thread is held in before it registers, while the context's end begins. An
/// end that does not wait for it is over then.
template <class F>
void begin_while_it_ends(F begin) {
  const watchdog dog;
  auto io = std::make_unique<asio::io_context>();
  const auto link = sluice::detail::scheduler_of(io->get_executor()).link();
  hold before_registering("register");
  std::thread starter([&] { begin(*io); });
  before_registering.wait_until_held();
  auto end = std::async(std::launch::async, [&] { io.reset(); });
  while (sluice::detail::pinned_scheduler(*link)) std::this_thread::yield();
  static_cast<void>(end.wait_for(std::chrono::milliseconds(50)));
  before_registering.release();
  starter.join();
  end.get();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(in_a_context_whose_end_has_begun)

BOOST_AUTO_TEST_CASE(a_goroutine_is_destroyed_before_it_begins) {
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

BOOST_AUTO_TEST_CASE(a_timers_function_is_destroyed_uncalled) {
  std::atomic<int> alive = 0;
  begin_while_it_ends([&](asio::io_context& io) {
    static_cast<void>(sluice::after_func(io, 1h, [here = witness(alive)] {}));
  });
  BOOST_TEST(alive == 0);
}

// Its executor is the channel's, which may be used when the context has ended.
BOOST_AUTO_TEST_CASE(a_receive_with_a_handler_is_destroyed_with_it) {
  std::atomic<int> alive = 0;
  begin_while_it_ends([&](asio::io_context& io) {
    const auto ch = sluice::make_channel<int>(io);
    ch.async_receive([here = witness(alive)](auto&&...) {});
  });
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(a_select_with_a_handler_is_destroyed_with_it) {
  std::atomic<int> alive = 0;
  const auto ch = sluice::make_channel<int>();
  begin_while_it_ends([&](asio::io_context& io) {
    sluice::select(ch.receive(),
                   ch.receive())(asio::bind_executor(io, [here = witness(alive)](auto&&...) {}));
  });
  BOOST_TEST(alive == 0);
  sluice::error_code e;
  BOOST_TEST(!ch.try_send(1, e));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_context)

// A case has been claimed, and the handler is left to the thread that has registered the select.
BOOST_AUTO_TEST_CASE(does_not_end_before_who_registers_a_select_has_met_who_claims_it) {
  const watchdog dog;
  std::atomic<int> alive = 0;
  std::atomic<bool> ended = false;
  const auto ch = sluice::make_channel<int>();
  auto io = std::make_unique<asio::io_context>();
  const auto link = sluice::detail::scheduler_of(io->get_executor()).link();
  hold before_meeting("a handler's select has been registered");
  std::thread starter([&] {
    sluice::select(ch.receive(),
                   ch.receive())(asio::bind_executor(*io, [here = witness(alive)](auto&&...) {}));
  });
  before_meeting.wait_until_held();
  ch.try_send(1);
  std::thread ender([&] {
    io.reset();
    ended = true;
  });
  while (sluice::detail::pinned_scheduler(*link)) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  BOOST_TEST(!ended);
  BOOST_TEST(alive == 1);
  before_meeting.release();
  starter.join();
  ender.join();
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
