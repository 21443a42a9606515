// Cancelling a whole select, with and without Asio operations among its cases.
#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// Whether nobody waits on a channel any more, and it holds what it held.
bool is_left(const channel<int>& ch, std::size_t size = 0) {
  error_code e;
  if (ch.size() != size) return false;
  if (ch.capacity() == 0) return !ch.try_send(1, e) && !ch.try_receive(e);
  return true;
}

/// What a goroutine must do before cancellation of these types ends its waits.
task<> listen_to(types type) {
  if (type == types::partial)
    co_await asio::this_coro::reset_cancellation_state(asio::enable_partial_cancellation());
  if (type == types::total)
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
}

constexpr types every_type[] = {types::terminal, types::partial, types::total};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_cancelled_select)

BOOST_AUTO_TEST_CASE(has_done_nothing_to_any_channel) {
  for (const types type : every_type) {
    asio::io_context io;
    const auto quiet = make_channel<int>();
    const auto full = make_channel<int>(1);
    full.try_send(7);
    const auto unused = make_channel<int>();
    cancellable_goroutine g(io, [&]() -> task<> {
      co_await listen_to(type);
      co_await select(quiet.receive(), quiet.send(1), full.send(8), unused.send(9),
                      sluice::sleep_for(24h));
    });
    poll(io);
    BOOST_TEST(g.ends() == 0);
    g.cancel(type);
    BOOST_TEST(is_left(quiet));  // at once, before the goroutine has gone on
    BOOST_TEST(is_left(unused));
    BOOST_TEST(is_left(full, 1));
    run(io);
    BOOST_TEST(g.ends() == 1);
    BOOST_TEST(g.error() == aborted);
    BOOST_TEST(full.try_receive().value() == 7);
    BOOST_TEST(is_left(full));
  }
}

BOOST_AUTO_TEST_CASE(keeps_the_values_of_its_sends) {
  asio::io_context io;
  const auto a = make_channel<std::unique_ptr<int>>();
  const auto b = make_channel<std::unique_ptr<int>>(1);
  int sent = 0;
  cancellable_goroutine g(io, [&]() -> task<> {
    auto op = a.send(std::make_unique<int>(9));
    BOOST_TEST((co_await error_of(select(op, a.receive()))) == aborted);
    BOOST_REQUIRE(op.value());
    co_await asio::this_coro::reset_cancellation_state();
    auto again = b.send(std::move(op.value()));
    co_await select(again, a.receive());
    sent = **b.try_receive();
  });
  poll(io);
  g.cancel();
  run(io);
  BOOST_TEST(sent == 9);
}

BOOST_AUTO_TEST_CASE(has_cancelled_and_awaited_its_asio_operations) {
  for (const types type : every_type) {
    asio::io_context io;
    const auto quiet = make_channel<int>();
    controlled_operation obedient(types::terminal);
    controlled_operation deaf;
    cancellable_goroutine g(io, [&]() -> task<> {
      co_await listen_to(type);
      co_await select(obedient.async_wait(asio::deferred), quiet.receive(),
                      deaf.async_wait(asio::deferred));
    });
    poll(io);
    g.cancel(type);
    BOOST_TEST(is_left(quiet));
    poll(io);
    BOOST_TEST(!obedient.is_pending());
    BOOST_TEST(deaf.was_cancelled(types::terminal));
    BOOST_TEST(g.ends() == 0);  // delayed by the operation that ignores it
    deaf.complete(aborted, 0);
    run(io);
    BOOST_TEST(g.ends() == 1);
    BOOST_TEST(g.error() == aborted);
  }
}

