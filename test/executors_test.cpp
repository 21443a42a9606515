#include <sluice/executor.hpp>

#include <sluice/channel.hpp>
#include <sluice/condition.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/once.hpp>
#include <sluice/runtime.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

// Where things run, how much stack they take, and who has to wait for them.

namespace {

using namespace sluice_test;

}  // namespace

// boostorg/asio#346, boostorg/beast#1557, chriskohlhoff/asio#278: on the strand that the
// handler is bound to, never inside the initiating call, never on the partner's thread.
BOOST_AUTO_TEST_SUITE(handlers_run_where_they_asked_to)

namespace {

/// A strand that handlers are bound to, on a context with two threads, and what they saw there.
class home_strand {
 public:
  [[nodiscard]] auto handler() {
    ++expected_;
    return asio::bind_executor(strand, [this](auto&&...) { look(); });
  }
  [[nodiscard]] auto handler(asio::cancellation_slot slot) {
    return asio::bind_cancellation_slot(slot, handler());
  }

  /// Called where something should be on the strand.
  void look() {
    elsewhere += !strand.running_in_this_thread();
    inside += std::this_thread::get_id() == initiator_;
    ++looks_;
  }
  void expect_look() { ++expected_; }

  /// Calls `f`, which starts operations on this thread.
  template <class F>
  void initiate(F f) {
    initiator_ = std::this_thread::get_id();
    f();
    running_.join();
    BOOST_TEST(looks_ == expected_);
    BOOST_TEST(elsewhere == 0);
    BOOST_TEST(inside == 0);
  }

 private:
  running_context running_{2};

 public:
  const asio::strand<asio::io_context::executor_type> strand = asio::make_strand(running_.io);
  std::atomic<int> elsewhere = 0;
  std::atomic<int> inside = 0;

