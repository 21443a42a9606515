// How a select is spelled and what it gives: results, handlers, otherwise, the order. Its operands
// have a file of their own.
#include "select/helpers.hpp"
#include "virtual_time.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace sluice_test;

/// Movable only, and without a default constructor.
struct ticket {
  explicit ticket(int n) : number(std::make_unique<int>(n)) {}
  std::unique_ptr<int> number;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(results)

BOOST_AUTO_TEST_CASE(the_result_names_the_case_and_carries_its_value) {
  run_task([]() -> task<> {
    auto quiet = make_channel<int>();
    auto ready = holding({42});
    auto r = co_await select(quiet.receive(), ready.receive());
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(r.get<1>().value() == 42);
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(r.get<0>()), std::bad_optional_access, [](const auto& x) {
          return std::string(x.what()) ==
                 "sluice: get<0> of a select of which case 1 has happened: ask index() first";
        });
  });
}

BOOST_AUTO_TEST_CASE(a_default_constructed_result_is_none) {
  using result =
      sluice::select_result<sluice::detail::sluice_case<sluice::detail::receive_wait<int>>>;
  result r;
  BOOST_TEST(r.index() == result::none);
  BOOST_CHECK_THROW(static_cast<void>(r.get<0>()), std::bad_optional_access);
}

BOOST_AUTO_TEST_CASE(cases_without_a_value_give_monostate) {
  run_in_virtual_time([]() -> task<> {
    auto full = make_channel<int>();
    auto r = co_await select(full.send(1), sluice::sleep_for(0s));
    BOOST_TEST(r.index() == 1u);
    static_assert(std::is_same_v<decltype(r.get<0>()), std::monostate&>);
    static_assert(std::is_same_v<decltype(r.get<1>()), std::monostate&>);
    static_cast<void>(r.get<1>());
  });
}

BOOST_AUTO_TEST_CASE(a_receive_from_a_channel_of_nothing_gives_a_bool) {
  run_task([]() -> task<> {
    auto ch = make_channel<void>(1);
    ch.try_send();
    auto r = co_await select(ch.receive());
    BOOST_TEST(r.get<0>());
    ch.close();
    auto s = co_await select(ch.receive());
    BOOST_TEST(!s.get<0>());
  });
}

BOOST_AUTO_TEST_CASE(a_losing_send_given_as_a_temporary_hands_its_value_back) {
  run_task([]() -> task<> {
    auto full = make_channel<std::unique_ptr<int>>();
    auto ready = holding({1});
    auto r = co_await select(full.send(std::make_unique<int>(7)), ready.receive());
    BOOST_TEST(r.index() == 1u);
    BOOST_REQUIRE(r.lost<0>());
    BOOST_TEST(**r.lost<0>() == 7);
  });
}

BOOST_AUTO_TEST_CASE(a_send_that_won_has_nothing_to_hand_back) {
  run_task([]() -> task<> {
    auto ch = make_channel<std::string>(1);
    auto r = co_await select(ch.send("hello"));
    BOOST_TEST(r.index() == 0u);
    BOOST_CHECK(!r.lost<0>());
    BOOST_TEST(ch.try_receive().value() == "hello");
  });
}

BOOST_AUTO_TEST_CASE(elements_need_neither_copies_nor_a_default_constructor) {
  run_task([]() -> task<> {
    auto full = make_channel<ticket>();
    auto ready = make_channel<ticket>(1);
    ready.try_send(ticket(3));
    auto r = co_await select(ready.receive(), full.send(ticket(4)));
    BOOST_TEST(*r.get<0>()->number == 3);
    BOOST_TEST(*r.lost<1>()->number == 4);
    auto moved = std::move(r);
    BOOST_TEST(moved.index() == 0u);
    BOOST_TEST(*moved.get<0>()->number == 3);
  });
}

BOOST_AUTO_TEST_CASE(senders_receivers_wait_groups_and_sleeps_are_cases) {
  run_in_virtual_time([]() -> task<> {
    auto ch = make_channel<int>();
    const sender<int> in = ch;
    const receiver<int> out = ch;
    sluice::wait_group busy;
    busy.add();
    sluice::wait_group idle;
    auto r = co_await select(in.send(1), out.receive(), busy.wait(), sluice::sleep_for(24h),
                             idle.wait());
    BOOST_TEST(r.index() == 4u);
    auto s = co_await select(busy.wait(), sluice::sleep_until(sluice::now() - 1s));
    BOOST_TEST(s.index() == 1u);
  });
}

