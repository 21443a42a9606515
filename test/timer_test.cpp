#include <sluice/timer.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/use_task.hpp>

#include "timer/helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// Timers, tickers and `after` as their header describes them. Sleeps have a file of their own.

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_timer)

BOOST_AUTO_TEST_CASE(sends_the_time_once_and_not_early) {
  run_in_virtual_time([]() -> task<> {
    const auto start = sluice::now();
    timer t(3ms);
    const auto v = co_await t.receive();
    BOOST_REQUIRE(v);
    BOOST_TEST((*v >= start + 3ms));
    BOOST_TEST((*v <= sluice::now()));
    BOOST_TEST((co_await stays_silent(t.channel())));
  });
}

BOOST_AUTO_TEST_CASE(set_to_nothing_or_less_goes_off_at_once) {
  run_in_virtual_time([]() -> task<> {
    const stopwatch watch;
    for (const clock::duration d :
         {clock::duration::zero(), clock::duration(-1), clock::duration::min()}) {
      timer t(d);
      const auto v = co_await t.receive();
      BOOST_TEST((*v >= watch.start));
      t.reset(d);
      static_cast<void>(co_await t.receive());
    }
    timer t(-std::chrono::hours::max());
    static_cast<void>(co_await t.receive());
  });
}

BOOST_AUTO_TEST_CASE(that_is_stopped_before_it_goes_off_stays_silent) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    timer t(2ms);
    BOOST_TEST(t.stop());
    BOOST_TEST(!t.stop());
    BOOST_TEST(has_no_timer(io));
    BOOST_TEST((co_await stays_silent(t.channel())));
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(that_was_received_from_can_be_set_again_but_not_stopped) {
  run_in_virtual_time([]() -> task<> {
    timer t(0s);
    const auto first = co_await t.receive();
    BOOST_TEST(!t.stop());
    BOOST_TEST(!t.reset(2ms));
    const auto second = co_await t.receive();
    BOOST_TEST((*second >= *first + 2ms));
    BOOST_TEST(!t.reset(long_time));
    BOOST_TEST(t.reset(long_time));
    BOOST_TEST(t.stop());
  });
}

BOOST_AUTO_TEST_CASE(can_be_set_off_earlier_and_later) {
  run_in_virtual_time([]() -> task<> {
    const stopwatch watch;
    timer t(long_time);
    BOOST_TEST(t.reset(1ms));
    BOOST_TEST(t.reset(4ms));
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= watch.start + 4ms));
  });
}

BOOST_AUTO_TEST_CASE(has_a_channel_that_looks_unbuffered) {
  run_in_virtual_time([]() -> task<> {
    timer t(0s);
    const auto times = t.channel();
    BOOST_TEST(times.size() == 0u);
    BOOST_TEST(times.capacity() == 0u);
    co_await let_timers_go_off();
    BOOST_TEST(times.size() == 0u);
    BOOST_TEST(times.capacity() == 0u);
    BOOST_TEST(times.try_receive().has_value());
  });
}

BOOST_AUTO_TEST_CASE(that_is_destroyed_leaves_its_channel_silent) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    std::optional<timer> t(std::in_place, 1ms);
    const auto times = t->channel();
    t.reset();
    BOOST_TEST(has_no_timer(io));
    BOOST_TEST((co_await stays_silent(times)));
    t.emplace(0s);
    const auto unread = t->channel();
    co_await let_timers_go_off();
    t.reset();
    BOOST_TEST(is_empty(unread));
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(can_be_moved_and_assigned_to_which_stops_the_other) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    timer a(1ms);
    const auto times_of_a = a.channel();
    timer b(std::move(a));
    const auto v = co_await times_of_a.receive();
    BOOST_TEST(v.has_value());
    BOOST_TEST(!b.stop());

    timer c(long_time);
    const auto times_of_c = c.channel();
    c = timer(1ms);
    BOOST_TEST((co_await stays_silent(times_of_c)));
    BOOST_TEST((co_await c.receive()).has_value());
    BOOST_TEST(has_no_timer(io));
  });
  run(io);
  static_assert(!std::is_default_constructible_v<timer>, "there is no timer that was never set");
  static_assert(!std::is_copy_constructible_v<timer>);
}

