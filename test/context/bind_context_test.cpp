#include <sluice/bind_context.hpp>

#include <sluice/abandon.hpp>
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;

/// An operation on a context's executor that ends when it is cancelled, and says whether that came
/// from there.
class probe {
 public:
  explicit probe(asio::io_context& io) : io_(io) {}

  template <class Token>
  auto async_wait(Token&& token) {
    return asio::async_initiate<Token, void(error_code)>(initiation{this}, token);
  }

  bool cancelled_there = false;

 private:
  struct initiation {
    using executor_type = asio::io_context::executor_type;
    probe* self;

    [[nodiscard]] executor_type get_executor() const noexcept { return self->io_.get_executor(); }

    template <class Handler>
    void operator()(Handler&& handler) const {
      const auto slot = asio::get_associated_cancellation_slot(handler);
      const auto kept = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
      auto cancelled = [p = self, kept](types) {
        p->cancelled_there = p->io_.get_executor().running_in_this_thread();
        asio::post(p->io_, [kept] { std::move (*kept)(aborted); });
      };
      asio::cancellation_slot(slot).assign(std::move(cancelled));
    }
  };

  asio::io_context& io_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(an_operation_bound_to_a_context)

BOOST_AUTO_TEST_CASE(ends_when_the_context_is_done_for_every_kind_of_token) {
  for (const bool by_deadline : {false, true}) {
    const error_code expected = by_deadline ? deadline_exceeded : aborted;
    asio::io_context io;
    const auto parent = with_cancel(context::background());
    const auto tree =
        with_timeout(io, parent.ctx, by_deadline ? 1ms : std::chrono::milliseconds(24h));
    asio::steady_timer timer(io, 24h);
    socket_pair sockets(io);
    std::array<char, 8> data;

    std::optional<error_code> callback, read;
    timer.async_wait(bind_context(tree.ctx, [&](error_code e) { callback = e; }));
    sockets.near.async_read_some(
        asio::buffer(data),
        bind_context(tree.ctx, [&](error_code e, std::size_t n) { read = n == 0 ? e : no_error; }));
    std::future<void> future = timer.async_wait(bind_context(tree.ctx, asio::use_future));
    error_code awaitable, goroutine, as_tuple, deferred;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
          try {
            co_await timer.async_wait(bind_context(tree.ctx, asio::use_awaitable));
          } catch (const sluice::system_error& e) {
            awaitable = e.code();
          }
        },
        asio::detached);
    sluice::go(io, [&]() -> task<> {
      try {
        co_await timer.async_wait(bind_context(tree.ctx, use_task));
      } catch (const sluice::system_error& e) {
        goroutine = e.code();
      }
      const auto [e] = co_await timer.async_wait(bind_context(tree.ctx, asio::as_tuple(use_task)));
      as_tuple = e;
      auto operation = timer.async_wait(bind_context(tree.ctx, asio::deferred));
      try {
        co_await std::move(operation);
      } catch (const sluice::system_error& x) {
        deferred = x.code();
      }
    });
    poll(io);
    BOOST_TEST((by_deadline || !callback));
    if (!by_deadline) parent.cancel();
    run(io);
    BOOST_TEST((callback == expected));
    BOOST_TEST((read == expected));
    BOOST_CHECK_EXCEPTION(future.get(), sluice::system_error, has_code(expected));
    BOOST_TEST(awaitable == expected);
    BOOST_TEST(goroutine == expected);
    BOOST_TEST(as_tuple == expected);
    BOOST_TEST(deferred == expected);
  }
}

BOOST_AUTO_TEST_CASE(ends_at_once_if_the_context_is_done_already) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  tree.cancel();
  asio::steady_timer timer(io, 24h);
  std::optional<error_code> told;
  timer.async_wait(bind_context(tree.ctx, [&](error_code e) { told = e; }));
  BOOST_TEST(!told, "never inside the call");
  run(io);
  BOOST_TEST((told == aborted));
}

BOOST_AUTO_TEST_CASE(is_as_ever_while_the_context_is_not_done) {
  asio::io_context io;
  socket_pair sockets(io);
  std::array<char, 8> data;
  const auto tree = with_cancel(context::background());
  std::size_t read = 0;
  std::optional<error_code> end, timer_error;
  asio::steady_timer timer(io, 1ms);
  timer.async_wait(bind_context(context::background(), [&](error_code e) { timer_error = e; }));
  sockets.near.async_read_some(
      asio::buffer(data),
      bind_context(tree.ctx, [&](error_code e, std::size_t n) { read = e ? 0 : n; }));
  sockets.far.write_some(asio::buffer("abc", 3));
  run(io);
  BOOST_TEST(read == 3u);
  BOOST_TEST((timer_error == no_error));
  sockets.far.close();
  sockets.near.async_read_some(asio::buffer(data),
                               bind_context(tree.ctx, [&](error_code e, std::size_t) { end = e; }));
  run(io);
  BOOST_TEST((end == asio::error::eof));
}

