// Groups of goroutines that are cancelled by one thread while another ends their context.

#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "hold.hpp"
#include "manual_executor.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <memory>
#include <thread>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_group_that_is_cancelled_while_its_context_ends)

BOOST_AUTO_TEST_CASE(keeps_no_executor_longer_than_that) {
  const watchdog dog;
  auto io = std::make_unique<asio::io_context>();
  const auto parent = sluice::with_cancel(context::background());
  std::weak_ptr<const void> of_executor;
  {
    const manual_executor where(*io);
    of_executor = where.lifetime();
    sluice::go(*io, [where, &parent]() -> task<> {
      const auto body = [](task_group&) -> task<> { co_await sluice::sleep_for(24h); };
      co_await with_task_group(where, parent.ctx, body);
    });
  }
  poll(*io);
  hold telling("a group has told its goroutines");
  std::thread canceller([&] { parent.cancel(); });
  telling.wait_until_held();
  io.reset();
  BOOST_TEST(of_executor.expired());
  telling.release();
  canceller.join();
}

BOOST_AUTO_TEST_SUITE_END()