 private:
  std::thread::id initiator_;
  int expected_ = 0;
  std::atomic<int> looks_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(if_the_operation_is_ready_at_once) {
  const watchdog dog;
  home_strand home;
  home.initiate([&] {
    auto ch = make_channel<int>(1);
    ch.async_send(1, home.handler());
    ch.async_receive(home.handler());
    ch.close();
    ch.async_send(1, home.handler());
    ch.async_receive(home.handler());
    sluice::mutex m;
    m.lock()(home.handler());
    sluice::semaphore sem(1);
    sem.acquire()(home.handler());
    sluice::wait_group wg;
    wg.wait()(home.handler());
    sluice::sleep_for(0s)(home.handler());
    const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    cancel();
    ctx.done()(home.handler());
    sluice::go(home.strand.get_inner_executor(), [] {}, home.handler());
  });
}

BOOST_AUTO_TEST_CASE(if_another_context_completes_the_operation) {
  const watchdog dog;
  home_strand home;
  auto sends = make_channel<int>();
  auto receives = make_channel<int>();
  auto closed_sends = make_channel<int>();
  auto closed_receives = make_channel<int>();
  sluice::mutex m;
  auto held = m.try_lock();
  sluice::semaphore sem(1);
  auto permit = sem.try_acquire();
  sluice::wait_group wg;
  wg.add();
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  running_context partner(1);  // joined before what its goroutine refers to goes
  home.initiate([&, &stop = cancel, &c = ctx] {
    sends.async_send(1, home.handler());
    receives.async_receive(home.handler());
    closed_sends.async_send(1, home.handler());
    closed_receives.async_receive(home.handler());
    m.lock()(home.handler());
    sem.acquire()(home.handler());
    wg.wait()(home.handler());
    c.done()(home.handler());
    sluice::go(partner.io, []() -> task<> { co_await yield(); }, home.handler());
    sluice::go(partner.io, [&]() -> task<> {
      static_cast<void>(co_await sends.receive());
      co_await receives.send(1);
      closed_sends.close();
      closed_receives.close();
      held.unlock();
      permit.release();
      wg.done();
      stop();
    });
  });
}

BOOST_AUTO_TEST_CASE(if_the_operation_is_cancelled_or_its_time_comes) {
  const watchdog dog;
  home_strand home;
  auto ch = make_channel<int>();
  sluice::mutex m;
  const auto held = m.try_lock();
  sluice::wait_group wg;
  wg.add();
  std::array<asio::cancellation_signal, 5> signals;
  home.initiate([&] {
    sluice::sleep_for(2ms)(home.handler());
    sluice::timeout(ch.receive(), 2ms)(home.handler());
    ch.async_receive(home.handler(signals[0].slot()));
    sluice::channel<int>().async_send(1, home.handler(signals[1].slot()));
    m.lock()(home.handler(signals[2].slot()));
    wg.wait()(home.handler(signals[3].slot()));
    sluice::sleep_for(24h)(home.handler(signals[4].slot()));
    // Signals are emitted where the handlers run: they are not thread safe.
    asio::post(home.strand, [&] {
      for (auto& s : signals) s.emit(asio::cancellation_type::terminal);
    });
  });
}

BOOST_AUTO_TEST_CASE(as_goroutines_do_after_every_await) {
  const watchdog dog;
  home_strand home;
  auto there = make_channel<int>();
  auto back = make_channel<int>();
  sluice::mutex m;
  running_context partner(1);  // joined before what its goroutine refers to goes
  const int n = static_cast<int>(rounds(500));
  home.initiate([&] {
    sluice::go(home.strand, [&]() -> task<> {
      for (int i = 0; i < n; ++i) {
        co_await there.send(i);
        home.expect_look();
        home.look();
        static_cast<void>(co_await back.receive());
        home.expect_look();
        home.look();
        const auto guard = co_await m.lock();
        home.expect_look();
        home.look();
      }
      co_await sluice::sleep_for(1us);
      home.expect_look();
      home.look();
      const auto e = co_await error_of(sluice::timeout(back.receive(), 1us));
      home.expect_look();
      home.look();
      if (e == timed_out) there.close();
    });
    sluice::go(partner.io, [&]() -> task<> {
      while (const auto v = co_await there.receive()) {
        const auto guard = co_await m.lock();
        co_await back.send(*v);
      }
    });
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(strands)

// chriskohlhoff/asio#1494: no step of a composed operation leaves the strand.
BOOST_AUTO_TEST_CASE(hold_every_step_of_a_composed_operation) {
  const watchdog dog;
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  const int n = static_cast<int>(rounds(1'000));
  long unguarded = 0;
  std::atomic<long> steps = 0;
  const auto step = [&] {
    ++unguarded;
    ++steps;
    return true;
  };
  auto ch = make_channel<int>();
  sluice::mutex m;
  sluice::condition changed;
  for (int k = 0; k < 4; ++k)
    sluice::go(strand, [&, k]() -> task<> {
      sluice::once once;
      for (int i = 0; i < n; ++i) {
        try {
          if (k % 2 == 0)
            static_cast<void>(co_await sluice::timeout(ch.receive(), 50us));
          else
            co_await sluice::timeout(ch.send(i), 50us);
          step();
        } catch (const sluice::system_error&) {
          step();
        }
        auto guard = co_await m.lock();
        step();
        co_await changed.wait(guard, step);
        guard.unlock();
        co_await once.call(step);
        co_await yield();
        step();
      }
    });
  sluice_test::run(io, 4);
  BOOST_TEST(unguarded == steps);
  BOOST_TEST(steps == 4L * (4 * n + 1));
}

// cppalliance/capy#131: a strand held as any_io_executor.
BOOST_AUTO_TEST_CASE(held_type_erased_let_goroutines_on_them_wait_for_each_other) {
  const watchdog dog;
  asio::io_context io;
  const asio::any_io_executor erased = asio::make_strand(io);
  const asio::any_io_executor erased_again = asio::make_strand(sluice::get_executor(io));
  for (const auto& ex : {erased, erased_again}) {
    auto a = make_channel<int>();
    auto b = make_channel<int>();
    int sum = 0;
    sluice::wait_group wg;
    wg.go(ex, [&]() -> task<> {
      co_await a.send(1);
      sum += (co_await b.receive()).value_or(100);
    });
    wg.go(ex, [&]() -> task<> {
      sum += (co_await a.receive()).value_or(100);
      co_await b.send(2);
    });
    bool ended = false;
    sluice::go(ex, [&]() -> task<> {
      co_await wg.wait();
      co_await sluice::go(ex, []() -> task<> { co_await yield(); }, asio::deferred);
      ended = true;
    });
    sluice_test::run(io);
    BOOST_TEST(sum == 3);
    BOOST_TEST(ended);
  }
}

// chriskohlhoff/asio#1054, #147: a hundred strands, two of them busy.
BOOST_AUTO_TEST_CASE(that_are_busy_do_not_hold_up_those_that_are_not) {
  const watchdog dog;
  constexpr steady::duration soon = 300ms * (sanitized ? 10 : 1);
  const auto took = shortest(soon, [] {
    asio::io_context io;
    std::atomic<bool> over = false;
    std::atomic<int> left = 98;
    std::atomic<steady::rep> longest = 0;
    for (int i = 0; i < 2; ++i)
      sluice::go(asio::make_strand(io), [&]() -> task<> {
        while (!over) {
          for (const stopwatch watch; watch.elapsed() < 500us;) continue;
          co_await yield();
        }
      });
    for (int i = 0; i < 98; ++i)
      sluice::go(asio::make_strand(io), [&]() -> task<> {
        for (int k = 0; k < 10; ++k) {
          const auto began = steady::now();
          co_await sluice::sleep_for(100us);
          const auto turn = (steady::now() - began).count();
          for (auto seen = longest.load();
               seen < turn && !longest.compare_exchange_weak(seen, turn);)
            continue;
        }
        if (--left == 0) over = true;
      });
    sluice_test::run(io, 4);
    return steady::duration(longest.load());
  });
  BOOST_TEST((took < soon));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(operations_that_are_always_ready)

// tokio-rs/tokio#2542, #5686: neither a deadline nor another goroutine is starved.
BOOST_AUTO_TEST_CASE(let_a_deadline_be_seen_and_a_third_goroutine_tick) {
  const watchdog dog;
  constexpr steady::duration soon = 1s * (sanitized ? 10 : 1);
  const auto took = shortest(soon, [] {
    const stopwatch watch;
    asio::io_context io;
    auto ch = make_channel<int>(16);
    error_code end;
    long received = 0;
    int ticks = 0;
    const auto [ctx, cancel] = sluice::with_timeout(io, sluice::context::background(), 50ms);
    sluice::go(ctx, io, [&]() -> task<> {
      try {
        while (co_await ch.receive()) ++received;
      } catch (const sluice::system_error& e) {
        end = e.code();
      }
      ch.close();
    });
    sluice::go(io, [&]() -> task<> {
      const error_code e = co_await [](sluice::sender<int> out) -> task<error_code> {
        for (;;) {
          const auto failed = co_await error_of(out.send(1));
          if (failed) co_return failed;
        }
      }(ch);
      BOOST_TEST(e == closed);
    });
    sluice::go(io, [&]() -> task<> {
      while (!end) {
        co_await sluice::sleep_for(5ms);
        ticks += !end;
      }
    });
    sluice_test::run(io);
    BOOST_TEST((end == sluice::error::deadline_exceeded));
    BOOST_TEST(ticks >= 1);
    BOOST_TEST(received > 0);
    return watch.elapsed();
  });
  BOOST_TEST((took < soon));
}

// boostorg/asio#207, libbitcoin/libbitcoin-node#286: the handler starts the next operation.
BOOST_AUTO_TEST_CASE(take_constant_stack_when_their_handlers_start_the_next) {
  const std::size_t n = sanitized ? 20'000 : 200'000;
  const auto drain = [n](auto bind) {
    std::size_t received = 0;
    on_stack_of(sanitized ? small_stack : 64 * 1024, [&] {
      asio::io_context io;
      auto ch = make_channel<int>(n);
      for (std::size_t i = 0; i < n; ++i) ch.try_send(1);
      struct next {
        void operator()(error_code, std::optional<int> v) {
          if (!v) return;
          if (++*count == all) ch.close();
          ch.async_receive((*bound)(io, *this));
        }
        sluice::channel<int> ch;
        asio::io_context& io;
        decltype(bind)* bound;
        std::size_t all;
        std::size_t* count;
      };
      ch.async_receive(bind(io, next{ch, io, &bind, n, &received}));
      io.run();
    });
    return received == n;
  };
  BOOST_TEST(
      drain([](asio::io_context& io, auto h) { return asio::bind_executor(io, std::move(h)); }));
  BOOST_TEST(drain([](asio::io_context& io, auto h) {
    return asio::bind_executor(asio::make_strand(io), std::move(h));
  }));
  BOOST_TEST(drain([](asio::io_context& io, auto h) {
    return asio::bind_executor(sluice::get_executor(io), std::move(h));
  }));
}

BOOST_AUTO_TEST_SUITE_END()

// erigontech/silkworm#1530: of operations; of goroutines and their tokens: go/token_test.cpp.
BOOST_AUTO_TEST_SUITE(exceptions_of_handlers)

BOOST_AUTO_TEST_CASE(leave_run_and_everything_else_goes_on) {
  asio::io_context io;
  auto ch = make_channel<int>(io);
  std::vector<int> got;
  bool resumed = false;
  ch.async_receive([](error_code, std::optional<int>) { throw std::runtime_error("handler"); });
  ch.async_receive([&](error_code, std::optional<int> v) { got.push_back(v.value_or(-1)); });
  sluice::go(io, [&]() -> task<> {
    co_await ch.send(1);
    co_await ch.send(2);
    co_await yield();
    resumed = true;
  });
  sluice::sleep_for(1ms)(
      asio::bind_executor(io, [](error_code) { throw std::logic_error("sleep"); }));
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  BOOST_CHECK_THROW(io.run(), std::logic_error);
  io.run();
  BOOST_TEST(got == (std::vector{2}));
  BOOST_TEST(resumed);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_CASE(leave_the_thread_that_ran_them_whichever_it_is) {
  const watchdog dog;
  const int n = static_cast<int>(rounds(2'000));
  asio::io_context io;
  auto ch = make_channel<int>(io, 4);
  std::atomic<int> caught = 0;
  for (int i = 0; i < n; ++i)
    ch.async_receive([](error_code, std::optional<int> v) { throw v.value_or(-1); });
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < n; ++i) co_await ch.send(1);
  });
  on_threads(4, [&](int) {
    for (;;) {
      try {
        io.run();
        return;
      } catch (int v) {
        caught += v;
      }
    }
  });
  BOOST_TEST(caught == n);
}

BOOST_AUTO_TEST_SUITE_END()