BOOST_AUTO_TEST_CASE(a_parked_select_is_woken_by_whatever_comes_first) {
  asio::io_context io;
  auto a = make_channel<int>();
  auto b = make_channel<int>();
  sluice::wait_group group;
  group.add();
  std::vector<std::size_t> log;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 4; ++i) {
      auto r = co_await select(a.receive(), b.send(5), group.wait(), sluice::sleep_for(24h));
      log.push_back(r.index());
      if (r.index() == 2) group.add();
    }
    auto r = co_await select(a.receive(), sluice::sleep_for(1ms));
    log.push_back(r.index() + 10);
  });
  poll(io);
  a.try_send(1);
  poll(io);
  BOOST_TEST(b.try_receive().value() == 5);
  poll(io);
  group.done();
  poll(io);
  a.try_send(1);
  run(io);
  BOOST_TEST(log == std::vector<std::size_t>({0, 1, 2, 0, 11}), per_element());
}

BOOST_AUTO_TEST_CASE(the_sends_of_one_select_may_be_of_different_types) {
  run_task([]() -> task<> {
    auto numbers = make_channel<int>();
    auto words = make_channel<std::string>(1);
    auto r = co_await select(numbers.send(1), words.send("one"), make_channel<double>().receive());
    BOOST_TEST(r.index() == 1u);
    BOOST_TEST(words.try_receive().value() == "one");
    BOOST_TEST(r.lost<0>().value() == 1);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(handlers)

BOOST_AUTO_TEST_CASE(the_handler_of_the_case_that_happened_is_called_with_its_value) {
  run_task([]() -> task<> {
    auto quiet = make_channel<int>();
    auto ready = holding({8});
    std::vector<int> log;
    const std::size_t i =
        co_await select(on(quiet.receive(), [&](std::optional<int>) { log.push_back(-1); }),
                        on(ready.receive(), [&](std::optional<int> v) { log.push_back(*v); }));
    BOOST_TEST(i == 1u);
    BOOST_TEST(log == std::vector<int>({8}), per_element());
  });
}

BOOST_AUTO_TEST_CASE(handlers_may_leave_the_value_out_or_take_the_error_first) {
  run_in_virtual_time([]() -> task<> {
    auto ch = holding({1, 2});
    auto room = make_channel<int>(2);
    auto shut = make_channel<int>();
    shut.close();
    std::vector<std::string> log;
    co_await select(on(ch.receive(), [&] { log.push_back("nothing taken"); }));
    co_await select(on(ch.receive(), [&](error_code e, std::optional<int> v) {
      log.push_back(e ? "failed" : "took " + std::to_string(*v));
    }));
    co_await select(on(room.send(1), [&] { log.push_back("sent"); }));
    co_await select(on(room.send(1), [&](error_code e) { log.push_back(e ? "failed" : "fine"); }));
    co_await select(
        on(shut.send(1), [&](error_code e) { log.push_back(e == closed ? "closed" : "other"); }));
    co_await select(on(sluice::sleep_for(0s), [&] { log.push_back("slept"); }));
    const std::vector<std::string> expected{"nothing taken", "took 2", "sent",
                                            "fine",          "closed", "slept"};
    BOOST_TEST(log == expected, per_element());
  });
}

BOOST_AUTO_TEST_CASE(an_error_without_a_handler_for_it_is_thrown) {
  run_task([]() -> task<> {
    auto shut = make_channel<int>();
    shut.close();
    bool called = false;
    error_code caught;
    try {
      co_await select(on(shut.send(1), [&] { called = true; }));
    } catch (const sluice::system_error& x) {
      caught = x.code();
    }
    BOOST_TEST(caught == closed);
    BOOST_TEST(!called);
  });
}

BOOST_AUTO_TEST_CASE(a_handler_may_be_a_coroutine_which_is_awaited) {
  asio::io_context io;
  auto ready = holding({3});
  auto other = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    const auto i = co_await select(  //
        on(other.receive(), [&](std::optional<int>) { log.push_back("wrong"); }),
        on(ready.receive(), [&](std::optional<int> v) -> task<> {
          log.push_back("got " + std::to_string(*v));
          const auto w = co_await other.receive();
          log.push_back("then " + std::to_string(*w));
        }));
    log.push_back("case " + std::to_string(i));
  });
  poll(io);
  BOOST_TEST(log.size() == 1u);
  other.try_send(4);
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"got 3", "then 4", "case 1"}), per_element());
}

