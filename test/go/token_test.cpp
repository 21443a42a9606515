#include <sluice/go.hpp>

#include <sluice/channel.hpp>
#include <sluice/runtime.hpp>
#include <sluice/task.hpp>
#include <sluice/this_goroutine.hpp>

#include "counting_allocator.hpp"
#include "goroutine/helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// go with a completion token, and exceptions that leave a goroutine: erigontech/silkworm#1530,
// chriskohlhoff/asio#1110, #1111, #809, #1204.

namespace {

using namespace sluice_test;

sluice::task<int> give(int n) {
  co_await sluice::this_goroutine::yield();
  co_return n;
}
sluice::task<int> fail() {
  co_await sluice::this_goroutine::yield();
  throw std::runtime_error("failed");
}
sluice::task<> fail_at_once() {
  throw std::runtime_error("failed");
  co_return;
}

std::string what(const std::exception_ptr& e) {
  try {
    if (e) std::rethrow_exception(e);
  } catch (const std::exception& x) {
    return x.what();
  }
  return "";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(token)

BOOST_AUTO_TEST_CASE(a_callback_gets_the_exception_and_the_result) {
  asio::io_context io;
  int calls = 0;
  sluice::go(io, give(5), [&](std::exception_ptr e, int n) {
    ++calls;
    BOOST_TEST(!e);
    BOOST_TEST(n == 5);
  });
  sluice::go(io, fail(), [&](std::exception_ptr e, int n) {
    ++calls;
    BOOST_TEST(what(e) == "failed");
    BOOST_TEST(n == 0);
  });
  sluice::go(io, fail_at_once(), [&](std::exception_ptr e) {
    ++calls;
    BOOST_TEST(what(e) == "failed");
  });
  sluice::go(
      io, [] { return std::make_unique<int>(7); },
      [&](std::exception_ptr e, std::unique_ptr<int> p) {
        ++calls;
        BOOST_TEST(!e);
        BOOST_TEST(*p == 7);
      });
  sluice::go(
      io,
      []() -> asio::awaitable<void> {
        throw std::runtime_error("awaitable");
        co_return;
      },
      [&](std::exception_ptr e) {
        ++calls;
        BOOST_TEST(what(e) == "awaitable");
      });
  BOOST_TEST(calls == 0);
  io.run();
  BOOST_TEST(calls == 5);
}

BOOST_AUTO_TEST_CASE(a_future_gets_the_result_or_the_exception) {
  asio::io_context io;
  auto value = sluice::go(io, give(5), asio::use_future);
  auto failure = sluice::go(io, fail(), asio::use_future);
  auto nothing = sluice::go(io, [] {}, asio::use_future);
  io.run();
  BOOST_TEST(value.get() == 5);
  BOOST_CHECK_THROW(failure.get(), std::runtime_error);
  BOOST_CHECK_NO_THROW(nothing.get());
}

BOOST_AUTO_TEST_CASE(an_awaitable_gets_the_result_or_the_exception) {
  asio::io_context io;
  bool done = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        const int n = co_await sluice::go(io, give(5), asio::use_awaitable);
        BOOST_TEST(n == 5);
        std::string caught;
        try {
          static_cast<void>(co_await sluice::go(io, fail(), asio::use_awaitable));
        } catch (const std::runtime_error& e) {
          caught = e.what();
        }
        BOOST_TEST(caught == "failed");
        const auto [e, m] = co_await sluice::go(io, fail(), asio::as_tuple(asio::use_awaitable));
        BOOST_TEST(what(e) == "failed");
        BOOST_TEST(m == 0);
        done = true;
      },
      asio::detached);
  io.run();
  BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(deferred_starts_nothing_until_it_is_launched) {
  asio::io_context io;
  std::atomic<int> alive = 0;
  bool ran = false;
  const auto body = [](witness, bool& flag) -> sluice::task<int> {
    flag = true;
    co_return 9;
  };
  {
    auto unused = sluice::go(io, body(witness(alive), ran), asio::deferred);
    BOOST_TEST(alive == 1);
    static_cast<void>(unused);
  }
  BOOST_TEST(alive == 0);
  io.run();
  BOOST_TEST(!ran);
  auto op = sluice::go(io, body(witness(alive), ran), asio::deferred);
  io.restart();
  io.run();
  BOOST_TEST(!ran);
  auto result = std::move(op)(asio::use_future);
  io.restart();
  io.run();
  BOOST_TEST(ran);
  BOOST_TEST(result.get() == 9);
  BOOST_TEST(alive == 0);
}

// boostorg/asio#346: a handler runs where it asked to run.
BOOST_AUTO_TEST_CASE(the_handler_runs_on_its_associated_executor) {
  const sluice_test::watchdog dog;
  asio::thread_pool other(1);
  const auto strand = asio::make_strand(other);
  asio::io_context io;
  std::promise<bool> on_strand;
  sluice::go(io, give(1), asio::bind_executor(strand, [&](std::exception_ptr, int) {
               on_strand.set_value(strand.running_in_this_thread());
             }));
  bool on_io = false;
  sluice::go(other, give(1), asio::bind_executor(io, [&](std::exception_ptr, int) {
               on_io = io.get_executor().running_in_this_thread();
             }));
  // The handler's executor has outstanding work until then.
  io.run();
  BOOST_TEST(on_io);
  BOOST_TEST(on_strand.get_future().get());
  other.join();
}

BOOST_AUTO_TEST_CASE(without_an_executor_of_its_own_the_handler_runs_where_the_goroutine_did) {
  asio::thread_pool pool(2);
  std::promise<bool> inside;
  sluice::go(pool, give(1), [&](std::exception_ptr, int) {
    inside.set_value(pool.get_executor().running_in_this_thread());
  });
  BOOST_TEST(inside.get_future().get());
  pool.join();
}

BOOST_AUTO_TEST_CASE(the_locals_and_the_callable_are_gone_before_the_handler_is_called) {
  asio::io_context io;
  std::atomic<int> alive = 0;
  int seen = -1;
  sluice::go(
      io,
      [&alive, captured = witness(alive)]() -> sluice::task<> {
        const witness local(alive);
        co_await sluice::this_goroutine::yield();
      },
      [&](std::exception_ptr) { seen = alive; });
  io.run();
  BOOST_TEST(seen == 0);
}

BOOST_AUTO_TEST_CASE(a_token_of_a_goroutine_that_its_context_destroys_gives_its_memory_back) {
  memory_account memory;
  bool called = false;
  {
    asio::io_context io;
    const auto quiet = make_channel<int>();
    sluice::go(
        io, [&]() -> task<> { co_await quiet.receive(); },
        asio::bind_allocator(counting_allocator<int>(memory),
                             [&](std::exception_ptr) { called = true; }));
    poll(io);
    BOOST_TEST(memory.bytes > 0);
  }
  BOOST_TEST(memory.bytes == 0);
  BOOST_TEST(!called);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(escaping_exception)

/// @param most_left How many of its own and of others may not have ended when it fails.
template <class What>
void leaves_run(What what_to_start, std::size_t most_left = 2) {
  asio::io_context io;
  int others = 0;
  const auto other = [](int& n) -> sluice::task<> {
    for (int i = 0; i < 10; ++i) co_await sluice::this_goroutine::yield();
    ++n;
  };
  sluice::go(io, other(others));
  sluice::go(io, what_to_start);
  sluice::go(io, other(others));
  std::string caught;
  try {
    io.run();
  } catch (const std::runtime_error& e) {
    caught = e.what();
  }
  BOOST_TEST(caught.starts_with("failed (in a goroutine started at "));
  BOOST_TEST(sluice::goroutine_count(io) <= most_left);
  io.run();
  BOOST_TEST(others == 2);
  BOOST_TEST(sluice::goroutine_count(io) == 0U);
}

BOOST_AUTO_TEST_CASE(leaves_run_and_others_are_unharmed_and_run_goes_on) {
  leaves_run(fail_at_once);
  leaves_run(fail);
  leaves_run([] { throw std::runtime_error("failed"); });
  leaves_run([]() -> asio::awaitable<void> {
    throw std::runtime_error("failed");
    co_return;
  });
  const auto fail_beside_its_own = []() -> sluice::task<> {
    auto ch = sluice::make_channel<int>();
    sluice::go([ch]() -> sluice::task<> { co_await ch.send(1); });
    static_cast<void>(co_await ch.receive());
    throw std::runtime_error("failed");
  };
  leaves_run(fail_beside_its_own, 3);
}

BOOST_AUTO_TEST_CASE(leaves_run_from_a_strand) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  int others = 0;
  sluice::go(strand, fail());
  sluice::go(strand, [&]() -> sluice::task<> {
    co_await sluice::this_goroutine::yield();
    ++others;
  });
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  io.run();
  BOOST_TEST(others == 1);
}

BOOST_AUTO_TEST_CASE(every_one_of_many_leaves_run_once) {
  asio::io_context io;
  for (int i = 0; i < 100; ++i) sluice::go(io, fail());
  int caught = 0;
  for (;;) {
    try {
      io.run();
      break;
    } catch (const std::runtime_error&) {
      ++caught;
    }
  }
  BOOST_TEST(caught == 100);
  BOOST_TEST(sluice::goroutine_count(io) == 0U);
}

BOOST_AUTO_TEST_CASE(every_one_leaves_some_thread_of_several) {
  const sluice_test::watchdog dog;
  const auto n = static_cast<int>(sluice_test::rounds(20'000, 2'000));
  asio::io_context io;
  auto guard = asio::make_work_guard(io);
  std::atomic<int> caught = 0;
  std::atomic<int> returned = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (;;) {
          try {
            io.run();
            return;
          } catch (const std::runtime_error&) {
            ++caught;
          }
        }
      });
    for (int i = 0; i < n; ++i) {
      sluice::go(io, fail());
      sluice::go(io, [](std::atomic<int>& r) -> sluice::task<> {
        co_await sluice::this_goroutine::yield();
        ++r;
      }(returned));
    }
    guard.reset();
  }
  BOOST_TEST(caught == n);
  BOOST_TEST(returned == n);
}

BOOST_AUTO_TEST_CASE(thrown_by_the_handler_leaves_run) {
  asio::io_context io;
  bool other = false;
  sluice::go(io, give(1), [](std::exception_ptr, int) { throw std::runtime_error("handler"); });
  sluice::go(io, [] {}, [](std::exception_ptr) { throw std::runtime_error("handler"); });
  sluice::go(io, [&]() -> sluice::task<> {
    co_await sluice::this_goroutine::yield();
    other = true;
  });
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  BOOST_CHECK_THROW(io.run(), std::runtime_error);
  io.run();
  BOOST_TEST(other);
  BOOST_TEST(sluice::goroutine_count(io) == 0U);
}

BOOST_AUTO_TEST_CASE(with_detached_is_dropped) {
  asio::io_context io;
  sluice::go(io, fail(), asio::detached);
  BOOST_CHECK_NO_THROW(io.run());
}

BOOST_AUTO_TEST_SUITE_END()
