#include <sluice/context.hpp>

#include <sluice/channel.hpp>
#include <sluice/condition.hpp>
#include <sluice/mutex.hpp>
#include <sluice/offload.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Goroutines that are bound to a context.

namespace {

using namespace sluice_test;

/// A wait that does not end by itself, by its name.
struct endless {
  std::string name;
  std::function<task<>()> wait;
};

asio::awaitable<void> sleep_long() {
  asio::steady_timer timer(co_await asio::this_coro::executor, 24h);
  co_await timer.async_wait(asio::use_awaitable);
}

/// Everything that waits, each where nothing ends it.
class endless_waits {
 public:
  explicit endless_waits(asio::io_context& io)
      : sockets(io), acceptor(io, {asio::ip::address_v4::loopback(), 0}), timer(io, 24h) {
    group.add();
    static_cast<void>(limiter.try_acquire());
    // So much that writing it cannot end before somebody reads.
    big.resize(64 * 1024 * 1024);
  }

  [[nodiscard]] std::vector<endless> all() {
    return {
        {"receive", [this]() -> task<> { co_await quiet.receive(); }},
        {"send", [this]() -> task<> { co_await full.send(1); }},
        {"nil channel", []() -> task<> { co_await sluice::channel<int>().receive(); }},
        {"sleep", []() -> task<> { co_await sluice::sleep_for(24h); }},
        {"endless sleep",
         []() -> task<> { co_await sluice::sleep_for(sluice::clock::duration::max()); }},
        {"select", [this]() -> task<> { co_await sluice::select(quiet.receive(), full.send(1)); }},
        {"select of nothing", []() -> task<> { co_await sluice::select(); }},
        {"select with Asio",
         [this]() -> task<> {
           asio::steady_timer own(sockets.near.get_executor(), 24h);
           co_await sluice::select(quiet.receive(), own.async_wait(asio::deferred));
         }},
        {"timeout", [this]() -> task<> { co_await sluice::timeout(quiet.receive(), 24h); }},
        {"wait_group", [this]() -> task<> { co_await group.wait(); }},
        {"mutex", [this]() -> task<> { const auto g = co_await locked.lock(); }},
        {"shared_mutex", [this]() -> task<> { const auto g = co_await shared.lock_shared(); }},
        {"semaphore", [this]() -> task<> { const auto g = co_await units.acquire(); }},
        {"condition",
         [this]() -> task<> {
           auto g = co_await free.lock();
           co_await never_notified.wait(g);
         }},
        {"rate_limiter", [this]() -> task<> { co_await limiter.acquire(); }},
        {"another context", [this]() -> task<> { co_await other.ctx.done(); }},
        {"socket read",
         [this]() -> task<> {
           std::array<char, 8> data;
           co_await sockets.near.async_read_some(asio::buffer(data), asio::deferred);
         }},
        {"composed write",
         [this]() -> task<> {
           co_await asio::async_write(sockets.near, asio::buffer(big), asio::deferred);
         }},
        {"accept", [this]() -> task<> { co_await acceptor.async_accept(asio::deferred); }},
        {"Asio timer", [this]() -> task<> { co_await timer.async_wait(sluice::use_task); }},
        {"Asio timer, its error as a value",
         [this]() -> task<> {
           const auto [e] = co_await timer.async_wait(asio::as_tuple(sluice::use_task));
           if (e) throw sluice::system_error(e);
         }},
        {"awaitable", []() -> task<> { co_await sleep_long(); }},
        {"task",
         []() -> task<> { co_await []() -> task<> { co_await sluice::sleep_for(24h); }(); }},
    };
  }

  socket_pair sockets;
  asio::ip::tcp::acceptor acceptor;
  asio::steady_timer timer;
  const sluice::channel<int> quiet = sluice::make_channel<int>();
  const sluice::channel<int> full = sluice::make_channel<int>();
  sluice::wait_group group;
  sluice::mutex locked, free;
  sluice::shared_mutex shared;
  sluice::semaphore units{2};
  sluice::condition never_notified;
  sluice::rate_limiter limiter{sockets.near.get_executor(), 24h};
  const sluice::cancellable_context other = with_cancel(context::background());
  std::string big;

 private:
  const sluice::mutex::guard locked_ = locked.try_lock();
  const sluice::shared_mutex::guard shared_ = shared.try_lock();
  const sluice::semaphore::permit units_ = units.try_acquire(2);
};

/// Awaits all of `waits`, each in a goroutine bound to `ctx`.
class bound_waits {
 public:
  bound_waits(asio::io_context& io, const context& ctx, const std::vector<endless>& waits)
      : errors(waits.size()) {
    for (std::size_t i = 0; i < waits.size(); ++i)
      sluice::go(ctx, io, [this, i, wait = waits[i].wait]() -> task<> {
        errors[i] = co_await error_of(wait());
      });
  }

