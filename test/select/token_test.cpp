// Selects with Asio's completion tokens, and from ranges.
#include "../told_elsewhere.hpp"
#include "helpers.hpp"

#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using strings = std::vector<std::string>;

/// A handler of a select that notes the case, or the error.
auto note_in(strings& log) {
  return [&log](auto e, auto result) {
    std::string line;
    if constexpr (std::is_same_v<decltype(e), std::exception_ptr>)
      line = e ? text_of(e) + ", " : line;
    else
      line = e ? e.message() + ", " : line;
    if constexpr (std::is_same_v<decltype(result), std::size_t>)
      line += "case " + std::to_string(result);
    else if (result.index() == result.none)
      line += "none";
    else
      line += "case " + std::to_string(result.index());
    log.push_back(line);
  };
}

/// Refuses to be moved at some point.
struct stubborn {
  static constexpr int endless = 1'000'000;
  static inline int moves_left = endless;

  stubborn() = default;
  stubborn(stubborn&&) {
    if (moves_left-- == 0) throw std::runtime_error("not again");
  }
  stubborn& operator=(stubborn&&) = default;
};

/// The same for the result of an Asio operation, and what it throws is an error.
struct moody {
  static constexpr int endless = 1'000'000;
  static inline int moves_left = endless;
  static void count() {
    if (moves_left-- <= 0) throw sluice::system_error(asio::error::connection_refused);
  }
  moody() = default;
  moody(moody&&) { count(); }
  moody& operator=(moody&&) {
    count();
    return *this;
  }
};

template <class Token>
auto async_give_moody(asio::io_context& io, Token&& token) {
  return asio::async_initiate<Token, void(error_code, moody)>(
      [&io](auto handler) {
        asio::post(io, [h = std::move(handler)]() mutable { std::move(h)(error_code(), moody()); });
      },
      token);
}

/// Calls `round(n, with_timeout)` with later and later moves that throw, until it says of a select
/// and of a timeout that none has.
template <class Round>
void fail_each_move_in_turn(Round round) {
  bool all_moved = false;
  for (int n = 0; !all_moved; ++n) {
    BOOST_REQUIRE(n < 100);
    all_moved = true;
    for (const bool with_timeout : {false, true}) all_moved &= round(n, with_timeout);
  }
}

std::string aborted_and(const std::string& rest) {
  return aborted.message() + ", " + rest;
}

template <class T>
bool is_ready(const std::future<T>& f) {
  return f.wait_for(0s) == std::future_status::ready;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(callbacks)

BOOST_AUTO_TEST_CASE(get_the_result_or_the_index) {
  asio::io_context io;
  const auto a = make_channel<int>(io);
  const auto b = make_channel<int>(io);
  strings log;
  int got = 0;
  int handled = 0;
  select(a.receive(), b.receive())([&](error_code e, auto r) {
    BOOST_TEST(!e);
    BOOST_TEST(r.index() == 1u);
    got = r.template get<1>().value();
  });
  select(on(a.receive(), [&](std::optional<int> v) { handled = *v; }),
         on(b.receive(), [] {}))(note_in(log));
  poll(io);
  BOOST_TEST(try_send(b, 40));
  BOOST_TEST(try_send(a, 2));
  run(io);
  BOOST_TEST(got == 40);
  BOOST_TEST(handled == 2);
  BOOST_TEST(log == strings({"case 0"}), per_element());
}

BOOST_AUTO_TEST_CASE(get_the_index_of_otherwise_and_of_handlers_that_are_coroutines) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  strings log;
  select(on(ch.receive(), [] {}), otherwise([&] { log.push_back("nothing"); }))(note_in(log));
  poll(io);
  ch.try_send(1);
  select(on(ch.receive(), [&]() -> task<> {
    co_await sluice::sleep_for(1us);
    log.push_back("slept");
  }))(note_in(log));
  run(io);
  BOOST_TEST(log == strings({"nothing", "case 1", "slept", "case 0"}), per_element());
}

BOOST_AUTO_TEST_CASE(get_an_error_and_none) {
  asio::io_context io;
  const auto shut = make_channel<int>(io);
  shut.close();
  strings log;
  select(shut.send(1))(note_in(log));
  run(io);
  BOOST_TEST(log == strings({closed.message() + ", none"}), per_element());
}

