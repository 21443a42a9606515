#include <sluice/channel.hpp>
#include <sluice/condition.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/task.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

// A context that is destroyed destroys its goroutines; nothing of them runs after that, and what
// their destructors do has no effect on it.

namespace {

using namespace sluice_test;

/// Every kind of thing that a goroutine can wait for.
class waiting_places {
 public:
  waiting_places() {
    held_ = m_.try_lock();
    writing_ = rw_.try_lock();
    permit_ = sem_.try_acquire();
    wg_.add();
  }

  static constexpr int kinds = 17;

  /// Starts a goroutine in each; each counts itself in `alive`, and in `there` before it waits.
  void occupy(asio::io_context& io, std::atomic<int>& alive, std::atomic<int>& there,
              std::atomic<int>& resumed) {
    const auto start = [&](auto wait) {
      sluice::go(io, [&alive, &there, &resumed, wait]() -> task<> {
        const witness here(alive);
        co_await wait(there);
        ++resumed;
      });
    };
    start([this](auto& t) -> task<> { co_await ch_.send((++t, 1)); });
    start([this](auto& t) -> task<> { static_cast<void>(co_await (++t, quiet_.receive())); });
    start([this](auto& t) -> task<> { co_await (++t, full_.send(1)); });
    start([](auto& t) -> task<> { co_await (++t, sluice::channel<int>().send(1)); });
    start([this](auto& t) -> task<> {
      co_await (++t, sluice::select(quiet_.receive(), ch_.send(2), sluice::sleep_for(1h)));
    });
    start([this, &io](auto& t) -> task<> {
      asio::steady_timer timer(io, 1h);
      co_await (++t, sluice::select(quiet_.receive(), timer.async_wait(asio::deferred)));
    });
    start([](auto& t) -> task<> { co_await (++t, sluice::sleep_for(1h)); });
    start([this](auto& t) -> task<> { co_await (++t, wg_.wait()); });
    start([this](auto& t) -> task<> { static_cast<void>(co_await (++t, sem_.acquire())); });
    start([this](auto& t) -> task<> { static_cast<void>(co_await (++t, m_.lock())); });
    start([this](auto& t) -> task<> { static_cast<void>(co_await (++t, rw_.lock_shared())); });
    start([this](auto& t) -> task<> {
      auto guard = co_await own_.lock();
      co_await (++t, cond_.wait(guard));
    });
    start([this](auto& t) -> task<> { co_await (++t, ctx_.ctx.done()); });
    start([&io](auto& t) -> task<> {
      socket_pair sockets(io);
      char byte = 0;
      static_cast<void>(
          co_await (++t, sockets.near.async_read_some(asio::buffer(&byte, 1), asio::deferred)));
    });
    start([&io](auto& t) -> task<> {
      asio::steady_timer timer(io, 1h);
      co_await (++t, timer.async_wait(asio::deferred));
    });
    start([this](auto& t) -> task<> {
      const auto inner = [](auto& count, sluice::channel<int> ch) -> asio::awaitable<void> {
        ++count;
        co_await ch.async_receive(asio::use_awaitable);
      };
      co_await inner(t, quiet_);
    });
    start([](auto& t) -> task<> {
      for (++t;;) co_await yield();
    });
  }

 private:
  // Destroyed after what they lock, so that this lets nobody in.
  sluice::mutex::guard held_;
  sluice::shared_mutex::guard writing_;
  sluice::semaphore::permit permit_;

  sluice::channel<int> ch_ = make_channel<int>();
  sluice::channel<int> quiet_ = make_channel<int>();
  sluice::channel<int> full_ = make_channel<int>();
  sluice::mutex m_;
  sluice::mutex own_;
  sluice::shared_mutex rw_;
  sluice::semaphore sem_{1};
  sluice::condition cond_;
  sluice::wait_group wg_;
  sluice::cancellable_context ctx_ = sluice::with_cancel(sluice::context::background());
};

}  // namespace

BOOST_AUTO_TEST_SUITE(parked_goroutines)

