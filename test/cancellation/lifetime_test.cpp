#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/runtime.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/singleflight.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Waits and requests that outlive what they are about. For the address sanitizer.

namespace {

using namespace sluice_test;

/// Something to wait for, on the heap, and a goroutine that waits for it.
class waited_for {
 public:
  enum class what { channel, wait_group, semaphore, mutex, select };
  static constexpr what kinds[] = {what::channel, what::wait_group, what::semaphore, what::mutex,
                                   what::select};

  waited_for(what k, asio::io_context& io, const context& ctx) : kind_(k) {
    group_->add();
    unit_ = units_->try_acquire();
    guard_ = mutex_->try_lock();
    sluice::go(ctx, io, [this]() -> task<> { ended = co_await wait(); });
    poll(io);
  }

  /// Gives what is waited for.
  void give() {
    switch (kind_) {
      case what::channel:
      case what::select:
        ch_->try_send(1);
        break;
      case what::wait_group:
        group_->done();
        break;
      case what::semaphore:
        unit_ = {};
        break;
      case what::mutex:
        guard_ = {};
        break;
    }
  }

  /// Destroys what is waited for.
  void drop() {
    ch_.reset();
    other_.reset();
    group_.reset();
    units_.reset();
    mutex_.reset();
  }

  std::optional<error_code> ended;

 private:
  task<error_code> wait() {
    switch (kind_) {
      case what::channel:
        co_return co_await error_of(ch_->receive());
      case what::wait_group:
        co_return co_await error_of(group_->wait());
      case what::semaphore:
        co_return co_await error_of(units_->acquire());
      case what::mutex:
        co_return co_await error_of(mutex_->lock());
      case what::select:
        co_return co_await error_of(
            sluice::select(ch_->receive(), other_->receive(), group_->wait()));
    }
    co_return no_error;
  }

  const what kind_;
  std::unique_ptr<channel<int>> ch_ = std::make_unique<channel<int>>(make_channel<int>());
  std::unique_ptr<channel<int>> other_ = std::make_unique<channel<int>>(make_channel<int>());
  std::unique_ptr<sluice::wait_group> group_ = std::make_unique<sluice::wait_group>();
  std::unique_ptr<sluice::semaphore> units_ = std::make_unique<sluice::semaphore>(1u);
  std::unique_ptr<sluice::mutex> mutex_ = std::make_unique<sluice::mutex>();
  sluice::semaphore::permit unit_;
  sluice::mutex::guard guard_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_wait_that_is_over)

// It has what it waited for, that is destroyed, and the goroutine has not gone on yet.
BOOST_AUTO_TEST_CASE(may_go_on_when_what_it_waited_for_is_gone) {
  for (const auto kind : waited_for::kinds) {
    asio::io_context io;
    waited_for w(kind, io, context::background());
    w.give();
    w.drop();
    run(io);
    BOOST_TEST(w.ended.value() == no_error);
  }
}

BOOST_AUTO_TEST_CASE(may_be_cancelled_when_what_it_waited_for_is_gone) {
  for (const auto kind : waited_for::kinds) {
    asio::io_context io;
    const auto tree = with_cancel(context::background());
    waited_for w(kind, io, tree.ctx);
    w.give();
    w.drop();
    tree.cancel();
    run(io);
    BOOST_TEST(w.ended.value() == no_error);
  }
}

// Source: chriskohlhoff/asio#1377, with a cancel before the shutdown
BOOST_AUTO_TEST_CASE(may_be_destroyed_when_what_it_waited_for_is_gone) {
  for (const auto kind : waited_for::kinds) {
    for (const bool given : {false, true}) {
      const auto tree = with_cancel(context::background());
      std::optional<asio::io_context> io(std::in_place);
      waited_for w(kind, *io, tree.ctx);
      if (given)
        w.give();
      else
        tree.cancel();
      w.drop();
      io.reset();
      BOOST_TEST(!w.ended);
    }
  }
}

// The case that lost has left the list of its channel, which is then destroyed, before the select
// goes on.
BOOST_AUTO_TEST_CASE(of_a_select_may_go_on_when_a_losing_case_is_gone) {
  asio::io_context io;
  auto a = make_channel<int>(io);
  auto b = std::make_unique<channel<int>>(make_channel<int>(io));
  std::optional<std::size_t> index;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await sluice::select(a.receive(), b->receive());
    index = r.index();
  });
  poll(io);
  a.try_send(1);
  // Finds the waiter decided, and drops it.
  BOOST_CHECK_EXCEPTION(b->try_send(2), sluice::system_error, has_code(would_block));
  b.reset();
  run(io);
  BOOST_TEST(index.value() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_late_producer)

