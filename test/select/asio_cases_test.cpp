// Asio operations as cases of a select.
#include "helpers.hpp"

#include <sluice/timer.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace sluice_test;

/// What a losing or winning read has read.
std::string text(const char* data, std::size_t n) {
  return {data, n};
}

asio::awaitable<std::unique_ptr<int>> make_seven() {
  co_return std::make_unique<int>(7);
}
asio::awaitable<void> do_nothing() {
  co_return;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(an_asio_operation_that_completes_first_is_the_result)

BOOST_AUTO_TEST_CASE(as_a_read_from_a_socket) {
  asio::io_context io;
  socket_pair sockets(io);
  const auto quiet = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    char data[100];
    for (int i = 0; i < 2; ++i) {
      auto r = co_await select(quiet.receive(),
                               sockets.near.async_read_some(asio::buffer(data), asio::deferred));
      static_assert(std::is_same_v<decltype(r.get<1>()), std::size_t&>);
      log.push_back(std::to_string(r.index()) + " " + text(data, r.get<1>()));
    }
    const auto n = co_await select(
        on(quiet.receive(), [] {}),
        on(
            asio::async_read(sockets.near, asio::buffer(data, 6), sluice::use_task),
            [&](std::size_t size) { log.push_back(text(data, size)); }, sluice::drop_lost));
    log.push_back(std::to_string(n));
  });
  asio::write(sockets.far, asio::buffer("one", 3));
  while (log.empty()) io.run_one();
  poll(io);
  asio::write(sockets.far, asio::buffer("two", 3));
  while (log.size() < 2) io.run_one();
  asio::write(sockets.far, asio::buffer("abc", 3));
  poll(io);
  asio::write(sockets.far, asio::buffer("def", 3));
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"1 one", "1 two", "abcdef", "1"}), per_element());
}

BOOST_AUTO_TEST_CASE(as_an_accepted_connection) {
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  tcp::socket client(io);
  std::optional<tcp::endpoint> peer;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(acceptor.async_accept(asio::deferred), sluice::sleep_for(1h));
    BOOST_TEST(r.index() == 0u);
    peer = r.get<0>().remote_endpoint();
  });
  poll(io);
  client.connect(acceptor.local_endpoint());
  run(io);
  BOOST_CHECK(peer == client.local_endpoint());
}

BOOST_AUTO_TEST_CASE(as_a_timer_that_goes_off) {
  run_task([]() -> task<> {
    asio::steady_timer soon(co_await asio::this_coro::executor, 1ms);
    asio::steady_timer late(co_await asio::this_coro::executor, 1h);
    auto r = co_await select(late.async_wait(asio::deferred), soon.async_wait(asio::deferred));
    BOOST_TEST(r.index() == 1u);
    static_assert(std::is_same_v<decltype(r.get<1>()), std::monostate&>);
    BOOST_CHECK(std::get<0>(r.lost<0>().value()) == aborted);
  });
}

BOOST_AUTO_TEST_CASE(as_a_signal) {
  asio::io_context io;
  asio::signal_set signals(io, SIGUSR1);
  const auto quiet = make_channel<int>();
  int number = 0;
  sluice::go(io, [&]() -> task<> {
    co_await select(
        on(
            signals.async_wait(asio::deferred), [&](int n) { number = n; }, sluice::drop_lost),
        on(quiet.receive(), [] {}));
  });
  poll(io);
  std::raise(SIGUSR1);
  run(io);
  BOOST_TEST(number == SIGUSR1);
}

BOOST_AUTO_TEST_CASE(as_a_posted_handler_and_an_awaitable_and_a_goroutine) {
  run_task([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    const auto quiet = make_channel<int>();
    auto posted = co_await select(quiet.receive(), asio::post(ex, asio::deferred));
    BOOST_TEST(posted.index() == 1u);

    auto made = co_await select(asio::co_spawn(ex, make_seven(), asio::deferred), quiet.receive());
    BOOST_TEST(*made.get<0>() == 7);

    auto nothing =
        co_await select(asio::co_spawn(ex, do_nothing(), asio::deferred), quiet.receive());
    static_assert(std::is_same_v<decltype(nothing.get<0>()), std::monostate&>);
    BOOST_TEST(nothing.index() == 0u);

    auto started = co_await select(
        quiet.receive(), sluice::go(ex, []() -> task<int> { co_return 8; }, asio::deferred));
    BOOST_TEST(started.get<1>() == 8);
  });
}

