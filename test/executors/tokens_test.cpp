// Every operation with every completion token and adapter, and the memory of its handler.
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/worker_pool.hpp>

#include "counting_allocator.hpp"
#include "support.hpp"
#include "told_elsewhere.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/append.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/prepend.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>
#if __has_include(<boost/asio/bind_immediate_executor.hpp>)
#include <boost/asio/bind_immediate_executor.hpp>
#endif
#if __has_include(<boost/asio/cancel_after.hpp>)
#include <boost/asio/cancel_after.hpp>
#include <boost/asio/steady_timer.hpp>
#endif

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// A token that takes what starts the operation by value, as Asio's `use_awaitable` does: its
/// arguments are moved first.
struct by_value {
  std::shared_ptr<std::optional<sluice::error_code>> told;
};

}  // namespace

template <class... Args>
class boost::asio::async_result<by_value, void(sluice::error_code, Args...)> {
 public:
  template <class Initiation, class... InitArgs>
  static void initiate(Initiation initiation, by_value token, InitArgs... args) {
    std::move(initiation)(
        [told = token.told](const sluice::error_code& e, auto&&...) { *told = e; },
        std::move(args)...);
  }
};

namespace {

/// Everything that operations are made from, such that they are ready at once.
class ready_places {
 public:
  ready_places() {
    for (int i = 0; i < 100; ++i) full.try_send(i);
    done.cancel();
  }

  /// Calls `f(name, make)` for every operation; `make()` gives one that is ready.
  template <class F>
  void for_each(F f) {
    f("send", [this] { return empty.send(1); });
    f("receive", [this] { return full.receive(); });
    f("receive of void", [this] { return closed.receive(); });
    f("sleep", [] { return sluice::sleep_for(0s); });
    f("wait_group", [this] { return wg.wait(); });
    f("mutex", [this] { return m.lock(); });
    f("shared_mutex", [this] { return rw.lock_shared(); });
    f("semaphore", [this] { return sem.acquire(2); });
    f("context", [this] { return done.ctx.done(); });
    f("timeout", [this] { return sluice::timeout(full.receive(), 1h); });
    f("timeout of a send", [this] { return sluice::timeout(empty.send(1), 1h); });
  }

  sluice::channel<int> full = make_channel<int>(100);
  sluice::channel<int> empty = make_channel<int>(100);
  sluice::channel<void> closed = [] {
    auto ch = make_channel<void>();
    ch.close();
    return ch;
  }();
  sluice::wait_group wg;
  sluice::mutex m;
  sluice::shared_mutex rw;
  sluice::semaphore sem{2};
  sluice::cancellable_context done = sluice::with_cancel(sluice::context::background());
};

}  // namespace

// chriskohlhoff/asio#1379, #1320, #1428, #1429, #1297, boostorg/cobalt#271
BOOST_AUTO_TEST_SUITE(every_operation)

BOOST_AUTO_TEST_CASE(takes_callbacks_in_every_wrapping) {
  ready_places places;
  memory_account account;
  const counting_allocator<std::byte> allocator(account);
  places.for_each([&](const std::string& name, auto make) {
    asio::io_context io;
    const auto strand = asio::make_strand(io);
    asio::cancellation_signal signal;
    int calls = 0;
    int appended = 0;
    const auto handler = [&](error_code e, auto&&...) { calls += !e; };
    make()(asio::bind_executor(io, handler));
    make()(asio::bind_executor(strand, asio::bind_allocator(allocator, handler)));
    make()(asio::bind_allocator(allocator, asio::bind_executor(strand, handler)));
    make()(asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, handler)));
    make()(asio::bind_executor(
        io, asio::append(
                [&](error_code e, auto&&... rest) { appended += !e && sizeof...(rest) > 0; }, 42)));
    make()(asio::bind_executor(
        io, asio::prepend([&](int n, error_code e, auto&&...) { appended += !e && n == 42; }, 42)));
    make()(
        asio::bind_executor(io, [&, only_moves = std::make_unique<int>(1)](
                                    error_code e, auto&&...) { calls += !e && *only_moves == 1; }));
    std::move(make()(asio::deferred))(asio::bind_executor(io, handler));
    run(io);
    BOOST_TEST(calls == 6, name);
    BOOST_TEST(appended == 2, name);
    BOOST_TEST(account.bytes == 0, name);
  });
}

