// Selects and timeouts with Asio operations among their cases, and of ranges of cases of any kind,
// that wait for a completion handler: without a goroutine behind them.
#include "../counting_allocator.hpp"
#include "../goroutine/helpers.hpp"
#include "helpers.hpp"

#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/timeout.hpp>

#include <boost/asio/any_completion_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using stream = asio::local::stream_protocol::socket;

/// What a handler has been told: how often, the last error, and the index of the case.
struct told {
  int calls = 0;
  error_code e;
  std::size_t index = 99;

  [[nodiscard]] auto handler() {
    return [this](error_code error, auto result) {
      ++calls;
      e = error;
      index = result.index();
    };
  }
};

constexpr auto nothing = [](auto&&...) {};

/// A select of a receive and an operation of Asio's that can be cancelled.
struct select_with_slot {
  select_with_slot() {
    select(ch.receive(),
           op.async_wait(asio::deferred))(asio::bind_cancellation_slot(signal.slot(), t.handler()));
  }

  asio::io_context io;
  sluice::channel<int> ch = make_channel<int>(io);
  controlled_operation op;
  asio::cancellation_signal signal;
  told t;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(selects_and_timeouts_of_asio_operations_with_a_handler)

BOOST_AUTO_TEST_CASE(have_no_goroutine_unless_a_handler_of_a_case_is_a_coroutine) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  controlled_operation first, second, third, fourth;
  int calls = 0;
  const auto count = [&](auto&&...) { ++calls; };
  select(ch.receive(), first.async_wait(asio::deferred))(count);
  select(on(second.async_wait(asio::deferred), nothing, sluice::drop_lost),
         on(ch.receive(), [] {}))(count);
  std::vector<select_case> cases;
  cases.emplace_back(on(ch.receive(), [] {}));
  cases.emplace_back(on(third.async_wait(asio::deferred), nothing, sluice::drop_lost));
  select(std::move(cases))(count);
  std::vector<select_case> channels;
  channels.emplace_back(on(ch.receive(), [] {}));
  channels.emplace_back(ch.receive());
  select(std::move(channels))(count);
  timeout(fourth.async_wait(asio::deferred), 1h)(asio::bind_executor(io, count));
  poll(io);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
  std::vector<select_case> with_coroutine;
  with_coroutine.emplace_back(on(ch.receive(), [] {}));
  with_coroutine.emplace_back(on(ch.receive(), [&]() -> task<> { co_return; }));
  select(std::move(with_coroutine))(count);
  BOOST_TEST(sluice::goroutine_count(io) == 1u);
  poll(io);
  for (auto* op : {&first, &second, &third, &fourth}) {
    BOOST_TEST(op->launches == 1);
    op->complete({}, 1);
  }
  poll(io);
  BOOST_TEST(calls == 4);
  BOOST_TEST(try_send(ch, 1));
  BOOST_TEST(try_send(ch, 2));
  run(io);
  BOOST_TEST(calls == 6);
  BOOST_TEST(!try_send(ch, 3));
}

BOOST_AUTO_TEST_CASE(launch_no_asio_operation_beside_a_ready_case_but_now_and_then) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  controlled_operation op(types::all);
  const int n = 2'000;
  int from_channel = 0;
  for (int i = 0; i < n; ++i) {
    ch.try_send(1);
    select(ch.receive(), op.async_wait(asio::deferred))(
        [&](error_code, auto r) { from_channel += r.index() == 0; });
    BOOST_TEST(from_channel == i);
    run(io);
  }
  BOOST_TEST(from_channel == n);
  BOOST_TEST(op.launches > 0);
  BOOST_TEST(op.launches < n / 8);
}

BOOST_AUTO_TEST_CASE(end_with_the_asio_operation_that_is_first_and_take_nothing_else) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  controlled_operation op;
  std::vector<int> values;
  select(ch.receive(), op.async_wait(asio::deferred))(
      [&](error_code, auto r) { values.push_back(r.template get<1>()); });
  poll(io);
  op.complete({}, 7);
  poll(io);
  BOOST_TEST(!try_send(ch, 1));
  run(io);
  BOOST_TEST(values == std::vector<int>({7}), per_element());
}

