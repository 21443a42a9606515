#include <sluice/bind_context.hpp>
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "goroutine/own_context.hpp"
#include "sync_helpers.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

// A context is destroyed while another thread wakes what is parked in it:
// chriskohlhoff/asio#1377, #1538.

namespace {

using namespace sluice_test;

/// Parks goroutines and handlers of every kind in `io`; none of them runs again.
class parked_parties {
 public:
  void park(asio::io_context& io) {
    sluice::go(io, receive());
    sluice::go(io, send());
    sluice::go(asio::make_strand(io), receive());
    sluice::go(io, [this]() -> task<> {
      static_cast<void>(co_await asio::this_coro::executor);
      co_await receive();
    });
    sluice::go(io, [this]() -> task<> {
      const witness here(alive);
      auto r = co_await sluice::select(values.receive(), wg.wait(), sluice::sleep_for(1h));
      ++resumed;
    });
    sluice::go(io, [this, &io]() -> task<> {
      const witness here(alive);
      asio::steady_timer timer(io, 1h);
      auto r = co_await sluice::select(values.receive(), timer.async_wait(asio::deferred));
      ++resumed;
    });
    sluice::go(io, [this]() -> task<> {
      const witness here(alive);
      co_await wg.wait();
      ++resumed;
    });
    poll(io);
    const auto handler = [this] {
      return [this, here = witness(alive)](error_code, std::optional<counted>) { ++resumed; };
    };
    values.async_receive(asio::bind_executor(io, handler()));
    values.async_receive(asio::bind_executor(asio::make_strand(io), handler()));
    wg.wait()(asio::bind_executor(io, [this, here = witness(alive)](error_code) { ++resumed; }));
  }

  /// What another thread does meanwhile. Says how many values were taken and given.
  void wake() {
    error_code e;
    for (int i = 0; i < 8; ++i) values.try_send(counted(i), e);
    if (auto got = out.try_receive(e)) ++received;
    wg.done();
    out.close();
  }

  std::atomic<int> alive = 0;
  std::atomic<int> resumed = 0;
  int received = 0;
  sluice::channel<counted> values = make_channel<counted>();
  sluice::channel<counted> out = make_channel<counted>();
  sluice::wait_group wg;