  std::vector<std::optional<error_code>> errors;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_goroutine_bound_to_a_context)

BOOST_AUTO_TEST_CASE(ends_each_of_its_waits_when_the_context_is_cancelled) {
  asio::io_context io;
  endless_waits where(io);
  const auto waits = where.all();
  const auto tree = with_cancel(context::background());
  const bound_waits bound(io, tree.ctx, waits);
  poll(io);
  for (std::size_t i = 0; i < waits.size(); ++i)
    BOOST_TEST(!bound.errors[i], waits[i].name << " ended early");
  tree.cancel();
  run(io);
  for (std::size_t i = 0; i < waits.size(); ++i)
    BOOST_TEST((bound.errors[i] == aborted), waits[i].name);
}

BOOST_AUTO_TEST_CASE(ends_each_of_its_waits_with_deadline_exceeded_when_the_deadline_comes) {
  asio::io_context io;
  endless_waits where(io);
  const auto waits = where.all();
  const auto tree = with_timeout(io, context::background(), 2ms);
  const bound_waits bound(io, tree.ctx, waits);
  run(io);
  for (std::size_t i = 0; i < waits.size(); ++i)
    BOOST_TEST((bound.errors[i] == deadline_exceeded),
               waits[i].name << ": " << bound.errors[i].value_or(no_error).message());
}

// Source: gravitational/teleport#14660
BOOST_AUTO_TEST_CASE(ends_each_wait_at_once_that_it_begins_later) {
  asio::io_context io;
  endless_waits where(io);
  const auto waits = where.all();
  const auto tree = with_cancel(context::background());
  tree.cancel();
  const bound_waits bound(io, tree.ctx, waits);
  std::vector<error_code> in_one;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    for (const auto& w : waits) {
      const auto e = co_await error_of(w.wait());
      in_one.push_back(e);
    }
  });
  run(io);
  BOOST_REQUIRE(in_one.size() == waits.size());
  for (std::size_t i = 0; i < waits.size(); ++i) {
    BOOST_TEST((bound.errors[i] == aborted), waits[i].name);
    BOOST_TEST(in_one[i] == aborted, waits[i].name);
  }
}

// Source: golang/go#63615: semaphore.Acquire with a done context and free tokens
BOOST_AUTO_TEST_CASE(begins_nothing_once_it_is_cancelled_not_even_what_is_ready) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const auto ch = sluice::make_channel<int>(2);
  ch.try_send(1);
  sluice::semaphore units(1);
  sluice::mutex m;
  sluice::wait_group nobody;
  sluice::rate_limiter limiter(io, 24h);
  asio::steady_timer expired(io, -1s);
  std::vector<error_code> errors;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    tree.cancel();
    errors.push_back(co_await error_of(ch.receive()));
    errors.push_back(co_await error_of(ch.send(2)));
    errors.push_back(co_await error_of(units.acquire()));
    errors.push_back(co_await error_of(m.lock()));
    errors.push_back(co_await error_of(nobody.wait()));
    errors.push_back(co_await error_of(sluice::sleep_for(0s)));
    errors.push_back(co_await error_of(limiter.acquire()));
    errors.push_back(co_await error_of(tree.ctx.done()));
    errors.push_back(co_await error_of(sluice::select(ch.receive(), units.acquire())));
    errors.push_back(co_await error_of(sluice::timeout(ch.receive(), 1s)));
    errors.push_back(co_await error_of(expired.async_wait(sluice::use_task)));
  });
  run(io);
  BOOST_TEST(errors == std::vector<error_code>(11, aborted), per_element());
  BOOST_TEST(ch.size() == 1u);
  BOOST_TEST(static_cast<bool>(units.try_acquire()));
  BOOST_TEST(static_cast<bool>(m.try_lock()));
  BOOST_TEST(limiter.try_acquire());
}

BOOST_AUTO_TEST_CASE(may_clean_up_with_waits_of_its_own) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  bool cleaned_up = false;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await sluice::sleep_for(1us);
    cleaned_up = true;
  });
  poll(io);
  tree.cancel();
  run(io);
  BOOST_TEST(cleaned_up);
}