// The loser has been awaited when the handler is called: it ignores cancellation for a while.
BOOST_AUTO_TEST_CASE(cancel_the_asio_operation_that_is_second_and_await_it_before_the_call) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  controlled_operation op;
  told t;
  std::optional<std::tuple<error_code, int>> lost;
  select(ch.receive(), op.async_wait(asio::deferred))([&](error_code e, auto r) {
    lost = r.template lost<1>();
    t.handler()(e, std::move(r));
  });
  poll(io);
  BOOST_TEST(try_send(ch, 1));
  poll(io);
  BOOST_TEST(op.was_cancelled(types::all));
  BOOST_TEST(t.calls == 0);
  op.complete({}, 5);
  run(io);
  BOOST_TEST(t.calls == 1);
  BOOST_TEST(t.index == 0u);
  BOOST_TEST((lost == std::tuple(error_code(), 5)));
}

BOOST_AUTO_TEST_CASE(leave_the_buffers_of_a_read_that_has_lost_alone) {
  asio::io_context io;
  stream here(io), there(io);
  asio::local::connect_pair(here, there);
  const auto ch = make_channel<int>(io);
  told t;
  {
    const auto buffer = std::make_unique<std::array<char, 4>>();
    select(here.async_read_some(asio::buffer(*buffer), asio::deferred), ch.receive())(t.handler());
    poll(io);
    BOOST_TEST(try_send(ch, 1));
    poll(io);
    BOOST_TEST(t.calls == 1);
  }
  asio::write(there, asio::buffer("abc", 3));
  run(io);
  std::array<char, 4> buffer{};
  std::size_t n = 0;
  select(here.async_read_some(asio::buffer(buffer), asio::deferred),
         ch.receive())([&](error_code, auto r) { n = r.template get<0>(); });
  run(io);
  BOOST_TEST(n == 3u);
  BOOST_TEST(t.index == 1u);
}

BOOST_AUTO_TEST_CASE(are_ended_by_their_slot_whatever_the_type) {
  for (const types type : {types::terminal, types::partial, types::total}) {
    asio::io_context io;
    const auto ch = make_channel<int>(io);
    controlled_operation first(types::terminal), second(types::terminal), third(types::terminal);
    asio::cancellation_signal one, two, three;
    told of_select, of_timeout;
    std::string of_range;
    select(ch.receive(), first.async_wait(asio::deferred))(
        asio::bind_cancellation_slot(one.slot(), of_select.handler()));
    timeout(second.async_wait(asio::deferred), 1h)(
        asio::bind_cancellation_slot(two.slot(), asio::bind_executor(io, [&](error_code e, int n) {
                                       ++of_timeout.calls;
                                       of_timeout.e = e;
                                       BOOST_TEST(n == -1);
                                     })));
    std::vector<select_case> cases;
    cases.emplace_back(on(third.async_wait(asio::deferred), nothing, sluice::drop_lost));
    cases.emplace_back(on(ch.receive(), [] {}));
    select(std::move(cases))(asio::bind_cancellation_slot(
        three.slot(), [&](std::exception_ptr e, std::size_t) { of_range = text_of(e); }));
    poll(io);
    for (int twice = 0; twice < 2; ++twice)
      for (auto* signal : {&one, &two, &three}) signal->emit(type);
    run(io);
    BOOST_TEST(of_select.calls == 1);
    BOOST_TEST(of_select.e == aborted);
    BOOST_TEST(of_select.index == sluice::select_result<>::none);
    BOOST_TEST(of_timeout.calls == 1);
    BOOST_TEST(of_timeout.e == aborted);
    BOOST_TEST(of_range == sluice::system_error(aborted, "sluice: select").what());
    for (auto* signal : {&one, &two, &three}) BOOST_TEST(!signal->slot().has_handler());
    BOOST_TEST(!try_send(ch, 1));
  }
}

