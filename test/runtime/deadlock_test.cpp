#include <sluice/runtime.hpp>

#include <sluice/channel.hpp>
#include <sluice/condition.hpp>
#include <sluice/context.hpp>
#include <sluice/mutex.hpp>
#include <sluice/once.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/singleflight.hpp>
#include <sluice/task_group.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

// "fatal error: all goroutines are asleep - deadlock!": runtime/crash_test.go, TestSimpleDeadlock,
// TestInitDeadlock, TestLockedDeadlock, TestNetpollDeadlock; and what is none.

namespace {

using namespace sluice_test;

/// The report of a program that ends in a deadlock; empty if it does not.
template <class Main>
std::string report_of(Main&& main, std::size_t threads = 1) {
  const watchdog dog;
  try {
    sluice::run(std::forward<Main>(main), threads);
  } catch (const sluice::deadlock_error& e) {
    return e.what();
  }
  return {};
}

std::string at_line(int line) {
  return "deadlock_test.cpp:" + std::to_string(line);
}

task<> wait_on(sluice::channel<int> ch) {
  static_cast<void>(co_await ch.receive());
}
constexpr int line_of_wait_on = __LINE__ - 2;

}  // namespace

BOOST_AUTO_TEST_SUITE(report)

BOOST_AUTO_TEST_CASE(names_the_one_that_waits_and_where) {
  int line = 0;
  const auto text = report_of([&]() -> task<> {
    auto ch = make_channel<int>();
    line = __LINE__ + 1;
    static_cast<void>(co_await ch.receive());
  });
  BOOST_TEST(text.starts_with("all goroutines are asleep - deadlock!"), text);
  BOOST_TEST(contains(text, "1 goroutine waiting on receive at "), text);
  BOOST_TEST(contains(text, at_line(line)), text);
}

BOOST_AUTO_TEST_CASE(counts_those_that_wait_for_the_same_at_the_same_place) {
  const auto text = report_of([]() -> task<> {
    auto ch = make_channel<int>();
    auto other = make_channel<int>();
    for (int i = 0; i < 1000; ++i) sluice::go(wait_on(i % 2 ? ch : other));
    co_await make_channel<int>().send(1);
  });
  BOOST_TEST(contains(text, "1000 goroutines waiting on receive at "), text);
  BOOST_TEST(contains(text, at_line(line_of_wait_on)), text);
  BOOST_TEST(contains(text, "1 goroutine waiting on send at "), text);
}

BOOST_AUTO_TEST_CASE(says_on_what_they_wait) {
  sluice::mutex locked;
  const auto held = locked.try_lock();
  sluice::shared_mutex written;
  const auto writing = written.try_lock();
  sluice::semaphore empty(1);
  const auto permit = empty.try_acquire();
  sluice::wait_group group;
  group.add();
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  const auto text = report_of([&]() -> task<> {
    sluice::go([]() -> task<> { co_await sluice::sender<int>(make_channel<int>()).send(1); });
    sluice::go([]() -> task<> { static_cast<void>(co_await sluice::channel<int>().receive()); });
    sluice::go([]() -> task<> { co_await sluice::channel<void>().send(); });
    sluice::go([&]() -> task<> { static_cast<void>(co_await locked.lock()); });
    sluice::go([&]() -> task<> { static_cast<void>(co_await written.lock_shared()); });
    sluice::go([&]() -> task<> { static_cast<void>(co_await empty.acquire()); });
    sluice::go([&]() -> task<> { co_await ctx.done(); });
    sluice::go(
        [&]() -> task<> { co_await sluice::select(make_channel<int>().receive(), group.wait()); });
    co_await group.wait();
  });
  for (const std::string what :
       {"send", "receive", "mutex", "shared_mutex", "semaphore", "context", "select", "wait_group"})
    BOOST_TEST(contains(text, " waiting on " + what + " at "), what << " is missing in " << text);
}

BOOST_AUTO_TEST_CASE(gives_the_place_of_the_innermost_await) {
  const auto text = report_of([]() -> task<> {
    const auto outer = [](sluice::channel<int> ch) -> task<> {
      co_await yield();
      co_await wait_on(ch);
    };
    co_await outer(make_channel<int>());
  });
  BOOST_TEST(contains(text, "1 goroutine waiting on receive at "), text);
  BOOST_TEST(contains(text, at_line(line_of_wait_on)), text);
}

BOOST_AUTO_TEST_CASE(of_goroutines_on_strands_is_the_same) {
  const auto text = report_of([]() -> task<> {
    static_cast<void>(co_await asio::this_coro::executor);
    co_await wait_on(make_channel<int>());
  });
  BOOST_TEST(contains(text, "1 goroutine waiting on receive at "), text);
}