BOOST_AUTO_TEST_CASE(is_awaited_by_awaitables_and_tasks_in_every_wrapping) {
  ready_places places;
  places.for_each([&](const std::string& name, auto make) {
    asio::io_context io;
    int awaited = 0;
    const auto awaitable = [&]() -> asio::awaitable<void> {
      static_cast<void>(co_await make()(asio::use_awaitable));
      ++awaited;
      static_cast<void>(co_await make()(asio::deferred));
      ++awaited;
      {
        const auto result = co_await make()(asio::as_tuple(asio::use_awaitable));
        awaited += !std::get<0>(result);
      }
      error_code e = asio::error::eof;
      static_cast<void>(co_await make()(asio::redirect_error(asio::use_awaitable, e)));
      awaited += !e;
    };
    asio::co_spawn(io, awaitable, asio::detached);
    const auto goroutine = [&]() -> task<> {
      static_cast<void>(co_await make());
      ++awaited;
      static_cast<void>(co_await make()(asio::deferred));
      ++awaited;
      static_cast<void>(co_await make()(sluice::use_task));
      ++awaited;
      const auto result = co_await make()(asio::as_tuple(sluice::use_task));
      awaited += !std::get<0>(result);
    };
    sluice::go(io, goroutine);
    run(io);
    BOOST_TEST(awaited == 8, name);
  });
}

BOOST_AUTO_TEST_CASE(is_awaited_with_stacks_and_by_plain_threads) {
  ready_places places;
  places.for_each([&](const std::string& name, auto make) {
    asio::io_context io;
    int ended = 0;
    asio::spawn(
        io,
        [&](asio::yield_context yield) {
          static_cast<void>(make()(yield));
          ++ended;
          error_code e = asio::error::eof;
          static_cast<void>(make()(yield[e]));
          ended += !e;
        },
        asio::detached);
    run(io);
    auto future = make()(asio::bind_executor(io, asio::use_future));
    run(io);
    static_cast<void>(future.get());
    BOOST_TEST(ended == 2, name);
  });
}

BOOST_AUTO_TEST_CASE(takes_the_executor_of_a_handler_that_is_a_std_function) {
  ready_places places;
  asio::io_context io;
  int calls = 0;
  const std::function<void(error_code)> ended = [&](error_code e) { calls += !e; };
  const std::function<void(error_code, std::optional<int>)> got =
      [&](error_code e, const std::optional<int>& v) { calls += !e && v; };
  places.empty.send(1)(asio::bind_executor(io, ended));
  places.full.receive()(asio::bind_executor(io, got));
  sluice::go(
      io, [] { return std::optional<int>(1); },
      [&](std::exception_ptr e, std::optional<int> v) { calls += !e && v; });
  BOOST_TEST(calls == 0);
  run(io);
  BOOST_TEST(calls == 3);
}

// Adapters that only newer releases of Asio have.
#if __has_include(<boost/asio/bind_immediate_executor.hpp>)
BOOST_AUTO_TEST_CASE(completes_at_once_through_an_immediate_executor) {
  ready_places places;
  asio::io_context io;
  int calls = 0;
  const auto handler = [&](error_code e, auto&&...) { calls += !e; };
  const auto immediate = [&](auto h) {
    return asio::bind_immediate_executor(asio::system_executor(), asio::bind_executor(io, h));
  };
  places.empty.async_send(1, immediate(handler));
  BOOST_TEST(calls == 1);
  places.full.async_receive(immediate(handler));
  BOOST_TEST(calls == 2);
  places.m.lock()(immediate(handler));
  BOOST_TEST(calls == 3);
  const auto quiet = make_channel<int>(io);
  quiet.async_receive(immediate(handler));
  quiet.try_send(1);
  BOOST_TEST(calls == 3);  // not at once, but by somebody else
  run(io);
  BOOST_TEST(calls == 4);
  places.for_each([&](const std::string& name, auto make) {
    calls = 0;
    make()(immediate(handler));
    run(io);
    BOOST_TEST(calls == 1, name);
  });
}
#endif