// As Asio's own are. What they use may go then, as long as nothing else cancels them.
BOOST_AUTO_TEST_CASE(launch_inside_the_call) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  told of_select;
  error_code of_timeout;
  std::size_t of_range = 99;
  {
    asio::steady_timer timer(io, 1h);
    select(ch.receive(), timer.async_wait(asio::deferred))(of_select.handler());
    timeout(timer.async_wait(asio::deferred),
            1h)(asio::bind_executor(io, [&](error_code e) { of_timeout = e; }));
    std::vector<select_case> cases;
    cases.emplace_back(on(timer.async_wait(asio::deferred), nothing));
    cases.emplace_back(on(ch.receive(), [] {}));
    select(std::move(cases))([&](std::exception_ptr, std::size_t i) { of_range = i; });
    BOOST_TEST(timer.expires_after(1h) == 3u);
  }
  BOOST_TEST(of_select.calls == 0);
  run(io);
  BOOST_TEST(of_select.calls == 1);
  BOOST_TEST(of_select.e == aborted);
  BOOST_TEST(of_timeout == aborted);
  BOOST_TEST(of_range == 0u);
  BOOST_TEST(!try_send(ch, 1));
}

// The goroutine that starts it does not suspend: nothing waits for the end of its step.
BOOST_AUTO_TEST_CASE(complete_while_the_goroutine_that_has_started_them_computes) {
  running_context running(2);
  bool in_time = false;
  sluice::go(running.io, [&]() -> sluice::task<> {
    stream a(running.io), b(running.io);
    asio::local::connect_pair(a, b);
    const char byte = 'x';
    auto sent =
        timeout(a.async_write_some(asio::buffer(&byte, 1), asio::deferred), 1h)(asio::use_future);
    in_time = sent.wait_for(30s) == std::future_status::ready;
    co_return;
  });
  running.join();
  BOOST_TEST(in_time);
}

BOOST_AUTO_TEST_CASE(may_end_with_their_context_inside_the_launch) {
  auto io = std::make_shared<asio::io_context>();
  const auto ex = io->get_executor();
  bool called = false;
  auto op = asio::async_initiate<const asio::deferred_t&, void(error_code)>(
      [](auto&&, const std::shared_ptr<asio::io_context>&) {}, asio::deferred, std::move(io));
  timeout(std::move(op), 1h)(asio::bind_executor(ex, [&](error_code) { called = true; }));
  BOOST_TEST(!called);
}

// The context may end as soon as the handler has been called, before the call returns.
BOOST_AUTO_TEST_CASE(may_be_the_last_of_their_context) {
  for (std::size_t i = 0; i < rounds(500); ++i) {
    std::optional<asio::io_context> io(std::in_place);
    std::optional guard(asio::make_work_guard(*io));
    const auto ex = io->get_executor();
    std::jthread runner([&] {
      io->run();
      io.reset();
    });
    auto op = asio::async_initiate<const asio::deferred_t&, void(error_code)>(
        [](auto handler) {
          const auto where = asio::get_associated_executor(handler);
          asio::post(where, [h = std::move(handler)]() mutable { std::move(h)(error_code()); });
        },
        asio::deferred);
    bool called = false;
    timeout(std::move(op), 1h)(asio::bind_executor(ex, [&](error_code) {
      called = true;
      guard.reset();
    }));
    runner.join();
    BOOST_TEST(called);
  }
}

// A request may come once only.
BOOST_AUTO_TEST_CASE(cancel_each_loser_once) {
  for (int i = 0; i < 200; ++i) {
    asio::io_context io;
    const auto ch = make_channel<int>(io);
    int requests = 0;
    std::function<void()> complete;
    const auto loser = [&](auto handler) {
      auto slot = asio::get_associated_cancellation_slot(handler);
      slot.assign([&](types) { ++requests; });
      const auto waiting = std::make_shared<decltype(handler)>(std::move(handler));
      complete = [waiting] { std::move (*waiting)(asio::error::operation_aborted); };
    };
    asio::steady_timer winner(io, 0s);
    told t;
    select(ch.receive(), winner.async_wait(asio::deferred),
           asio::async_initiate<const asio::deferred_t&, void(error_code)>(loser, asio::deferred))(
        t.handler());
    while (requests == 0) io.run_one();
    io.poll();
    BOOST_TEST(requests == 1);
    asio::post(io, complete);
    complete = nullptr;
    io.restart();
    run(io);
    BOOST_TEST(t.calls == 1);
    BOOST_TEST(t.index == 1u);
  }
}

