#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

// A channel of one context, handlers of another, and who of them ends first.

namespace {

using namespace sluice_test;

struct outcome {
  int calls = 0;
  error_code error;
  std::optional<int> value;

  auto handler() {
    return [this](error_code e, std::optional<int> v) {
      ++calls;
      error = e;
      value = v;
    };
  }
};

using io_ptr = std::unique_ptr<asio::io_context>;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_handler_of_another_context)

BOOST_AUTO_TEST_CASE(gets_its_value_when_the_channels_context_has_ended) {
  asio::io_context own;
  auto channels = std::make_unique<asio::io_context>();
  for (const bool on_strand : {false, true}) {
    if (!channels) channels = std::make_unique<asio::io_context>();
    auto ch = on_strand ? sluice::make_channel<int>(asio::make_strand(*channels))
                        : sluice::make_channel<int>(*channels);
    outcome got;
    ch.async_receive(asio::bind_executor(own, got.handler()));
    channels.reset();
    error_code e;
    BOOST_TEST(ch.try_send(7, e));
    own.restart();
    own.run();
    BOOST_TEST(got.calls == 1);
    BOOST_TEST(got.value.value() == 7);
  }
}

BOOST_AUTO_TEST_CASE(is_destroyed_by_its_own_context_after_the_channels) {
  sluice::channel<int> ch;
  outcome got;
  auto alive = std::make_shared<int>();
  {
    asio::io_context own;
    {
      asio::io_context channels;
      ch = sluice::make_channel<int>(channels);
      ch.async_receive(asio::bind_executor(
          own, [alive, h = got.handler()](error_code e, std::optional<int> v) { h(e, v); }));
    }
    BOOST_TEST(alive.use_count() == 2);
  }
  BOOST_TEST(alive.use_count() == 1);
  BOOST_TEST(got.calls == 0);
}

BOOST_AUTO_TEST_CASE(may_destroy_the_channels_context) {
  asio::io_context own;
  for (const bool parked : {false, true}) {
    auto channels = std::make_unique<asio::io_context>();
    auto ch = sluice::make_channel<int>(*channels, 1);
    int got = 0;
    error_code e;
    if (!parked) BOOST_TEST(ch.try_send(1, e));
    ch.async_receive(asio::bind_executor(own, [&](error_code, std::optional<int> v) {
      channels.reset();
      got = *v;
    }));
    if (parked) BOOST_TEST(ch.try_send(1, e));
    own.restart();
    own.run();
    BOOST_TEST(got == 1);
  }
}

BOOST_AUTO_TEST_CASE(may_own_the_channels_context) {
  asio::io_context own;
  auto channels = std::make_unique<asio::io_context>();
  auto ch = sluice::make_channel<int>(*channels, 1);
  error_code e;
  BOOST_TEST(ch.try_send(1, e));
  int got = 0;
  ch.async_receive(asio::bind_executor(
      own, [&, a = std::move(channels)](error_code, std::optional<int> v) { got = *v; }));
  own.run();
  BOOST_TEST(got == 1);
}

BOOST_AUTO_TEST_CASE(holds_work_of_both_contexts_until_it_is_called) {
  asio::io_context own, channels;
  auto ch = sluice::make_channel<int>(channels);
  outcome got;
  ch.async_receive(asio::bind_executor(own, got.handler()));
  channels.poll();
  BOOST_TEST(!channels.stopped());
  error_code e;
  BOOST_TEST(ch.try_send(1, e));
  own.run();
  BOOST_TEST(got.calls == 1);
  channels.poll();
  BOOST_TEST(channels.stopped());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_channel_whose_context_has_ended)

BOOST_AUTO_TEST_CASE(has_no_executor_and_serves_those_who_have_one) {
  asio::io_context other;
  for (const bool on_strand : {false, true}) {
    sluice::channel<int> ch;
    {
      asio::io_context io;
      ch = on_strand ? sluice::make_channel<int>(asio::make_strand(io), 1)
                     : sluice::make_channel<int>(io, 1);
      BOOST_TEST((ch.get_executor() == ch.get_executor()));
    }
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(ch.get_executor()), sluice::system_error,
        [](const sluice::system_error& x) { return x.code() == sluice::error::no_executor; });

    auto future = ch.async_receive(asio::use_future);
    error_code e;
    BOOST_TEST(ch.try_send(1, e));
    BOOST_TEST(future.get().value() == 1);

    outcome got;
    ch.async_receive(asio::bind_executor(other, got.handler()));
    BOOST_TEST(ch.try_send(2, e));
    other.restart();
    other.run();
    BOOST_TEST(got.value.value() == 2);
  }
}

BOOST_AUTO_TEST_CASE(has_no_executor_for_what_was_deferred_before) {
  const sluice_test::watchdog dog;
  for (const bool on_strand : {false, true}) {
    auto io = std::make_unique<asio::io_context>();
    auto ch = on_strand ? sluice::make_channel<int>(asio::make_strand(*io), 1)
                        : sluice::make_channel<int>(*io, 1);
    auto receive = ch.async_receive(asio::deferred);
    auto send = ch.async_send(1, asio::deferred);
    auto select = sluice::select(ch.receive(), ch.receive())(asio::deferred);
    auto limited = sluice::timeout(ch.receive(), 1h)(asio::deferred);
    io.reset();
    // They are told so on the system executor.
    std::atomic<int> told = 0;
    const auto note = [&](const error_code& e, auto&&...) {
      if (e == sluice::error::no_executor) ++told;
    };
    std::move(receive)(note);
    std::move(send)(note);
    std::move(select)(note);
    std::move(limited)(note);
    while (told != 4) std::this_thread::yield();
  }
}