BOOST_AUTO_TEST_CASE(runs_where_it_is_told_to) {
  asio::io_context io;
  asio::thread_pool pool(1);
  std::optional<timer> on_context(std::in_place, io, 1ms);
  timer on_strand(asio::make_strand(io), 1ms);
  timer on_pool(pool, 1ms);
  timer on_any(asio::any_io_executor(io.get_executor()), 1ms);
  int received = 0;
  for (const auto& times :
       {on_context->channel(), on_strand.channel(), on_pool.channel(), on_any.channel()})
    sluice::go(
        io, [&received, times]() -> task<> { received += (co_await times.receive()).has_value(); });
  run(io);
  pool.join();
  BOOST_TEST(received == 4);
}

BOOST_AUTO_TEST_CASE(outside_a_goroutine_needs_a_place_to_run) {
  const auto refused = has_code(sluice::error::not_in_goroutine);
  BOOST_CHECK_EXCEPTION(timer(1s), sluice::system_error, refused);
  BOOST_CHECK_EXCEPTION(ticker(1s), sluice::system_error, refused);
  BOOST_CHECK_EXCEPTION(static_cast<void>(after(1s)), sluice::system_error, refused);
  BOOST_CHECK_EXCEPTION(static_cast<void>(sluice::after_func(1s, [] {})), sluice::system_error,
                        refused);
}

BOOST_AUTO_TEST_CASE(is_received_from_with_any_token) {
  asio::io_context io;
  timer t(io, 1ms);
  timer u(io, 1ms);
  ticker k(io, 1ms);
  std::vector<std::string> log;
  t.channel().async_receive([&](error_code e, std::optional<clock::time_point> v) {
    if (!e && v) log.push_back("callback");
  });
  std::future<std::optional<clock::time_point>> future = u.receive()(asio::use_future);
  sluice::go(io, [&]() -> task<> {
    if (co_await k.receive()(sluice::use_task)) log.push_back("ticker");
    k.stop();
  });
  run(io);
  BOOST_TEST(future.get().has_value());
  BOOST_TEST(log.size() == 2u);
}

BOOST_AUTO_TEST_CASE(keeps_its_context_running_until_it_has_gone_off_or_was_stopped) {
  asio::io_context io;
  timer t(io, 2ms);
  run(io);
  BOOST_TEST(t.channel().try_receive().has_value());
  t.reset(long_time);
  io.restart();
  BOOST_TEST(io.poll() == 0u);
  BOOST_TEST(!io.stopped());
  t.stop();
  run(io);
  BOOST_TEST(is_empty(t.channel()));
}

BOOST_AUTO_TEST_CASE(may_outlive_its_context) {
  std::optional<timer> waiting;
  std::optional<timer> gone_off;
  std::optional<ticker> ticking;
  receiver<clock::time_point> later;
  {
    asio::io_context io;
    waiting.emplace(io, long_time);
    gone_off.emplace(io, 0s);
    ticking.emplace(io, 1ms);
    later = after(io, long_time);
    for (int i = 0; i < 10; ++i) io.run_one_for(1min);
  }
  BOOST_TEST(is_empty(later));
  BOOST_TEST(gone_off->channel().try_receive().has_value());
  BOOST_TEST(is_empty(waiting->channel()));
  BOOST_TEST(ticking->channel().try_receive().has_value());
}

BOOST_AUTO_TEST_CASE(tells_handlers_that_its_context_has_ended_and_it_never_goes_off) {
  asio::io_context elsewhere;
  error_code told;
  const auto tell = [&told](error_code e, auto&&...) { told = e; };
  std::optional<asio::io_context> io(std::in_place);
  timer t(*io, long_time);
  std::optional<ticker> ticking(std::in_place, *io, long_time);
  auto waited = t.receive()(asio::bind_executor(elsewhere, asio::use_future));
  auto one_of_two =
      select(t.receive(), ticking->receive())(asio::bind_executor(elsewhere, asio::use_future));
  after(*io, long_time).async_receive(asio::bind_executor(elsewhere, tell));
  io.reset();
  const auto aborted = [](const sluice::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  };
  run(elsewhere);
  BOOST_CHECK_EXCEPTION(waited.get(), sluice::system_error, aborted);
  BOOST_CHECK_EXCEPTION(one_of_two.get(), sluice::system_error, aborted);
  BOOST_TEST(told == asio::error::operation_aborted);

  told = {};
  t.reset(0s);
  t.async_receive(asio::bind_executor(elsewhere, tell));
  elsewhere.restart();
  run(elsewhere);
  BOOST_TEST(told == asio::error::operation_aborted);
}

