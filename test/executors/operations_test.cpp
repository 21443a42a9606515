// Where the handler of an operation runs that has no executor of its own.
#include <sluice/abandon.hpp>
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/worker_pool.hpp>

#include "support.hpp"
#include "told_elsewhere.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace {

using namespace sluice_test;

/// Counts the calls of handlers, all of which must come from the threads of `io`.
class call_counter {
 public:
  explicit call_counter(asio::io_context& io) : io_(io) {}

  auto handler() {
    return [this](auto e, auto&&...) {
      ++calls_;
      if (e || !io_.get_executor().running_in_this_thread()) ++wrong_;
    };
  }
  [[nodiscard]] bool all_right(int calls) const { return calls_ == calls && wrong_ == 0; }

 private:
  asio::io_context& io_;
  int calls_ = 0;
  int wrong_ = 0;
};

/// A token that asks for the operation's executor before it launches it, as Asio's `cancel_after`
/// does for its timer.
template <class Handler>
struct asks_for_executor {
  Handler handler;
};

/// A slot that cannot take a handler, as Asio's when there is no memory.
struct full_slot {
  [[nodiscard]] static bool is_connected() noexcept { return true; }
  static void clear() noexcept {}
  template <class H, class... Args>
  H& emplace(Args&&...) const {
    throw std::bad_alloc();
  }
  template <class H>
  std::decay_t<H>& assign(H&&) const {
    throw std::bad_alloc();
  }
};

struct handler_with_full_slot {
  using cancellation_slot_type = full_slot;
  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return {}; }
  template <class... Args>
  void operator()(Args&&...) const noexcept {}

  std::shared_ptr<int> alive;
};

}  // namespace

template <class Handler, class... Args>
class asio::async_result<asks_for_executor<Handler>, void(Args...)> {
 public:
  template <class Initiation, class... InitArgs>
  static void initiate(Initiation&& initiation, asks_for_executor<Handler> token,
                       InitArgs&&... args) {
    const asio::steady_timer timer(
        asio::get_associated_executor(token.handler, initiation.get_executor()));
    std::forward<Initiation>(initiation)(std::move(token.handler), std::forward<InitArgs>(args)...);
  }
};

BOOST_AUTO_TEST_SUITE(an_operation)

BOOST_AUTO_TEST_CASE(made_in_a_goroutine_takes_its_scheduler) {
  asio::io_context io;
  call_counter all(io);
  // Without an executor, because they are made outside.
  const auto full = make_channel<int>(1);
  full.try_send(1);
  sluice::wait_group wg;
  sluice::mutex m;
  sluice::go(io, [&]() -> task<> {
    const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
    cancel();
    sluice::sleep_for(1us)(all.handler());
    full.receive()(all.handler());
    wg.wait()(all.handler());
    m.lock()(all.handler());
    ctx.done()(all.handler());
    sluice::select(sluice::sleep_for(1us))(all.handler());
    sluice::timeout(full.send(2), 1h)(all.handler());
    co_return;
  });
  run(io);
  BOOST_TEST(all.all_right(7));
}

BOOST_AUTO_TEST_CASE(takes_the_executor_of_what_it_waits_for) {
  asio::io_context io;
  call_counter all(io);
  asio::steady_timer timer(io, 1us);
  asio::steady_timer other(io, 1h);
  sluice::rate_limiter limiter(io, 1us);
  sluice::worker_pool<int, int> pool(io, {}, [](int n) { return n; });
  sluice::timeout(timer.async_wait(asio::deferred), 1h)(all.handler());
  sluice::select(timer.async_wait(asio::deferred), other.async_wait(asio::deferred))(all.handler());
  sluice::abandon(timer.async_wait(asio::deferred))(all.handler());
  limiter.acquire()(all.handler());
  limiter.acquire()(all.handler());
  sluice::select(pool.submit(1))(all.handler());
  poll(io);  // submitted
  pool.stop()(all.handler());
  auto future = sluice::timeout(timer.async_wait(asio::deferred), 1h)(asio::use_future);
  run(io);
  BOOST_TEST(all.all_right(7));
  BOOST_CHECK_NO_THROW(future.get());
}

// In a group one operation must not fail to start: the others have been launched by then.
BOOST_AUTO_TEST_CASE(starts_as_a_member_of_a_group) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  int groups = 0;
  const auto body = [&]() -> task<> {
    auto [order, e, v, f] =
        co_await asio::experimental::make_parallel_group(ch.receive(), sluice::sleep_for(1ms))
            .async_wait(asio::experimental::wait_for_one(), sluice::use_task);
    groups += order[0] == 1 && e == aborted && !v && !f;
  };
  sluice::go(io, body);
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  sluice::go(ctx, io, body);  // launched on its strand
  BOOST_CHECK_NO_THROW(run(io));
  BOOST_TEST(groups == 2);
  error_code e;
  BOOST_TEST(!ch.try_send(7, e));
}

BOOST_AUTO_TEST_CASE(finds_the_executor_that_its_handler_has) {
  asio::io_context io;
  int calls = 0;
  const auto handler = [&](auto e, auto&&...) { calls += !e; };
  const auto bound = asio::bind_executor(io, handler);
  sluice::sleep_for(1us)(asks_for_executor<decltype(bound)>{bound});
  sluice::select(sluice::sleep_for(1us))(asks_for_executor<decltype(bound)>{bound});
  run(io);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(says_that_there_is_none_also_if_it_was_asked) {
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([](auto h) {
               sluice::sleep_for(1us)(asks_for_executor<decltype(h)>{h});
             }) == none);
}

BOOST_AUTO_TEST_CASE(whose_slot_cannot_be_assigned_leaves_neither_handler_nor_work) {
  asio::io_context io;
  const auto ch = make_channel<int>(io);
  const auto alive = std::make_shared<int>();
  BOOST_CHECK_THROW(ch.async_receive(handler_with_full_slot{alive}), std::bad_alloc);
  BOOST_CHECK_THROW(sluice::select(ch.receive())(handler_with_full_slot{alive}), std::bad_alloc);
  BOOST_CHECK_THROW(sluice::timeout(ch.receive(), 1h)(handler_with_full_slot{alive}),
                    std::bad_alloc);
  const auto in_coroutine = [](const std::optional<int>&) -> task<> { co_return; };
  BOOST_CHECK_THROW(
      sluice::select(sluice::on(ch.receive(), in_coroutine))(handler_with_full_slot{alive}),
      std::bad_alloc);
  asio::steady_timer timer(io, 1h);
  BOOST_CHECK_THROW(
      sluice::abandon(timer.async_wait(asio::deferred))(handler_with_full_slot{alive}),
      std::bad_alloc);
  run(io);
  BOOST_TEST(alive.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