// chriskohlhoff/asio#1377, cppalliance/corosio#159
BOOST_AUTO_TEST_CASE(are_destroyed_with_their_context_after_a_stop) {
  for (const bool context_first : {true, false})
    for (const int threads : {1, 2}) {
      const watchdog dog;
      std::atomic<int> alive = 0;
      std::atomic<int> there = 0;
      std::atomic<int> resumed = 0;
      auto places = std::make_unique<waiting_places>();
      std::optional<asio::io_context> io(std::in_place);
      places->occupy(*io, alive, there, resumed);
      {
        std::vector<std::jthread> runners;
        for (int i = 0; i < threads; ++i) runners.emplace_back([&] { io->run(); });
        while (there < waiting_places::kinds) std::this_thread::yield();
        io->stop();
      }
      BOOST_TEST(alive == waiting_places::kinds);
      if (context_first) {
        io.reset();
        BOOST_TEST(alive == 0);
        places.reset();
      } else {
        places.reset();
        BOOST_TEST(alive == waiting_places::kinds);
        io.reset();
      }
      BOOST_TEST(alive == 0);
      BOOST_TEST(resumed == 0);
    }
}

// chriskohlhoff/asio#1377: the places end while the context still runs; nobody is woken by that.
BOOST_AUTO_TEST_CASE(stay_parked_if_what_they_wait_for_ends) {
  std::atomic<int> alive = 0;
  std::atomic<int> there = 0;
  std::atomic<int> resumed = 0;
  asio::io_context io;
  {
    auto places = std::make_unique<waiting_places>();
    places->occupy(io, alive, there, resumed);
    while (there < waiting_places::kinds) io.poll_one();
    places.reset();
  }
  for (int i = 0; i < 100; ++i) io.poll_one();
  BOOST_TEST(resumed == 1);  // the context that is cancelled by its end
  BOOST_TEST(alive == waiting_places::kinds - 1);
}

BOOST_AUTO_TEST_CASE(that_never_ran_are_destroyed_with_their_closures) {
  std::atomic<int> alive = 0;
  bool ran = false;
  {
    asio::io_context io;
    for (int i = 0; i < 3; ++i) {
      sluice::go(io, [&, here = witness(alive)]() -> task<> {
        ran = true;
        co_return;
      });
      sluice::go(asio::make_strand(io), [&, here = witness(alive)] { ran = true; });
      sluice::go(io, [&, here = witness(alive)]() -> asio::awaitable<void> {
        ran = true;
        co_return;
      });
    }
    BOOST_TEST(alive == 9);
  }
  BOOST_TEST(!ran);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(go_on_after_a_stop_if_their_context_runs_again) {
  asio::io_context io;
  auto ch = make_channel<int>();
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    io.stop();
    for (int i = 0; i < 1000; ++i) co_await yield();
    got = (co_await ch.receive()).value_or(-1);
  });
  io.run();
  BOOST_TEST(io.stopped());
  BOOST_TEST(got == 0);
  BOOST_TEST(io.run() == 0u);  // stopped is stopped
  ch.async_send(5, asio::bind_executor(io, [](error_code) {}));
  run(io);
  BOOST_TEST(got == 5);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(destructors_in_frames)

namespace {

/// A goroutine that waits for ever and calls `f` when it is destroyed.
template <class F>
task<> at_end_of_context(F f) {
  const at_exit act(std::move(f));
  co_await sluice::channel<void>().send();
}

}  // namespace

