// Selects and timeouts that wait for a completion handler, without a goroutine behind them.
#include "helpers.hpp"

#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include "../goroutine/helpers.hpp"

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace sluice_test;

struct throws_when_moved {
  throws_when_moved() = default;
  throws_when_moved(throws_when_moved&&) noexcept(false) {}
};

/// A handler whose moves throw once `left` have been made.
class fragile {
 public:
  fragile(std::atomic<int>& alive, int& calls, int& left)
      : here_(witness(alive)), calls_(&calls), left_(&left) {}
  fragile(fragile&& other) : here_(moved(other)), calls_(other.calls_), left_(other.left_) {}
  fragile& operator=(fragile&&) = delete;

  template <class Result>
  void operator()(error_code, Result&&) {
    ++*calls_;
  }

 private:
  static witness moved(fragile& other) {
    if ((*other.left_)-- == 0) throw std::runtime_error("a move");
    return std::move(other.here_);
  }

  witness here_;
  int* calls_;
  int* left_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(selects_and_timeouts_with_a_handler)

BOOST_AUTO_TEST_CASE(have_no_goroutine_unless_a_handler_of_a_case_is_a_coroutine) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  const auto quiet = make_channel<std::string>(io);
  int calls = 0;
  const auto count = [&](auto&&...) { ++calls; };
  select(ch.receive(), quiet.receive())(count);
  select(on(ch.receive(), [] {}), on(quiet.receive(), [] {}))(count);
  std::vector<sluice::receive_operation<int>> range;
  range.push_back(ch.receive());
  range.push_back(ch.receive());
  select(std::move(range))(count);
  timeout(ch.receive(), 1h)(count);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
  select(on(ch.receive(), []() -> task<> { co_return; }))(count);
  BOOST_TEST(sluice::goroutine_count(io) == 1u);
  poll(io);
  for (int i = 0; i < 5; ++i) BOOST_TEST(try_send(ch, i));
  run(io);  // no timer is left
  BOOST_TEST(calls == 5);
}

BOOST_AUTO_TEST_CASE(call_the_handlers_of_cases_on_their_own_executor_and_before_it) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  const auto ready = make_channel<int>(io, 1);
  const auto later = make_channel<int>(io);
  ready.try_send(1);
  std::vector<bool> on_strand;
  std::vector<int> order;
  const auto start = [&](const auto& ch, int n) {
    select(on(ch.receive(), [&, n](std::optional<int>) {
      on_strand.push_back(strand.running_in_this_thread());
      order.push_back(n);
    }))(asio::bind_executor(strand, [&, n](std::exception_ptr, std::size_t) {
      on_strand.push_back(strand.running_in_this_thread());
      order.push_back(n + 1);
    }));
  };
  start(ready, 1);
  BOOST_TEST(order.empty());
  poll(io);
  start(later, 3);
  poll(io);
  BOOST_TEST(try_send(later, 1));
  BOOST_TEST(order.size() == 2u);
  run(io);
  BOOST_TEST(order == std::vector<int>({1, 2, 3, 4}), per_element());
  BOOST_TEST(on_strand == std::vector<bool>(4, true), per_element());
}

BOOST_AUTO_TEST_CASE(give_results_that_are_taken_apart_as_in_a_task) {
  asio::io_context io;
  const auto numbers = make_channel<int>(io, 1);
  const auto words = make_channel<std::string>(io, 1);
  std::string seen;
  const auto note = [&](error_code e, auto r) {
    BOOST_TEST(!e);
    if (r.index() == 0) seen += std::to_string(*get<0>(r));
    if (r.index() == 1) seen += *get<1>(std::move(r));
    if (r.index() == 1) return;
    seen += r.visit([](std::optional<int> n) { return std::to_string(*n + 1); },
                    [](const std::optional<std::string>& s) { return *s; });
  };
  numbers.try_send(1);
  select(numbers.receive(), words.receive())(note);
  run(io);
  words.try_send("word");
  select(numbers.receive(), words.receive())(note);
  run(io);
  BOOST_TEST(seen == "12word");
  sluice::select_result<> nothing;
  BOOST_TEST(nothing.index() == nothing.none);
}

BOOST_AUTO_TEST_CASE(that_are_timeouts_end_in_time_and_take_nothing) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  std::vector<error_code> told;
  const auto note = [&](error_code e, std::optional<int> v) {
    told.push_back(e);
    BOOST_TEST(!v);
  };
  asio::cancellation_signal signal;
  timeout(ch.receive(), 1us)(note);
  run(io);
  timeout(ch.receive(), 1h)(asio::bind_cancellation_slot(signal.slot(), note));
  poll(io);
  signal.emit(asio::cancellation_type::partial);
  run(io);
  BOOST_TEST(!signal.slot().has_handler());
  timeout(ch.receive(), 1h)(note);
  poll(io);
  ch.close();
  run(io);
  timeout(ch.receive(), 1h)(note);
  run(io);
  const error_code timed_out = asio::error::timed_out;
  BOOST_TEST(told == std::vector<error_code>({timed_out, aborted, {}, {}}), per_element());
  error_code of_send;
  timeout(ch.send(1), 1h)([&](error_code e) { of_send = e; });
  run(io);
  BOOST_TEST(of_send == closed);
}