BOOST_AUTO_TEST_CASE(with_several_values_as_a_tuple) {
  const auto give = [](auto token) {
    return asio::async_initiate<decltype(token), void(error_code, int, std::string)>(
        [](auto handler) {
          const auto ex = asio::get_associated_executor(handler);
          asio::post(ex, [h = std::move(handler)]() mutable {
            std::move(h)(no_error, 1, std::string("two"));
          });
        },
        token);
  };
  run_task([&]() -> task<> {
    auto r = co_await select(give(asio::deferred));
    static_assert(std::is_same_v<decltype(r.get<0>()), std::tuple<int, std::string>&>);
    BOOST_TEST(std::get<1>(r.get<0>()) == "two");
    std::string got;
    co_await select(on(
        give(asio::deferred), [&](int n, const std::string& s) { got = std::to_string(n) + s; },
        sluice::drop_lost));
    BOOST_TEST(got == "1two");
    co_await select(on(
        give(asio::deferred),
        [&](error_code e, int n, const std::string& s) {
          got = std::to_string(n) + s + (e ? "!" : "");
        },
        sluice::drop_lost));
    BOOST_TEST(got == "1two");
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(losers)

BOOST_AUTO_TEST_CASE(are_cancelled_with_every_type_and_awaited) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  controlled_operation obedient(types::total);
  controlled_operation deaf;
  std::optional<std::size_t> index;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(obedient.async_wait(asio::deferred), ch.receive(),
                             deaf.async_wait(asio::deferred));
    index = r.index();
    BOOST_TEST(r.get<1>().value() == 5);
    BOOST_CHECK(r.lost<0>() == std::tuple(aborted, -1));
    BOOST_CHECK(r.lost<2>() == std::tuple(no_error, 33));
  });
  poll(io);
  ch.try_send(5);
  poll(io);
  BOOST_TEST(!obedient.is_pending());
  BOOST_TEST(deaf.was_cancelled(types::terminal));
  BOOST_TEST(deaf.was_cancelled(types::partial));
  BOOST_TEST(deaf.was_cancelled(types::total));
  BOOST_TEST(!index.has_value());  // its buffers may still be in use
  deaf.complete({}, 33);
  run(io);
  BOOST_TEST(index.value() == 1u);
}

BOOST_AUTO_TEST_CASE(give_back_the_bytes_that_they_have_read) {
  asio::io_context io;
  socket_pair first(io);
  socket_pair second(io);
  asio::write(first.far, asio::buffer("first", 5));
  asio::write(second.far, asio::buffer("second", 6));
  bool done = false;
  sluice::go(io, [&]() -> task<> {
    char a[10];
    char b[10];
    auto r = co_await select(first.near.async_read_some(asio::buffer(a), asio::deferred),
                             second.near.async_read_some(asio::buffer(b), asio::deferred));
    const auto n = r.index() == 0 ? r.get<0>() : std::get<1>(r.lost<0>().value());
    const auto m = r.index() == 1 ? r.get<1>() : std::get<1>(r.lost<1>().value());
    BOOST_TEST(text(a, n) == "first");
    BOOST_TEST(text(b, m) == "second");
    BOOST_CHECK(r.index() == 0 ? !r.lost<0>() : !r.lost<1>());
    done = true;
  });
  run(io);
  BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(do_not_become_cases_of_any_kind_that_drop_what_they_did) {
  asio::io_context io;
  asio::signal_set signals(io);
  asio::steady_timer timer(io);
  using signal = decltype(signals.async_wait(asio::deferred));
  using expiry = decltype(timer.async_wait(asio::as_tuple(sluice::use_task)));
  static_assert(!std::is_constructible_v<sluice::select_case, signal>);
  static_assert(std::is_constructible_v<sluice::select_case, expiry>);
  sluice::select_case taken(on(signals.async_wait(asio::deferred), [](int) {}, sluice::drop_lost));
}

BOOST_AUTO_TEST_CASE(tell_their_own_handlers_what_they_did) {
  asio::io_context io;
  controlled_operation winner;
  controlled_operation loser;
  controlled_operation obedient(types::terminal);
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    const auto on_lost = [&](error_code e, int n) {
      log.push_back((e ? "lost with an error " : "lost ") + std::to_string(n));
    };
    const auto i = co_await select(
        on(
            loser.async_wait(asio::deferred), [&](int) { log.push_back("wrong"); }, on_lost),
        on(
            winner.async_wait(asio::deferred),
            [&](int n) { log.push_back("won " + std::to_string(n)); }, on_lost),
        on(obedient.async_wait(asio::deferred), [&](int) { log.push_back("wrong"); }, on_lost));
    log.push_back("case " + std::to_string(i));
  });
  poll(io);
  winner.complete({}, 1);
  loser.complete({}, 2);
  run(io);
  const std::vector<std::string> expected{"lost 2", "lost with an error -1", "won 1", "case 1"};
  BOOST_TEST(log == expected, per_element());
}