BOOST_AUTO_TEST_CASE(get_an_error_for_a_value_that_could_not_be_moved) {
  asio::io_context io;
  const auto ch = make_channel<stubborn>(io, 1);
  ch.try_send(stubborn());
  const auto quiet = make_channel<int>();
  strings log;
  stubborn::moves_left = 0;
  select(quiet.receive(), ch.receive())(note_in(log));
  BOOST_CHECK_NO_THROW(run(io));
  stubborn::moves_left = stubborn::endless;
  const error_code move_failed = sluice::error::move_failed;
  BOOST_TEST(log == strings({move_failed.message() + ", none"}), per_element());
}

// Whatever throws, there is one call: select and timeout, handlers and operations.
BOOST_AUTO_TEST_CASE(get_the_exception_of_a_case_and_of_a_handler_of_a_case) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 2);
  ch.try_send(1);
  ch.try_send(2);
  const auto fail = [](auto&&...) { throw std::runtime_error("parse error"); };
  const auto fail_later = [](std::optional<int>) -> task<> {
    co_await sluice::sleep_for(1us);
    throw std::runtime_error("later");
  };
  const auto query = []() -> asio::awaitable<int> {
    throw std::runtime_error("db down");
    co_return 1;
  };
  strings log;
  select(on(ch.receive(), fail))(note_in(log));
  BOOST_CHECK_NO_THROW(run(io));
  select(on(ch.receive(), fail_later))(note_in(log));
  BOOST_CHECK_NO_THROW(run(io));
  select(ch.receive(), asio::co_spawn(io, query, asio::deferred))(note_in(log));
  BOOST_CHECK_NO_THROW(run(io));
  sluice::timeout(asio::co_spawn(io, query, asio::deferred), 1h)(
      [&](std::exception_ptr e, int n) { log.push_back(text_of(e) + ", " + std::to_string(n)); });
  BOOST_CHECK_NO_THROW(run(io));
  auto future = sluice::timeout(asio::co_spawn(io, query, asio::deferred), 1h)(asio::use_future);
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_CHECK_EXCEPTION(future.get(), std::runtime_error,
                        [](const auto& e) { return std::string(e.what()) == "db down"; });
  BOOST_TEST(
      log == strings({"parse error, case 0", "later, case 0", "db down, none", "db down, 0"}),
      per_element());
}

// Each move of the value throws in turn, from its way into the select to the call of the handler.
BOOST_AUTO_TEST_CASE(are_called_once_whichever_move_of_the_value_throws) {
  const error_code move_failed = sluice::error::move_failed;
  fail_each_move_in_turn([&](int n, bool with_timeout) {
    asio::io_context io;
    const auto ch = make_channel<stubborn>(io);
    const auto quiet = make_channel<int>(io);
    int calls = 0;
    error_code told;
    const auto handler = [&](error_code e, auto&&) {
      ++calls;
      told = e;
    };
    if (with_timeout)
      sluice::timeout(ch.receive(), 1h)(handler);
    else
      select(quiet.receive(), ch.receive())(handler);
    poll(io);
    stubborn value;
    stubborn::moves_left = n;
    bool sent = false;
    try {
      sent = try_send(ch, std::move(value));
    } catch (const std::runtime_error&) {
    }
    BOOST_CHECK_NO_THROW(poll(io));
    const bool moved = stubborn::moves_left > 0;
    stubborn::moves_left = stubborn::endless;
    if (calls == 0) {  // the value has stayed with its sender, and the receiver in its place
      BOOST_TEST(!sent);
      ch.try_send(stubborn());
      poll(io);
    }
    BOOST_TEST(calls == 1);
    BOOST_TEST((!told || told == move_failed));
    BOOST_TEST((!moved || !told));
    return moved;
  });
}

// What the move throws may be an error of its own. That is not what the operation said.
BOOST_AUTO_TEST_CASE(get_move_failed_whichever_move_of_an_asio_operations_result_throws) {
  const error_code move_failed = sluice::error::move_failed;
  int failed = 0;
  fail_each_move_in_turn([&](int n, bool with_timeout) {
    asio::io_context io;
    const auto quiet = make_channel<int>(io);
    error_code told;
    int calls = 0;
    const auto handler = [&](error_code e, auto&&) {
      ++calls;
      told = e;
    };
    if (with_timeout)
      sluice::timeout(async_give_moody(io, asio::deferred), 1h)(asio::bind_executor(io, handler));
    else
      select(quiet.receive(), async_give_moody(io, asio::deferred))(handler);
    moody::moves_left = n;
    BOOST_CHECK_NO_THROW(run(io));
    const bool moved = moody::moves_left > 0;
    moody::moves_left = moody::endless;
    BOOST_TEST(calls == 1);
    BOOST_TEST((!told || told == move_failed));
    failed += told == move_failed;
    return moved;
  });
  BOOST_TEST(failed > 2);
}

