#include <sluice/bind_context.hpp>
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/worker_pool.hpp>

#include "counting_allocator.hpp"
#include "goroutine/helpers.hpp"
#include "goroutine/own_context.hpp"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

// Completion handlers, thread pools and other contexts that end while something waits.

namespace {

using namespace sluice_test;

/// A handler of anything, which counts itself in `alive` and its calls in `calls`.
auto counting(std::atomic<int>& alive, std::atomic<int>& calls) {
  return [here = witness(alive), &calls](auto&&...) { ++calls; };
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parked_handlers)

// "handlers parked in channels whose associated executor belongs to the dying context are destroyed
// too", and those parked anywhere else.
BOOST_AUTO_TEST_CASE(are_destroyed_uncalled_with_the_context_that_would_call_them) {
  std::atomic<int> alive = 0;
  std::atomic<int> calls = 0;
  auto receives = make_channel<int>();
  auto sends = make_channel<int>();
  sluice::mutex m;
  auto held = m.try_lock();
  sluice::shared_mutex rw;
  auto writing = rw.try_lock();
  sluice::semaphore sem(1);
  auto permit = sem.try_acquire();
  sluice::wait_group wg;
  wg.add();
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  {
    asio::io_context io;
    const auto start_all = [&](const auto& ex) {
      const auto handler = [&] { return asio::bind_executor(ex, counting(alive, calls)); };
      receives.async_receive(handler());
      sends.async_send(1, handler());
      sluice::channel<int>().async_receive(handler());
      m.lock()(handler());
      rw.lock_shared()(handler());
      sem.acquire()(handler());
      wg.wait()(handler());
      ctx.done()(handler());
      sluice::sleep_for(1h)(handler());
      sluice::select(receives.receive(), sluice::sleep_for(1h))(handler());
      sluice::go(
          ex, [&]() -> task<> { static_cast<void>(co_await receives.receive()); }, handler());
    };
    start_all(io.get_executor());
    start_all(asio::make_strand(io));
    start_all(sluice::get_executor(io));
    start_all(asio::any_io_executor(io.get_executor()));
    poll(io);
    BOOST_TEST(alive == 4 * 11);
  }
  BOOST_TEST(alive == 0);

  // They have left: nothing is handed to them.
  error_code e;
  BOOST_TEST(!receives.try_send(1, e));
  BOOST_TEST(!sends.try_receive(e));
  held = {};
  writing = {};
  permit = {};
  BOOST_TEST(m.try_lock().owns_lock());
  BOOST_TEST(rw.try_lock().owns_lock());
  BOOST_TEST(static_cast<bool>(sem.try_acquire()));
  wg.done();
  cancel();
  BOOST_TEST(calls == 0);
}

BOOST_AUTO_TEST_CASE(leave_their_turn_to_the_others) {
  asio::io_context live;
  auto ch = make_channel<int>();
  std::vector<int> got;
  const auto receive_on = [&](asio::io_context& io, int n) {
    ch.async_receive(asio::bind_executor(io, [&got, n](error_code, std::optional<int> v) {
      got.push_back(10 * n + v.value_or(-1));
    }));
  };
  {
    asio::io_context dying;
    receive_on(dying, 1);
    receive_on(live, 2);
    receive_on(dying, 3);
    receive_on(live, 4);
  }
  ch.try_send(1);
  ch.try_send(2);
  error_code e;
  BOOST_TEST(!ch.try_send(3, e));
  run(live);
  BOOST_TEST(got == (std::vector{21, 42}));
}

// The value is destroyed with the handler that it was on its way to.
BOOST_AUTO_TEST_CASE(that_were_served_but_not_called_are_destroyed_with_what_they_got) {
  counted::corrupt = 0;
  std::atomic<int> alive = 0;
  std::atomic<int> calls = 0;
  auto ch = make_channel<counted>();
  {
    asio::io_context io;
    ch.async_receive(asio::bind_executor(io, counting(alive, calls)));
    ch.async_receive(asio::bind_executor(asio::make_strand(io), counting(alive, calls)));
    ch.try_send(counted(1));
    ch.try_send(counted(2));
    BOOST_TEST(counted::alive == 2);
  }
  BOOST_TEST(calls == 0);
  BOOST_TEST(alive == 0);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// cppalliance/capy#153: the memory is given back on abandon as well.
BOOST_AUTO_TEST_CASE(give_their_memory_back_to_their_allocator) {
  memory_account account;
  std::atomic<int> alive = 0;
  std::atomic<int> calls = 0;
  const counting_allocator<std::byte> allocator(account);
  auto ch = make_channel<int>();
  sluice::mutex m;
  const auto held = m.try_lock();
  {
    asio::io_context io;
    const auto handler = [&] {
      return asio::bind_allocator(allocator, asio::bind_executor(io, counting(alive, calls)));
    };
    ch.async_receive(handler());
    sluice::sleep_for(1h)(handler());
    m.lock()(handler());
    sluice::go(io, [&]() -> task<> { static_cast<void>(co_await ch.receive()); }, handler());
    BOOST_TEST(account.bytes > 0);
    poll(io);
    ch.try_send(1);  // a handler on its way
  }
  BOOST_TEST(account.bytes == 0);
  BOOST_TEST(alive == 0);
  BOOST_TEST(calls == 0);
}

BOOST_AUTO_TEST_CASE(may_act_when_they_are_destroyed) {
  asio::io_context live;
  auto ch = make_channel<int>();
  auto news = make_channel<int>(10);
  std::atomic<int> alive = 0;
  std::atomic<int> calls = 0;
  int acts = 0;
  {
    asio::io_context io;
    const auto act = [&] {
      news.try_send(1);
      sluice::go(live, [&] { ++calls; });
      sluice::go(io, [&calls, here = witness(alive)] { calls += 100; });
      ch.async_receive(asio::bind_executor(
          io, [&calls, here = witness(alive)](error_code, std::optional<int>) { calls += 100; }));
      ++acts;
    };
    ch.async_receive(asio::bind_executor(io, [end = std::make_shared<at_exit<decltype(act)>>(act)](
                                                 error_code, std::optional<int>) {}));
  }
  BOOST_TEST(acts == 1);
  BOOST_TEST(alive == 0);
  BOOST_TEST(news.size() == 1u);
  run(live);
  BOOST_TEST(calls == 1);
}

// Each is destroyed by the loop of the context's end, not inside the destructor that wakes it.
BOOST_AUTO_TEST_CASE(may_wake_each_other_when_they_are_destroyed_however_many_they_are) {
  const watchdog dog;
  constexpr int many = 10'000;
  int closed = 0;
  on_stack_of(small_stack, [&] {
    asio::io_context io;
    sluice::channel<int> previous = make_channel<int>();
    for (int i = 0; i < many; ++i) {
      const auto close = [&closed, previous] {
        previous.close();
        ++closed;
      };
      const auto end = std::make_shared<at_exit<decltype(close)>>(close);
      auto ch = make_channel<int>();
      ch.async_receive(asio::bind_executor(io, [end](error_code, std::optional<int>) {}));
      previous = ch;
    }
  });
  BOOST_TEST(closed == many);
}

// A handler of the context that ends is woken together with a goroutine of the context that it
// owns.
BOOST_AUTO_TEST_CASE(may_own_a_context_whose_goroutines_wait_for_the_same) {
  const watchdog dog;
  for (const bool goroutine_first : {false, true}) {
    auto ch = make_channel<int>();
    std::atomic<int> alive = 0;
    auto inner = std::make_shared<asio::io_context>();
    const auto receive = [&]() -> task<> {
      const witness here(alive);
      static_cast<void>(co_await ch.receive());
    };
    const auto park = [&] {
      sluice::go(*inner, receive());
      poll(*inner);
    };
    {
      asio::io_context outer;
      if (goroutine_first) park();
      ch.async_receive(asio::bind_executor(outer, [inner](error_code, std::optional<int>) {}));
      if (!goroutine_first) park();
      inner.reset();
      sluice::go(outer, [&]() -> task<> {
        const at_exit close([&] { ch.close(); });
        co_await sluice::channel<void>().send();
      });
      poll(outer);
      BOOST_TEST(alive == 1);
    }
    BOOST_TEST(alive == 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(thread_pools)

BOOST_AUTO_TEST_CASE(are_joined_when_their_last_goroutine_has_ended) {
  const watchdog dog;
  asio::thread_pool pool(3);
  auto ch = make_channel<int>();
  std::atomic<int> ended = 0;
  for (int i = 0; i < 20; ++i)
    sluice::go(pool, [&]() -> task<> {
      static_cast<void>(co_await ch.receive());
      co_await sluice::sleep_for(1ms);
      ++ended;
    });
  std::jthread outside([&] {
    std::this_thread::sleep_for(2ms);
    ch.close();
  });
  pool.join();
  BOOST_TEST(ended == 20);
}

BOOST_AUTO_TEST_CASE(that_are_stopped_destroy_their_goroutines_with_themselves) {
  for (const bool stop_inside : {false, true}) {
    const watchdog dog;
    std::atomic<int> alive = 0;
    std::atomic<int> there = 0;
    auto ch = make_channel<int>();
    {
      asio::thread_pool pool(3);
      for (int i = 0; i < 20; ++i)
        sluice::go(pool, [&]() -> task<> {
          const witness here(alive);
          ++there;
          static_cast<void>(co_await ch.receive());
        });
      for (int i = 0; i < 5; ++i)
        sluice::go(pool, [&]() -> task<> {
          const witness here(alive);
          for (++there;;) co_await yield();
        });
      while (there < 25) std::this_thread::yield();
      if (stop_inside)
        sluice::go(pool, [&] { pool.stop(); });
      else
        pool.stop();
      pool.join();
      BOOST_TEST(alive == 25);
      ch.close();  // too late: nothing runs
    }
    BOOST_TEST(alive == 0);
  }
}

// chriskohlhoff/asio#1538, #431, #425: strands with queued work while the pool ends.
BOOST_AUTO_TEST_CASE(end_whatever_is_queued_on_their_strands) {
  const watchdog dog;
  enum class way { stop_inside, stop_outside, destructor };
  for (const way how : {way::stop_inside, way::stop_outside, way::destructor})
    for (std::size_t round = 0; round < rounds(30); ++round) {
      std::atomic<int> alive = 0;
      std::atomic<int> steps = 0;
      {
        auto ch = make_channel<int>();
        const auto work = [&](sluice::channel<int> c) -> task<> {
          const witness here(alive);
          static_cast<void>(co_await asio::this_coro::executor);
          for (;;) {
            ++steps;
            error_code e;
            c.try_send(1, e);
            co_await yield();
            c.try_receive(e);
          }
        };
        asio::thread_pool pool(3);  // ends before what its goroutines use
        for (int i = 0; i < 50; ++i) {
          const auto strand = asio::make_strand(pool);
          sluice::go(strand, work(ch));
          sluice::go(pool, work(ch));
          sluice::go(strand, [&, ch]() -> task<> {
            const witness here(alive);
            static_cast<void>(co_await ch.receive());
            static_cast<void>(co_await ch.receive());
          });
          asio::post(strand, [&alive, &pool, ch] {
            ch.async_receive(asio::bind_executor(
                pool, [here = witness(alive)](error_code, std::optional<int>) {}));
          });
        }
        if (how == way::stop_inside) asio::post(pool, [&] { pool.stop(); });
        while (how != way::stop_inside && steps < 200) std::this_thread::yield();
        if (how == way::stop_outside) pool.stop();
      }
      BOOST_TEST(alive == 0);
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(other_contexts)

BOOST_AUTO_TEST_CASE(of_the_users_own_making_destroy_their_goroutines_as_well) {
  const watchdog dog;
  std::atomic<int> alive = 0;
  std::atomic<int> there = 0;
  std::atomic<int> calls = 0;
  auto ch = make_channel<int>();
  {
    own_context context;
    for (int i = 0; i < 5; ++i) {
      sluice::go(context, [&]() -> task<> {
        const witness here(alive);
        ++there;
        static_cast<void>(co_await ch.receive());
        ++calls;
      });
      ch.async_receive(asio::bind_executor(context.get_executor(), counting(alive, calls)));
    }
    while (there < 5) std::this_thread::yield();
    context.join();
    BOOST_TEST(alive == 10);
  }
  BOOST_TEST(alive == 0);
  BOOST_TEST(calls == 0);
  error_code e;
  BOOST_TEST(!ch.try_send(1, e));
}

// What is woken then is destroyed by the context's end, not by the thread that wakes it: that one
// may be in the middle of waking others.
BOOST_AUTO_TEST_CASE(of_the_users_own_making_may_destroy_what_comes_after_their_end) {
  const watchdog dog;
  for (int kind = 0; kind < 7; ++kind) {
    auto ch = make_channel<int>();
    sluice::wait_group wg;
    wg.add();
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    sluice::mutex m;
    auto held = m.try_lock();
    std::atomic<int> alive = 0;
    std::atomic<bool> there = false;
    bool resumed = false;
    {
      own_context context;
      const auto body = [&]() -> task<> {
        const witness here(alive);
        there = true;
        if (kind == 1) {
          co_await wg.wait();
        } else if (kind == 3) {
          static_cast<void>(co_await m.lock());
        } else if (kind == 5) {
          static_cast<void>(co_await sluice::select(ch.receive(), wg.wait()));
        } else {
          static_cast<void>(co_await ch.receive());
        }
        resumed = true;
      };
      if (kind == 2)
        sluice::go(ctx, context, body);
      else
        sluice::go(context, body);
      while (!there) std::this_thread::yield();
      context.join();
      error_code e;
      if (kind == 1)
        wg.done();
      else if (kind == 2)
        cancel();
      else if (kind == 3)
        held = {};
      else if (kind == 4)
        ch.close();
      else if (kind == 6)
        sluice::go(context, body);  // another one, that never begins
      else
        ch.try_send(1, e);
      BOOST_TEST(alive == 1);
    }
    BOOST_TEST(alive == 0);
    BOOST_TEST(!resumed);
  }
}

// The thread that wakes them holds off the end of that context until it has done so.
BOOST_AUTO_TEST_CASE(of_the_users_own_making_destroy_the_handlers_that_they_refused) {
  const watchdog dog;
  for (int kind = 0; kind < 6; ++kind) {
    auto ch = make_channel<int>();
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    asio::cancellation_signal signal;
    asio::thread_pool threads(1);
    sluice::worker_pool<int, void> pool(threads, {}, [](int) {});
    std::atomic<int> alive = 0;
    std::atomic<int> calls = 0;
    {
      own_context context;
      const auto handler = [&] {
        return asio::bind_executor(context.get_executor(), counting(alive, calls));
      };
      if (kind == 0 || kind == 1)
        ch.async_receive(handler());
      else if (kind == 2)
        ch.async_receive(asio::bind_cancellation_slot(signal.slot(), handler()));
      else if (kind == 3)
        ctx.done()(handler());
      else if (kind == 4)
        sluice::select(ch.receive(), ch.receive())(handler());
      context.join();
      if (kind == 5) pool.submit(1)(handler());
      if (kind == 0 || kind == 4)
        ch.try_send(1);
      else if (kind == 1)
        ch.close();
      else if (kind == 2)
        signal.emit(asio::cancellation_type::all);
      else if (kind == 3)
        cancel();
      else if (kind == 5)
        threads.join();
      BOOST_TEST(alive == 1);
    }
    BOOST_TEST(alive == 0);
    BOOST_TEST(calls == 0);
  }
}

namespace {

/// An executor that keeps its context.
struct owning_executor {
  std::shared_ptr<asio::io_context> context;

  template <class F>
  void execute(F&& f) const {
    asio::post(*context, std::forward<F>(f));
  }
  [[nodiscard]] asio::io_context& query(asio::execution::context_t) const noexcept {
    return *context;
  }
  [[nodiscard]] static constexpr asio::execution::blocking_t query(
      asio::execution::blocking_t) noexcept {
    return asio::execution::blocking.never;
  }
  [[nodiscard]] owning_executor require(asio::execution::blocking_t::never_t) const {
    return *this;
  }
  friend bool operator==(const owning_executor& a, const owning_executor& b) noexcept {
    return a.context == b.context;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(may_be_kept_by_the_executor_of_a_channel) {
  const watchdog dog;
  auto context = std::make_shared<asio::io_context>();
  const std::weak_ptr<asio::io_context> ended = context;
  static_cast<void>(make_channel<int>(*context));  // now its own executor is known
  auto ch = make_channel<int>(owning_executor{std::move(context)});
  BOOST_TEST(!ended.expired());
  ch = {};
  BOOST_TEST(ended.expired());

  context = std::make_shared<asio::io_context>();
  const std::weak_ptr<asio::io_context> beneath_a_strand = context;
  static_cast<void>(make_channel<int>(*context));
  ch = make_channel<int>(asio::make_strand(owning_executor{std::move(context)}));
  BOOST_TEST(!beneath_a_strand.expired());
  ch = {};
  BOOST_TEST(beneath_a_strand.expired());
}

namespace {

/// An executor that keeps its context, and on another thread has called and destroyed what it is
/// given when `execute` returns.
struct quick_executor {
  std::shared_ptr<asio::execution_context> context;

  template <class F>
  void execute(F&& f) const {
    auto given = std::make_shared<std::decay_t<F>>(std::forward<F>(f));
    std::thread([g = std::move(given)]() mutable {
      std::move (*g)();
      g.reset();
    }).join();
  }
  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept {
    return *context;
  }
  [[nodiscard]] static constexpr asio::execution::blocking_t query(
      asio::execution::blocking_t) noexcept {
    return asio::execution::blocking.never;
  }
  [[nodiscard]] quick_executor require(asio::execution::blocking_t::never_t) const { return *this; }
  friend bool operator==(const quick_executor& a, const quick_executor& b) noexcept {
    return a.context == b.context;
  }
};

}  // namespace

// Whoever wakes has the last copy of the executor then.
BOOST_AUTO_TEST_CASE(may_be_kept_by_the_executor_of_who_is_woken) {
  const watchdog dog;
  for (int kind = 0; kind < 4; ++kind) {
    auto context = std::make_shared<asio::execution_context>();
    const std::weak_ptr<asio::execution_context> ended = context;
    asio::io_context io;
    asio::steady_timer timer(io, 1h);
    const auto ch = make_channel<int>();
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    int calls = 0;
    {
      const quick_executor ex{std::move(context)};
      const auto handler = [&] { return asio::bind_executor(ex, [&](auto&&...) { ++calls; }); };
      if (kind == 0)
        ch.async_receive(handler());
      else if (kind == 1)
        sluice::select(ch.receive(), ch.receive())(handler());
      else if (kind == 2)
        sluice::go(ex, [&]() -> task<> {
          static_cast<void>(co_await ch.receive());
          ++calls;
        });
      else
        timer.async_wait(sluice::bind_context(ctx, handler()));
    }
    BOOST_TEST(!ended.expired());
    error_code e;
    if (kind == 1)
      ch.close();
    else if (kind == 3)
      cancel();
    else
      ch.try_send(1, e);
    run(io);
    BOOST_TEST(calls == 1);
    BOOST_TEST(ended.expired());
  }
}

BOOST_AUTO_TEST_CASE(of_the_users_own_making_that_refuse_handlers_let_others_run_out) {
  const watchdog dog;
  std::atomic<int> alive = 0;
  std::atomic<int> calls = 0;
  {
    own_context context;
    asio::io_context io;
    const auto ch = make_channel<int>(io);
    ch.async_receive(asio::bind_executor(context.get_executor(), counting(alive, calls)));
    context.join();
    ch.try_send(1);
    run(io);
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
  BOOST_TEST(calls == 0);
}

// Nothing is left of the timers but their handles.
BOOST_AUTO_TEST_CASE(that_end_leave_timers_that_do_nothing) {
  std::optional<sluice::timer> timer;
  std::optional<sluice::ticker> ticker;
  std::optional<sluice::timed_function> function;
  std::optional<sluice::cancellable_context> deadline;
  bool called = false;
  auto io = std::make_unique<asio::io_context>();
  timer.emplace(*io, 1h);
  ticker.emplace(*io, 1h);
  function.emplace(sluice::after_func(*io, 1h, [&] { called = true; }));
  deadline.emplace(sluice::with_timeout(*io, sluice::context::background(), 1h));
  auto after = sluice::after(*io, 1h);
  auto timer_channel = timer->channel();
  io.reset();
  error_code e;
  BOOST_TEST(!after.try_receive(e));
  BOOST_TEST(!timer_channel.try_receive(e));
  BOOST_TEST(timer->stop());
  BOOST_TEST(!timer->reset(0ms));
  ticker->reset(1ms);
  ticker->stop();
  static_cast<void>(function->reset(0ms));
  static_cast<void>(function->stop());
  deadline->cancel();
  BOOST_TEST(deadline->ctx.err() == aborted);
  after = {};
  timer.reset();
  ticker.reset();
  function.reset();
  deadline.reset();
  BOOST_TEST(!called);
}

// One that waits for a goroutine of another context is not told when that goes: it is cancelled or
// stays parked, as in Go.
BOOST_AUTO_TEST_CASE(that_end_leave_goroutines_of_others_parked) {
  asio::io_context live;
  auto ch = make_channel<int>();
  int got = 0;
  sluice::go(live, [&]() -> task<> { got = (co_await ch.receive()).value_or(-1); });
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      static_cast<void>(co_await sluice::channel<int>().receive());
      co_await ch.send(1);
    });
    poll(io);
    poll(live);
  }
  poll(live);
  BOOST_TEST(got == 0);
  ch.try_send(2);
  run(live);
  BOOST_TEST(got == 2);
}

BOOST_AUTO_TEST_SUITE_END()