// Also of a thread that does not run their context, beside one that does.
BOOST_AUTO_TEST_CASE(may_be_started_on_any_thread_while_others_complete) {
  running_context running(2);
  const std::size_t n = rounds(2'000);
  std::atomic<std::size_t> calls{0};
  const auto ch = make_channel<int>(running.io);
  std::vector<std::jthread> threads;
  for (int who = 0; who < 2; ++who)
    threads.emplace_back([&, who] {
      for (std::size_t i = 0; i < n; ++i) {
        const auto after = std::chrono::microseconds(i % 7),
                   limit = std::chrono::microseconds(i % 5);
        const auto timer = std::make_shared<asio::steady_timer>(running.io, after);
        if (who == 0)
          select(ch.receive(), timer->async_wait(asio::deferred))(
              [&, timer](error_code, const auto&) { ++calls; });
        else
          timeout(timer->async_wait(asio::deferred),
                  limit)(asio::bind_executor(running.io, [&, timer](error_code) { ++calls; }));
        if (i % 3 == 0) try_send(ch, 1);
      }
    });
  threads.clear();
  running.join();
  BOOST_TEST(calls == 2 * n);
}

// It has succeeded although it was to be cancelled.
BOOST_AUTO_TEST_CASE(keep_what_an_asio_operation_has_done_that_comes_after_a_request) {
  select_with_slot s;
  poll(s.io);
  s.signal.emit(types::total);
  poll(s.io);
  BOOST_TEST(s.t.calls == 0);
  s.op.complete({}, 1);
  run(s.io);
  BOOST_TEST(!s.t.e);
  BOOST_TEST(s.t.index == 1u);
}

BOOST_AUTO_TEST_CASE(that_are_timeouts_tell_their_limit_and_what_came_beside_it) {
  asio::io_context io;
  controlled_operation slow(types::terminal), done(types::terminal), never;
  std::vector<std::pair<error_code, int>> log;
  auto note = asio::bind_executor(io, [&](error_code e, int n) { log.emplace_back(e, n); });
  timeout(slow.async_wait(asio::deferred), 1us)(note);
  run(io);
  timeout(done.async_wait(asio::deferred), 1h)(note);
  poll(io);
  done.complete({}, 3);
  run(io);  // no timer is left
  timeout(never.async_wait(asio::deferred), 0s)(note);
  run(io);
  const error_code timed_out = asio::error::timed_out;
  const decltype(log) expected = {{timed_out, -1}, {error_code(), 3}, {timed_out, 0}};
  BOOST_TEST((log == expected));
  BOOST_TEST(never.launches == 0);
}

BOOST_AUTO_TEST_CASE(give_the_exceptions_of_handlers_of_cases_to_the_completion) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  std::vector<std::string> log;
  const auto note = [&](std::exception_ptr e, std::size_t i) {
    log.push_back(text_of(e) + " " + std::to_string(i));
  };
  const auto fail = [](auto&&...) { throw std::runtime_error("no"); };
  controlled_operation op(types::all);
  select(on(op.async_wait(asio::deferred), fail, sluice::drop_lost), on(ch.receive(), [] {}))(note);
  poll(io);
  op.complete({}, 1);
  run(io);
  std::vector<select_case> cases;
  cases.emplace_back(on(ch.receive(), fail));
  cases.emplace_back(on(
      op.async_wait(asio::deferred), [] {},
      [&](error_code e, int) { log.push_back(e == aborted ? "lost" : "?"); }));
  select(std::move(cases))(note);
  poll(io);
  ch.try_send(1);
  run(io);
  std::vector<select_case> wrong;
  wrong.emplace_back(on(op.async_wait(asio::deferred), nothing, sluice::drop_lost));
  wrong.emplace_back(otherwise([] {}));
  select(std::move(wrong))(asio::bind_executor(
      io, [&](std::exception_ptr e, std::size_t) { log.push_back(text_of(e).substr(0, 14)); }));
  run(io);
  BOOST_TEST(log == std::vector<std::string>({"no 0", "lost", "no 0", "sluice::select"}),
             per_element());
}