// A place of the program's own makes nobody outstanding work.
BOOST_AUTO_TEST_CASE(comes_wherever_the_goroutines_were_started) {
  const auto text = report_of([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    const auto ch = make_channel<int>();
    sluice::go(ex, wait_on(ch));
    sluice::go(asio::make_strand(ex), wait_on(ch));
    co_await wait_on(ch);
  });
  BOOST_TEST(contains(text, "3 goroutines waiting on receive at "), text);
  BOOST_TEST(contains(text, "sluice::work_guard"), text);
}

BOOST_AUTO_TEST_CASE(comes_for_a_job_of_a_pool_that_waits) {
  const auto text = report_of([]() -> task<> {
    const auto ch = make_channel<int>();
    const auto wait = [ch](int) -> task<int> { co_return *co_await ch.receive(); };
    sluice::worker_pool<int, int> pool(co_await asio::this_coro::executor, {}, wait);
    static_cast<void>(co_await pool.submit(1));
  });
  BOOST_TEST(contains(text, " goroutine waiting on receive at "), text);
}

// What waits inside a coroutine of the library's.
BOOST_AUTO_TEST_CASE(gives_the_line_of_the_caller) {
  int line = 0;
  const auto of_once = report_of([&]() -> task<> {
    sluice::once o;
    const auto again = [&o]() -> task<> { co_await o.call([] {}); };
    line = __LINE__ - 1;
    co_await o.call(again);
  });
  BOOST_TEST(contains(of_once, "waiting on mutex at "), of_once);
  BOOST_TEST(contains(of_once, at_line(line)), of_once);

  const auto of_condition = report_of([&]() -> task<> {
    sluice::mutex m;
    sluice::condition c;
    auto guard = co_await m.lock();
    line = __LINE__ + 1;
    co_await c.wait(guard);
  });
  BOOST_TEST(contains(of_condition, "waiting on condition at "), of_condition);
  BOOST_TEST(contains(of_condition, at_line(line)), of_condition);

  const auto of_group = report_of([&]() -> task<> {
    const auto body = [](sluice::task_group& g) -> task<> {
      g.go(wait_on(make_channel<int>()));
      co_return;
    };
    line = __LINE__ + 1;
    co_await sluice::with_task_group(sluice::context::background(), body);
  });
  BOOST_TEST(contains(of_group, "waiting on wait_group at "), of_group);
  BOOST_TEST(contains(of_group, at_line(line)), of_group);

  const auto of_flight = report_of([&]() -> task<> {
    sluice::singleflight<int, int> flights;
    const auto wait = []() -> task<int> { co_return *co_await make_channel<int>().receive(); };
    line = __LINE__ + 1;
    static_cast<void>(co_await flights.call(1, wait));
  });
  BOOST_TEST(contains(of_flight, "waiting on receive at "), of_flight);
  BOOST_TEST(contains(of_flight, at_line(line)), of_flight);
}

BOOST_AUTO_TEST_CASE(says_where_those_that_wait_were_started) {
  int line = 0;
  const auto text = report_of([&]() -> task<> {
    const auto ch = make_channel<int>();
    line = __LINE__ + 1;
    for (int i = 0; i < 3; ++i) sluice::go(wait_on(ch));
    co_await sluice::channel<void>().receive();
  });
  BOOST_TEST(contains(text, "3 goroutines waiting on receive at "), text);
  BOOST_TEST(contains(text, ", started at "), text);
  BOOST_TEST(contains(text, at_line(line)), text);
}

BOOST_AUTO_TEST_CASE(comes_whatever_the_number_of_threads_and_whoever_parks_last) {
  for (std::size_t round = 0; round < rounds(100); ++round) {
    const auto text = report_of(
        []() -> task<> {
          auto ch = make_channel<int>();
          for (int i = 0; i < 20; ++i)
            sluice::go([ch, i]() -> task<> {
              for (int k = 0; k < i; ++k) co_await yield();
              co_await wait_on(ch);
            });
          co_await wait_on(ch);
        },
        4);
    BOOST_TEST(contains(text, "21 goroutines waiting on receive at "), text);
  }
}

// Two locks taken in opposite orders.
BOOST_AUTO_TEST_CASE(comes_for_a_cycle_of_locks) {
  const auto text = report_of([]() -> task<> {
    sluice::mutex a;
    sluice::mutex b;
    const auto lock = [](sluice::mutex& first, sluice::mutex& second) -> task<> {
      const auto one = co_await first.lock();
      co_await yield();
      const auto two = co_await second.lock();
    };
    sluice::go(lock(a, b));
    co_await lock(b, a);
  });
  BOOST_TEST(contains(text, "2 goroutines waiting on mutex at "), text);
}