// "wake-ups and go from destructors towards that context are dropped"
BOOST_AUTO_TEST_CASE(wake_nobody_in_the_context_that_ends) {
  counted::corrupt = 0;
  std::atomic<int> alive = 0;
  int ended = 0;
  int woken = 0;
  bool sent = false;
  auto ch = make_channel<counted>();
  auto signal = make_channel<void>();
  sluice::wait_group wg;
  sluice::mutex m;
  {
    asio::io_context io;
    wg.add();
    const auto waiter = [&](auto wait) {
      sluice::go(io, [&alive, &woken, wait]() -> task<> {
        const witness here(alive);
        co_await wait();
        ++woken;
      });
    };
    sluice::go(io, [&, held = m.try_lock()]() mutable -> task<> {
      const auto guard = std::move(held);
      co_await sluice::channel<void>().send();
    });
    waiter([&]() -> task<> { static_cast<void>(co_await ch.receive()); });
    waiter([&]() -> task<> { static_cast<void>(co_await signal.receive()); });
    waiter([&]() -> task<> { co_await wg.wait(); });
    waiter([&]() -> task<> { static_cast<void>(co_await m.lock()); });
    waiter([&]() -> task<> { co_await sluice::select(signal.receive(), sluice::sleep_for(1h)); });
    sluice::go(io, at_end_of_context([&] {
                 error_code e;
                 sent = ch.try_send(counted(1), e);
                 signal.close();
                 wg.done();
                 ++ended;
               }));
    poll(io);
    BOOST_TEST(alive == 5);
  }
  BOOST_TEST(ended == 1);
  BOOST_TEST(sent);  // to the receiver that was still there, and destroyed with it
  BOOST_TEST(woken == 0);
  BOOST_TEST(alive == 0);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(start_nothing_in_the_context_that_ends) {
  std::atomic<int> alive = 0;
  int ended = 0;
  bool ran = false;
  auto ch = make_channel<int>();
  {
    asio::io_context io;
    const auto strand = asio::make_strand(io);
    sluice::go(
        io, at_end_of_context([&, strand] {
          sluice::go(io, [&ran, here = witness(alive)] { ran = true; });
          sluice::go(strand, [&ran, here = witness(alive)]() -> task<> {
            ran = true;
            co_return;
          });
          sluice::go(
              io, []() -> task<int> { co_return 1; },
              [&ran, here = witness(alive)](std::exception_ptr, int) { ran = true; });
          asio::post(io, [&ran, here = witness(alive)] { ran = true; });
          ch.async_receive(asio::bind_executor(
              io, [&ran, here = witness(alive)](error_code, std::optional<int>) { ran = true; }));
          sluice::sleep_for(1h)(
              asio::bind_executor(io, [&ran, here = witness(alive)](error_code) { ran = true; }));
          sluice::executor(sluice::get_executor(io))
              .execute([&ran, here = std::make_shared<witness>(alive)] { ran = true; });
          ++ended;
        }));
    poll(io);
  }
  BOOST_TEST(ended == 1);
  BOOST_TEST(!ran);
  BOOST_TEST(alive == 0);
  error_code e;
  BOOST_TEST(!ch.try_send(1, e));  // nobody is parked there any more
  BOOST_TEST(e == would_block);
}

// "towards others delivered"
BOOST_AUTO_TEST_CASE(act_on_another_context_as_ever) {
  counted::corrupt = 0;
  asio::io_context live;
  auto values = make_channel<counted>(1);
  auto parked = make_channel<int>();
  auto closing = make_channel<int>();
  sluice::wait_group wg;
  wg.add();
  ints got;
  sluice::go(live, [&]() -> task<> { got.push_back((co_await values.receive())->value); });
  sluice::go(live, [&]() -> task<> { got.push_back((co_await parked.receive()).value_or(-1)); });
  sluice::go(live, [&]() -> task<> { got.push_back((co_await closing.receive()).value_or(3)); });
  sluice::go(live, [&]() -> task<> {
    co_await wg.wait();
    got.push_back(4);
  });
  poll(live);
  {
    asio::io_context io;
    sluice::go(io, at_end_of_context([&] {
                 values.try_send(counted(1));
                 parked.try_send(2);
                 closing.close();
                 wg.done();
                 sluice::go(live, [&] { got.push_back(5); });
                 asio::post(live, [&] { got.push_back(6); });
               }));
    poll(io);
    BOOST_TEST(got.empty());
  }
  BOOST_TEST(got.empty());
  run(live);
  std::sort(got.begin(), got.end());
  BOOST_TEST(got == ints({1, 2, 3, 4, 5, 6}), per_element());
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// The wait that a destructor begins is one of a handler, whose context may be alive.
BOOST_AUTO_TEST_CASE(may_begin_waits_whose_handlers_run_elsewhere) {
  asio::io_context live;
  auto ch = make_channel<int>();
  int got = 0;
  {
    asio::io_context io;
    sluice::go(io, at_end_of_context([&] {
                 ch.async_receive(asio::bind_executor(
                     live, [&](error_code, std::optional<int> v) { got = v.value_or(-1); }));
               }));
    poll(io);
  }
  ch.try_send(9);
  run(live);
  BOOST_TEST(got == 9);
}

BOOST_AUTO_TEST_SUITE_END()