BOOST_AUTO_TEST_CASE(ends_with_the_goroutine_that_owns_it_when_its_context_is_destroyed) {
  std::optional<asio::io_context> io(std::in_place);
  sluice::go(*io, []() -> task<> {
    timer t(long_time);
    ticker k(long_time);
    const auto later = after(long_time);
    co_await select(t.receive(), k.receive(), later.receive());
  });
  poll(*io);
  BOOST_TEST(!has_no_timer(*io));
  io.reset();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(after_)

BOOST_AUTO_TEST_CASE(gives_the_time_once_and_not_early) {
  run_in_virtual_time([]() -> task<> {
    const auto start = sluice::now();
    const auto times = after(2ms);
    const auto v = co_await times.receive();
    BOOST_TEST((*v >= start + 2ms));
    BOOST_TEST((co_await stays_silent(times)));
    for (const auto d : {0ms, -1ms}) BOOST_TEST((co_await after(d).receive()).has_value());
  });
}

BOOST_AUTO_TEST_CASE(is_gone_when_its_last_handle_is) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    auto times = after(long_time);
    auto copy = times;
    times = {};
    BOOST_TEST(!has_no_timer(io));
    copy = {};
    BOOST_TEST(has_no_timer(io));
    co_return;
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(as_a_case_that_loses_is_gone_at_once) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    auto ready = make_channel<int>(1);
    ready.try_send(1);
    auto r = co_await select(after(long_time).receive(), ready.receive());
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(has_no_timer(io));
    auto parked = co_await select(after(long_time).receive(), after(1ms).receive());
    BOOST_TEST(parked.index() == 1u);
    BOOST_TEST(parked.get<1>().has_value());
    BOOST_TEST(has_no_timer(io));
  });
  run(io);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_ticker)

BOOST_AUTO_TEST_CASE(sends_the_time_again_and_again_and_never_early) {
  run_in_virtual_time([]() -> task<> {
    const auto start = sluice::now();
    ticker t(2ms);
    auto last = start;
    for (int i = 1; i <= 10; ++i) {
      const auto v = co_await t.receive();
      BOOST_TEST((*v > last));
      BOOST_TEST((*v >= start + i * 2ms));
      last = *v;
    }
  });
}

BOOST_AUTO_TEST_CASE(stops_when_told_to_and_starts_anew_with_another_period) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    ticker t(1ms);
    static_cast<void>(co_await t.receive());
    t.stop();
    t.stop();
    BOOST_TEST(has_no_timer(io));
    BOOST_TEST((co_await stays_silent(t.channel())));
    const stopwatch watch;
    t.reset(3ms);
    const auto v = co_await t.receive();
    BOOST_TEST((*v >= watch.start + 3ms));
    const auto w = co_await t.receive();
    BOOST_TEST((*w >= watch.start + 6ms));
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(has_a_channel_that_looks_unbuffered_and_holds_one_tick) {
  run_in_virtual_time([]() -> task<> {
    ticker t(1ms);
    co_await sleep_for(10ms);
    BOOST_TEST(t.channel().size() == 0u);
    BOOST_TEST(t.channel().capacity() == 0u);
    BOOST_TEST(t.channel().try_receive().has_value());
    BOOST_TEST(is_empty(t.channel()));
  });
}

BOOST_AUTO_TEST_CASE(that_is_destroyed_leaves_its_channel_silent) {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    std::optional<ticker> t(std::in_place, 1ms);
    const auto times = t->channel();
    static_cast<void>(co_await times.receive());
    co_await sleep_for(2ms);
    t.reset();
    BOOST_TEST(has_no_timer(io));
    BOOST_TEST(is_empty(times));
    BOOST_TEST((co_await stays_silent(times)));
  });
  run(io);
}

BOOST_AUTO_TEST_CASE(can_be_moved_and_assigned_to_which_stops_the_other) {
  run_in_virtual_time([]() -> task<> {
    ticker a(1ms);
    ticker b(std::move(a));
    const auto times = b.channel();
    BOOST_TEST((co_await times.receive()).has_value());
    b = ticker(2ms);
    BOOST_TEST(is_empty(times));
    BOOST_TEST((co_await stays_silent(times)));
    BOOST_TEST((co_await b.receive()).has_value());
  });
}

BOOST_AUTO_TEST_SUITE_END()
