// Channels and timers as I/O objects: what Asio and its tokens ask of one, and all of the checks
// that Asio has for executors, handlers, tokens and operations.
#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include "../support.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/is_executor.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/version.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;

namespace execution = asio::execution;
using time_point = sluice::clock::time_point;

// --- executors
// ------------------------------------------------------------------------------------

template <class Executor>
concept is_asio_executor =
    execution::is_executor<Executor>::value &&
    asio::can_query<const Executor&, execution::context_t>::value &&
    asio::can_query<const Executor&, execution::blocking_t>::value &&
    asio::can_query<const Executor&, execution::relationship_t>::value &&
    asio::can_query<const Executor&, execution::outstanding_work_t>::value &&
    asio::can_query<const Executor&, execution::mapping_t>::value &&
    asio::can_query<const Executor&, execution::allocator_t<void>>::value &&
    asio::is_nothrow_query<const Executor&, execution::context_t>::value &&
    asio::is_nothrow_query<const Executor&, execution::blocking_t>::value &&
    asio::can_require<const Executor&, execution::blocking_t::never_t>::value &&
    asio::can_require<const Executor&, execution::blocking_t::possibly_t>::value &&
    asio::is_nothrow_require<const Executor&, execution::blocking_t::never_t>::value &&
    asio::can_prefer<const Executor&, execution::relationship_t::continuation_t>::value &&
    asio::can_prefer<const Executor&, execution::outstanding_work_t::tracked_t>::value &&
    asio::is_applicable_property<Executor, execution::blocking_t>::value &&
    asio::is_applicable_property<Executor, execution::context_t>::value &&
    std::convertible_to<Executor, asio::any_io_executor>;

using defaulting = asio::use_awaitable_t<>::executor_with_default<sluice::executor>;
static_assert(is_asio_executor<sluice::executor>);
static_assert(is_asio_executor<defaulting>);
static_assert(is_asio_executor<asio::strand<sluice::executor>>);
#if BOOST_ASIO_VERSION < 102800
struct function {
  void operator()() const {}
};
static_assert(execution::is_executor_of<sluice::executor, function>::value);
#if defined(BOOST_ASIO_HAS_CONCEPTS)
static_assert(execution::executor<sluice::executor>);
static_assert(execution::executor_of<sluice::executor, function>);
#endif
#endif
#if !defined(BOOST_ASIO_NO_TS_EXECUTORS)
static_assert(!asio::is_executor<int>::value);
#endif

// --- I/O objects
// ----------------------------------------------------------------------------------

template <class Object>
concept io_object = requires(const Object o) {
  typename Object::executor_type;
  { o.get_executor() } -> std::same_as<typename Object::executor_type>;
  o.cancel();
} && is_asio_executor<typename Object::executor_type>;

template <class Object>
concept rebinds = io_object<typename Object::template rebind_executor<defaulting>::other> &&
                  io_object<asio::use_awaitable_t<>::as_default_on_t<Object>> &&
                  io_object<asio::as_tuple_t<asio::use_awaitable_t<>>::as_default_on_t<Object>> &&
                  io_object<asio::deferred_t::as_default_on_t<Object>> &&
                  io_object<asio::detached_t::as_default_on_t<Object>> &&
                  io_object<sluice::use_task_t::as_default_on_t<Object>>;

static_assert(io_object<channel<int>> && io_object<sender<void>> && io_object<receiver<int>>);
static_assert(io_object<timer> && io_object<ticker>);
static_assert(rebinds<channel<int>> && rebinds<channel<void>> && rebinds<sender<int>>);
static_assert(rebinds<receiver<std::unique_ptr<int>>> && rebinds<timer> && rebinds<ticker>);
static_assert(rebinds<asio::use_awaitable_t<>::as_default_on_t<channel<int>>>);

template <class Object>
using awaited = asio::use_awaitable_t<>::as_default_on_t<Object>;
static_assert(std::convertible_to<awaited<channel<int>>, sender<int>>);
static_assert(std::convertible_to<channel<int>, awaited<channel<int>>>);

template <class C>
concept sends_by_default =
    requires(const C c) { c.async_send(1); } || requires(const C c) { c.async_send(); };
template <class C>
concept receives_by_default = requires(const C c) { c.async_receive(); };
static_assert(sends_by_default<awaited<channel<int>>> && sends_by_default<awaited<channel<void>>>);
static_assert(sends_by_default<awaited<sender<int>>> && !sends_by_default<awaited<receiver<int>>>);
static_assert(receives_by_default<awaited<receiver<int>>> && receives_by_default<awaited<timer>>);
static_assert(!receives_by_default<awaited<sender<int>>> && !sends_by_default<awaited<timer>>);
// The default of an executor that names none is the Asio's own.
static_assert(receives_by_default<channel<int>> ==
              !std::is_void_v<asio::default_completion_token_t<sluice::executor>>);

