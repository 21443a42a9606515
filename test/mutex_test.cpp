#include <sluice/mutex.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "sync_helpers.hpp"
#include "told_elsewhere.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// Rows of Go's sync/mutex_test.go, and cancelled waiters: tokio-rs/tokio#4618.

namespace {

using namespace sluice_test;

static_assert(!std::is_copy_constructible_v<mutex> && !std::is_copy_assignable_v<mutex>);
static_assert(!std::is_copy_constructible_v<mutex::guard>);
static_assert(std::is_nothrow_move_constructible_v<mutex::guard> &&
              std::is_nothrow_move_assignable_v<mutex::guard>);

bool says_unlocked(const std::logic_error& e) {
  return std::string(e.what()).find("unlocked") != std::string::npos;
}

sluice::task<> lock_once(mutex& m) {
  const auto guard = co_await m.lock();
}

sluice::task<> lock_for_ever(mutex& m) {
  const auto guard = co_await m.lock();
  static_cast<void>(co_await sluice::channel<int>().receive());
}

/// Appends `n` once it has the lock.
sluice::task<> note(mutex& m, int n, std::vector<int>& order) {
  const auto guard = co_await m.lock();
  order.push_back(n);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(guard)

BOOST_AUTO_TEST_CASE(try_lock_succeeds_when_free_and_fails_when_locked) {
  mutex m;
  auto g = m.try_lock();
  BOOST_TEST(g.owns_lock());
  BOOST_TEST(!m.try_lock());
  g.unlock();
  BOOST_TEST(!g.owns_lock());
  BOOST_TEST(m.try_lock().owns_lock());
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(unlocking_what_is_not_locked_is_a_clear_error) {
  mutex m;
  mutex::guard none;
  BOOST_TEST(!none.owns_lock());
  BOOST_CHECK_EXCEPTION(none.unlock(), std::logic_error, says_unlocked);
  auto g = m.try_lock();
  g.unlock();
  BOOST_CHECK_EXCEPTION(g.unlock(), std::logic_error, says_unlocked);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(moves_and_unlocks_what_it_held_when_it_is_assigned_to) {
  mutex a, b;
  auto g = a.try_lock();
  auto moved = std::move(g);
  BOOST_TEST(!g.owns_lock());
  BOOST_TEST(!a.try_lock());
  moved = b.try_lock();
  BOOST_TEST(a.try_lock().owns_lock());
  BOOST_TEST(!b.try_lock());
  moved = mutex::guard();
  BOOST_TEST(b.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(belongs_to_no_goroutine_and_no_thread) {
  asio::io_context io;
  mutex m;
  auto ch = sluice::make_channel<mutex::guard>(io, 1);
  bool got = false;
  sluice::go(io, [&]() -> sluice::task<> { co_await ch.send(co_await m.lock()); });
  sluice::go(io, [&]() -> sluice::task<> {
    const auto g = co_await m.lock();
    got = true;
  });
  poll(io);
  BOOST_TEST(!got);
  auto g = ch.try_receive();
  std::thread([&] { g->unlock(); }).join();
  run(io);
  BOOST_TEST(got);
}

BOOST_AUTO_TEST_CASE(may_outlive_the_mutex) {
  mutex::guard g;
  {
    mutex m;
    g = m.try_lock();
  }
  BOOST_TEST(g.owns_lock());
  g.unlock();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(order)

BOOST_AUTO_TEST_CASE(waiters_get_the_lock_in_the_order_in_which_they_came) {
  asio::io_context io;
  mutex m;
  std::vector<int> order, expected;
  auto held = m.try_lock();
  for (int i = 0; i < 100; ++i) {
    sluice::go(io, note(m, i, order));
    expected.push_back(i);
  }
  poll(io);
  BOOST_TEST(order.empty());
  held.unlock();
  run(io);
  BOOST_TEST(order == expected);
}

BOOST_AUTO_TEST_CASE(the_lock_is_handed_over_and_nobody_barges) {
  asio::io_context io;
  mutex m;
  std::vector<int> order;
  auto held = m.try_lock();
  sluice::go(io, note(m, 1, order));
  poll(io);
  held.unlock();
  BOOST_TEST(!m.try_lock());
  sluice::go(io, note(m, 2, order));
  run(io);
  BOOST_TEST(order == (std::vector{1, 2}));
}

// TestMutexFairness: one that locks again at once does not keep another out.
BOOST_AUTO_TEST_CASE(one_that_locks_again_at_once_starves_nobody) {
  asio::io_context io;
  mutex m;
  int hogged = 0, longest = 0, got = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    while (got < 10) {
      const auto g = co_await m.lock();
      ++hogged;
      co_await sluice::this_goroutine::yield();
    }
  });
  sluice::go(io, [&]() -> sluice::task<> {
    for (; got < 10; ++got) {
      const int before = hogged;
      const auto g = co_await m.lock();
      longest = std::max(longest, hogged - before);
    }
  });
  run(io);
  BOOST_TEST(longest <= 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(in_select)

BOOST_AUTO_TEST_CASE(a_free_lock_is_a_ready_case) {
  asio::io_context io;
  mutex m;
  bool excluded = false;
  sluice::go(io, [&]() -> sluice::task<> {
    auto r = co_await sluice::select(sluice::channel<int>().receive(), m.lock());
    BOOST_TEST(r.index() == 1U);
    excluded = r.get<1>().owns_lock() && !m.try_lock();
  });
  run(io);
  BOOST_TEST(excluded);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(a_losing_case_takes_nothing) {
  asio::io_context io;
  mutex m;
  auto ch = sluice::make_channel<int>(io);
  std::size_t index = 9;
  sluice::go(io, [&]() -> sluice::task<> {
    index = (co_await sluice::select(m.lock(), ch.receive())).index();
  });
  auto held = m.try_lock();
  poll(io);
  sluice::error_code e;
  BOOST_TEST(ch.try_send(1, e));
  held.unlock();
  BOOST_TEST(m.try_lock().owns_lock());
  run(io);
  BOOST_TEST(index == 1U);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(a_parked_case_gets_the_lock_and_the_other_loses) {
  asio::io_context io;
  mutex m;
  auto ch = sluice::make_channel<int>(io);
  bool got = false;
  sluice::go(io, [&]() -> sluice::task<> {
    co_await sluice::select(sluice::on(m.lock(), [&](mutex::guard g) { got = g.owns_lock(); }),
                            sluice::on(ch.receive(), [](std::optional<int>) {}));
  });
  auto held = m.try_lock();
  poll(io);
  held.unlock();
  sluice::error_code e;
  BOOST_TEST(!ch.try_send(1, e));
  run(io);
  BOOST_TEST(got);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(the_same_mutex_twice_locks_once) {
  asio::io_context io;
  mutex m;
  int ended = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    for (int i = 0; i < 2; ++i) {
      auto r = co_await sluice::select(m.lock(), m.lock());
      BOOST_TEST((r.index() == 0 ? r.get<0>() : r.get<1>()).owns_lock());
      ++ended;
    }
  });
  auto held = m.try_lock();
  poll(io);
  BOOST_TEST(ended == 0);
  held.unlock();
  run(io);
  BOOST_TEST(ended == 2);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(beside_otherwise) {
  asio::io_context io;
  mutex m;
  std::vector<std::size_t> chosen;
  const auto try_it = [&]() -> sluice::task<> {
    chosen.push_back(co_await sluice::select(sluice::on(m.lock(), [](mutex::guard) {}),
                                             sluice::otherwise([] {})));
  };
  auto held = m.try_lock();
  sluice::go(io, try_it);
  poll(io);
  held.unlock();
  sluice::go(io, try_it);
  poll(io);
  BOOST_TEST(chosen == (std::vector<std::size_t>{1, 0}));
}

BOOST_AUTO_TEST_CASE(beside_an_asio_operation) {
  asio::io_context io;
  mutex m;
  std::vector<std::size_t> chosen;
  sluice::go(io, [&]() -> sluice::task<> {
    asio::steady_timer timer(io);
    timer.expires_at(asio::steady_timer::time_point::min());
    chosen.push_back((co_await sluice::select(m.lock(), timer.async_wait(asio::deferred))).index());
    timer.expires_at(asio::steady_timer::time_point::max());
    chosen.push_back((co_await sluice::select(m.lock(), timer.async_wait(asio::deferred))).index());
  });
  auto held = m.try_lock();
  while (chosen.empty()) io.run_one();
  held.unlock();
  run(io);
  BOOST_TEST(chosen == (std::vector<std::size_t>{1, 0}));
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(a_range_of_locks) {
  asio::io_context io;
  std::deque<mutex> all(5);
  std::vector<mutex::guard> held;
  for (auto& m : all) held.push_back(m.try_lock());
  std::size_t index = 9;
  sluice::go(io, [&]() -> sluice::task<> {
    std::vector<mutex::lock_operation> cases;
    for (auto& m : all) cases.push_back(m.lock());
    auto r = co_await sluice::select(std::move(cases));
    index = r.index();
    BOOST_TEST(r.get().owns_lock());
  });
  poll(io);
  held[3].unlock();
  run(io);
  BOOST_TEST(index == 3U);
  held.clear();
  for (auto& m : all) BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(two_selects_that_cross_each_other_on_many_threads) {
  asio::io_context io;
  mutex a, b;
  const auto n = static_cast<int>(rounds(50'000));
  long in_a = 0, in_b = 0;
  std::atomic<int> total = 0;
  const auto cross = [&](mutex& x, mutex& y) -> sluice::task<> {
    for (int i = 0; i < n; ++i) {
      auto r = co_await sluice::select(x.lock(), y.lock());
      ++((r.index() == 0) == (&x == &a) ? in_a : in_b);
      ++total;
      if (i % 8 == 0) co_await sluice::this_goroutine::yield();
    }
  };
  for (int i = 0; i < 2; ++i) {
    sluice::go(io, cross(a, b));
    sluice::go(io, cross(b, a));
  }
  run(io, 3);
  BOOST_TEST(total == 4 * n);
  BOOST_TEST(in_a + in_b == 4L * n);
  BOOST_TEST((a.try_lock() && b.try_lock()));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancellation)

BOOST_AUTO_TEST_CASE(a_cancelled_waiter_leaves_the_queue) {
  asio::io_context io;
  mutex m;
  std::vector<int> order;
  auto held = m.try_lock();
  cancellable_goroutine first(io, note(m, 1, order));
  cancellable_goroutine second(io, note(m, 2, order));
  cancellable_goroutine third(io, note(m, 3, order));
  poll(io);
  second.cancel();
  poll(io);
  BOOST_TEST(second.ended());
  BOOST_TEST(second.error() == aborted);
  BOOST_TEST(order.empty());
  held.unlock();
  run(io);
  BOOST_TEST(order == (std::vector{1, 3}));
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(one_that_has_been_given_the_lock_has_it_even_if_it_is_cancelled_then) {
  asio::io_context io;
  mutex m;
  std::vector<int> order;
  auto held = m.try_lock();
  cancellable_goroutine first(io, note(m, 1, order));
  poll(io);
  held.unlock();
  first.cancel();
  run(io);
  BOOST_TEST(first.error() == no_error);
  BOOST_TEST(order == (std::vector{1}));
  BOOST_TEST(m.try_lock().owns_lock());
}

// Source: golang/go#63615
BOOST_AUTO_TEST_CASE(a_cancelled_goroutine_does_not_lock_even_if_nobody_holds_it) {
  asio::io_context io;
  mutex m;
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  cancel();
  sluice::error_code e;
  sluice::go(ctx, io, [&]() -> sluice::task<> { e = co_await error_of(m.lock()); });
  run(io);
  BOOST_TEST(e == aborted);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(the_error_names_the_mutex) {
  asio::io_context io;
  mutex m;
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  cancel();
  std::string text;
  sluice::go(ctx, io, [&]() -> sluice::task<> {
    try {
      const auto g = co_await m.lock();
    } catch (const sluice::system_error& x) {
      text = x.what();
    }
  });
  run(io);
  BOOST_TEST(text.starts_with("sluice: mutex: "));
}

BOOST_AUTO_TEST_CASE(a_cancelled_select_leaves_the_queue) {
  asio::io_context io;
  mutex m;
  std::vector<int> order;
  auto held = m.try_lock();
  cancellable_goroutine first(io, [&]() -> sluice::task<> {
    co_await sluice::select(m.lock(), sluice::channel<int>().receive());
  });
  cancellable_goroutine second(io, note(m, 2, order));
  poll(io);
  first.cancel();
  held.unlock();
  run(io);
  BOOST_TEST(first.error() == aborted);
  BOOST_TEST(order == (std::vector{2}));
}

BOOST_AUTO_TEST_CASE(a_handler_is_cancelled_through_its_slot) {
  asio::io_context io;
  mutex m;
  auto held = m.try_lock();
  asio::cancellation_signal signal;
  std::optional<sluice::error_code> error;
  bool owned = true;
  m.lock()(asio::bind_cancellation_slot(
      signal.slot(), asio::bind_executor(io, [&](sluice::error_code e, mutex::guard g) {
        error = e;
        owned = g.owns_lock();
      })));
  poll(io);
  signal.emit(asio::cancellation_type::total);
  BOOST_TEST(!error.has_value());
  run(io);
  BOOST_TEST((error == aborted));
  BOOST_TEST(!owned);
  held.unlock();
  BOOST_TEST(m.try_lock().owns_lock());
}

// tokio-rs/tokio#4618, #3652; embassy-rs/embassy#6964; tenzir/tenzir#6432.
BOOST_AUTO_TEST_CASE(a_handler_that_is_cancelled_while_it_is_chosen_passes_the_turn_on) {
  const watchdog dog;
  asio::io_context io;
  mutex m;
  mutex::guard held;
  std::optional<asio::cancellation_signal> signal;
  int first = 0, second = 0, wrong = 0;
  std::size_t cancelled = 0;
  duel::fight(
      rounds(300'000),
      [&] {
        signal.emplace();
        held = m.try_lock();
        m.lock()(asio::bind_cancellation_slot(
            signal->slot(), asio::bind_executor(io, [&](sluice::error_code e, mutex::guard g) {
              ++first;
              if (e) ++cancelled;
              if (g.owns_lock() == static_cast<bool>(e)) ++wrong;
            })));
        m.lock()(asio::bind_executor(io, [&](sluice::error_code, mutex::guard g) {
          ++second;
          if (!g.owns_lock()) ++wrong;
        }));
      },
      [&] { held.unlock(); }, [&] { signal->emit(asio::cancellation_type::terminal); },
      [&] {
        poll(io);
        if (std::exchange(first, 0) != 1 || std::exchange(second, 0) != 1) ++wrong;
      });
  BOOST_TEST(wrong == 0);
  BOOST_TEST_MESSAGE("cancelled in time: " << cancelled);
}

BOOST_AUTO_TEST_CASE(a_goroutine_that_is_cancelled_while_it_is_chosen_passes_the_turn_on) {
  const watchdog dog;
  asio::io_context io;
  mutex m;
  mutex::guard held;
  std::optional<sluice::cancellable_context> c;
  int first = 0, second = 0, wrong = 0;
  const auto wait = [](mutex& x, int& ended, int& in_it) -> sluice::task<> {
    const auto e = co_await error_of(x.lock());
    if (e && e != aborted) ++in_it;
    ++ended;
  };
  duel::fight(
      rounds(100'000),
      [&] {
        c.emplace(sluice::with_cancel(sluice::context::background()));
        held = m.try_lock();
        sluice::go(c->ctx, io, wait(m, first, wrong));
        sluice::go(io, wait(m, second, wrong));
        poll(io);
      },
      [&] { held.unlock(); }, [&] { c->cancel(); },
      [&] {
        poll(io);
        if (std::exchange(first, 0) != 1 || std::exchange(second, 0) != 1) ++wrong;
        if (!m.try_lock()) ++wrong;
      });
  BOOST_TEST(wrong == 0);
}

// e2b-dev/infra#3629; apple/swift-async-algorithms#80.
BOOST_AUTO_TEST_CASE(cancelled_between_the_check_and_the_park_it_still_ends) {
  asio::io_context io;
  mutex m;
  const auto held = m.try_lock();
  std::optional<sluice::cancellable_context> c;
  int ended = 0, wrong = 0;
  const watchdog dog;
  duel::fight(
      rounds(100'000),
      [&] {
        c.emplace(sluice::with_cancel(sluice::context::background()));
        sluice::go(c->ctx, io, [&]() -> sluice::task<> {
          if (co_await error_of(m.lock()) != aborted) ++wrong;
          ++ended;
        });
      },
      [&] { poll(io); }, [&] { c->cancel(); },
      [&] {
        poll(io);
        if (std::exchange(ended, 0) != 1) ++wrong;
      });
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(token)

BOOST_AUTO_TEST_CASE(a_callback_gets_the_guard_never_inside_the_call) {
  asio::io_context io;
  mutex m;
  std::vector<int> order;
  mutex::guard kept;
  m.lock()(asio::bind_executor(io, [&](sluice::error_code e, mutex::guard g) {
    BOOST_TEST(!e);
    kept = std::move(g);
    order.push_back(1);
  }));
  m.lock()(asio::bind_executor(io, [&](sluice::error_code e, mutex::guard g) {
    BOOST_TEST(!e);
    BOOST_TEST(g.owns_lock());
    order.push_back(2);
  }));
  BOOST_TEST(order.empty());
  poll(io);
  BOOST_TEST(order == (std::vector{1}));
  kept.unlock();
  BOOST_TEST(order == (std::vector{1}));
  run(io);
  BOOST_TEST(order == (std::vector{1, 2}));
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(a_future_gets_the_guard) {
  mutex m;
  auto first = m.lock()(asio::use_future);
  auto second = m.lock()(asio::use_future);
  {
    const auto g = first.get();
    BOOST_TEST((second.wait_for(0s) == std::future_status::timeout));
  }
  BOOST_TEST(second.get().owns_lock());
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(an_awaitable_gets_the_guard) {
  asio::io_context io;
  mutex m;
  int in_it = 0, ended = 0;
  const auto body = [&]() -> asio::awaitable<void> {
    const auto g = co_await m.lock()(asio::use_awaitable);
    BOOST_TEST(++in_it == 1);
    co_await asio::post(io, asio::use_awaitable);
    --in_it;
    ++ended;
  };
  asio::co_spawn(io, body, asio::detached);
  asio::co_spawn(io, body, asio::detached);
  sluice::go(io, body);
  run(io);
  BOOST_TEST(ended == 3);
}

BOOST_AUTO_TEST_CASE(as_tuple_and_deferred) {
  asio::io_context io;
  mutex m;
  bool got = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        auto op = m.lock()(asio::deferred);
        BOOST_TEST(m.try_lock().owns_lock());
        auto [e, g] = co_await std::move(op)(asio::as_tuple(asio::use_awaitable));
        got = !e && g.owns_lock() && !m.try_lock();
      },
      asio::detached);
  run(io);
  BOOST_TEST(got);
}

BOOST_AUTO_TEST_CASE(without_an_executor_is_told_so) {
  mutex m;
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([&](auto h) { m.lock()(h); }) == none);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_SUITE_END()

// Shutdown in both orders: a context and a mutex with holders and waiters.
BOOST_AUTO_TEST_SUITE(at_shutdown)

namespace {

/// Starts one goroutine that holds the lock and one waiter of every kind, in two contexts.
void occupy(asio::io_context& io, mutex& m, int& handlers) {
  sluice::go(io, lock_for_ever(m));
  sluice::go(io, lock_once(m));
  sluice::go(io, [&]() -> sluice::task<> {
    co_await sluice::select(m.lock(), sluice::channel<int>().receive());
  });
  sluice::go(io, [&]() -> sluice::task<> {
    asio::steady_timer timer(io, asio::steady_timer::time_point::max());
    co_await sluice::select(m.lock(), timer.async_wait(asio::deferred));
  });
  poll(io);
  for (int i = 0; i < 3; ++i)
    m.lock()(asio::bind_executor(
        io, [&handlers, c = counted(1)](sluice::error_code, mutex::guard) { ++handlers; }));
  sluice::go(io, lock_once(m));
  poll(io);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_context_goes_first) {
  int handlers = 0;
  mutex m;
  {
    asio::io_context io;
    occupy(io, m, handlers);
    BOOST_TEST(!m.try_lock());
  }
  BOOST_TEST(handlers == 0);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(the_mutex_goes_first) {
  int handlers = 0;
  {
    asio::io_context io;
    mutex m;
    occupy(io, m, handlers);
  }
  BOOST_TEST(handlers == 0);
  BOOST_TEST(counted::alive == 0);
}

BOOST_AUTO_TEST_CASE(waiters_of_a_mutex_that_is_gone_stay_parked_and_can_be_cancelled) {
  asio::io_context io;
  std::optional<mutex> m(std::in_place);
  auto held = m->try_lock();
  std::vector<int> order;
  cancellable_goroutine waiter(io, note(*m, 1, order));
  poll(io);
  m.reset();
  held.unlock();
  poll(io);
  BOOST_TEST(!waiter.ended());
  waiter.cancel();
  poll(io);
  BOOST_TEST(waiter.error() == aborted);
  BOOST_TEST(order.empty());
}

BOOST_AUTO_TEST_CASE(one_that_is_destroyed_with_the_lock_passes_it_on_to_another_context) {
  asio::io_context there;
  mutex m;
  std::vector<int> order;
  {
    asio::io_context io;
    sluice::go(io, lock_for_ever(m));
    sluice::go(io, lock_once(m));
    poll(io);
    sluice::go(there, note(m, 1, order));
    poll(there);
  }
  run(there);
  BOOST_TEST(order == (std::vector{1}));
}

BOOST_AUTO_TEST_CASE(one_that_is_destroyed_before_it_took_the_lock_passes_it_on) {
  asio::io_context there;
  mutex m;
  std::vector<int> order;
  int handlers = 0;
  auto held = m.try_lock();
  {
    asio::io_context io;
    sluice::go(io, lock_once(m));
    sluice::go(io, [&]() -> sluice::task<> {
      co_await sluice::select(m.lock(), sluice::channel<int>().receive());
    });
    poll(io);
    m.lock()(asio::bind_executor(io, [&](sluice::error_code, mutex::guard) { ++handlers; }));
    sluice::go(there, note(m, 1, order));
    poll(there);
    held.unlock();
  }
  run(there);
  BOOST_TEST(order == (std::vector{1}));
  BOOST_TEST(handlers == 0);
  held = m.try_lock();
  {
    asio::io_context io;
    m.lock()(asio::bind_executor(io, [&](sluice::error_code, mutex::guard) { ++handlers; }));
    held.unlock();
  }
  BOOST_TEST(handlers == 0);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(a_long_chain_of_handlers_that_are_destroyed_with_the_lock_needs_little_stack) {
  mutex m;
  std::size_t called = 0;
  {
    asio::io_context io;
    sluice::go(io, lock_for_ever(m));
    poll(io);
    for (std::size_t i = 0; i < rounds(300'000); ++i)
      m.lock()(asio::bind_executor(io, [&](sluice::error_code, mutex::guard) { ++called; }));
  }
  BOOST_TEST(called == 0U);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(contexts_that_end_while_another_thread_unlocks) {
  const watchdog dog;
  mutex m;
  mutex::guard held;
  std::optional<asio::io_context> io;
  duel::fight(
      rounds(20'000),
      [&] {
        io.emplace();
        held = m.try_lock();
        sluice::go(*io, lock_once(m));
        sluice::go(*io, [&]() -> sluice::task<> {
          co_await sluice::select(m.lock(), sluice::channel<int>().receive());
        });
        poll(*io);
        m.lock()(asio::bind_executor(*io, [](sluice::error_code, mutex::guard) {}));
      },
      [&] { io.reset(); }, [&] { held.unlock(); },
      [&] {
        if (!m.try_lock()) throw std::logic_error("the lock is lost");
      });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(many_threads)

// HammerMutex: lock and try_lock mixed.
BOOST_AUTO_TEST_CASE(a_counter_that_the_mutex_protects_is_exact) {
  asio::io_context io;
  mutex m;
  const auto each = static_cast<int>(rounds(20'000));
  long count = 0;
  std::atomic<long> locked = 0;
  for (int k = 0; k < 10; ++k)
    sluice::go(io, [&]() -> sluice::task<> {
      for (int i = 0; i < each; ++i) {
        mutex::guard g;
        if (i % 3 == 0)
          g = m.try_lock();
        else
          g = co_await m.lock();
        if (!g) continue;
        ++count;
        ++locked;
        if (i % 16 == 0) co_await sluice::this_goroutine::yield();
      }
    });
  run(io, 4);
  BOOST_TEST(count == locked);
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_CASE(handlers_goroutines_selects_and_cancellations_mixed_in_two_contexts) {
  asio::io_context a, b;
  mutex m;
  const auto each = static_cast<int>(rounds(10'000));
  long count = 0;
  std::atomic<long> locked = 0, failed = 0, ended = 0;
  const auto use = [&](const mutex::guard& g) {
    if (!g) return;
    ++count;
    ++locked;
  };
  const auto goroutine = [&](int k) -> sluice::task<> {
    for (int i = 0; i < each; ++i) {
      if (k % 2 == 0) {
        use(co_await m.lock());
      } else {
        auto r = co_await sluice::select(m.lock(), sluice::sleep_for(1us));
        if (r.index() == 0) use(r.get<0>());
      }
    }
    ++ended;
  };
  const auto victim = [&]() -> sluice::task<> {
    try {
      for (;;) use(co_await m.lock());
    } catch (const sluice::system_error&) {
      ++failed;
    }
  };
  const auto killer = [&](asio::io_context& io) -> sluice::task<> {
    for (int i = 0; i < each / 10; ++i) {
      const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
      sluice::go(ctx, io, victim);
      co_await sluice::sleep_for(20us);
      cancel();
    }
    ++ended;
  };
  for (int k = 0; k < 4; ++k) sluice::go(k < 2 ? a : b, goroutine(k));
  sluice::go(a, killer(b));
  sluice::go(b, killer(a));
  std::atomic<int> handled = 0;
  for (int i = 0; i < each; ++i)
    m.lock()(asio::bind_executor(i % 2 ? a : b, [&](sluice::error_code, mutex::guard g) {
      use(g);
      ++handled;
    }));
  const watchdog dog;
  on_threads(4, [&](int i) { (i % 2 ? a : b).run(); });
  BOOST_TEST(count == locked);
  BOOST_TEST(handled == each);
  BOOST_TEST(ended == 6);
  BOOST_TEST(failed == 2 * (each / 10));
  BOOST_TEST(m.try_lock().owns_lock());
}

BOOST_AUTO_TEST_SUITE_END()