#if __has_include(<boost/asio/cancel_after.hpp>)
BOOST_AUTO_TEST_CASE(is_cancelled_after_a_time) {
  ready_places places;
  asio::io_context io;
  int calls = 0;
  const auto handler = [&](error_code e, auto&&...) { calls += !e; };
  places.for_each([&](const std::string& name, auto make) {
    calls = 0;
    asio::steady_timer timer(io);
    make()(asio::cancel_after(timer, 1h, asio::bind_executor(io, handler)));
    run(io);
    BOOST_TEST(calls == 1, name);
  });
  const auto quiet = make_channel<int>(io);
  error_code error;
  const auto note = [&](error_code e, auto&&...) { error = e; };
  quiet.async_receive(asio::cancel_after(1ms, note));
  run(io);
  BOOST_TEST(error == aborted);
  error = {};
  sluice::select(quiet.receive(), quiet.receive())(asio::cancel_after(1ms, note));
  run(io);
  BOOST_TEST(error == aborted);
  bool cancelled = false;
  sluice::go(
      io, [&]() -> sluice::task<> { co_await quiet.receive(); },
      asio::cancel_after(1ms, [&](std::exception_ptr e) { cancelled = e != nullptr; }));
  run(io);
  BOOST_TEST(cancelled);
  sluice::worker_pool<int, int> pool(io, {.workers = 1, .queue_capacity = 1},
                                     [&](int) -> sluice::task<int> {
                                       co_await quiet.receive();
                                       co_return 0;
                                     });
  cancelled = false;
  pool.submit(1)(
      asio::cancel_after(1ms, [&](std::exception_ptr e, int) { cancelled = e != nullptr; }));
  run(io);
  BOOST_TEST(cancelled);
}

BOOST_AUTO_TEST_CASE(without_an_executor_is_told_so_although_cancelled_after_a_time) {
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([](auto h) {
               make_channel<int>().async_receive(asio::cancel_after(1h, h));
             }) == none);
}
#endif

BOOST_AUTO_TEST_SUITE_END()

// cppalliance/capy#153, chriskohlhoff/asio#985, Asio's rules of allocation.
BOOST_AUTO_TEST_SUITE(associated_allocator)

namespace {

/// Starts an operation with a handler that has an allocator, lets `complete` complete it, and says
/// whether the memory came from there, was back before the call, and was not touched later: the
/// account is gone when the handler returns.
template <class Start, class Complete>
std::string rules_broken(Start start, Complete complete) {
  asio::io_context io;
  asio::cancellation_signal signal;
  auto account = std::make_unique<memory_account>();
  int calls = 0;
  bool from_there = false;
  bool back_in_time = false;
  start(asio::bind_allocator(counting_allocator<std::byte>(*account),
                             asio::bind_cancellation_slot(
                                 signal.slot(), asio::bind_executor(io,
                                                                    [&](auto&&...) {
                                                                      ++calls;
                                                                      from_there =
                                                                          account->allocations != 0;
                                                                      back_in_time =
                                                                          account->bytes == 0;
                                                                      account.reset();
                                                                    }))),
        io);
  poll(io);
  complete(signal);
  run(io);
  if (calls != 1) return "it was called " + std::to_string(calls) + " times";
  if (!from_there) return "nothing was allocated";
  if (!back_in_time) return "memory was kept during the call";
  return {};
}

const auto nothing = [](asio::cancellation_signal&) {};
const auto cancel = [](asio::cancellation_signal& s) { s.emit(asio::cancellation_type::terminal); };

}  // namespace