// Also when a case of theirs has been claimed, but the handler not been called.
BOOST_AUTO_TEST_CASE(are_destroyed_with_their_context) {
  std::atomic<int> alive = 0;
  int calls = 0;
  const auto handler = [&] { return [&calls, here = witness(alive)](auto&&...) { ++calls; }; };
  const auto ch = make_channel<std::shared_ptr<int>>();
  const auto quiet = make_channel<int>();
  const auto sent = std::make_shared<int>(1);
  {
    asio::io_context io;
    const auto start = [&] {
      select(quiet.receive(), ch.receive(),
             sluice::sleep_for(1h))(asio::bind_executor(io, handler()));
      timeout(ch.receive(), 1h)(asio::bind_executor(io, handler()));
      select(on(ch.receive(), [&] { ++calls; }))(asio::bind_executor(io, handler()));
    };
    start();
    for (int i = 0; i < 3; ++i) BOOST_TEST(try_send(ch, sent));
    start();
  }
  BOOST_TEST(alive == 0);
  BOOST_TEST(calls == 0);
  BOOST_TEST(sent.use_count() == 1);
  BOOST_TEST(!try_send(ch, sent));
  BOOST_TEST(!try_send(quiet, 1));
}

// Senders, a timer and cancellation against each other, on several threads: each select completes
// once, and nothing that was sent is lost or there twice.
BOOST_AUTO_TEST_CASE(complete_once_whoever_is_first) {
  const auto n = rounds(2'000);
  asio::io_context io;
  const auto a = make_channel<int>(io);
  const auto b = make_channel<int>(io, 1);
  std::atomic<std::size_t> calls = 0;
  std::atomic<std::size_t> received = 0;
  std::atomic<std::size_t> sent = 0;
  struct round {
    explicit round(asio::io_context& context) : strand(asio::make_strand(context)) {}
    asio::strand<asio::io_context::executor_type> strand;
    asio::cancellation_signal signal;
  };
  std::vector<std::unique_ptr<round>> all;
  for (std::size_t i = 0; i < n; ++i) {
    all.push_back(std::make_unique<round>(io));
    round& r = *all.back();
    asio::post(r.strand, [&, i] {
      const auto told = [&](error_code e, auto result) {
        ++calls;
        if (e) return;
        if (result.index() == 0) received += get<0>(result).has_value();
        if (result.index() == 1) received += get<1>(result).has_value();
      };
      select(a.receive(), b.receive(), sluice::sleep_for(std::chrono::microseconds(i % 50)))(
          asio::bind_cancellation_slot(r.signal.slot(), asio::bind_executor(r.strand, told)));
      if (i % 3 == 0) asio::post(r.strand, [&] { r.signal.emit(asio::cancellation_type::total); });
    });
    asio::post(io, [&, i] { sent += try_send(i % 2 == 0 ? a : b, 1); });
  }
  run(io, 4);
  BOOST_TEST(calls == n);
  BOOST_TEST(received + b.size() == sent);
}

// A goroutine's frame goes before the handler that waits for it: then a case of its select goes
// before the select. The channel keeps what it holds: it is not given up once too often.
BOOST_AUTO_TEST_CASE(end_with_a_case_that_a_goroutine_destroyed_by_its_context_has_had) {
  const auto full = make_channel<std::shared_ptr<int>>(1);
  const auto quiet = make_channel<int>();
  const auto held = std::make_shared<int>(1);
  BOOST_TEST(try_send(full, held));
  for (int i = 0; i < 3; ++i) {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      auto send = full.send(held);
      co_await select(send, quiet.receive())(sluice::use_task);
    });
    sluice::go(io, [&]() -> task<> {
      auto send = full.send(held);
      co_await timeout(send, 1h)(sluice::use_task);
    });
    sluice::go(io, [&]() -> task<> {
      std::vector<sluice::send_operation<std::shared_ptr<int>>> sends;
      sends.push_back(full.send(held));
      sends.push_back(full.send(held));
      co_await select(sends)(sluice::use_task);
    });
    poll(io);
  }
  BOOST_TEST(held.use_count() == 2);
  BOOST_TEST(full.size() == 1u);
  error_code e;
  BOOST_TEST(full.try_receive(e).has_value());
  BOOST_TEST(try_send(full, held));
}