// --- handlers, tokens, operations
// -----------------------------------------------------------------

using received = void(error_code, std::optional<int>);
struct handler {
  void operator()(error_code, std::optional<int>) const {}
};
using handler_of_type = asio::async_completion<handler, received>::completion_handler_type;
static_assert(std::same_as<handler_of_type, handler>);
#if defined(BOOST_ASIO_HAS_CONCEPTS)
static_assert(asio::completion_signature<received>);
static_assert(asio::completion_handler_for<handler, received>);
static_assert(!asio::completion_handler_for<int, received>);
static_assert(asio::completion_handler_for<asio::any_completion_handler<received>, received>);
static_assert(asio::completion_token_for<handler, received>);
static_assert(asio::completion_token_for<sluice::use_task_t, received>);
static_assert(!asio::completion_token_for<int, received>);
#endif
using receive_operation = decltype(std::declval<channel<int>&>().receive());
static_assert(asio::is_async_operation<receive_operation>::value);
static_assert(std::same_as<asio::completion_signature_of<receive_operation>::type, received>);
static_assert(std::same_as<
              asio::completion_signature_of<decltype(std::declval<channel<int>&>().send(1))>::type,
              void(error_code)>);
#if defined(BOOST_ASIO_HAS_CONCEPTS)
static_assert(asio::async_operation<receive_operation>);
#endif
static_assert(
    std::same_as<asio::associated_executor_t<handler, sluice::executor>, sluice::executor>);
static_assert(std::same_as<asio::associated_allocator_t<handler>, std::allocator<void>>);

/// As `error_of`, of an operation that stays where it is.
template <class Operation>
task<error_code> error_when_awaited(Operation& op) {
  try {
    co_await op;
  } catch (const sluice::system_error& x) {
    co_return x.code();
  }
  co_return no_error;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_channel_as_an_io_object)

BOOST_AUTO_TEST_CASE(has_the_executor_that_it_was_made_with) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  const auto ch = make_channel<int>(strand, 1);
  bool on_strand = false;
  ch.async_send(1, [&](error_code) {
    on_strand = strand.running_in_this_thread() && ch.get_executor().running_in_this_thread();
  });
  run(io);
  BOOST_TEST(on_strand);
  BOOST_TEST(&ch.get_executor().context() == &io);
}

BOOST_AUTO_TEST_CASE(has_the_default_token_that_was_asked_for) {
  asio::io_context io;
  const auto plain = make_channel<int>(io);
  const auto ch = asio::use_awaitable.as_default_on(plain);
  const auto quiet = asio::as_tuple(asio::use_awaitable).as_default_on(make_channel<void>(io));
  int got = 0;
  error_code sent;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        got = (co_await ch.async_receive()).value_or(-1);
        quiet.close();
        std::tie(sent) = co_await quiet.async_send();
      },
      asio::detached);
  asio::co_spawn(io, [&]() -> asio::awaitable<void> { co_await ch.async_send(7); }, asio::detached);
  run(io);
  BOOST_TEST(got == 7);
  BOOST_TEST((sent == sluice::error::closed));
  BOOST_TEST((ch.get_executor() == plain.get_executor()));
}

BOOST_AUTO_TEST_CASE(still_takes_any_token_and_is_a_channel_otherwise) {
  asio::io_context io;
  const sluice::use_task_t::as_default_on_t<channel<std::string>> ch =
      make_channel<std::string>(io, 2);
  std::string all;
  sluice::go(io, [&]() -> task<> {
    co_await ch.async_send("a");
    co_await ch.send("b");
    all += (co_await ch.async_receive()).value_or("");
    all += (co_await sluice::select(ch.receive())).get<0>().value_or("");
    const sender<std::string> end = ch;
    end.try_send("c");
  });
  run(io);
  ch.async_receive([&](error_code, std::optional<std::string> v) { all += v.value_or(""); });
  run(io);
  BOOST_TEST(all == "abc");
}

BOOST_AUTO_TEST_CASE(is_open_until_it_is_closed) {
  const auto ch = make_channel<int>(1);
  const receiver<int> end = ch;
  ch.try_send(1);
  BOOST_TEST(ch.is_open());
  error_code e = would_block;
  ch.close(e);
  BOOST_TEST(e == no_error);
  BOOST_TEST(!ch.is_open());
  BOOST_TEST(!end.is_open());
  BOOST_TEST(end.try_receive().value() == 1);
  ch.close(e);
  BOOST_TEST((e == sluice::error::closed));
  sender<int>().close(e);
  BOOST_TEST((e == sluice::error::nil_channel));
  BOOST_TEST(!channel<int>().is_open());
}