BOOST_AUTO_TEST_CASE(leaves_nothing_with_the_context_when_it_has_completed) {
  asio::io_context io;
  const auto kept = std::make_shared<int>();
  const auto tree = with_cancel(context::background());
  int calls = 0;
  asio::steady_timer timer(io, 1us);
  timer.async_wait(bind_context(tree.ctx, [&, kept](error_code) { ++calls; }));
  run(io);
  BOOST_TEST(calls == 1);
  BOOST_TEST(kept.use_count() == 1);
  tree.cancel();
  run(io);
  BOOST_TEST(calls == 1);
}

// Completed, but its handler not yet called: the success stays one.
BOOST_AUTO_TEST_CASE(that_has_happened_is_a_success_even_if_the_context_is_done_then) {
  asio::io_context io;
  const auto tree = with_timeout(io, context::background(), 24h);
  const auto ch = sluice::make_channel<int>(io);
  std::optional<error_code> told;
  std::optional<int> value;
  ch.receive()(bind_context(tree.ctx, [&](error_code e, std::optional<int> v) {
    told = e;
    value = v;
  }));
  ch.try_send(7);
  tree.cancel();
  run(io);
  BOOST_TEST((told == no_error));
  BOOST_TEST(value.value() == 7);
}

BOOST_AUTO_TEST_CASE(may_be_one_of_this_library_or_a_goroutine) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  const auto ch = sluice::make_channel<int>(io);
  std::optional<error_code> received;
  ch.receive()(bind_context(tree.ctx, [&](error_code e, std::optional<int>) { received = e; }));
  std::future<void> goroutine = sluice::go(
      io, []() -> task<> { co_await sluice::sleep_for(24h); },
      bind_context(tree.ctx, asio::use_future));
  poll(io);
  BOOST_TEST(!received);
  tree.cancel();
  run(io);
  BOOST_TEST((received == aborted));
  BOOST_CHECK_EXCEPTION(goroutine.get(), sluice::system_error, has_code(aborted));
  BOOST_CHECK_EXCEPTION(ch.try_send(1), sluice::system_error, has_code(would_block));
}

BOOST_AUTO_TEST_CASE(keeps_the_associations_of_its_handler) {
  asio::io_context io;
  auto strand = asio::make_strand(io);
  const auto tree = with_cancel(context::background());
  asio::steady_timer timer(io, 24h);
  bool on_strand = false;
  timer.async_wait(bind_context(tree.ctx, asio::bind_executor(strand, [&](error_code) {
                                  on_strand = strand.running_in_this_thread();
                                })));
  poll(io);
  tree.cancel();
  run(io);
  BOOST_TEST(on_strand);
}

BOOST_AUTO_TEST_CASE(is_cancelled_by_the_slot_of_its_token_as_well) {
  for (const bool by_slot : {false, true}) {
    asio::io_context io;
    asio::cancellation_signal signal;
    const auto tree = with_cancel(context::background());
    asio::steady_timer timer(io, 24h);
    int calls = 0;
    error_code told;
    timer.async_wait(
        bind_context(tree.ctx, asio::bind_cancellation_slot(signal.slot(), [&](error_code e) {
                       ++calls;
                       told = e;
                     })));
    poll(io);
    if (by_slot)
      signal.emit(types::terminal);
    else
      tree.cancel();
    run(io);
    BOOST_TEST(calls == 1);
    BOOST_TEST(told == aborted);
    signal.emit(types::terminal);
    tree.cancel();
    run(io);
    BOOST_TEST(calls == 1);
  }
}

BOOST_AUTO_TEST_CASE(passes_on_the_type_that_its_slot_is_given) {
  asio::io_context io;
  asio::cancellation_signal signal;
  const auto tree = with_cancel(context::background());
  std::optional<error_code> told;
  sluice::go(
      io, [&]() -> task<> { co_await sluice::sleep_for(24h); },
      bind_context(tree.ctx,
                   asio::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr& e) {
                     told = e ? aborted : no_error;
                   })));
  poll(io);
  signal.emit(types::total);
  poll(io);
  BOOST_TEST(!told, "a goroutine looks at terminal only");
  tree.cancel();
  run(io);
  BOOST_TEST((told == aborted));
}

// The executor of the operation is found through the tokens between it and the handler.
BOOST_AUTO_TEST_CASE(is_cancelled_on_its_executor_under_several_tokens) {
  asio::io_context io;
  for (const bool by_outer : {false, true}) {
    const auto outer = with_cancel(context::background());
    const auto inner = with_cancel(context::background());
    probe p(io);
    int called = 0;
    p.async_wait(bind_context(outer.ctx, bind_context(inner.ctx, [&](error_code e) {
                                called +=
                                    e == aborted && io.get_executor().running_in_this_thread();
                              })));
    (by_outer ? outer : inner).cancel();
    run(io);
    BOOST_TEST(p.cancelled_there);
    BOOST_TEST(called == 1);
  }
}