BOOST_AUTO_TEST_CASE(get_an_error_for_an_asio_operation_that_throws_as_it_is_launched) {
  const error_code refused = asio::error::connection_refused;
  const error_code failed = sluice::error::initiation_failed;
  const auto told_of = [](auto exception, bool with_timeout) {
    asio::io_context io;
    const auto quiet = make_channel<int>(io);
    auto throwing = asio::async_initiate<const asio::deferred_t&, void(error_code)>(
        [exception](auto&&) { throw exception; }, asio::deferred);
    error_code told;
    auto note = asio::bind_executor(io, [&](error_code e, auto&&...) { told = e; });
    if (with_timeout)
      sluice::timeout(std::move(throwing), 1h)(note);
    else
      select(quiet.receive(), std::move(throwing))(note);
    run(io);
    return told;
  };
  for (const bool with_timeout : {false, true}) {
    BOOST_TEST(told_of(std::logic_error("bad use"), with_timeout) == failed);
    BOOST_TEST(told_of(sluice::system_error(refused), with_timeout) == refused);
  }
}

// Nobody can send or receive then, but the select itself.
BOOST_AUTO_TEST_CASE(end_as_cancelled_when_no_channel_of_theirs_has_a_handle_left) {
  const error_code e = asio::error::operation_aborted;
  const std::string aborted = e.message() + ", none";
  const std::string thrown =
      sluice::system_error(e, "sluice: select").what() + std::string(", case 0");
  for (const bool waiting : {false, true}) {
    asio::io_context io;
    strings log;
    {
      auto a = make_channel<int>(io);
      auto b = make_channel<int>(io);
      const auto c = make_channel<int>();
      const auto nil = sluice::channel<int>();
      select(a.receive(), b.send(1), a.receive(), nil.receive())(note_in(log));
      select(on(c.receive(), [&] { log.push_back("handler"); }))(
          asio::bind_executor(io, note_in(log)));
      std::vector<sluice::receive_operation<int>> range;
      range.push_back(a.receive());
      range.push_back(a.receive());
      select(std::move(range))(note_in(log));
      if (waiting) {
        poll(io);
        a = {};
        poll(io);
        BOOST_TEST(log == strings({aborted}), per_element());
      }
    }
    run(io);
    std::ranges::sort(log);
    BOOST_TEST(log == strings({aborted, aborted, thrown}), per_element());
  }
}

BOOST_AUTO_TEST_CASE(wait_on_while_one_of_their_cases_may_happen) {
  asio::io_context io;
  strings log;
  const auto held = make_channel<int>(io);
  {
    const auto gone = make_channel<int>(io);
    select(gone.receive(), held.receive())(note_in(log));
    select(gone.receive(), sluice::sleep_for(1us))(note_in(log));
    const auto ticks = sluice::after(io, 1us);
    select(ticks.receive(), gone.receive())(note_in(log));
    poll(io);
  }
  poll(io);
  sluice::go(io, [&]() -> task<> { co_await held.send(1); });
  run(io);
  std::ranges::sort(log);
  BOOST_TEST(log == strings({"case 0", "case 1", "case 1"}), per_element());
}

BOOST_AUTO_TEST_CASE(keep_the_channels_of_their_select) {
  asio::io_context io;
  const auto quit = make_channel<int>(io, 1);
  strings log;
  {
    const auto mine = make_channel<int>(io);
    const auto other = make_channel<int>(io);
    select(mine.receive(), quit.receive())(note_in(log));
    select(on(other.send(1), [] {}), on(quit.receive(), [] {}))(note_in(log));
    std::vector<sluice::select_case> cases;
    cases.emplace_back(mine.receive());
    cases.emplace_back(on(quit.receive(), [] {}));
    select(std::move(cases))(note_in(log));
    std::vector<sluice::receive_operation<int>> range;
    range.push_back(mine.receive());
    range.push_back(quit.receive());
    select(std::move(range))(note_in(log));
    sluice::timeout(mine.receive(), 1ms)(
        [&](error_code e, std::optional<int>) { log.push_back(e ? "timeout" : "value"); });
    auto later = select(mine.receive(), quit.receive())(asio::deferred);
    quit.try_send(0);
    std::move(later)(note_in(log));
  }
  poll(io);
  for (int i = 0; i < 4; ++i) {
    quit.try_send(i);
    poll(io);
  }
  run(io);
  std::ranges::sort(log);
  BOOST_TEST(log == strings({"case 1", "case 1", "case 1", "case 1", "case 1", "timeout"}),
             per_element());
}