BOOST_AUTO_TEST_CASE(call_everything_on_the_executor_of_their_handler_in_memory_of_its_allocator) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  const auto ch = make_channel<int>();
  controlled_operation op(types::all);
  memory_account memory;
  int on_strand = 0;
  long held = -1;
  const auto here = [&] { on_strand += strand.running_in_this_thread(); };
  for (const bool in_range : {false, true}) {
    const auto handler = [&] {
      const auto note = [&](std::exception_ptr, std::size_t) {
        here();
        held = memory.bytes;
      };
      return asio::bind_allocator(counting_allocator<int>(memory),
                                  asio::bind_executor(strand, note));
    };
    const auto lost = [&](error_code, int) { here(); };
    if (in_range) {
      std::vector<select_case> cases;
      cases.emplace_back(on(ch.receive(), here));
      cases.emplace_back(on(op.async_wait(asio::deferred), nothing, lost));
      select(std::move(cases))(handler());
    } else {
      select(on(ch.receive(), here), on(op.async_wait(asio::deferred), nothing, lost))(handler());
    }
    BOOST_TEST(memory.allocations == 1u);
    poll(io);
    BOOST_TEST(try_send(ch, 1));
    run(io);
    BOOST_TEST(held == 0);
    BOOST_TEST(on_strand == 3);
    on_strand = 0;
    memory.reset();
  }
}

BOOST_AUTO_TEST_CASE(set_futures_and_run_on_executors_without_a_context) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  controlled_operation op(types::all), other(types::all);
  auto future = select(ch.receive(), op.async_wait(asio::deferred))(asio::use_future);
  told t;
  select(ch.receive(), other.async_wait(asio::deferred))(
      asio::bind_executor(asio::any_completion_executor(io.get_executor()), t.handler()));
  poll(io);
  op.complete({}, 4);
  poll(io);
  BOOST_TEST(try_send(ch, 1));
  run(io);
  BOOST_REQUIRE((future.wait_for(0s) == std::future_status::ready));
  BOOST_TEST(future.get().get<1>() == 4);
  BOOST_TEST(t.calls == 1);
  BOOST_TEST(t.index == 0u);
}

// As a composed operation of Asio's.
BOOST_AUTO_TEST_CASE(are_destroyed_when_an_asio_operation_destroys_its_handler_uncalled) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  std::atomic<int> alive = 0;
  int calls = 0;
  controlled_operation op;
  asio::cancellation_signal signal;
  select(ch.receive(), op.async_wait(asio::deferred))(asio::bind_cancellation_slot(
      signal.slot(), [&calls, here = witness(alive)](auto&&...) { ++calls; }));
  poll(io);
  asio::post(io, [&] { op.drop(); });
  run(io);
  BOOST_TEST(alive == 0);
  BOOST_TEST(calls == 0);
  BOOST_TEST(!signal.slot().has_handler());
  BOOST_TEST(!try_send(ch, 1));
}

