#include "../names.hpp"

#include <sluice/go.hpp>

#include <sluice/task.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

// Operations whose arguments are move-only, given asio::deferred and awaited in a task: go itself
// is one.

namespace {

using namespace sluice_test;

sluice::task<int> give(int n) {
  co_await sluice::this_goroutine::yield();
  co_return n;
}
sluice::task<int> fail() {
  co_await sluice::this_goroutine::yield();
  throw std::runtime_error("failed");
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_goroutine_awaits_another_with_deferred) {
  asio::io_context io;
  int sum = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    for (int i = 0; i < 100; ++i) sum += co_await sluice::go(io, give(i), asio::deferred);
    try {
      static_cast<void>(co_await sluice::go(io, fail(), asio::deferred));
    } catch (const std::runtime_error&) {
      sum = -sum;
    }
  });
  io.run();
  BOOST_TEST(sum == -4950);
}

BOOST_AUTO_TEST_CASE(a_goroutine_awaits_another_with_use_task) {
  asio::io_context io;
  int sum = 0;
  sluice::go(io, [&]() -> sluice::task<> {
    auto owner = [p = std::make_unique<int>(7)]() -> sluice::task<int> { co_return *p; };
    sum += co_await sluice::go(io, std::move(owner), sluice::use_task);
    sum += co_await sluice::go(io, give(3), sluice::use_task);
  });
  io.run();
  BOOST_TEST(sum == 10);
}
