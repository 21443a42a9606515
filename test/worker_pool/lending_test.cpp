#include <sluice/worker_pool.hpp>

#include <sluice/abandon.hpp>
#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "helpers.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <new>
#include <utility>
#include <vector>

// Whose worker a job has, and who is told of it.

namespace {

using namespace sluice_test;

/// Counts those who are inside at the same time.
class crowd {
 public:
  class member {
   public:
    explicit member(crowd& c) : crowd_(c) { c.most_ = std::max(c.most_, ++c.now_); }
    member(const member&) = delete;
    member& operator=(const member&) = delete;
    ~member() { --crowd_.now_; }

   private:
    crowd& crowd_;
  };
  [[nodiscard]] int most() const noexcept { return most_; }

 private:
  int now_ = 0;
  int most_ = 0;
};

/// A result one of whose copies fails.
struct fragile {
  explicit fragile(int n = 0) : number(n) {}
  fragile(const fragile& other) : number(other.number) {
    if (copies_left > 0 && --copies_left == 0) throw std::bad_alloc();
  }
  fragile& operator=(const fragile&) = delete;
  int number;
  static inline int copies_left = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_worker)

BOOST_AUTO_TEST_CASE(is_lent_to_one_at_a_time_of_those_that_its_job_awaits) {
  asio::io_context io;
  crowd inside;
  int ended = 0;
  int_pool* pool = nullptr;
  int_pool p(io, {.workers = 1}, [&](int n) -> task<int> {
    if (n == 0) {
      std::vector<decltype(pool->submit(1))> all;
      for (int i = 0; i < 50; ++i) all.push_back(pool->submit(1));
      co_await sluice::select(std::move(all));
      co_return 0;
    }
    const crowd::member here(inside);
    co_await sluice::sleep_for(1ms);
    co_return n;
  });
  pool = &p;
  for (int i = 0; i < 2; ++i) p.submit(0)([&](const std::exception_ptr& e, int) { ended += !e; });
  run(io);
  BOOST_TEST(ended == 2);
  BOOST_TEST(inside.most() == 1);
  const auto s = p.stats();
  BOOST_TEST(s.queued == 0u);
  BOOST_TEST(s.running == 0u);
  BOOST_TEST(s.done >= 4u);
  BOOST_TEST(sluice_test::told(s) == 102u);
}

BOOST_AUTO_TEST_CASE(is_lent_by_an_awaitable_too) {
  asio::io_context io;
  int_pool* pool = nullptr;
  int_pool p(io, {.workers = 1}, [&](int n) -> asio::awaitable<int> {
    if (n == 0) co_return 1;
    co_return 1 + co_await pool->submit(n - 1)(asio::use_awaitable);
  });
  pool = &p;
  int result = 0;
  p.submit(5)([&](const std::exception_ptr& e, int n) { result = e ? -1 : n; });
  run(io);
  BOOST_TEST(result == 6);
}

// It stays with who uses it when the lender's place is taken by others.
BOOST_AUTO_TEST_CASE(that_is_lent_by_a_job_that_ends_first_is_free_when_the_borrower_has_ended) {
  asio::io_context io;
  crowd inside;
  auto gate = sluice::make_channel<void>();
  int_pool* pool = nullptr;
  int_pool p(io, {.workers = 1}, [&](int n) -> task<int> {
    if (n == 0) {
      auto lent = pool->submit(1);
      co_await sluice::select(sluice::abandon(std::move(lent)), sluice::sleep_for(1ms));
      co_return 0;
    }
    const crowd::member here(inside);
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await gate.receive();
    co_return n;
  });
  pool = &p;
  bool lender_ended = false, next_ended = false;
  p.submit(0)([&](const std::exception_ptr&, int) {
    lender_ended = true;
    p.submit(2)([&](const std::exception_ptr&, int) { next_ended = true; });
  });
  sluice::go(io, [&]() -> task<> {
    while (!lender_ended) co_await sluice::sleep_for(1ms);
    gate.close();
  });
  run(io);
  BOOST_TEST(next_ended);
  BOOST_TEST(p.stats().running == 0u);
  BOOST_TEST(p.stats().overdue == 0u);
}

BOOST_AUTO_TEST_CASE(that_is_free_is_not_refused_to_one_of_two_who_try_at_the_same_time) {
  asio::thread_pool threads(1);
  for (std::size_t i = 0; i < rounds(1000); ++i) {
    int_pool p(threads, {.workers = 2}, [](int n) { return n; });
    std::atomic<int> refused{0};
    on_threads(2, [&](int) {
      if (!p.try_submit(1, asio::detached)) ++refused;
    });
    BOOST_REQUIRE(refused == 0);
    std::promise<void> stopped;
    p.stop()(asio::bind_executor(threads, [&](error_code) { stopped.set_value(); }));
    stopped.get_future().wait();
  }
  threads.join();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_job)

// Under the address sanitizer: neither the goroutine nor its context is there to be told.
BOOST_AUTO_TEST_CASE(whose_caller_goes_with_its_context_is_cancelled_and_told_nobody) {
  asio::io_context io;
  int begun = 0, finished_well = 0;
  bool told = false;
  int_pool p(io, {.workers = 1}, [&](int n) -> task<int> {
    ++begun;
    co_await sluice::sleep_for(24h);
    ++finished_well;
    co_return n;
  });
  {
    asio::io_context callers;
    for (int i = 0; i < 3; ++i)
      sluice::go(callers, [&]() -> task<> {
        co_await p.submit(1);
        told = true;
      });
    poll(callers);
    p.submit(1)(asio::bind_executor(callers, [&](const std::exception_ptr&, int) { told = true; }));
    poll(io);
    BOOST_TEST(begun == 1);
  }
  run(io);
  BOOST_TEST(begun == 1);
  BOOST_TEST(finished_well == 0);
  BOOST_TEST(!told);
  BOOST_TEST(p.stats().queued == 0u);
  BOOST_TEST(p.stats().running == 0u);
  bool stopped = false;
  sluice::go(io, [&]() -> task<> {
    co_await p.stop();
    stopped = true;
  });
  run(io);
  BOOST_TEST(stopped);
}

BOOST_AUTO_TEST_CASE(ends_on_another_thread_while_the_context_of_its_caller_ends) {
  asio::thread_pool threads(1);
  int_pool p(threads, {.workers = 4, .queue_capacity = rounds(2000)}, [](int n) { return n; });
  for (std::size_t i = 0; i < rounds(2000); ++i) {
    asio::io_context callers;
    sluice::go(callers, [&]() -> task<> { co_await p.submit(1); });
    poll(callers);
  }
  std::promise<void> stopped;
  p.stop()(asio::bind_executor(threads, [&](error_code) { stopped.set_value(); }));
  stopped.get_future().wait();
  threads.join();
  BOOST_TEST(sluice_test::told(p.stats()) == rounds(2000));
}

BOOST_AUTO_TEST_CASE(is_told_about_once_whichever_copy_of_its_result_fails) {
  for (int copy = 1; copy < 12; ++copy) {
    asio::io_context io;
    sluice::worker_pool<int, fragile> p(io, {}, [](int n) { return fragile(n); });
    int told = 0;
    bool stopped = false;
    sluice::go(io, [&]() -> task<> {
      try {
        co_await p.submit(1);
        ++told;
      } catch (const std::bad_alloc&) {
        ++told;
      }
      fragile::copies_left = 0;
      co_await p.stop();
      stopped = true;
    });
    fragile::copies_left = copy;
    run(io);
    BOOST_TEST(told == 1);
    BOOST_TEST(stopped);
  }
}

BOOST_AUTO_TEST_CASE(tells_a_handler_once_whichever_copy_of_its_result_fails) {
  int failures = 0;
  for (int copy = 1; copy < 12; ++copy) {
    asio::io_context io;
    sluice::worker_pool<int, fragile> p(io, {}, [](int n) { return fragile(n); });
    int told = 0;
    p.submit(1)([&](const std::exception_ptr& failure, const fragile&) {
      ++told;
      if (failure) ++failures;
      fragile::copies_left = 0;
    });
    fragile::copies_left = copy;
    run(io);
    fragile::copies_left = 0;
    BOOST_TEST(told == 1);
  }
  BOOST_TEST(failures >= 2);
}

BOOST_AUTO_TEST_CASE(that_is_cancelled_before_its_first_step_does_nothing) {
  asio::io_context io;
  int begun = 0;
  int_pool p(io, {}, [&](int n) {
    ++begun;
    return n;
  });
  submitter s;
  p.submit(1)(s.token());
  s.cancel();
  run(io);
  BOOST_TEST(begun == 0);
  BOOST_TEST(s.last == fate::cancelled);
  BOOST_TEST(p.stats().cancelled == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
