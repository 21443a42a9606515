// Asio's way to go on on a strand: co_await dispatch(bind_executor(strand, deferred)).
#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/timer.hpp>

#include "support.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <thread>

namespace {

using namespace sluice_test;

/// Goroutines that go to a strand again and again and change what it protects; two threads.
template <class Strand, class Start>
void move_to(asio::io_context& io, const Strand& strand, Start start) {
  const std::size_t n = rounds(2000);
  std::size_t changed = 0;
  std::atomic<std::size_t> elsewhere{0};
  const auto body = [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) {
      co_await asio::dispatch(asio::bind_executor(strand, asio::deferred));
      elsewhere += !strand.running_in_this_thread();
      ++changed;
      if (i % 3 == 0) co_await asio::post(asio::bind_executor(strand, asio::deferred));
      elsewhere += !strand.running_in_this_thread();
      ++changed;
      if (i % 16 == 0) co_await sluice::sleep_for(1us);
    }
  };
  for (int i = 0; i < 4; ++i) start(body);
  run(io, 2);
  BOOST_TEST(elsewhere == 0u);
  BOOST_TEST(changed == 8 * n);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_goroutine_that_dispatches_to_a_strand)

BOOST_AUTO_TEST_CASE(goes_on_there) {
  asio::io_context io;
  move_to(io, asio::make_strand(io), [&](auto& body) { sluice::go(io, body); });
}

BOOST_AUTO_TEST_CASE(goes_on_there_over_the_executor_of_goroutines) {
  asio::io_context io;
  move_to(io, asio::strand<sluice::executor>(sluice::get_executor(io)),
          [&](auto& body) { sluice::go(io, body); });
}

BOOST_AUTO_TEST_CASE(goes_on_there_also_from_a_strand_of_its_own_and_under_a_context) {
  asio::io_context io;
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  int i = 0;
  move_to(io, asio::make_strand(io), [&, &c = ctx](auto& body) {
    if (++i % 2 == 0)
      sluice::go(c, io, body);
    else
      sluice::go(asio::make_strand(io), body);
  });
}

BOOST_AUTO_TEST_CASE(goes_on_there_also_in_another_context) {
  asio::io_context io;
  asio::thread_pool pool(2);
  move_to(io, asio::make_strand(pool), [&](auto& body) { sluice::go(io, body); });
}

BOOST_AUTO_TEST_CASE(goes_on_on_a_thread_of_another_context_until_its_next_wait) {
  asio::io_context io;
  asio::thread_pool pool(1);
  const auto ch = sluice::make_channel<int>(io, 1);
  bool done = false;
  const auto body = [&]() -> task<> {
    co_await asio::post(asio::bind_executor(pool, asio::deferred));
    BOOST_TEST(pool.get_executor().running_in_this_thread());
    sluice::go(io, [&]() -> task<> {
      BOOST_TEST(io.get_executor().running_in_this_thread());
      co_await ch.send(1);
    });
    const auto got = co_await ch.receive();
    BOOST_TEST((got == 1));
    BOOST_TEST(io.get_executor().running_in_this_thread());
    co_await asio::post(asio::bind_executor(pool, asio::deferred));
    co_await sluice::sleep_for(1us);
    BOOST_TEST(io.get_executor().running_in_this_thread());
    done = true;
  };
  sluice::go(io, body);
  run(io);
  BOOST_TEST(done);
}

BOOST_AUTO_TEST_CASE(may_end_and_may_throw_in_another_context) {
  asio::io_context io;
  asio::io_context other;
  bool ended = false;
  sluice::go(io, [&]() -> task<> {
    co_await asio::dispatch(asio::bind_executor(other, asio::deferred));
    ended = true;
  });
  io.poll();
  BOOST_TEST(!io.stopped());
  other.poll();
  BOOST_TEST(ended);
  run(io);

  io.restart();
  other.restart();
  sluice::go(io, [&]() -> task<> {
    co_await asio::dispatch(asio::bind_executor(other, asio::deferred));
    throw std::runtime_error("there");
  });
  io.poll();
  BOOST_CHECK_THROW(other.poll(), std::runtime_error);
  run(io);
}