BOOST_AUTO_TEST_CASE(are_never_called_inside_the_initiating_function) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  bool inside = false;
  int calls = 0;
  const auto check = [&](auto&&...) {
    ++calls;
    BOOST_TEST(!inside);
  };
  asio::post(io, [&] {
    inside = true;
    select(ch.send(1))(check);
    select(on(ch.receive(), [] {}), otherwise([] {}))(check);
    ch.try_send(2);
    select(ch.receive())(check);
    inside = false;
  });
  run(io);
  BOOST_TEST(calls == 3);
}

BOOST_AUTO_TEST_CASE(run_on_their_associated_executor_which_has_work_meanwhile) {
  asio::io_context io;
  asio::io_context other;
  const auto strand = asio::make_strand(other);
  const auto ch = make_channel<int>(io);
  const auto quiet = make_channel<int>(io);
  int on_strand = 0;
  select(ch.receive(), quiet.receive())(asio::bind_executor(
      strand, [&](error_code, auto) { on_strand += strand.running_in_this_thread(); }));
  poll(other);
  BOOST_TEST(!other.stopped());
  BOOST_TEST(try_send(ch, 1));
  poll(io);
  BOOST_TEST(on_strand == 0);
  run(other);
  BOOST_TEST(on_strand == 1);
}

BOOST_AUTO_TEST_CASE(run_on_the_executor_of_the_first_channel_that_has_one) {
  asio::io_context io;
  const auto without = make_channel<int>();
  const auto with = make_channel<int>(io);
  strings log;
  select(without.receive(), sluice::sleep_for(1h), with.receive())(note_in(log));
  poll(io);
  without.try_send(1);
  run(io);
  BOOST_TEST(log == strings({"case 0"}), per_element());
  const error_code no_executor = sluice::error::no_executor;
  BOOST_TEST(told_without_executor(
                 [&](auto h) { select(without.receive(), without.send(1))(h); }) == no_executor);
  BOOST_TEST(told_without_executor([&](auto h) { select(on(without.receive(), [] {}))(h); }) ==
             no_executor);
  BOOST_TEST(told_without_executor([](auto h) { select()(h); }) == no_executor);
}

BOOST_AUTO_TEST_CASE(may_start_the_next_select) {
  asio::io_context io;
  const auto ch = make_channel<std::size_t>(io, 1);
  const auto n = rounds(10'000);
  struct loop {
    const channel<std::size_t>& ch;
    std::size_t n;
    std::size_t& sum;
    void next() {
      select(ch.receive())([copy = *this](error_code, auto r) mutable {
        const auto v = r.template get<0>();
        if (!v) return;
        copy.sum += *v;
        copy.next();
      });
    }
  };
  std::size_t sum = 0;
  loop{ch, n, sum}.next();
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) co_await ch.send(i);
    ch.close();
  });
  run(io, 2);
  BOOST_TEST(sum == n * (n - 1) / 2);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(other_tokens)

BOOST_AUTO_TEST_CASE(a_future_is_set_by_the_context_of_the_channel) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  ch.try_send(5);
  const auto here = std::this_thread::get_id();
  std::thread::id of_handler;
  auto f =
      select(on(ch.receive(), [&] { of_handler = std::this_thread::get_id(); }))(asio::use_future);
  BOOST_TEST(!is_ready(f));
  run(io);
  BOOST_REQUIRE(is_ready(f));
  BOOST_TEST(f.get() == 0u);
  BOOST_CHECK(of_handler == here);

  auto failing = select(ch.receive(), make_channel<int>().receive());
  ch.close();
  auto g = std::move(failing)(asio::use_future);
  auto h = select(ch.send(1))(asio::use_future);
  run(io);
  BOOST_TEST(!g.get().get<0>());
  BOOST_CHECK_EXCEPTION(h.get(), sluice::system_error, has_code(closed));
}

BOOST_AUTO_TEST_CASE(a_future_without_an_executor_is_an_error) {
  const auto ch = make_channel<int>(1);
  const error_code no_executor = sluice::error::no_executor;
  BOOST_CHECK_EXCEPTION(select(ch.send(1))(asio::use_future).get(), sluice::system_error,
                        has_code(no_executor));
  BOOST_TEST(ch.size() == 0u);
}