// What has no executor of its own takes that of the goroutine around it, which may have ended too.
BOOST_AUTO_TEST_CASE(has_no_executor_for_what_its_goroutines_deferred) {
  const sluice_test::watchdog dog;
  for (const bool on_strand : {false, true}) {
    auto io = std::make_unique<asio::io_context>();
    std::atomic<int> told = 0;
    const auto note = [&](const error_code& e, auto&&...) {
      if (e == sluice::error::no_executor) ++told;
    };
    std::vector<std::function<void()>> launches;
    const auto keep = [&](auto&& operation) {
      auto kept = std::make_shared<std::decay_t<decltype(operation)>>(std::move(operation));
      launches.emplace_back([kept, note] { std::move (*kept)(note); });
    };
    const auto defer = [&]() -> task<> {
      keep(sluice::sleep_for(1h)(asio::deferred));
      keep(sluice::channel<int>().async_receive(asio::deferred));
      keep(sluice::timeout(sluice::sleep_for(1h), 2h)(asio::deferred));
      co_return;
    };
    if (on_strand)
      sluice::go(asio::make_strand(*io), defer);
    else
      sluice::go(*io, defer);
    io->run();
    io.reset();
    for (const auto& launch : launches) launch();
    while (told != 3) std::this_thread::yield();
  }
}

BOOST_AUTO_TEST_CASE(is_passed_over_by_a_function_of_a_go_context) {
  auto parent = sluice::with_cancel(sluice::context::background());
  auto alive = std::make_shared<int>();
  {
    asio::io_context io;
    sluice::after_func(io, parent.ctx, [alive] { BOOST_ERROR("its context has ended"); });
    sluice::after_func(asio::make_strand(io), parent.ctx,
                       [alive] { BOOST_ERROR("its context has ended"); });
    io.run();
  }
  parent.cancel();
  BOOST_TEST(alive.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(an_operation_on_a_channel_without_handles)

BOOST_AUTO_TEST_CASE(completes_as_cancelled_when_the_last_handle_goes) {
  asio::io_context io;
  outcome received;
  error_code sent;
  int sends = 0;
  {
    auto ch = sluice::make_channel<int>(io);
    auto other = sluice::make_channel<int>(io);
    ch.async_receive(received.handler());
    other.async_send(1, [&](error_code e) {
      sent = e;
      ++sends;
    });
    io.poll();
    BOOST_TEST(received.calls + sends == 0);
  }
  io.restart();
  io.run();
  BOOST_TEST(received.calls == 1);
  BOOST_TEST((received.error == asio::error::operation_aborted));
  BOOST_TEST(!received.value);
  BOOST_TEST(sends == 1);
  BOOST_TEST((sent == asio::error::operation_aborted));
}

BOOST_AUTO_TEST_CASE(completes_as_cancelled_when_it_begins_later) {
  asio::io_context io;
  outcome received;
  auto op = sluice::make_channel<int>(io).receive();
  std::move(op)(received.handler());
  io.run();
  BOOST_TEST(received.calls == 1);
  BOOST_TEST((received.error == asio::error::operation_aborted));
}

// There is nothing that it could wait for until its limit.
BOOST_AUTO_TEST_CASE(ends_its_timeout) {
  asio::io_context io;
  outcome before, after;
  auto ch = sluice::make_channel<int>(io);
  sluice::timeout(ch.receive(), std::chrono::hours(1))(before.handler());
  auto op = sluice::timeout(ch.receive(), std::chrono::hours(1));
  io.poll();
  BOOST_TEST(before.calls == 0);
  ch = {};
  std::move(op)(after.handler());
  io.restart();
  io.run();
  for (const auto& o : {before, after}) {
    BOOST_TEST(o.calls == 1);
    BOOST_TEST((o.error == asio::error::operation_aborted));
  }
}

BOOST_AUTO_TEST_CASE(leaves_no_future_behind) {
  auto ch = sluice::make_channel<int>();
  std::vector<std::future<std::optional<int>>> futures;
  for (int i = 0; i < 3; ++i) futures.push_back(ch.receive()(asio::use_future));
  ch = {};
  for (auto& f : futures) BOOST_CHECK_THROW(f.get(), sluice::system_error);
}

BOOST_AUTO_TEST_CASE(still_takes_what_is_buffered) {
  asio::io_context io;
  auto ch = sluice::make_channel<int>(io, 1);
  error_code e;
  BOOST_TEST(ch.try_send(3, e));
  outcome first, second;
  auto a = sluice::channel<int>(ch).receive();
  auto b = std::move(ch).receive();
  ch = {};
  std::move(a)(first.handler());
  std::move(b)(second.handler());
  io.run();
  BOOST_TEST(first.value.value() == 3);
  BOOST_TEST((second.error == asio::error::operation_aborted));
}

BOOST_AUTO_TEST_CASE(of_a_timer_waits_for_the_timer) {
  asio::io_context io;
  int called = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    sluice::after(1ms).async_receive([&](error_code e, auto at) { called += !e && at; });
    co_return;
  });
  io.run();
  BOOST_TEST(called == 1);
}

BOOST_AUTO_TEST_SUITE_END()