// Before the launch, while they wait, and between the claim and the call.
BOOST_AUTO_TEST_CASE(are_destroyed_uncalled_with_their_context) {
  std::atomic<int> alive = 0;
  int calls = 0;
  const auto ch = make_channel<std::shared_ptr<int>>();
  const auto sent = std::make_shared<int>(1);
  for (int polled = 0; polled < 3; ++polled) {
    {
      asio::io_context io;
      asio::steady_timer timer(io, 1h);
      stream here(io), there(io);
      asio::local::connect_pair(here, there);
      std::array<char, 4> buffer{};
      const auto handler = [&] {
        return asio::bind_executor(io, [&calls, w = witness(alive)](auto&&...) { ++calls; });
      };
      select(ch.receive(), timer.async_wait(asio::deferred))(handler());
      std::vector<select_case> cases;
      cases.emplace_back(on(ch.receive(), [] {}));
      cases.emplace_back(timer.async_wait(asio::deferred));
      select(std::move(cases))(handler());
      timeout(here.async_read_some(asio::buffer(buffer), asio::deferred), 1h)(handler());
      if (polled > 0) poll(io);
      if (polled > 1) {
        BOOST_TEST(try_send(ch, sent));
        BOOST_TEST(try_send(ch, sent));
      }
      BOOST_TEST(alive == 3);
    }
    BOOST_TEST(alive == 0);
    BOOST_TEST(calls == 0);
    BOOST_TEST(sent.use_count() == 1);
    BOOST_TEST(!try_send(ch, sent));
  }
}

BOOST_AUTO_TEST_CASE(end_with_their_context_while_another_thread_sends) {
  std::atomic<int> alive = 0;
  const auto ch = make_channel<std::shared_ptr<int>>();
  std::atomic<bool> over = false;
  const auto value = std::make_shared<int>(1);
  std::thread sender([&] {
    while (!over) static_cast<void>(try_send(ch, value));
  });
  for (std::size_t i = 0; i < rounds(500); ++i) {
    asio::io_context io;
    asio::steady_timer timer(io, 1h);
    for (int k = 0; k < 3; ++k)
      select(ch.receive(), timer.async_wait(asio::deferred))(
          asio::bind_executor(io, [w = witness(alive)](auto&&...) {}));
    timeout(ch.receive(), 1h)(asio::bind_executor(io, [w = witness(alive)](auto&&...) {}));
    if (i % 2 == 0) io.run_one();
  }
  over = true;
  sender.join();
  BOOST_TEST(alive == 0);
  BOOST_TEST(value.use_count() == 1);
}

// A sender, a timer of Asio's and cancellation against each other on several threads: each
// completes once, and nothing that was sent is lost or there twice.
BOOST_AUTO_TEST_CASE(complete_once_whoever_is_first) {
  const auto n = rounds(2'000);
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  std::atomic<std::size_t> calls = 0, received = 0, sent = 0;
  struct round {
    explicit round(asio::io_context& context) : strand(asio::make_strand(context)), timer(strand) {}
    asio::strand<asio::io_context::executor_type> strand;
    asio::steady_timer timer;
    asio::cancellation_signal signal;
  };
  std::vector<std::unique_ptr<round>> all;
  for (std::size_t i = 0; i < n; ++i) {
    all.push_back(std::make_unique<round>(io));
    round& r = *all.back();
    asio::post(r.strand, [&, i] {
      r.timer.expires_after(std::chrono::microseconds(i % 50));
      const auto bound = [&](auto handler) {
        return asio::bind_cancellation_slot(r.signal.slot(),
                                            asio::bind_executor(r.strand, handler));
      };
      if (i % 2 == 0) {
        select(ch.receive(),
               r.timer.async_wait(asio::deferred))(bound([&](error_code e, auto result) {
          ++calls;
          if (!e && result.index() == 0) received += result.template get<0>().has_value();
        }));
      } else {
        std::vector<select_case> cases;
        cases.emplace_back(
            on(ch.receive(), [&](std::optional<int> v) { received += v.has_value(); }));
        cases.emplace_back(on(r.timer.async_wait(asio::deferred), [](error_code) {}));
        select(std::move(cases))(bound([&](std::exception_ptr, std::size_t) { ++calls; }));
      }
      if (i % 3 == 0) asio::post(r.strand, [&] { r.signal.emit(types::total); });
    });
    asio::post(io, [&] { sent += try_send(ch, 1); });
  }
  run(io, 4);
  BOOST_TEST(calls == n);
  BOOST_TEST(received == sent);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