BOOST_AUTO_TEST_CASE(cancels_every_wait_and_goes_on) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  const auto other = make_channel<int>(io);
  error_code of_handler, of_goroutine, of_select;
  std::size_t index = 9;
  ch.async_receive([&](error_code e, std::optional<int>) { of_handler = e; });
  sluice::go(io, [&]() -> task<> { of_goroutine = co_await error_of(ch.receive()); });
  sluice::go(io, [&]() -> task<> {
    index = co_await sluice::select(
        sluice::on(other.receive(), [](std::optional<int>) {}),
        sluice::on(ch.receive(), [&](error_code e, std::optional<int>) { of_select = e; }));
  });
  poll(io);
  BOOST_TEST(ch.cancel() == 3U);
  BOOST_TEST(ch.cancel() == 0U);
  run(io);
  BOOST_TEST(of_handler == aborted);
  BOOST_TEST(of_goroutine == aborted);
  BOOST_TEST(of_select == aborted);
  BOOST_TEST(index == 1U);

  int got = 0;
  ch.async_receive([&](error_code, std::optional<int> v) { got = v.value_or(-1); });
  ch.try_send(5);
  run(io);
  BOOST_TEST(got == 5);
  BOOST_TEST(channel<int>().cancel() == 0U);
}

BOOST_AUTO_TEST_CASE(cancels_through_an_end_what_that_end_does) {
  asio::io_context io;
  const auto ch = make_channel<int>(io, 1);
  const auto full = ch;
  full.try_send(1);
  error_code of_send = no_error;
  auto sending = ch.send(2);
  int kept = 0;
  sluice::go(io, [&]() -> task<> {
    of_send = co_await error_when_awaited(sending);
    kept = sending.value();
  });
  poll(io);
  BOOST_TEST(receiver<int>(ch).cancel() == 0U);
  BOOST_TEST(sender<int>(ch).cancel() == 1U);
  run(io);
  BOOST_TEST(of_send == aborted);
  BOOST_TEST(kept == 2);
  BOOST_TEST(ch.size() == 1U);
}

// Each value is received once or is its sender's again, whoever cancels meanwhile.
BOOST_AUTO_TEST_CASE(loses_nothing_when_it_cancels_beside_senders_and_receivers) {
  asio::io_context io;
  const auto ch = make_channel<std::unique_ptr<int>>(io);
  const std::size_t n = rounds(20'000);
  std::atomic<std::size_t> sent = 0, received = 0, back = 0, wrong = 0;
  std::atomic<int> senders = 2;
  for (int k = 0; k < 2; ++k) {
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        auto sending = ch.send(std::make_unique<int>(1));
        if (co_await error_when_awaited(sending)) {
          back += sending.value() != nullptr;
          continue;
        }
        ++sent;
      }
      if (--senders == 0) ch.close();
    });
    sluice::go(io, [&]() -> task<> {
      while (ch.is_open()) {
        try {
          received += (co_await ch.receive()).has_value();
        } catch (const sluice::system_error& e) {
          wrong += e.code() != aborted;
        }
      }
    });
  }
  sluice::go(io, [&]() -> task<> {
    while (ch.is_open()) {
      ch.cancel();
      co_await sluice::this_goroutine::yield();
    }
  });
  run(io, 4);
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(sent == received);
  BOOST_TEST(sent + back == 2 * n);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_timer_as_an_io_object)

BOOST_AUTO_TEST_CASE(has_a_default_token_and_an_executor) {
  asio::io_context io;
  auto once = asio::use_awaitable.as_default_on(timer(io, 1ms));
  asio::use_awaitable_t<>::as_default_on_t<ticker> often(io, 1ms);
  bool all = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        all = (co_await once.async_receive()).has_value();
        once.reset(1ms);
        all &= (co_await once.async_receive()).has_value();
        all &= (co_await often.async_receive()).has_value();
        often.stop();
      },
      asio::detached);
  run(io);
  BOOST_TEST(all);
  BOOST_TEST((often.get_executor() == once.get_executor()));
  BOOST_TEST(&once.get_executor().context() == &io);
}

BOOST_AUTO_TEST_CASE(cancels_who_waits_for_it_and_goes_off_all_the_same) {
  asio::io_context io;
  const timer t(io, 20ms);
  error_code e;
  std::optional<time_point> second;
  t.async_receive([&](error_code x, std::optional<time_point>) { e = x; });
  BOOST_TEST(t.cancel() == 1U);
  BOOST_TEST(t.cancel() == 0U);
  t.async_receive([&](error_code, std::optional<time_point> v) { second = v; });
  run(io);
  BOOST_TEST(e == aborted);
  BOOST_TEST(second.has_value());
}

BOOST_AUTO_TEST_SUITE_END()
