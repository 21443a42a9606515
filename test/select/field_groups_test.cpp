// What went wrong with groups of operations elsewhere, as their users reported it.
#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

asio::awaitable<int> throw_at_once() {
  throw std::runtime_error("at once");
  co_return 0;
}
asio::awaitable<int> give(int value) {
  co_return value;
}
/// Waits until it is cancelled, and throws something of its own then.
asio::awaitable<int> throw_when_cancelled(bool& cancelled) {
  asio::steady_timer timer(co_await asio::this_coro::executor, 24h);
  try {
    co_await timer.async_wait(asio::use_awaitable);
  } catch (const sluice::system_error&) {
    cancelled = true;
  }
  throw std::runtime_error("when cancelled");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nothing_to_wait_for)  // Source: chriskohlhoff/asio#1375, #1673

BOOST_AUTO_TEST_CASE(parks_until_it_is_cancelled) {
  asio::io_context io;
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  std::vector<error_code> errors;
  const auto start = [&](auto what) {
    sluice::go(ctx, io, [&errors, what]() -> task<> {
      const auto e = co_await what();
      errors.push_back(e);
    });
  };
  start([]() -> task<error_code> { co_return co_await error_of(select()); });
  start([]() -> task<error_code> { co_return co_await error_of(sluice::select_in_order()); });
  start([]() -> task<error_code> {
    std::vector<sluice::receive_operation<int>> none;
    co_return co_await error_of(select(none));
  });
  start([]() -> task<error_code> {
    error_code result;
    try {
      co_await select(std::vector<sluice::select_case>());
    } catch (const sluice::system_error& e) {
      result = e.code();
    }
    co_return result;
  });
  poll(io);
  BOOST_TEST(errors.empty());
  cancel();
  run(io);
  BOOST_TEST(errors == std::vector<error_code>(4, aborted), per_element());
}