BOOST_AUTO_TEST_CASE(comes_as_soon_as_the_last_sleeper_has_parked) {
  const auto started = std::chrono::steady_clock::now();
  const auto text = report_of(
      []() -> task<> {
        auto ch = make_channel<int>();
        sluice::go([ch]() -> task<> {
          const auto r = co_await sluice::select(ch.receive(), sluice::sleep_for(3ms));
          if (r.index() == 1) co_await wait_on(ch);
        });
        co_await wait_on(ch);
      },
      2);
  BOOST_TEST(contains(text, "2 goroutines waiting on receive at "), text);
  BOOST_TEST((std::chrono::steady_clock::now() - started >= 3ms));
}

BOOST_AUTO_TEST_CASE(destroys_the_goroutines_before_it_reaches_the_caller) {
  counted::corrupt = 0;
  const auto text = report_of([]() -> task<> {
    auto ch = make_channel<counted>();
    for (int i = 0; i < 10; ++i) sluice::go([ch, i]() -> task<> { co_await ch.send(counted(i)); });
    auto other = make_channel<int>();
    co_await wait_on(other);
  });
  BOOST_TEST(contains(text, "10 goroutines waiting on send at "), text);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(no_deadlock)

BOOST_AUTO_TEST_CASE(is_reported_if_main_returns_while_others_are_parked) {
  BOOST_TEST(report_of([]() -> task<> {
               auto ch = make_channel<int>();
               for (int i = 0; i < 3; ++i) sluice::go(wait_on(ch));
               co_await yield();
             }) == "");
}

BOOST_AUTO_TEST_CASE(is_reported_while_somebody_sleeps) {
  int got = 0;
  const auto text = report_of([&]() -> task<> {
    auto ch = make_channel<int>();
    sluice::go([ch]() -> task<> {
      co_await sluice::sleep_for(5ms);
      co_await ch.send(1);
    });
    got = (co_await ch.receive()).value_or(-1);
    sluice::go([ch]() -> task<> {
      co_await sluice::select(sluice::channel<int>().receive(), sluice::sleep_for(5ms));
      co_await ch.send(2);
    });
    got += (co_await ch.receive()).value_or(-1);
    const auto timer = sluice::after_func(5ms, [ch]() -> task<> { co_await ch.send(4); });
    got += (co_await ch.receive()).value_or(-1);
    static_cast<void>(co_await sluice::after(5ms).receive());
  });
  BOOST_TEST(text == "");
  BOOST_TEST(got == 7);
}

// The handle of the timer may be dropped, as in Go: `time.AfterFunc(d, f)` alone.
BOOST_AUTO_TEST_CASE(is_reported_while_a_function_waits_for_its_timer) {
  int got = 0;
  const auto text = report_of([&]() -> task<> {
    auto ch = make_channel<int>();
    sluice::after_func(2ms, [ch]() -> task<> { co_await ch.send(4); });
    got = (co_await ch.receive()).value_or(-1);
  });
  BOOST_TEST(text == "");
  BOOST_TEST(got == 4);
}

// TestNetpollDeadlock
BOOST_AUTO_TEST_CASE(is_reported_while_an_asio_operation_is_pending) {
  for (const std::size_t threads : {1U, 2U}) {
    std::promise<unsigned short> port;
    std::jthread client([&] {
      asio::io_context io;
      asio::ip::tcp::socket socket(io);
      socket.connect({asio::ip::address_v4::loopback(), port.get_future().get()});
      asio::write(socket, asio::buffer("x", 1));
      char byte = 0;
      error_code e;
      asio::read(socket, asio::buffer(&byte, 1), e);
    });
    std::size_t got = 0;
    const auto text = report_of(
        [&]() -> task<> {
          auto ch = make_channel<std::size_t>();
          sluice::go([ch, &port]() -> task<> {
            const auto ex = co_await asio::this_coro::executor;
            asio::ip::tcp::acceptor acceptor(ex, {asio::ip::address_v4::loopback(), 0});
            port.set_value(acceptor.local_endpoint().port());
            auto socket = co_await acceptor.async_accept(asio::deferred);
            char bytes[10];
            const auto n = co_await socket.async_read_some(asio::buffer(bytes), asio::deferred);
            asio::steady_timer timer(ex, 1ms);
            co_await timer.async_wait(asio::deferred);
            co_await ch.send(n);
          });
          got = (co_await ch.receive()).value_or(0);
        },
        threads);
    BOOST_TEST(text == "");
    BOOST_TEST(got == 1u);
  }
}

// An open socket without an operation wakes nobody.
BOOST_AUTO_TEST_CASE(is_prevented_by_a_socket_that_nobody_waits_for) {
  const auto text = report_of([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    const asio::ip::tcp::acceptor acceptor(ex, {asio::ip::address_v4::loopback(), 0});
    const asio::steady_timer timer(ex, 1h);
    co_await wait_on(make_channel<int>());
  });
  BOOST_TEST(contains(text, "1 goroutine waiting on receive at "), text);
}

// A completion handler parked in a channel is outstanding work of its executor.
BOOST_AUTO_TEST_CASE(is_reported_while_a_handler_waits) {
  auto knock = make_channel<int>();
  std::atomic<bool> parked = false;
  std::jthread outside([&] {
    while (!parked) std::this_thread::yield();
    std::this_thread::sleep_for(2ms);
    knock.try_send(7);
  });
  int got = 0;
  const auto text = report_of([&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    auto ch = make_channel<int>(1);
    knock.async_receive(asio::bind_executor(
        ex, [ch](error_code, std::optional<int> v) { ch.try_send(v.value_or(-1)); }));
    parked = true;
    got = (co_await ch.receive()).value_or(-2);
  });
  BOOST_TEST(text == "");
  BOOST_TEST(got == 7);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(work_guard)

BOOST_AUTO_TEST_CASE(of_a_thread_that_will_wake_somebody_prevents_the_report) {
  for (const std::size_t threads : {1U, 3U}) {
    std::optional<std::jthread> outside;
    int got = 0;
    const auto text = report_of(
        [&]() -> task<> {
          auto ch = make_channel<int>(1);
          outside.emplace([ch, guard = sluice::work_guard()]() mutable {
            std::this_thread::sleep_for(3ms);
            ch.try_send(8);
            guard.reset();
          });
          got = (co_await ch.receive()).value_or(-1);
        },
        threads);
    BOOST_TEST(text == "");
    BOOST_TEST(got == 8);
    outside.reset();
  }
}

BOOST_AUTO_TEST_CASE(that_is_given_up_lets_the_report_come) {
  std::optional<std::jthread> outside;
  std::atomic<bool> given_up = false;
  const auto text = report_of([&]() -> task<> {
    outside.emplace([&, guard = sluice::work_guard()]() mutable {
      std::this_thread::sleep_for(3ms);
      given_up = true;
      guard.reset();
    });
    co_await wait_on(make_channel<int>());
  });
  BOOST_TEST(contains(text, "1 goroutine waiting on receive at "), text);
  BOOST_TEST(given_up);
}

BOOST_AUTO_TEST_CASE(keeps_run_from_returning) {
  asio::io_context io;
  sluice::work_guard guard(io);
  BOOST_TEST(io.poll() == 0u);
  BOOST_TEST(!io.stopped());
  sluice::work_guard moved(std::move(guard));
  guard.reset();
  io.poll();
  BOOST_TEST(!io.stopped());
  {
    sluice::work_guard second(asio::make_strand(io));
    moved.reset();
    moved.reset();
    io.poll();
    BOOST_TEST(!io.stopped());
    second = sluice::work_guard(io);
    io.poll();
    BOOST_TEST(!io.stopped());
  }
  io.poll();
  BOOST_TEST(io.stopped());
}

BOOST_AUTO_TEST_CASE(is_move_only_and_without_a_place_needs_a_goroutine) {
  static_assert(!std::is_copy_constructible_v<sluice::work_guard>);
  static_assert(std::is_nothrow_move_constructible_v<sluice::work_guard>);
  static_assert(std::is_nothrow_move_assignable_v<sluice::work_guard>);
  BOOST_CHECK_EXCEPTION(
      sluice::work_guard(), sluice::system_error, [](const sluice::system_error& e) {
        return e.code() == sluice::error::not_in_goroutine && contains(e.what(), "work_guard");
      });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(description_of_a_context)

// TestNumGoroutine (runtime/proc_test.go): the count and the list are of the same goroutines.
BOOST_AUTO_TEST_CASE(lists_as_many_goroutines_as_are_counted) {
  asio::io_context io;
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
  BOOST_TEST(sluice::describe_goroutines(io) == "");
  auto ch = make_channel<int>();
  for (int i = 0; i < 7; ++i) sluice::go(io, wait_on(ch));
  sluice::go(asio::make_strand(io), wait_on(ch));
  sluice::go(io, [&]() -> task<> { co_await sluice::sleep_for(1h); });
  sluice::go(io, []() -> task<> {
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    co_await timer.async_wait(asio::deferred);
  });
  poll(io);
  sluice::go(io, wait_on(ch));
  BOOST_TEST(sluice::goroutine_count(io) == 11u);
  const auto text = sluice::describe_goroutines(io);
  BOOST_TEST(contains(text, "8 goroutines waiting on receive at "), text);
  BOOST_TEST(contains(text, "1 goroutine waiting on sleep at "), text);
  BOOST_TEST(contains(text, "1 goroutine waiting on an Asio operation at "), text);
  BOOST_TEST(contains(text, "1 goroutine waiting on its start at "), text);
}

BOOST_AUTO_TEST_SUITE_END()