// Source: ydb-platform/nbs PR #6239: the result of another goroutine
BOOST_AUTO_TEST_CASE(may_be_a_goroutine_of_another_context) {
  for (const bool cancelled : {false, true}) {
    asio::io_context slow;
    const auto tree = with_cancel(context::background());
    const auto finish = make_channel<void>(slow);
    std::optional<asio::io_context> io(std::in_place);
    bool finished = false;
    sluice::go(tree.ctx, *io, [&slow, &finished, finish]() -> task<> {
      const auto result = make_channel<std::string>(1);
      sluice::go(slow, [&finished, finish, result]() -> task<> {
        static_cast<void>(co_await finish.receive());
        co_await result.send("long enough not to fit into the string object");
        finished = true;
      });
      const auto r = co_await result.receive();
    });
    poll(*io);
    poll(slow);
    // The frame that waits ends before there is a result, with its context's own error.
    if (cancelled) {
      tree.cancel();
      run(*io);
      BOOST_TEST(sluice::goroutine_count(*io) == 0u);
    }
    io.reset();
    finish.close();
    run(slow);
    BOOST_TEST(finished);
  }
}

BOOST_AUTO_TEST_CASE(may_be_a_shared_call_whose_first_caller_was_cancelled) {
  asio::io_context io;
  sluice::singleflight<int, std::string> calls;
  const auto finish = make_channel<void>(io);
  const auto tree = with_cancel(context::background());
  const auto work = [finish]() -> task<std::string> {
    static_cast<void>(co_await finish.receive());
    co_return "the result";
  };
  std::optional<error_code> first;
  std::string second;
  sluice::go(tree.ctx, io, [&]() -> task<> { first = co_await error_of(calls.call(1, work)); });
  sluice::go(io, [&]() -> task<> {
    auto r = co_await calls.call(1, work);
    second = r.value();
  });
  poll(io);
  tree.cancel();
  poll(io);
  BOOST_TEST(first.value() == aborted);
  finish.close();
  run(io);
  BOOST_TEST(second == "the result");
}

BOOST_AUTO_TEST_CASE(may_be_a_thread_that_sends_to_nobody) {
  asio::io_context io;
  const auto ch = make_channel<std::string>(io, 1);
  const auto tree = with_cancel(context::background());
  std::optional<error_code> told;
  sluice::go(tree.ctx, io, [ch, &told]() -> task<> { told = co_await error_of(ch.receive()); });
  poll(io);
  tree.cancel();
  run(io);
  BOOST_TEST(told.value() == aborted);
  std::thread([ch] { ch.try_send(std::string("late")); }).join();
  BOOST_TEST(*ch.try_receive() == "late");
}

BOOST_AUTO_TEST_CASE(may_be_a_goroutine_that_does_not_listen) {
  asio::io_context io;
  const auto finish = make_channel<void>(io);
  const auto tree = with_cancel(context::background());
  std::optional<int> result;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    const auto stubborn = [&]() -> task<int> {
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      static_cast<void>(co_await finish.receive());
      co_return 42;
    };
    result = co_await sluice::go(io, stubborn, sluice::use_task);
  });
  poll(io);
  tree.cancel();
  poll(io);
  BOOST_TEST(!result, "what it started is awaited");
  finish.close();
  run(io);
  BOOST_TEST(result.value() == 42);
}

BOOST_AUTO_TEST_SUITE_END()
