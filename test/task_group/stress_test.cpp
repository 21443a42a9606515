// Groups whose goroutines are started, end and are cancelled on several threads at once.
#include <sluice/task_group.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>

namespace {

using namespace sluice_test;

const context background;

}  // namespace

BOOST_AUTO_TEST_SUITE(every_goroutine_of_a_group)

BOOST_AUTO_TEST_CASE(is_cancelled_however_late_it_is_started) {
  const watchdog dog;
  for (std::size_t round = 0; round < rounds(400, 100); ++round) {
    asio::io_context io;
    const auto parent = with_cancel(background);
    std::atomic<int> begun{0}, told{0};
    const auto wait = [&](int number) -> task<> {
      ++begun;
      if (number % 3 == 0) {
        co_await sluice::this_goroutine::yield();
        ++told;
      } else if (co_await error_of(sluice::sleep_for(24h)) == aborted) {
        ++told;
      }
    };
    const auto start_some = [&](task_group& g) -> task<> {
      for (int i = 0; i < 20; ++i) {
        g.go(wait(i));
        co_await sluice::this_goroutine::yield();
      }
    };
    sluice::go(io, [&]() -> task<> {
      const auto body = [&](task_group& g) -> task<> {
        if (round % 2 == 1) g.set_limit(4);
        for (int i = 0; i < 2; ++i) g.go(start_some(g));
        co_await start_some(g);
      };
      co_await error_of(with_task_group(parent.ctx, body));
    });
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < round % 50; ++i) co_await sluice::this_goroutine::yield();
      parent.cancel();
    });
    run(io, 3);
    BOOST_TEST(begun == told);
  }
}

BOOST_AUTO_TEST_CASE(goes_with_its_context_while_others_cancel_it) {
  const watchdog dog;
  const auto kept = std::make_shared<int>();
  for (std::size_t round = 0; round < rounds(400, 100); ++round) {
    auto io = std::make_unique<asio::io_context>();
    asio::io_context elsewhere;
    const auto open = make_channel<void>(elsewhere);
    const auto parent = with_cancel(background);
    const auto wait = [&](std::shared_ptr<int>) -> task<> {
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      static_cast<void>(co_await open.receive());
    };
    sluice::go(*io, [&]() -> task<> {
      const auto body = [&](task_group& g) -> task<> {
        if (round % 2 == 1) g.set_limit(10);
        for (int i = 0; i < 10; ++i) {
          g.go([kept]() -> task<> { co_await sluice::sleep_for(24h); });
          g.go(wait(kept));
        }
        co_return;
      };
      co_await with_task_group(parent.ctx, body);
    });
    poll(*io);
    on_threads(3, [&](int i) {
      if (i == 0)
        io.reset();
      else if (i == 1)
        parent.cancel();
      else
        open.close();
    });
    BOOST_TEST(kept.use_count() == 1);
  }
}

BOOST_AUTO_TEST_SUITE_END()
