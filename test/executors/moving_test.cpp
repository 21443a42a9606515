// Asio's way to go on on a strand: co_await dispatch(bind_executor(strand, deferred)).
#include <sluice/context.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/timer.hpp>

#include "support.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>

namespace {

using namespace sluice_test;
using namespace std::chrono_literals;

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