BOOST_AUTO_TEST_CASE(gets_its_memory_back_before_the_call_if_the_operation_was_ready) {
  ready_places places;
  places.for_each([&](const std::string& name, auto make) {
    const auto start = [&](auto handler, asio::io_context&) { make()(std::move(handler)); };
    const auto broken = rules_broken(start, nothing);
    BOOST_TEST(broken == "", name << ": " << broken);
  });
}

BOOST_AUTO_TEST_CASE(gets_its_memory_back_before_the_call_if_the_operation_waited) {
  auto ch = make_channel<int>();
  sluice::mutex m;
  auto held = m.try_lock();
  sluice::semaphore sem(1);
  auto permit = sem.try_acquire();
  sluice::wait_group wg;
  wg.add();
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { ch.async_receive(std::move(h)); },
                          [&](auto&) { ch.try_send(1); }) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { ch.async_send(1, std::move(h)); },
                          [&](auto&) { ch.try_receive(); }) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { m.lock()(std::move(h)); },
                          [&](auto&) { held.unlock(); }) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { sem.acquire()(std::move(h)); },
                          [&](auto&) { permit.release(); }) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { wg.wait()(std::move(h)); },
                          [&](auto&) { wg.done(); }) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { sluice::sleep_for(1ms)(std::move(h)); },
                          nothing) == "");
  BOOST_TEST(
      rules_broken(
          [&](auto h, asio::io_context&) { sluice::timeout(ch.receive(), 1ms)(std::move(h)); },
          nothing) == "");
  const auto wait_for_value = [&]() -> task<> { static_cast<void>(co_await ch.receive()); };
  BOOST_TEST(
      rules_broken(
          [&](auto h, asio::io_context& io) { sluice::go(io, wait_for_value, std::move(h)); },
          [&](auto&) { ch.try_send(1); }) == "");
}

BOOST_AUTO_TEST_CASE(gets_its_memory_back_before_the_call_if_the_operation_was_cancelled) {
  auto ch = make_channel<int>();
  sluice::mutex m;
  const auto held = m.try_lock();
  sluice::wait_group wg;
  wg.add();
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { ch.async_receive(std::move(h)); },
                          cancel) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { ch.async_send(1, std::move(h)); },
                          cancel) == "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { m.lock()(std::move(h)); }, cancel) ==
             "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { wg.wait()(std::move(h)); }, cancel) ==
             "");
  BOOST_TEST(rules_broken([&](auto h, asio::io_context&) { sluice::sleep_for(1h)(std::move(h)); },
                          cancel) == "");
  const auto wait_for_value = [&]() -> task<> { static_cast<void>(co_await ch.receive()); };
  BOOST_TEST(
      rules_broken(
          [&](auto h, asio::io_context& io) { sluice::go(io, wait_for_value, std::move(h)); },
          cancel) == "");
}

BOOST_AUTO_TEST_CASE(that_take_their_arguments_by_value_keep_the_executor_of_the_operation) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  for (const auto& ch : {make_channel<int>(io, 1), make_channel<int>(strand, 1),
                         make_channel<int>(asio::any_io_executor(strand), 1)}) {
    std::vector<by_value> tokens;
    const auto token = [&] {
      return tokens.emplace_back(std::make_shared<std::optional<error_code>>());
    };
    ch.async_receive(token());
    sluice::select(ch.receive(), ch.receive())(token());
    sluice::timeout(ch.receive(), 1h)(token());
    poll(io);
    for (const auto& t : tokens) BOOST_TEST(!*t.told);
    for (int n = 0; n < 3; ++n) {
      ch.try_send(n);
      poll(io);
    }
    for (const auto& t : tokens) BOOST_TEST((*t.told == error_code()));
  }
}

BOOST_AUTO_TEST_SUITE_END()