BOOST_AUTO_TEST_CASE(an_awaitable_and_a_stackful_coroutine_select) {
  asio::io_context io;
  const auto numbers = make_channel<std::unique_ptr<int>>();
  const auto quiet = make_channel<int>();
  strings log;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        auto r = co_await select(quiet.receive(), numbers.receive())(asio::use_awaitable);
        log.push_back("awaitable " + std::to_string(**r.get<1>()));
        const auto i =
            co_await select(on(quiet.receive(), [] {}), otherwise([] {}))(asio::use_awaitable);
        log.push_back("otherwise " + std::to_string(i));
      },
      asio::detached);
  poll(io);
  numbers.try_send(std::make_unique<int>(7));
  poll(io);
  asio::spawn(
      io,
      [&](const asio::yield_context& yield) {
        auto r = select(quiet.receive(), numbers.receive())(yield);
        log.push_back("stackful " + std::to_string(**r.get<1>()));
      },
      asio::detached);
  poll(io);
  numbers.try_send(std::make_unique<int>(8));
  run(io);
  BOOST_TEST(log == strings({"awaitable 7", "otherwise 1", "stackful 8"}), per_element());
}

BOOST_AUTO_TEST_CASE(a_deferred_select_begins_when_it_is_called) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  auto op = select(ch.receive())(asio::deferred);
  ch.try_send(6);
  poll(io);
  BOOST_TEST(ch.size() == 1u);
  int got = 0;
  std::move(op)([&](error_code, auto r) { got = r.template get<0>().value(); });
  run(io);
  BOOST_TEST(got == 6);
}

BOOST_AUTO_TEST_CASE(a_select_is_a_member_of_a_parallel_group) {
  asio::io_context io;
  const auto a = make_channel<int>(io);
  const auto b = make_channel<int>(io);
  strings log;
  asio::experimental::make_parallel_group(select(a.receive(), a.receive())(asio::deferred),
                                          select(b.receive(), b.send(1))(asio::deferred))
      .async_wait(asio::experimental::wait_for_one(), [&](auto order, error_code e, auto,
                                                          error_code f, auto) {
        log.push_back(std::to_string(order[0]) + (e ? " a failed" : "") + (f ? " b failed" : ""));
      });
  poll(io);
  BOOST_TEST(try_send(b, 1));
  run(io);
  BOOST_TEST(log == strings({"1 a failed"}), per_element());
  BOOST_TEST(!try_send(a, 1));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancellation_through_the_slot_of_the_token)

BOOST_AUTO_TEST_CASE(ends_the_select_with_none_whatever_the_type) {
  for (const types type : {types::terminal, types::partial, types::total}) {
    asio::io_context io;
    const auto ch = make_channel<int>(io);
    const auto shut = make_channel<int>(io);
    strings log;
    asio::cancellation_signal signal;
    select(ch.receive(), ch.send(1),
           shut.receive())(asio::bind_cancellation_slot(signal.slot(), note_in(log)));
    poll(io);
    signal.emit(type);
    BOOST_TEST(!try_send(ch, 1));
    run(io);
    BOOST_TEST(log == strings({aborted_and("none")}), per_element());
    signal.emit(types::terminal);  // the slot is free
    BOOST_TEST(!signal.slot().has_handler());
  }
}

BOOST_AUTO_TEST_CASE(ends_a_select_of_nothing) {
  asio::io_context io;
  strings log;
  asio::cancellation_signal first, second, third;
  const auto token = [&](auto& signal) {
    return asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, note_in(log)));
  };
  select()(token(first));
  select(std::vector<sluice::receive_operation<int>>())(token(second));
  select(std::vector<sluice::select_case>())(token(third));
  poll(io);
  BOOST_TEST(log.empty());
  for (auto* signal : {&first, &second, &third}) signal->emit(types::total);
  run(io);
  BOOST_TEST(log.size() == 3u);
  BOOST_TEST(log[0] == aborted_and("none"));
  BOOST_TEST(log[1] == aborted_and("none"));
}

BOOST_AUTO_TEST_CASE(comes_too_late_for_a_case_that_was_claimed) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  strings log;
  asio::cancellation_signal signal;
  select(ch.receive(), ch.receive())(asio::bind_cancellation_slot(signal.slot(), note_in(log)));
  poll(io);
  BOOST_TEST(try_send(ch, 1));
  signal.emit(types::terminal);
  run(io);
  BOOST_TEST(log.size() == 1u);
  BOOST_TEST(log[0].starts_with("case"));
}

BOOST_AUTO_TEST_CASE(cancels_asio_operations_among_the_cases) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  controlled_operation op(types::terminal);
  strings log;
  asio::cancellation_signal signal;
  select(ch.receive(),
         op.async_wait(asio::deferred))(asio::bind_cancellation_slot(signal.slot(), note_in(log)));
  poll(io);
  BOOST_TEST(op.is_pending());
  signal.emit(types::partial);
  run(io);
  BOOST_TEST(log == strings({aborted_and("none")}), per_element());
}

BOOST_AUTO_TEST_SUITE_END()