// Whatever is asked of them after they have ended.
BOOST_AUTO_TEST_CASE(are_not_touched_by_a_request_that_comes_between_their_end_and_the_call) {
  asio::io_context io;
  asio::cancellation_signal signal;
  std::vector<error_code> told;
  const auto bound = [&](auto handler) {
    return asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(io, std::move(handler)));
  };
  const auto note = [&](error_code e, auto&&...) { told.push_back(e); };
  const auto twice = [&] {
    signal.emit(asio::cancellation_type::all);
    signal.emit(asio::cancellation_type::all);
    run(io);
  };
  sluice::sleep_for(0s)(bound(note));
  twice();
  sluice::sleep_for(1h)(bound(note));
  twice();
  const auto ready = make_channel<std::string>(io, 1);
  const auto quiet = make_channel<std::string>(io);
  ready.try_send("a");
  select(quiet.receive(), ready.receive())(bound(note));
  twice();
  select(quiet.receive(), sluice::sleep_for(1h))(bound(note));
  twice();
  ready.try_send("b");
  timeout(ready.receive(), 1h)(bound(note));
  twice();
  BOOST_TEST(told == std::vector<error_code>({{}, aborted, {}, aborted, {}}), per_element());
  // One that has been taken stays that.
  std::vector<std::size_t> taken;
  const auto index = [&](std::exception_ptr e, std::size_t i) { taken.push_back(e ? 9 : i); };
  select(on(quiet.receive(), [] {}), on(ready.receive(), [] {}),
         sluice::otherwise([] {}))(bound(index));
  twice();
  select(on(quiet.receive(), [] {}), sluice::otherwise([] {}))(bound(index));
  twice();
  BOOST_TEST(taken == std::vector<std::size_t>({2, 1}), per_element());
}

// Its handler's executor names no context, and so outlives that of the timer.
BOOST_AUTO_TEST_CASE(need_no_timer_once_they_are_on_their_way) {
  asio::io_context other;
  int calls = 0;
  {
    asio::io_context io;
    const auto ch = make_channel<int>(io);
    const auto start = [&](auto&& operation) {
      std::move(operation)(asio::bind_executor(asio::any_completion_executor(other.get_executor()),
                                               [&](error_code e, auto&&) { calls += !e; }));
    };
    start(timeout(ch.receive(), 1h));
    start(select(sluice::sleep_for(1h), ch.receive()));
    poll(io);
    BOOST_TEST(try_send(ch, 1));
    BOOST_TEST(try_send(ch, 2));
    poll(io);
  }
  run(other);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(end_with_an_error_if_what_is_to_be_sent_has_gone) {
  asio::io_context io;
  const auto ch = make_channel<throws_when_moved>(io, 4);
  const auto quiet = make_channel<int>(io);
  auto send = ch.send(throws_when_moved());
  std::vector<bool> failed;
  const auto note = [&](error_code e, auto&&...) { failed.push_back(static_cast<bool>(e)); };
  const auto start = [&] {
    select(send, quiet.receive())(note);
    run(io);
  };
  start();
  start();
  timeout(send, 1h)(note);
  run(io);
  BOOST_TEST(failed == std::vector<bool>({false, true, true}), per_element());
}

// What cannot be moved cannot be called: nothing is left of it.
BOOST_AUTO_TEST_CASE(are_destroyed_when_their_handler_cannot_be_moved_to_the_call) {
  for (int moves = 0; moves < 12; ++moves) {
    asio::io_context io;
    std::atomic<int> alive = 0;
    int calls = 0;
    int left = 1'000;
    const auto ch = make_channel<int>(io);
    bool threw = false;
    const auto attempt = [&](auto f) {
      try {
        f();
      } catch (const std::runtime_error&) {
        threw = true;
      }
    };
    attempt([&] {
      fragile handler(alive, calls, left);
      left = moves;
      select(ch.receive(), sluice::sleep_for(1h))(std::move(handler));
    });
    if (!threw) {
      attempt([&] { try_send(ch, 1); });
      attempt([&] { io.run(); });
    }
    left = 1'000;
    io.restart();
    io.run();  // no work is left
    BOOST_TEST(alive == 0);
    BOOST_TEST((threw || calls == 1));
    if (!threw) return;
  }
  BOOST_TEST(false, "it has more moves than this");
}

BOOST_AUTO_TEST_CASE(may_destroy_the_operations_that_they_were_given) {
  asio::io_context io;
  auto ready = make_channel<int>(io, 1);
  auto quiet = make_channel<int>(io);
  ready.try_send(1);
  auto op = std::make_unique<sluice::send_operation<int>>(quiet.send(2));
  auto& operation = *op;
  std::size_t index = 9;
  select(operation, ready.receive())([&, op = std::move(op)](error_code, auto result) mutable {
    index = result.index();
    op.reset();
  });
  run(io);
  BOOST_TEST(index == 1u);
}

BOOST_AUTO_TEST_CASE(own_the_operations_of_a_parked_select_when_the_context_ends) {
  auto quiet = make_channel<int>();
  {
    asio::io_context io;
    auto op = std::make_unique<sluice::send_operation<int>>(quiet.send(2));
    auto& operation = *op;
    select(operation, quiet.receive())(asio::bind_executor(
        io.get_executor(), [op = std::move(op)](error_code, auto) { static_cast<void>(op); }));
    poll(io);
  }
  error_code e;
  BOOST_TEST(!quiet.try_receive(e));
  BOOST_TEST(e == would_block);
}

BOOST_AUTO_TEST_SUITE_END()