// It has been told to stop, and has: nothing has gone wrong.
BOOST_AUTO_TEST_CASE(that_ends_with_what_its_context_ended_with_lets_no_exception_out_of_run) {
  asio::io_context io;
  auto quiet = sluice::make_channel<int>();
  const auto wait = [&]() -> task<> { static_cast<void>(co_await quiet.receive()); };
  const auto wait_for_asio = [&]() -> task<> {
    asio::steady_timer timer(io, 1h);
    co_await timer.async_wait(asio::deferred);
  };
  const auto give_up_deeper = [&]() -> task<> { co_await wait(); };
  {
    const auto late = with_timeout(io, context::background(), 2ms);
    sluice::go(late.ctx, io, wait);
    sluice::go(late.ctx, io, wait_for_asio);
    sluice::go(late.ctx, io, give_up_deeper);
    BOOST_CHECK_NO_THROW(run(io));
  }
  const auto tree = with_cancel(context::background());
  sluice::go(tree.ctx, io, wait);
  sluice::go(tree.ctx, io, wait_for_asio);
  sluice::go(tree.ctx, sluice::get_executor(io), give_up_deeper);
  poll(io);
  tree.cancel();
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_CASE(that_ends_with_anything_else_lets_it_out_of_run) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const auto fails_with = [&](error_code e) {
    sluice::go(tree.ctx, io, [e]() -> task<> {
      co_await sluice::this_goroutine::yield();
      throw sluice::system_error(e);
    });
    bool thrown = false;
    try {
      run(io);
    } catch (const sluice::system_error& x) {
      thrown = x.code() == e;
    }
    return thrown;
  };
  BOOST_TEST(fails_with(aborted));  // nobody has told it
  BOOST_TEST(fails_with(asio::error::eof));
  sluice::go(tree.ctx, io, []() -> task<> {
    try {
      co_await sluice::sleep_for(1h);
    } catch (const sluice::system_error&) {
    }
    throw std::runtime_error("another");
  });
  poll(io);
  tree.cancel();
  BOOST_CHECK_THROW(run(io), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(passes_nothing_on_to_those_that_it_starts) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  error_code of_child, of_bound_child, of_parent;
  const auto ch = sluice::make_channel<int>();
  sluice::go(tree.ctx, io, [&]() -> task<> {
    sluice::go([&]() -> task<> { of_child = co_await error_of(ch.receive()); });
    sluice::go(tree.ctx, [&]() -> task<> { of_bound_child = co_await error_of(ch.receive()); });
    of_parent = co_await error_of(ch.receive());
  });
  poll(io);
  tree.cancel();
  poll(io);
  BOOST_TEST(of_parent == aborted);
  BOOST_TEST(of_bound_child == aborted);
  ch.close();
  run(io);
  BOOST_TEST(of_child == no_error);
}

BOOST_AUTO_TEST_CASE(may_be_an_awaitable_or_a_plain_callable) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  std::future<void> awaitable = sluice::go(tree.ctx, io, sleep_long(), asio::use_future);
  std::future<void> callable = sluice::go(tree.ctx, io, sleep_long, asio::use_future);
  std::future<int> plain = sluice::go(tree.ctx, io, [] { return 42; }, asio::use_future);
  poll(io);
  tree.cancel();
  run(io);
  BOOST_CHECK_EXCEPTION(awaitable.get(), sluice::system_error, has_code(aborted));
  BOOST_CHECK_EXCEPTION(callable.get(), sluice::system_error, has_code(aborted));
  BOOST_TEST(plain.get() == 42);
}

BOOST_AUTO_TEST_CASE(with_a_token_is_cancelled_by_its_slot_as_well) {
  for (const bool by_slot : {false, true}) {
    asio::io_context io;
    const auto tree = with_cancel(context::background());
    cancellable_goroutine g(tree.ctx, io, []() -> task<> { co_await sluice::sleep_for(24h); });
    poll(io);
    BOOST_TEST(!g.ended());
    if (by_slot)
      g.cancel();
    else
      tree.cancel();
    run(io);
    BOOST_REQUIRE(g.ended());
    BOOST_TEST(g.error() == aborted);
    BOOST_TEST(static_cast<bool>(tree.ctx.err()) == !by_slot);
  }
}

BOOST_AUTO_TEST_CASE(that_has_ended_is_not_missed_by_the_context) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  int ended = 0;
  for (int i = 0; i < 10; ++i)
    sluice::go(tree.ctx, io, [&]() -> task<> {
      co_await sluice::sleep_for(1us);
      ++ended;
    });
  run(io);
  BOOST_TEST(ended == 10);
  tree.cancel();
  run(io);
}

BOOST_AUTO_TEST_CASE(of_the_background_is_like_any_other) {
  asio::io_context io;
  bool ended = false;
  sluice::go(context::background(), io, [&]() -> task<> {
    co_await sluice::sleep_for(1us);
    ended = true;
  });
  run(io);
  BOOST_TEST(ended);
}

// A wait that has been given what it waits for is a success, whatever comes afterwards.
BOOST_AUTO_TEST_CASE(keeps_what_it_was_given_before_it_was_cancelled) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const auto ch = sluice::make_channel<int>();
  std::optional<int> value;
  error_code next;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    value = co_await ch.receive();
    next = co_await error_of(ch.receive());
  });
  poll(io);
  ch.try_send(7);
  tree.cancel();
  run(io);
  BOOST_TEST(value.value() == 7);
  BOOST_TEST(next == aborted);
}

BOOST_AUTO_TEST_SUITE_END()