BOOST_AUTO_TEST_CASE(gives_the_first_asio_operation_that_succeeded_all_the_same) {
  asio::io_context io;
  const auto quiet = make_channel<int>();
  controlled_operation failing;
  controlled_operation first;
  controlled_operation second;
  bool done = false;
  cancellable_goroutine g(io, [&]() -> task<> {
    auto r = co_await select(failing.async_wait(asio::deferred), quiet.send(4),
                             first.async_wait(asio::deferred), second.async_wait(asio::deferred));
    BOOST_TEST(r.index() == 2u);
    BOOST_TEST(r.get<2>() == 20);
    BOOST_CHECK(r.lost<0>() == std::tuple(closed, 10));
    BOOST_TEST(r.lost<1>().value() == 4);
    BOOST_CHECK(r.lost<3>() == std::tuple(no_error, 30));
    done = true;
  });
  poll(io);
  g.cancel();
  poll(io);
  failing.complete(closed, 10);
  first.complete({}, 20);
  second.complete({}, 30);
  run(io);
  BOOST_TEST(done);
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_CASE(launches_nothing_if_it_is_cancelled_before_it_begins) {
  asio::io_context io;
  const auto ready = holding({1});
  controlled_operation op;
  error_code plain;
  error_code with_asio;
  cancellable_goroutine g(io, [&]() -> task<> {
    plain = co_await error_of(select(ready.receive()));
    with_asio = co_await error_of(select(op.async_wait(asio::deferred), ready.receive()));
  });
  g.cancel();
  run(io);
  BOOST_TEST(plain == aborted);
  BOOST_TEST(with_asio == aborted);
  BOOST_TEST(op.launches == 0);
  BOOST_TEST(ready.size() == 1u);
}

BOOST_AUTO_TEST_CASE(ends_with_deadline_exceeded_if_a_deadline_did_it) {
  asio::io_context io;
  const auto quiet = make_channel<int>();
  controlled_operation op(types::terminal);
  auto [ctx, cancel] = sluice::with_timeout(io, sluice::context::background(), 2ms);
  error_code plain;
  error_code with_asio;
  sluice::go(ctx, io, [&]() -> task<> { plain = co_await error_of(select(quiet.receive())); });
  sluice::go(ctx, io, [&]() -> task<> {
    with_asio = co_await error_of(select(quiet.receive(), op.async_wait(asio::deferred)));
  });
  run(io);
  BOOST_TEST(plain == deadline_exceeded);
  BOOST_TEST(with_asio == deadline_exceeded);
  BOOST_TEST(is_left(quiet));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(a_type_that_the_goroutine_does_not_listen_to_does_nothing) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  controlled_operation op(types::terminal);
  std::vector<int> got;
  cancellable_goroutine g(io, [&]() -> task<> {
    auto r = co_await select(ch.receive(), op.async_wait(asio::deferred));
    got.push_back(r.get<0>().value());
    auto s = co_await select(ch.receive(), ch.receive());
    got.push_back((s.index() == 0 ? s.get<0>() : s.get<1>()).value());
  });
  for (const int value : {1, 2}) {
    poll(io);
    g.cancel(types::partial);
    g.cancel(types::total);
    poll(io);
    BOOST_TEST(op.is_pending() == (value == 1));
    ch.try_send(value);
  }
  run(io);
  BOOST_TEST(got == std::vector<int>({1, 2}), per_element());
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_SUITE(a_select_with_a_claimed_case_that_is_cancelled_a_moment_later)

BOOST_AUTO_TEST_CASE(completes_with_its_value) {
  for (const types type : every_type) {
    asio::io_context io;
    const auto ch = make_channel<int>();
    const auto quiet = make_channel<int>();
    int got = 0;
    cancellable_goroutine g(io, [&]() -> task<> {
      co_await listen_to(type);
      auto r = co_await select(quiet.receive(), ch.receive(), sluice::sleep_for(24h));
      got = r.get<1>().value();
    });
    poll(io);
    BOOST_TEST(try_send(ch, 5));
    g.cancel(type);
    run(io);
    BOOST_TEST(got == 5);
    BOOST_TEST(g.error() == no_error);
  }
}

BOOST_AUTO_TEST_CASE(has_sent_its_value) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  std::size_t index = 99;
  cancellable_goroutine g(io, [&]() -> task<> {
    index = co_await select(on(ch.receive(), [] {}), on(ch.send(6), [] {}));
  });
  poll(io);
  BOOST_TEST(ch.try_receive().value() == 6);
  g.cancel();
  run(io);
  BOOST_TEST(index == 1u);
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_CASE(completes_with_its_value_also_beside_asio_operations) {
  for (const bool emitted_while_a_loser_is_awaited : {false, true}) {
    asio::io_context io;
    const auto ch = make_channel<int>();
    controlled_operation deaf;
    int got = 0;
    cancellable_goroutine g(io, [&]() -> task<> {
      auto r = co_await select(deaf.async_wait(asio::deferred), ch.receive());
      got = r.get<1>().value();
    });
    poll(io);
    BOOST_TEST(try_send(ch, 5));
    if (emitted_while_a_loser_is_awaited) poll(io);
    g.cancel();
    poll(io);
    deaf.complete({}, 1);
    run(io);
    BOOST_TEST(got == 5);
    BOOST_TEST(g.error() == no_error);
  }
}

BOOST_AUTO_TEST_CASE(completes_with_the_value_of_the_asio_operation_that_was_first) {
  asio::io_context io;
  const auto quiet = make_channel<int>();
  controlled_operation first;
  controlled_operation deaf;
  int got = 0;
  cancellable_goroutine g(io, [&]() -> task<> {
    auto r = co_await select(deaf.async_wait(asio::deferred), first.async_wait(asio::deferred),
                             quiet.receive());
    got = r.get<1>();
  });
  poll(io);
  first.complete({}, 8);
  poll(io);
  g.cancel();
  poll(io);
  deaf.complete({}, 9);
  run(io);
  BOOST_TEST(got == 8);
  BOOST_TEST(g.error() == no_error);
  BOOST_TEST(is_left(quiet));
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// Sends to and cancels, at the same time, selects of a context that another thread runs.
/** The select gives the value; its sender and its canceller must be told the same. */
template <class Select>
void fight_over(Select make_select_on) {
  const watchdog dog;
  running_context running(1);
  channel<int> ch;
  std::optional<sluice::cancellable_context> c;
  std::atomic<int> result = 0;
  bool sent = false;
  std::size_t wrong = 0;
  std::size_t delivered = 0;
  std::size_t cancelled = 0;
  random_numbers sender_pauses(1);
  random_numbers canceller_pauses(2);
  const auto prepare = [&] {
    ch = make_channel<int>();
    c.emplace(sluice::with_cancel(sluice::context::background()));
    result = 0;
    sluice::go(c->ctx, running.io, [&]() -> task<> {
      int got = -1;
      try {
        got = co_await make_select_on(ch);
      } catch (const sluice::system_error& e) {
        got = e.code() == aborted ? -1 : -2;
      }
      result = got;
      result.notify_one();
    });
    for (int i = 0; i < 10; ++i) sender_pauses.pause();  // most are parked then
  };
  const auto send = [&] {
    sender_pauses.pause();
    sent = try_send(ch, 5);
  };
  const auto cancel = [&] {
    canceller_pauses.pause();
    c->cancel();
  };
  const auto check = [&] {
    result.wait(0);
    wrong += result != (sent ? 5 : -1) || !is_left(ch);
    (sent ? delivered : cancelled) += 1;
  };
  duel::fight(rounds(2000), prepare, send, cancel, check);
  duel::fight(rounds(2000), prepare, cancel, send, check);
  running.join();
  BOOST_TEST(wrong == 0u);
  BOOST_TEST_MESSAGE(delivered << " delivered, " << cancelled << " cancelled");
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_send_and_a_cancellation_at_the_same_time_agree_about_who_was_first) {
  const auto quiet = make_channel<int>();
  fight_over([&](const channel<int>& ch) -> task<int> {
    auto r = co_await select(quiet.receive(), ch.receive(), quiet.receive());
    co_return r.get<1>().value();
  });
}

BOOST_AUTO_TEST_CASE(a_send_and_a_cancellation_agree_also_beside_asio_operations) {
  fight_over([](const channel<int>& ch) -> task<int> {
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    auto r = co_await select(timer.async_wait(asio::deferred), ch.receive());
    co_return r.get<1>().value();
  });
}

BOOST_AUTO_TEST_SUITE(weak_cancellation)  // Source: boostorg/asio#458

BOOST_AUTO_TEST_CASE(of_the_whole_ends_also_what_reacts_only_to_terminal) {
  for (const types first : {types::total, types::partial, types::terminal}) {
    asio::io_context io;
    controlled_operation to_partial(types::partial);
    controlled_operation to_terminal(types::terminal);
    const auto quiet = make_channel<int>();
    cancellable_goroutine g(io, [&]() -> task<> {
      co_await asio::this_coro::reset_cancellation_state(
          [](types t) { return t & (types::partial | types::total | types::terminal); });
      co_await select(quiet.receive(), to_partial.async_wait(asio::deferred),
                      to_terminal.async_wait(asio::deferred));
    });
    poll(io);
    BOOST_TEST(to_partial.is_pending());
    BOOST_TEST(to_terminal.is_pending());
    g.cancel(first);
    if (first == types::total) g.cancel(types::partial);
    run(io);
    BOOST_TEST(g.ends() == 1);
    BOOST_TEST(g.error() == aborted);
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
  cancellable_goroutine g(io, [&]() -> task<> {
    auto r = co_await select(to_partial.async_wait(asio::deferred), ch.receive(),
                             to_terminal.async_wait(asio::deferred));
    index = r.index();
  });
  poll(io);
  g.cancel(types::total);
  g.cancel(types::partial);
  poll(io);
  BOOST_TEST(to_partial.is_pending());
  ch.try_send(1);
  run(io);
  BOOST_TEST(index.value() == 1u);
  BOOST_TEST(g.error() == no_error);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang runtime TestSelectStackAdjust: where a value goes stays valid until the operation
// is over, also when it is cancelled at the same time.
BOOST_AUTO_TEST_CASE(a_value_never_goes_to_a_select_that_was_cancelled) {
  const watchdog dog;
  counted::corrupt = 0;
  std::size_t sent = 0;
  std::size_t delivered = 0;
  std::size_t wrong = 0;
  {
    running_context running(1);
    const auto a = make_channel<counted>();
    const auto b = make_channel<counted>();
    std::optional<sluice::cancellable_context> c;
    std::atomic<int> got = 0;
    std::atomic<bool> ended = false;
    bool taken = false;
    const auto prepare = [&] {
      c.emplace(sluice::with_cancel(sluice::context::background()));
      got = 0;
      ended = false;
      taken = false;
      sluice::go(c->ctx, running.io, [&]() -> task<> {
        try {
          auto r = co_await select(b.receive(), a.receive(), b.receive());
          got = r.get<1>()->value;
        } catch (const sluice::system_error& e) {
          got = e.code() == aborted ? 0 : -1;
        }
        ended = true;
      });
    };
    const auto send = [&] {
      error_code e;
      for (int tries = 0; !taken && tries < 20; ++tries) taken = a.try_send(counted(7), e);
    };
    const auto check = [&] {
      while (!ended) std::this_thread::yield();
      sent += taken;
      delivered += got == 7;
      wrong += got != (taken ? 7 : 0);
    };
    duel::fight(rounds(20'000), prepare, send, [&] { c->cancel(); }, check);
  }
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(sent == delivered);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}