 private:
  task<> receive() {
    const witness here(alive);
    static_cast<void>(co_await values.receive());
    ++resumed;
  }
  task<> send() {
    const witness here(alive);
    co_await out.send(counted(100));
    ++resumed;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(shutdown_races)

// "a wake-up from a thread outside the context pins its scheduler, and shutdown waits for pins"
BOOST_AUTO_TEST_CASE(with_a_thread_that_wakes_what_is_parked) {
  const watchdog dog;
  counted::corrupt = 0;
  std::optional<asio::io_context> io;
  std::unique_ptr<parked_parties> parties;
  std::size_t wrong = 0;
  duel::fight(
      rounds(5'000),
      [&] {
        io.emplace();
        parties = std::make_unique<parked_parties>();
        parties->wg.add();
        parties->park(*io);
      },
      [&] { io.reset(); }, [&] { parties->wake(); },
      [&] {
        wrong += parties->alive != 0 || parties->resumed != 0;
        parties.reset();
        wrong += counted::alive != 0;
      });
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(counted::corrupt == 0);
}

// The other thread runs goroutines of a context that lives on.
BOOST_AUTO_TEST_CASE(with_goroutines_of_another_context) {
  const watchdog dog;
  counted::corrupt = 0;
  asio::io_context live;
  auto work = asio::make_work_guard(live);
  std::jthread runner([&] { live.run(); });
  std::size_t wrong = 0;
  for (std::size_t round = 0; round < rounds(2'000); ++round) {
    std::atomic<int> alive = 0;
    std::atomic<int> over = 0;
    auto to = make_channel<counted>();
    auto from = make_channel<counted>(1);
    {
      asio::io_context io;
      for (int i = 0; i < 3; ++i)
        sluice::go(io, [&]() -> task<> {
          const witness here(alive);
          for (;;) {
            auto v = co_await to.receive();
            if (!v) co_return;
            co_await from.send(std::move(*v));
          }
        });
      poll(io);
      sluice::go(live, [&]() -> task<> {
        error_code e;
        while (to.try_send(counted(1), e)) co_await yield();
        static_cast<void>(from.try_receive(e));
        to.close();
        ++over;
      });
      for (std::size_t k = round % 128; k != 0; --k) static_cast<void>(over.load());
      if (round % 2 != 0) io.poll();
    }
    wrong += alive != 0;
    while (over == 0) std::this_thread::yield();
    to = {};
    from = {};
  }
  work.reset();
  runner.join();
  wrong += counted::alive != 0;
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(counted::corrupt == 0);
}

BOOST_AUTO_TEST_CASE(with_a_thread_that_cancels_the_context_of_the_goroutines) {
  const watchdog dog;
  std::optional<asio::io_context> io;
  std::optional<sluice::cancellable_context> ctx;
  std::atomic<int> alive = 0;
  std::atomic<int> resumed = 0;
  std::size_t wrong = 0;
  auto quiet = make_channel<int>();
  duel::fight(
      rounds(5'000),
      [&] {
        io.emplace();
        ctx.emplace(sluice::with_cancel(sluice::context::background()));
        const auto start = [&](auto wait) {
          sluice::go(ctx->ctx, *io, [&, wait]() -> task<> {
            const witness here(alive);
            static_cast<void>(co_await wait());
            ++resumed;
          });
        };
        start([&]() -> task<error_code> { co_return co_await error_of(quiet.receive()); });
        start([]() -> task<error_code> { co_return co_await error_of(sluice::sleep_for(1h)); });
        start([&]() -> task<error_code> {
          co_return co_await error_of(sluice::select(quiet.receive(), sluice::sleep_for(1h)));
        });
        start([&]() -> task<error_code> {
          asio::steady_timer timer(*io, 1h);
          co_return co_await error_of(timer.async_wait(sluice::use_task));
        });
        poll(*io);
      },
      [&] { io.reset(); }, [&] { ctx->cancel(); }, [&] { wrong += alive != 0 || resumed != 0; });
  BOOST_TEST(wrong == 0u);
}

// Operations with handlers, of which nobody but the context of the program knows.
BOOST_AUTO_TEST_CASE(with_a_thread_that_cancels_what_operations_are_bound_to) {
  const watchdog dog;
  std::optional<asio::io_context> io;
  std::optional<sluice::cancellable_context> ctx;
  std::atomic<int> alive = 0;
  std::atomic<int> called = 0;
  std::size_t wrong = 0;
  duel::fight(
      rounds(5'000),
      [&] {
        io.emplace();
        ctx.emplace(sluice::with_cancel(sluice::context::background()));
        const auto wait = [&](auto ex) {
          const auto timer = std::make_shared<asio::steady_timer>(*io, 1h);
          auto handler = [&, timer, here = witness(alive)](error_code) { ++called; };
          timer->async_wait(
              sluice::bind_context(ctx->ctx, asio::bind_executor(ex, std::move(handler))));
        };
        wait(io->get_executor());
        wait(asio::make_strand(*io));
        wait(sluice::get_executor(*io));
        wait(asio::make_strand(sluice::get_executor(*io)));
      },
      [&] { io.reset(); }, [&] { ctx->cancel(); }, [&] { wrong += alive != 0 || called != 0; });
  BOOST_TEST(wrong == 0u);
}

// The threads of a pool are in the midst of everything when it ends.
BOOST_AUTO_TEST_CASE(of_pools_whose_goroutines_exchange_values_with_each_other) {
  const watchdog dog;
  counted::corrupt = 0;
  for (std::size_t round = 0; round < rounds(60); ++round) {
    std::atomic<int> alive = 0;
    std::atomic<int> exchanged = 0;
    auto ch = make_channel<counted>(round % 3);
    {
      asio::thread_pool one(2);
      asio::thread_pool other(2);
      for (int i = 0; i < 8; ++i) {
        sluice::go(i % 2 ? one : other, [&, ch]() -> task<> {
          const witness here(alive);
          for (;;) co_await ch.send(counted(1));
        });
        sluice::go(i % 4 < 2 ? one : other, [&, ch]() -> task<> {
          const witness here(alive);
          for (;;) {
            static_cast<void>(co_await ch.receive());
            ++exchanged;
          }
        });
      }
      while (exchanged < 200) std::this_thread::yield();
    }
    BOOST_TEST(alive == 0);
  }
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// A group on the stack of the goroutine that waits ends as soon as the last member is done.
BOOST_AUTO_TEST_CASE(of_a_wait_group_with_the_member_that_lets_its_waiter_go_on) {
  const watchdog dog;
  asio::io_context io;
  std::atomic<int> done = 0;
  const int n = static_cast<int>(rounds(20'000));
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < n; ++i) {
      const auto wg = std::make_unique<sluice::wait_group>();
      for (int k = 0; k < 2; ++k) wg->go([&] { ++done; });
      co_await wg->wait();
    }
  });
  run(io, 3);
  BOOST_TEST(done == 2 * n);
}

namespace {

/// A channel that another thread uses while its context ends, with handlers that have no executor
/// but the channel's.
struct channel_of_an_ending_context {
  std::atomic<int> alive = 0;
  sluice::channel<int> ch;
  std::unique_ptr<asio::io_context> io;

  auto handler() {
    return [here = witness(alive)](auto&&...) {};
  }

  /// Round by round: `set_up(round)` makes the channel in the new context, `use(round)` runs on the
  /// other thread.
  template <class SetUp, class Use>
  void fight(std::uint64_t seed, SetUp set_up, Use use) {
    random_numbers random(seed);
    std::size_t round = 0;
    const std::size_t fought = duel::fight(
        rounds(4000, 400),
        [&] {
          ch = {};
          io = std::make_unique<asio::io_context>(2);
          set_up(++round);
        },
        [&] { io.reset(); },
        [&] {
          for (auto k = random.below(30); k != 0; --k) random.pause();
          use(round);
        },
        [] {});
    BOOST_TEST(fought > 0u);
  }
};

}  // namespace

// What is refused because the context is ending is destroyed by that end.
BOOST_AUTO_TEST_CASE(with_a_thread_that_wakes_handlers_of_its_channels) {
  const watchdog dog;
  channel_of_an_ending_context it;
  it.fight(
      9,
      [&](std::size_t round) {
        if (round % 3 == 0)
          it.ch = sluice::make_channel<int>(*it.io);
        else if (round % 3 == 1)
          it.ch = sluice::make_channel<int>(asio::make_strand(*it.io));
        else
          it.ch = sluice::make_channel<int>(asio::any_io_executor(asio::make_strand(*it.io)));
        for (int i = 0; i < 10; ++i) {
          it.ch.async_receive(it.handler());
          sluice::timeout(it.ch.receive(), 1h)(it.handler());
        }
      },
      [&](std::size_t) {
        error_code e;
        while (it.ch.try_send(1, e)) continue;
      });
  BOOST_TEST(it.alive == 0);
}

BOOST_AUTO_TEST_CASE(with_a_thread_that_begins_to_wait_on_its_channels) {
  const watchdog dog;
  channel_of_an_ending_context it;
  it.fight(
      8,
      [&](std::size_t round) {
        it.ch = round % 2 == 0 ? sluice::make_channel<int>(*it.io)
                               : sluice::make_channel<int>(asio::make_strand(*it.io));
      },
      [&](std::size_t round) {
        if (round % 3 == 0)
          it.ch.async_receive(it.handler());
        else if (round % 3 == 1)
          sluice::select(it.ch.receive(), it.ch.receive())(it.handler());
        else
          sluice::timeout(it.ch.receive(), 1h)(it.handler());
      });
  // Those that came too late are told so on the system executor.
  while (it.alive != 0) std::this_thread::yield();
}

// Nobody else may make what a timer needs of such a context while that ends.
BOOST_AUTO_TEST_CASE(of_the_users_own_making_with_a_thread_that_sets_its_first_timer) {
  const watchdog dog;
  std::atomic<int> alive = 0;
  random_numbers random(10);
  std::unique_ptr<own_context> context;
  sluice::channel<int> ch;
  const std::size_t fought = duel::fight(
      rounds(400, 100),
      [&] {
        ch = {};
        context = std::make_unique<own_context>();
        ch = sluice::make_channel<int>(*context);
      },
      [&] { context.reset(); },
      [&] {
        for (auto k = random.below(30); k != 0; --k) random.pause();
        sluice::timeout(ch.receive(), 1h)([here = witness(alive)](auto&&...) {});
      },
      [] {});
  BOOST_TEST(fought > 0u);
  while (alive != 0) std::this_thread::yield();
}

// Its timers are stopped, set again, or dropped with what holds them.
BOOST_AUTO_TEST_CASE(with_a_thread_that_uses_its_timers) {
  const watchdog dog;
  constexpr int many = 100;
  random_numbers random(7);
  std::size_t round = 0;
  std::vector<sluice::cancellable_context> deadlines;
  std::vector<sluice::receiver<sluice::clock::time_point>> afters;
  std::vector<sluice::timer> timers;
  std::unique_ptr<asio::io_context> io;
  const std::size_t fought = duel::fight(
      rounds(4000, 400),
      [&] {
        ++round;
        timers.clear();
        io = std::make_unique<asio::io_context>(2);
        for (int i = 0; i < many; ++i) {
          if (round % 4 == 0)
            deadlines.push_back(with_timeout(*io, sluice::context::background(), 1h));
          else if (round % 4 == 1)
            afters.push_back(sluice::after(*io, 1h));
          else
            timers.emplace_back(*io, 1h);
        }
      },
      [&] { io.reset(); },
      [&] {
        for (auto k = random.below(30); k != 0; --k) random.pause();
        deadlines.clear();
        afters.clear();
        for (auto& t : timers) round % 4 == 2 ? t.stop() : t.reset(1h);
      },
      [] {});
  BOOST_TEST(fought > 0u);
}

BOOST_AUTO_TEST_SUITE_END()