BOOST_AUTO_TEST_CASE(what_a_handler_throws_leaves_the_select) {
  run_in_virtual_time([]() -> task<> {
    auto ch = holding({1, 2, 3});
    int caught = 0;
    try {
      co_await select(on(ch.receive(), [] { throw std::runtime_error("plain"); }));
    } catch (const std::runtime_error&) {
      ++caught;
    }
    try {
      co_await select(on(ch.receive(), []() -> task<> {
        co_await sluice::sleep_for(0s);
        throw std::runtime_error("coroutine");
      }));
    } catch (const std::runtime_error&) {
      ++caught;
    }
    BOOST_TEST(caught == 2);
    BOOST_TEST(ch.size() == 1u);
  });
}

BOOST_AUTO_TEST_CASE(handlers_may_be_lvalues_and_move_only) {
  run_task([]() -> task<> {
    auto ch = holding({1, 2});
    int sum = 0;
    auto handler = [&sum, held = std::make_unique<int>(10)](std::optional<int> v) {
      sum += *v + *held;
    };
    co_await select(on(ch.receive(), handler));
    co_await select(on(ch.receive(), handler));
    BOOST_TEST(sum == 23);
  });
}

BOOST_AUTO_TEST_CASE(operations_and_cases_with_handlers_may_stand_together) {
  run_task([]() -> task<> {
    auto ch = holding({1});
    auto quiet = make_channel<int>();
    const std::size_t i =
        co_await select(on(quiet.receive(), [](std::optional<int>) {}), ch.receive());
    BOOST_TEST(i == 1u);
    BOOST_TEST(ch.size() == 0u);
  });
}

BOOST_AUTO_TEST_CASE(otherwise_is_taken_when_no_case_is_ready) {
  run_task([]() -> task<> {
    auto ch = make_channel<int>(1);
    std::vector<std::string> log;
    const auto look = [&]() -> task<std::size_t> {
      co_return co_await select(on(ch.receive(), [&] { log.push_back("received"); }),
                                otherwise([&] { log.push_back("nothing"); }));
    };
    BOOST_TEST((co_await look()) == 1u);
    ch.try_send(1);
    BOOST_TEST((co_await look()) == 0u);
    BOOST_TEST((co_await look()) == 1u);
    BOOST_TEST(log == std::vector<std::string>({"nothing", "received", "nothing"}), per_element());
    const auto alone = co_await select(otherwise([] {}));
    BOOST_TEST(alone == 0u);
  });
}

BOOST_AUTO_TEST_CASE(otherwise_may_stand_anywhere_and_be_a_coroutine) {
  run_in_virtual_time([]() -> task<> {
    auto ch = make_channel<int>();
    bool ran = false;
    const auto first = co_await select(otherwise([&]() -> task<> {
                                         co_await sluice::sleep_for(0s);
                                         ran = true;
                                       }),
                                       on(ch.receive(), [] {}));
    BOOST_TEST(first == 0u);
    BOOST_TEST(ran);
    const auto middle = co_await select(ch.receive(), otherwise([] {}), ch.send(1));
    BOOST_TEST(middle == 1u);
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(choice)

BOOST_AUTO_TEST_CASE(select_in_order_takes_the_first_ready_case_as_written) {
  run_task([]() -> task<> {
    auto quiet = make_channel<int>();
    std::vector<int> values(200, 1);
    auto a = holding(values);
    auto b = holding(values);
    for (int i = 0; i < 100; ++i) {
      auto r = co_await select_in_order(quiet.receive(), b.receive(), a.receive());
      BOOST_REQUIRE(r.index() == 1u);
    }
    const auto i = co_await select_in_order(on(quiet.send(1), [] {}), on(a.receive(), [] {}),
                                            on(b.receive(), [] {}), otherwise([] {}));
    BOOST_TEST(i == 1u);
    const auto none = co_await select_in_order(on(quiet.send(1), [] {}), otherwise([] {}));
    BOOST_TEST(none == 1u);
  });
}

BOOST_AUTO_TEST_CASE(select_takes_every_ready_case_in_the_long_run) {
  run_task([]() -> task<> {
    std::vector<int> values(400, 1);
    auto a = holding(values);
    auto b = holding(values);
    int first = 0;
    for (int i = 0; i < 400; ++i) {
      auto r = co_await select(a.receive(), b.receive());
      first += r.index() == 0;
    }
    BOOST_TEST(first > 100);  // 10 standard deviations
    BOOST_TEST(first < 300);
  });
}

BOOST_AUTO_TEST_SUITE_END()
