// Cases of channels that are closed or nil, cases that never happen, and selects without any.
#include "helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

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

BOOST_AUTO_TEST_SUITE(a_send_to_a_closed_channel)  // Source: golang/go#11344, #19820, #11015

BOOST_AUTO_TEST_CASE(is_ready_like_any_other_case_and_fails_if_chosen) {
  run_task([]() -> task<> {
    const auto shut = make_channel<int>();
    shut.close();
    const auto room = make_channel<int>(1000);
    int failures = 0;
    for (int i = 0; i < 1000; ++i) {
      const auto e = co_await error_of(select(shut.send(-1), room.send(i)));
      failures += e == closed;
    }
    BOOST_TEST(failures > 400);  // 6 standard deviations
    BOOST_TEST(failures < 600);
    BOOST_TEST(room.size() == 1000u - static_cast<std::size_t>(failures));
    int last = -1;
    while (room.size() != 0) {
      const auto v = room.try_receive();
      BOOST_REQUIRE(*v > std::exchange(last, *v));
    }
    const auto alone = co_await error_of(select(shut.send(1)));
    BOOST_TEST(alone == closed);
    bool otherwise_taken = false;
    const auto e = co_await error_of(
        select(on(shut.send(1), [] {}), otherwise([&] { otherwise_taken = true; })));
    BOOST_TEST(e == closed);
    BOOST_TEST(!otherwise_taken);
  });
}

BOOST_AUTO_TEST_CASE(that_is_closed_while_the_select_is_parked_fails_and_sends_nothing_elsewhere) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  error_code result;
  sluice::go(io, [&]() -> task<> {
    result = co_await error_of(select(b.send(2), a.send(1), b.receive()));
  });
  poll(io);
  a.close();
  run(io);
  BOOST_TEST(result == closed);
  error_code e;
  BOOST_TEST(!b.try_receive(e).has_value());
  BOOST_TEST(!b.try_send(1, e));
}

// Source: golang test/chan/select3.go
BOOST_AUTO_TEST_CASE(fails_alone_and_among_others) {
  run_task([]() -> task<> {
    auto shut = make_channel<int>(3);
    shut.close();
    auto empty = make_channel<int>();
    const auto alone = co_await error_of(select(shut.send(7)));
    BOOST_TEST(alone == closed);
    const auto among_others = co_await error_of(select(empty.receive(), shut.send(7)));
    BOOST_TEST(among_others == closed);
  });
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang test/chan/select3.go
BOOST_AUTO_TEST_CASE(
    a_receive_from_a_closed_channel_never_blocks_and_gives_nothing_again_and_again) {
  run_task([]() -> task<> {
    for (const std::size_t capacity : {0u, 5u}) {
      auto closed_channel = make_channel<int>(capacity);
      auto empty = make_channel<int>();
      closed_channel.close();
      for (int i = 0; i < 10; ++i) {
        auto r = co_await select(empty.receive(), closed_channel.receive());
        BOOST_TEST(r.index() == 1u);
        BOOST_TEST(!r.get<1>());
        const auto alone = co_await select(on(closed_channel.receive(), [] {}), otherwise([] {}));
        BOOST_TEST(alone == 0u);
      }
    }
  });
}

// Source: conr2d/eo#23
BOOST_AUTO_TEST_CASE(a_parked_receive_that_is_woken_by_close_is_a_success) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(a.receive(), b.receive());
    log.push_back("case " + std::to_string(r.index()) + (r.get<0>() ? " value" : " closed"));
    const auto v = co_await b.receive();
    log.push_back("b " + std::to_string(*v));
  });
  poll(io);
  a.close();
  poll(io);
  b.try_send(5);
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"case 0 closed", "b 5"}), per_element());
}

// Source: Kotlin/kotlinx.coroutines#1584
BOOST_AUTO_TEST_CASE(whatever_is_decided_already_when_the_select_begins_leaves_the_rest_alone) {
  run_in_virtual_time([]() -> task<> {
    auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    cancel();
    auto closed_channel = make_channel<int>();
    closed_channel.close();
    const auto empty = make_channel<int>();
    std::array<int, 5> order{0, 1, 2, 3, 4};
    std::array<int, 5> happened{};
    do {
      const auto ready = holding({7});
      int chosen = -1;
      std::vector<select_case> cases;
      for (const int c : order) {
        const auto add = [&](auto op) {
          cases.emplace_back(on(std::move(op), [&chosen, c] { chosen = c; }));
        };
        if (c == 0) add(closed_channel.receive());
        if (c == 1) add(ready.receive());
        if (c == 2) add(sluice::sleep_until(sluice::now() - 1s));
        if (c == 3) add(ctx.done());
        if (c == 4) add(empty.receive());
      }
      const auto i = co_await select(cases);
      BOOST_REQUIRE(order.at(i) == chosen);
      ++happened.at(static_cast<std::size_t>(chosen));
      BOOST_REQUIRE(ready.size() == (chosen == 1 ? 0u : 1u));
      BOOST_REQUIRE(!try_send(empty, 1));
    } while (std::next_permutation(order.begin(), order.end()));
    for (std::size_t c = 0; c < 4; ++c) BOOST_TEST(happened[c] > 0);
    BOOST_TEST(happened[4] == 0);

    const auto ready = holding({7});
    auto r = co_await select(closed_channel.receive());
    BOOST_TEST(!r.get<0>());
    auto s = co_await select(ready.receive());
    BOOST_TEST(*s.get<0>() == 7);
    co_await select(sluice::sleep_until(sluice::now() - 1s));
    co_await select(ctx.done());
  });
}

// Source: golang test/chan/select3.go
BOOST_AUTO_TEST_CASE(a_select_without_a_case_that_can_ever_happen_blocks) {
  const channel<int> nil;
  auto empty = make_channel<int>();
  auto full = make_channel<int>(1);
  full.try_send(0);
  BOOST_TEST(blocks([]() -> task<> { co_await select(); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(nil.receive()); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(nil.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(nil.receive(), nil.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(empty.receive()); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(empty.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(full.send(7)); }));
  BOOST_TEST(blocks([&]() -> task<> { co_await select(full.send(7), empty.receive()); }));
  BOOST_TEST(full.size() == 1u);
}

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

// Source: golang/go#17600, tinygo-org/tinygo#402
BOOST_AUTO_TEST_CASE(a_nil_handle_waits_for_ever_in_every_form_but_can_be_cancelled) {
  try_nil_handles<int>();
  try_nil_handles<void>();
}
