// Selects over ranges of cases, and in the written order.
#include "helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/timer.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using pointer = std::unique_ptr<int>;

std::vector<channel<int>> quiet_channels(std::size_t n) {
  std::vector<channel<int>> result(n);
  for (auto& ch : result) ch = make_channel<int>();
  return result;
}

std::vector<sluice::receive_operation<int>> receives(const std::vector<channel<int>>& channels) {
  std::vector<sluice::receive_operation<int>> result;
  for (const auto& ch : channels) result.push_back(ch.receive());
  return result;
}

constexpr std::size_t many = 65'536;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_range)

// Source: golang reflect TestSelectMaxCases
BOOST_AUTO_TEST_CASE(may_have_65536_cases) {
  const auto channels = quiet_channels(many);
  const auto more = make_channel<int>();
  std::vector<std::size_t> log;
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    auto cases = receives(channels);
    for (int i = 0; i < 3; ++i) {
      auto r = co_await select(cases);
      log.push_back(r.index());
      BOOST_TEST(r.get().value() == i);
      co_await more.receive();
    }
  });
  const std::vector<std::size_t> order{many - 1, 0, many / 2};
  for (std::size_t i = 0; i < order.size(); ++i) {
    poll(io);
    BOOST_REQUIRE(try_send(channels[order[i]], static_cast<int>(i)));
    poll(io);
    BOOST_TEST(!try_send(channels[order[(i + 1) % 3]], 9));
    BOOST_TEST(try_send(more, 1));
  }
  run(io);
  BOOST_TEST(log == order, per_element());
}