BOOST_AUTO_TEST_CASE(that_is_abandoned_has_its_handler_run_on_its_executor) {
  asio::io_context io;
  const auto tree = with_cancel(context::background());
  auto ch = sluice::make_channel<int>(io);
  asio::steady_timer timer(io, 24h);
  int called = 0;
  const auto count = [&](error_code e) {
    called += e == aborted && io.get_executor().running_in_this_thread();
  };
  sluice::abandon(timer.async_wait(bind_context(tree.ctx, asio::deferred)))(count);
  sluice::abandon(ch.receive()(bind_context(tree.ctx, asio::deferred)))(
      [&](error_code e, std::optional<int>) { count(e); });
  tree.cancel();
  run(io);
  BOOST_TEST(called == 2);
}

BOOST_AUTO_TEST_CASE(may_be_destroyed_uncalled_before_the_context_is_done) {
  const auto tree = with_cancel(context::background());
  const auto kept = std::make_shared<int>();
  {
    asio::io_context io;
    asio::steady_timer timer(io, 24h);
    timer.async_wait(bind_context(tree.ctx, [kept](error_code) {}));
    poll(io);
  }
  BOOST_TEST(kept.use_count() == 1);
  tree.cancel();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelled_by_another_thread)

// Source: chriskohlhoff/asio#1029
BOOST_AUTO_TEST_CASE(an_operation_with_a_handler_on_a_strand_ends_once) {
  const watchdog dog;
  running_context context_(2);
  random_numbers random(1);
  std::atomic<std::size_t> calls{0}, wrong{0};
  const std::size_t n = rounds(2000, 500);
  for (std::size_t i = 0; i < n; ++i) {
    auto strand = asio::make_strand(context_.io);
    const auto tree = with_cancel(context::background());
    const auto timer =
        std::make_shared<asio::steady_timer>(strand, std::chrono::microseconds(random.below(40)));
    asio::post(strand, [&calls, &wrong, timer, ctx = tree.ctx] {
      timer->async_wait(bind_context(ctx, [&calls, &wrong, timer](error_code e) {
        ++calls;
        if (e && e != aborted) ++wrong;
      }));
    });
    for (std::size_t k = random.below(20); k != 0; --k) random.pause();
  }
  context_.join();
  BOOST_TEST(calls == n);
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(an_operation_that_a_goroutine_awaits_ends_once) {
  const watchdog dog;
  running_context context_(2);
  random_numbers random(2);
  std::atomic<std::size_t> ends{0}, wrong{0};
  const std::size_t n = rounds(2000, 500);
  for (std::size_t i = 0; i < n; ++i) {
    const auto tree = with_cancel(context::background());
    const auto d = std::chrono::microseconds(random.below(40));
    sluice::go(context_.io, [&ends, &wrong, &io = context_.io, d, ctx = tree.ctx]() -> task<> {
      asio::steady_timer timer(io, d);
      for (int k = 0; k < 3; ++k) {
        timer.expires_after(d);
        const auto [e] = co_await timer.async_wait(bind_context(ctx, asio::as_tuple(use_task)));
        if (e && e != aborted) ++wrong;
      }
      ++ends;
    });
    for (std::size_t k = random.below(20); k != 0; --k) random.pause();
  }
  context_.join();
  BOOST_TEST(ends == n);
  BOOST_TEST(wrong == 0u);
}

// A composed operation sets its slot anew for each of its steps.
BOOST_AUTO_TEST_CASE(a_composed_operation_that_a_goroutine_awaits_ends_once) {
  const watchdog dog;
  running_context context_(2);
  random_numbers random(3);
  std::atomic<std::size_t> ends{0};
  const std::size_t n = rounds(1000, 2000);
  for (std::size_t i = 0; i < n; ++i) {
    const auto tree = with_cancel(context::background());
    const auto sockets = std::make_shared<socket_pair>(context_.io);
    sluice::go(context_.io, [&ends, sockets, ctx = tree.ctx]() -> task<> {
      std::array<char, 64> data;
      static_cast<void>(co_await asio::async_read(sockets->near, asio::buffer(data),
                                                  bind_context(ctx, asio::as_tuple(use_task))));
      sockets->near.close();
      ++ends;
    });
    for (std::size_t k = random.below(8); k != 0; --k) {
      error_code ignored;
      random.pause();
      sockets->far.write_some(asio::buffer("abcdefgh", 8), ignored);
    }
  }
  context_.join();
  BOOST_TEST(ends == n);
}

BOOST_AUTO_TEST_SUITE_END()