BOOST_AUTO_TEST_CASE(is_no_reason_to_wait_for_a_group) {
  run_task([]() -> task<> {
    sluice::wait_group nobody;
    auto r = co_await select(make_channel<int>().receive(), nobody.wait());
    BOOST_TEST(r.index() == 1u);
    const auto i = co_await select(on(nobody.wait(), [] {}), otherwise([] {}));
    BOOST_TEST(i == 0u);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(weak_cancellation)  // Source: boostorg/asio#458

BOOST_AUTO_TEST_CASE(of_the_whole_ends_also_what_reacts_only_to_terminal) {
  for (const types first : {types::total, types::partial, types::terminal}) {
    asio::io_context io;
    controlled_operation to_partial(types::partial);
    controlled_operation to_terminal(types::terminal);
    const auto quiet = make_channel<int>();
    slotted_goroutine g(io, [&]() -> task<> {
      co_await asio::this_coro::reset_cancellation_state(
          [](types t) { return t & (types::partial | types::total | types::terminal); });
      co_await select(quiet.receive(), to_partial.async_wait(asio::deferred),
                      to_terminal.async_wait(asio::deferred));
    });
    poll(io);
    BOOST_TEST(to_partial.is_pending());
    BOOST_TEST(to_terminal.is_pending());
    g.emit(first);
    if (first == types::total) g.emit(types::partial);
    run(io);
    BOOST_TEST(g.ends == 1);
    BOOST_TEST(g.error == aborted);
    BOOST_TEST(to_partial.was_cancelled(types::terminal));
    BOOST_TEST(to_terminal.was_cancelled(types::terminal));
  }
}

BOOST_AUTO_TEST_CASE(that_is_not_listened_to_does_not_keep_losers_from_being_cancelled) {
  asio::io_context io;
  controlled_operation to_partial(types::partial);
  controlled_operation to_terminal(types::terminal);
  const auto ch = make_channel<int>();
  std::optional<std::size_t> index;
  slotted_goroutine g(io, [&]() -> task<> {
    auto r = co_await select(to_partial.async_wait(asio::deferred), ch.receive(),
                             to_terminal.async_wait(asio::deferred));
    index = r.index();
  });
  poll(io);
  g.emit(types::total);
  g.emit(types::partial);
  poll(io);
  BOOST_TEST(to_partial.is_pending());
  ch.try_send(1);
  run(io);
  BOOST_TEST(index.value() == 1u);
  BOOST_TEST(g.error == no_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(an_exception_in_a_case)  // Source: chriskohlhoff/asio#1094

BOOST_AUTO_TEST_CASE(reaches_the_caller_and_the_other_is_cancelled) {
  asio::io_context io;
  const auto quiet = make_channel<int>();
  std::string caught;
  bool other_cancelled = false;
  bool loser_cancelled = false;
  sluice::go(io, [&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    try {
      co_await select(sluice::go(
                          ex,
                          [&]() -> task<> {
                            other_cancelled = (co_await error_of(quiet.receive())) == aborted;
                          },
                          asio::deferred),
                      asio::co_spawn(ex, throw_when_cancelled(loser_cancelled), asio::deferred),
                      asio::co_spawn(ex, throw_at_once(), asio::deferred));
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
  });
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_TEST(caught == "at once");
  BOOST_TEST(other_cancelled);
  BOOST_TEST(loser_cancelled);
}

// Source: boostorg/cobalt#168
BOOST_AUTO_TEST_CASE(that_loses_goes_nowhere) {
  asio::io_context io;
  bool cancelled = false;
  int got = 0;
  std::string lost;
  sluice::go(io, [&]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    auto r = co_await select(asio::co_spawn(ex, give(7), asio::deferred),
                             asio::co_spawn(ex, throw_when_cancelled(cancelled), asio::deferred));
    got = r.get<0>();
    try {
      if (r.lost<1>()) std::rethrow_exception(std::get<0>(*r.lost<1>()));
    } catch (const std::runtime_error& e) {
      lost = e.what();
    }
  });
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_TEST(got == 7);
  BOOST_TEST(cancelled);
  BOOST_TEST(lost == "when cancelled");
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

template <class T>
void try_nil_handles() {
  const auto send = [](const channel<T>& ch) {
    if constexpr (std::is_void_v<T>)
      return ch.send();
    else
      return ch.send(1);
  };
  const channel<T> nil;
  auto moved_from = make_channel<T>(1);
  const auto moved_to = std::move(moved_from);
  for (const auto& ch : {nil, moved_from}) {
    const error_code nil_channel = sluice::error::nil_channel;
    BOOST_CHECK_EXCEPTION(ch.close(), sluice::system_error, has_code(nil_channel));
    asio::io_context io;
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    std::vector<error_code> errors;
    const auto start = [&](auto make) {
      sluice::go(ctx, io, [&errors, make]() -> task<> {
        const auto e = co_await error_of(make());
        errors.push_back(e);
      });
    };
    start([&] { return ch.receive(); });
    start([&] { return send(ch); });
    start([&] { return select(ch.receive()); });
    start([&] { return select(send(ch)); });
    start([&] { return select(send(ch), ch.receive(), ch.receive()); });
    poll(io);
    BOOST_TEST(errors.empty());
    std::size_t among_ready = 99;
    std::size_t with_otherwise = 99;
    sluice::go(io, [&]() -> task<> {
      const auto ready = holding({1});
      auto r = co_await select(ch.receive(), send(ch), ready.receive());
      among_ready = r.index();
      with_otherwise =
          co_await select(on(ch.receive(), [] {}), on(send(ch), [] {}), otherwise([] {}));
    });
    poll(io);
    BOOST_TEST(among_ready == 2u);
    BOOST_TEST(with_otherwise == 2u);
    cancel();
    run(io);
    BOOST_TEST(errors == std::vector<error_code>(5, aborted), per_element());
  }
}

}  // namespace

// Source: golang/go#17600, tinygo-org/tinygo#402
BOOST_AUTO_TEST_CASE(a_nil_handle_waits_for_ever_in_every_form_but_can_be_cancelled) {
  try_nil_handles<int>();
  try_nil_handles<void>();
}