BOOST_AUTO_TEST_CASE(of_cases_with_handlers_may_have_65536_cases) {
  const auto channels = quiet_channels(many);
  run_task([&]() -> task<> {
    std::vector<select_case> cases;
    for (std::size_t i = 0; i < many; ++i) cases.emplace_back(on(channels[i].receive(), [] {}));
    cases.emplace_back(otherwise([] {}));
    const auto nothing = co_await select(cases);
    BOOST_TEST(nothing == many);
    sluice::go([&]() -> task<> { co_await channels[12'345].send(1); });
    std::size_t got = 0;
    std::vector<select_case> again;
    for (std::size_t i = 0; i < many; ++i)
      again.emplace_back(on(channels[i].receive(), [&got, i] { got = i; }));
    const auto index = co_await select(again);
    BOOST_TEST(index == 12'345u);
    BOOST_TEST(got == 12'345u);
  });
}

BOOST_AUTO_TEST_CASE(of_one_channel_many_times_gives_one_value) {
  const auto ch = make_channel<int>();
  asio::io_context io;
  int got = 0;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await select(receives(std::vector<channel<int>>(1000, ch)));
    got = r.get().value();
  });
  poll(io);
  BOOST_TEST(try_send(ch, 5));
  BOOST_TEST(!try_send(ch, 6));
  run(io);
  BOOST_TEST(got == 5);
}

BOOST_AUTO_TEST_CASE(may_be_of_any_kind) {
  run_task([]() -> task<> {
    const auto ready = holding({1, 2, 3, 4});
    const auto quiet = make_channel<int>();
    std::list<sluice::receive_operation<int>> list;
    list.push_back(quiet.receive());
    list.push_back(ready.receive());
    auto from_list = co_await select(list);
    BOOST_TEST(from_list.index() == 1u);

    std::array<sluice::receive_operation<int>, 2> array{ready.receive(), quiet.receive()};
    auto from_array = co_await select(array);
    BOOST_TEST(from_array.index() == 0u);
    BOOST_TEST(from_array.get().value() == 2);

    const std::vector<channel<int>> channels{quiet, ready};
    auto view =
        channels | std::views::transform([](const channel<int>& ch) { return ch.receive(); });
    auto from_view = co_await select(std::move(view));
    BOOST_TEST(from_view.index() == 1u);
    BOOST_TEST(from_view.get().value() == 3);
  });
}

BOOST_AUTO_TEST_CASE(may_mix_operations_of_all_kinds) {
  run_in_virtual_time([]() -> task<> {
    const auto ex = co_await asio::this_coro::executor;
    const auto numbers = make_channel<int>();
    const auto words = make_channel<std::string>(1);
    std::vector<select_case> cases;
    std::string log;
    cases.emplace_back(numbers.receive());  // whose value is not wanted
    cases.emplace_back(on(sluice::sleep_for(1h), [&] { log = "slept"; }));
    cases.emplace_back(
        on(words.send("word"), [&]() -> task<> { log = "sent " + *co_await words.receive(); }));
    cases.emplace_back(on(asio::post(ex, asio::deferred), [&] { log = "posted"; }));
    const auto i = co_await select(std::move(cases));
    BOOST_TEST(i == 2u);
    BOOST_TEST(log == "sent word");
  });
}

BOOST_AUTO_TEST_CASE(of_sends_given_as_temporaries_gives_back_what_was_not_sent) {
  run_task([]() -> task<> {
    const auto full = make_channel<pointer>();
    const auto room = make_channel<pointer>(1);
    std::vector<sluice::send_operation<pointer>> sends;
    sends.push_back(full.send(std::make_unique<int>(1)));
    sends.push_back(room.send(std::make_unique<int>(2)));
    auto r = co_await select(std::move(sends));
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(**r.lost(0) == 1);
    BOOST_CHECK(!r.lost(1));
    BOOST_TEST(**room.try_receive() == 2);
  });
}

BOOST_AUTO_TEST_CASE(that_is_an_lvalue_keeps_its_sends_and_their_values) {
  run_task([]() -> task<> {
    const auto a = make_channel<pointer>(1);
    const auto b = make_channel<pointer>(1);
    std::vector<sluice::send_operation<pointer>> sends;
    sends.push_back(a.send(std::make_unique<int>(1)));
    sends.push_back(b.send(std::make_unique<int>(2)));
    auto first = co_await select(sends);
    auto& other = sends.at(1 - first.index());
    BOOST_REQUIRE(other.value());
    co_await select(other);
    BOOST_TEST(**a.try_receive() == 1);
    BOOST_TEST(**b.try_receive() == 2);
  });
}

BOOST_AUTO_TEST_CASE(works_with_a_token) {
  asio::io_context io;
  const auto channels = quiet_channels(100);
  std::size_t index = 999;
  select(receives(channels))(asio::bind_executor(io, [&](error_code e, auto r) {
    BOOST_TEST(!e);
    index = r.index();
  }));
  poll(io);
  BOOST_TEST(try_send(channels[42], 1));
  run(io);
  BOOST_TEST(index == 42u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(in_order)

BOOST_AUTO_TEST_CASE(the_first_ready_case_happens_every_time) {
  run_task([]() -> task<> {
    const auto a = make_channel<int>();
    const auto b = make_channel<int>();
    a.close();
    b.close();
    const auto quiet = make_channel<int>();
    const std::vector<channel<int>> channels{quiet, b, quiet, a};
    int wrong = 0;
    for (int i = 0; i < 200; ++i) {
      auto r = co_await select_in_order(quiet.receive(), a.receive(), b.receive());
      wrong += r.index() != 1;
      auto s = co_await select_in_order(receives(channels));
      wrong += s.index() != 1;
      const auto t = co_await select_in_order(otherwise([] {}), on(quiet.receive(), [] {}),
                                              on(b.receive(), [] {}));
      wrong += t != 2;
    }
    BOOST_TEST(wrong == 0);
  });
}

BOOST_AUTO_TEST_CASE(of_parked_cases_whatever_comes_first_happens) {
  asio::io_context io;
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::vector<std::size_t> log;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 2; ++i) {
      auto r = co_await select_in_order(a.receive(), b.receive());
      log.push_back(r.index());
    }
  });
  poll(io);
  b.try_send(1);
  poll(io);
  a.try_send(1);
  run(io);
  BOOST_TEST(log == std::vector<std::size_t>({1, 0}), per_element());
}

BOOST_AUTO_TEST_CASE(works_with_a_token) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  ch.close();
  int right = 0;
  for (int i = 0; i < 50; ++i)
    select_in_order(ch.receive(),
                    ch.receive())([&](error_code, auto r) { right += r.index() == 0; });
  run(io);
  BOOST_TEST(right == 50);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(a_losing_send_keeps_a_move_only_value_for_the_next_select) {
  asio::io_context io;
  const auto slow = make_channel<pointer>();
  const auto other = make_channel<int>();
  int attempts = 0;
  bool sent = false;
  sluice::go(io, [&]() -> task<> {
    auto op = slow.send(std::make_unique<int>(7));
    while (!sent) {
      ++attempts;
      co_await select(on(op, [&] { sent = true; }), on(other.receive(), [] {}));
    }
  });
  for (int i = 0; i < 3; ++i) {
    poll(io);
    BOOST_TEST(try_send(other, i));
  }
  poll(io);
  BOOST_TEST(!sent);
  BOOST_TEST(**slow.try_receive() == 7);
  run(io);
  BOOST_TEST(sent);
  BOOST_TEST(attempts == 4);
}