BOOST_AUTO_TEST_CASE(ends_when_one_of_the_contexts_does_before_it_is_there) {
  const auto alive = std::make_shared<int>();
  bool arrived = false;
  const auto body = [&arrived](std::shared_ptr<int>, asio::io_context* other) -> task<> {
    co_await asio::dispatch(asio::bind_executor(*other, asio::deferred));
    arrived = true;
  };
  {
    asio::io_context other;
    {
      asio::io_context io;
      sluice::go(io, body(alive, &other));
      io.poll();
    }
    BOOST_TEST(alive.use_count() == 1);
    other.run();
  }
  {
    asio::io_context io;
    {
      asio::io_context other;
      sluice::go(io, body(alive, &other));
      io.poll();
    }
    run(io);
    BOOST_TEST(alive.use_count() == 1);
  }
  BOOST_TEST(!arrived);
}

BOOST_AUTO_TEST_CASE(comes_back_with_its_next_wait) {
  asio::io_context io;
  const auto shared = asio::make_strand(io);
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  const auto body = [&]() -> task<> {
    const asio::any_io_executor own = co_await asio::this_coro::executor;
    const auto& strand = *own.target<sluice::executor>();
    asio::steady_timer timer(io, 1us);
    co_await asio::dispatch(asio::bind_executor(shared, asio::deferred));
    BOOST_TEST(shared.running_in_this_thread());
    co_await timer.async_wait(asio::deferred);  // launched on its own strand
    BOOST_TEST(!shared.running_in_this_thread());
    BOOST_TEST(strand.running_in_this_thread());
    co_await asio::dispatch(asio::bind_executor(shared, asio::deferred));
    static_cast<void>(co_await asio::this_coro::executor);
    BOOST_TEST(strand.running_in_this_thread());
  };
  sluice::go(ctx, io, body);
  run(io);
}

BOOST_AUTO_TEST_CASE(may_end_and_may_throw_there) {
  asio::io_context io;
  const auto shared = asio::make_strand(io);
  sluice::go(io, [&]() -> task<> {
    co_await asio::dispatch(asio::bind_executor(shared, asio::deferred));
  });
  sluice::go(io, [&]() -> task<> {
    co_await asio::dispatch(asio::bind_executor(shared, asio::deferred));
    throw std::runtime_error("there");
  });
  BOOST_CHECK_THROW(run(io), std::runtime_error);
  run(io);
}

// What is in its slot runs on its own strand, beside the goroutine that has moved to another one.
BOOST_AUTO_TEST_CASE(may_end_there_while_its_slot_is_told) {
  struct flags {
    std::atomic<bool> running{false}, ended{false}, destroyed_while_running{false};
  } f;
  class told {
   public:
    explicit told(flags& f) : f_(f) {}
    told(const told&) = delete;
    told& operator=(const told&) = delete;
    ~told() {
      if (f_.running) f_.destroyed_while_running = true;
    }
    void operator()(asio::cancellation_type) {
      f_.running = true;
      while (!f_.ended) std::this_thread::yield();
      f_.running = false;
    }

   private:
    flags& f_;
  };
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  const auto body = [&, &stop = cancel]() -> task<> {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    auto state = co_await asio::this_coro::cancellation_state;
    state.slot().template emplace<told>(f);
    // Not by `dispatch`, which may go on there inside a turn of its own strand.
    co_await asio::post(asio::bind_executor(strand, asio::deferred));
    stop();
    while (!f.running) std::this_thread::yield();
  };
  sluice::go(ctx, io, body, [&](std::exception_ptr) { f.ended = true; });
  run(io, 4);
  BOOST_TEST(f.ended);
  BOOST_TEST(!f.destroyed_while_running);
}

BOOST_AUTO_TEST_CASE(does_not_if_it_was_cancelled_before) {
  asio::io_context io;
  const auto shared = asio::make_strand(io);
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  error_code told;
  const auto body = [&, &stop = cancel]() -> task<> {
    stop();
    try {
      co_await asio::dispatch(asio::bind_executor(shared, asio::deferred));
    } catch (const sluice::system_error& e) {
      told = e.code();
    }
  };
  sluice::go(ctx, io, body);
  run(io);
  BOOST_TEST(told == error_code(asio::error::operation_aborted));
}

BOOST_AUTO_TEST_SUITE_END()