BOOST_AUTO_TEST_CASE(of_a_range_give_back_what_they_did_by_their_number) {
  asio::io_context io;
  controlled_operation operations[3];
  using operation = decltype(operations[0].async_wait(sluice::use_task));
  bool done = false;
  sluice::go(io, [&]() -> task<> {
    std::vector<operation> cases;
    for (auto& op : operations) cases.push_back(op.async_wait(sluice::use_task));
    auto r = co_await select(std::move(cases));
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(r.get() == 10);
    BOOST_CHECK(r.lost(0) == std::tuple(no_error, 20));
    BOOST_CHECK(!r.lost(1));
    BOOST_CHECK(r.lost(2) == std::tuple(closed, 30));
    BOOST_CHECK_THROW(static_cast<void>(r.lost(3)), std::out_of_range);
    done = true;
  });
  poll(io);
  operations[1].complete({}, 10);
  operations[0].complete({}, 20);
  operations[2].complete(closed, 30);
  run(io);
  BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(were_not_launched_if_another_case_was_ready) {
  run_task([]() -> task<> {
    controlled_operation op;
    const auto ready = holding({1, 2});
    auto r = co_await select(op.async_wait(asio::deferred), ready.receive());
    BOOST_TEST(r.index() == 1u);
    BOOST_CHECK(!r.lost<0>());
    auto s = co_await sluice::select_in_order(op.async_wait(asio::deferred), ready.receive());
    BOOST_TEST(s.index() == 1u);
    BOOST_TEST(op.launches == 0);
  });
}

BOOST_AUTO_TEST_CASE(whose_handler_is_destroyed_end_the_goroutine) {
  asio::io_context io;
  const auto ch = make_channel<int>();
  controlled_operation op;
  auto alive = std::make_shared<int>(0);
  sluice::go(io, [&ch, &op, held = alive]() -> task<> {
    co_await select(op.async_wait(asio::deferred), ch.receive());
    BOOST_ERROR("went on");
  });
  poll(io);
  BOOST_TEST(alive.use_count() == 2);
  op.drop();
  run(io);
  BOOST_TEST(alive.use_count() == 1);
  BOOST_TEST(!try_send(ch, 1));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(beside_otherwise)

BOOST_AUTO_TEST_CASE(in_a_range_is_an_invalid_argument) {
  asio::io_context io;
  asio::steady_timer timer(io, 0s);
  bool refused = false;
  sluice::go(io, [&]() -> task<> {
    std::vector<sluice::select_case> cases;
    cases.emplace_back(otherwise([] {}));
    cases.emplace_back(timer.async_wait(asio::deferred));
    try {
      co_await select(cases);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
  });
  run(io);
  BOOST_TEST(refused);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(what_is_no_operation_is_no_case) {
  const auto takes = [](auto value) { return requires { select(value); }; };
  const auto takes_handler = [](auto value) { return requires { on(value, [] {}); }; };
  BOOST_TEST(!takes(1));
  BOOST_TEST(!takes(make_channel<int>()));
  BOOST_TEST(!takes_handler(1));
  BOOST_TEST(!takes_handler(std::string()));
}

BOOST_AUTO_TEST_CASE(a_context_may_end_while_a_select_waits_for_asio_operations) {
  const auto ch = make_channel<int>();
  auto alive = std::make_shared<int>(0);
  {
    asio::io_context io;
    socket_pair sockets(io);
    sluice::go(io, [&, held = alive]() -> task<> {
      asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
      char data[10];
      co_await select(ch.receive(), timer.async_wait(asio::deferred),
                      sockets.near.async_read_some(asio::buffer(data), asio::deferred));
      BOOST_ERROR("went on");
    });
    poll(io);
    BOOST_TEST(alive.use_count() == 2);
  }
  BOOST_TEST(alive.use_count() == 1);
  BOOST_TEST(!try_send(ch, 1));
}
