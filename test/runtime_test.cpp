#include <sluice/runtime.hpp>

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// A whole program run by the library. How it ends is in runtime/end_test.cpp, and what happens when
// nothing can go on in runtime/deadlock_test.cpp.

namespace {

using namespace sluice_test;

/// Gives an environment variable another value while it exists, or none.
class environment {
 public:
  environment(const char* name, const char* value) : name_(name) {
    if (const char* const old = std::getenv(name)) old_ = old;
    set(value);
  }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;
  ~environment() { set(old_ ? old_->c_str() : nullptr); }

 private:
  void set(const char* value) const {
    if (value)
      ::setenv(name_, value, 1);
    else
      ::unsetenv(name_);
  }

  const char* const name_;
  std::optional<std::string> old_;
};

struct no_default {
  explicit no_default(int n) : value(n) {}
  no_default(no_default&&) = default;
  int value;
};

task<int> six() {
  co_await yield();
  co_return 6;
}

task<> fail_after_a_turn() {
  co_await yield();
  throw std::runtime_error("failed");
}

/// Waits for ever, and counts itself in `alive` until it is destroyed.
task<> wait_for_ever(std::atomic<int>& alive) {
  const witness here(alive);
  static_cast<void>(co_await sluice::channel<int>().receive());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(main_function)

BOOST_AUTO_TEST_CASE(gives_what_run_returns) {
  BOOST_TEST(sluice::run([]() -> task<int> { co_return 42; }) == 42);
  BOOST_TEST(*sluice::run([]() -> task<std::unique_ptr<int>> {
    co_await yield();
    co_return std::make_unique<int>(7);
  }) == 7);
  BOOST_TEST(sluice::run([]() -> task<no_default> { co_return no_default(8); }).value == 8);
  int n = 0;
  const auto reference = [&]() -> task<int&> { co_return n; };
  auto&& same = sluice::run(reference);
  BOOST_TEST(&same == &n);
  bool ran = false;
  const auto nothing = [&]() -> task<> {
    co_await yield();
    ran = true;
  };
  static_assert(std::is_void_v<decltype(sluice::run(nothing))>);
  sluice::run(nothing);
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(may_be_whatever_go_takes) {
  BOOST_TEST(sluice::run(six) == 6);
  BOOST_TEST(sluice::run(six()) == 6);
  BOOST_TEST(sluice::run([] { return 7; }) == 7);
  BOOST_TEST(sluice::run([]() -> asio::awaitable<int> { co_return 8; }) == 8);
  std::atomic<int> alive = 0;
  auto with_captures = [n = std::make_unique<int>(9), here = witness(alive)]() -> task<int> {
    co_await yield();
    co_return *n;
  };
  BOOST_TEST(sluice::run(std::move(with_captures)) == 9);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(is_a_goroutine_like_any_other) {
  std::size_t count = 0;
  const int sum = sluice::run(
      [&]() -> task<int> {
        auto ch = make_channel<int>();
        for (int i = 1; i <= 3; ++i) sluice::go([ch, i]() -> task<> { co_await ch.send(i); });
        count = sluice::goroutine_count(ch.get_executor());
        int s = 0;
        for (int i = 0; i < 3; ++i) s += (co_await ch.receive()).value_or(100);
        co_return s;
      },
      1);
  BOOST_TEST(sum == 6);
  BOOST_TEST(count == 4u);  // TestNumGoroutine (runtime/proc_test.go): main and the three
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(threads)

BOOST_AUTO_TEST_CASE(are_as_many_as_there_are_processors_or_as_the_environment_says) {
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  {
    const environment unset("SLUICE_THREADS", nullptr);
    BOOST_TEST(sluice::runtime().threads() == processors);
    BOOST_TEST(sluice::runtime(3).threads() == 3u);
  }
  {
    const environment empty("SLUICE_THREADS", "");
    BOOST_TEST(sluice::runtime().threads() == processors);
  }
  {
    const environment five("SLUICE_THREADS", "5");
    BOOST_TEST(sluice::runtime().threads() == 5u);
    BOOST_TEST(sluice::runtime(2).threads() == 2u);
  }
}

BOOST_AUTO_TEST_CASE(of_a_number_that_is_none_are_a_clear_error) {
  for (const std::string bad :
       {"0", "-1", "two", "4x", "0x4", " 4", "4 ", "1.5", "99999999999999999999999"}) {
    const environment set("SLUICE_THREADS", bad.c_str());
    const auto says_so = [&](const std::invalid_argument& e) {
      const std::string text = e.what();
      return text.find("SLUICE_THREADS") != text.npos && text.find(bad) != text.npos;
    };
    bool ran = false;
    BOOST_CHECK_EXCEPTION(sluice::run([&] { ran = true; }), std::invalid_argument, says_so);
    BOOST_TEST(!ran);
    BOOST_CHECK_NO_THROW(sluice::run([] {}, 1));
  }
}

// TestGoroutineParallelism (runtime/proc_test.go)
BOOST_AUTO_TEST_CASE(run_goroutines_at_the_same_time) {
  const environment three("SLUICE_THREADS", "3");
  const watchdog dog;
  std::array<std::thread::id, 3> ids;
  std::latch all_there(3);
  sluice::run([&]() -> task<> {
    const auto meet = [&](std::size_t i) -> task<> {
      ids[i] = std::this_thread::get_id();
      all_there.arrive_and_wait();
      co_return;
    };
    sluice::go(meet(1));
    sluice::go(meet(2));
    co_await meet(0);
  });
  BOOST_TEST(std::set<std::thread::id>(ids.begin(), ids.end()).size() == 3u);
}

BOOST_AUTO_TEST_CASE(if_there_is_one_are_the_caller_of_run) {
  const auto here = std::this_thread::get_id();
  bool elsewhere = false;
  sluice::run(
      [&]() -> task<> {
        const auto look = [&] { elsewhere |= std::this_thread::get_id() != here; };
        sluice::wait_group wg;
        for (int i = 0; i < 10; ++i)
          wg.go([&]() -> task<> {
            look();
            co_await sluice::sleep_for(1us);
            look();
          });
        co_await wg.wait();
        look();
      },
      1);
  BOOST_TEST(!elsewhere);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(exceptions)

BOOST_AUTO_TEST_CASE(of_main_leave_run_and_the_others_are_destroyed) {
  std::atomic<int> alive = 0;
  const auto main = [&](bool late) -> task<int> {
    for (int i = 0; i < 3; ++i) sluice::go(wait_for_ever(alive));
    while (late && alive < 3) co_await yield();
    if (alive < 4) throw std::runtime_error("main");
    co_return 1;
  };
  for (const std::size_t threads : {1U, 3U})
    for (const bool late : {false, true}) {
      BOOST_CHECK_EXCEPTION(sluice::run(main(late), threads), std::runtime_error,
                            [](const auto& e) { return e.what() == std::string("main"); });
      BOOST_TEST(alive == 0);
    }
  BOOST_CHECK_THROW(sluice::run([]() -> task<> {
                      throw 5;
                      co_return;
                    }),
                    int);
  BOOST_CHECK_THROW(sluice::run([] { throw std::logic_error("plain"); }), std::logic_error);
}

// As an uncaught panic ends a Go program, whatever main is doing (runtime/crash_test.go).
BOOST_AUTO_TEST_CASE(of_any_goroutine_leave_run) {
  for (const std::size_t threads : {1U, 3U}) {
    const watchdog dog;
    std::atomic<int> alive = 0;
    std::atomic<bool> main_went_on = false;
    const auto main = [&]() -> task<> {
      const witness here(alive);
      sluice::go(wait_for_ever(alive));
      sluice::go(fail_after_a_turn());
      co_await sluice::sleep_for(1h);
      main_went_on = true;
    };
    BOOST_CHECK_THROW(sluice::run(main, threads), std::runtime_error);
    BOOST_TEST(!main_went_on);
    BOOST_TEST(alive == 0);
  }
}

BOOST_AUTO_TEST_CASE(of_several_threads_at_once_leave_run_as_one) {
  const watchdog dog;
  for (std::size_t round = 0; round < rounds(50); ++round) {
    std::latch both(2);
    int caught = 0;
    try {
      sluice::run(
          [&]() -> task<> {
            const auto fail = [&](int n) -> task<> {
              both.arrive_and_wait();
              throw n;
              co_return;
            };
            sluice::go(fail(1));
            co_await fail(2);
          },
          2);
    } catch (int n) {
      caught = n;
    }
    BOOST_TEST((caught == 1 || caught == 2));
  }
}

BOOST_AUTO_TEST_CASE(of_plain_handlers_leave_run) {
  sluice::runtime r(1);
  asio::post(r.context(), [] { throw std::logic_error("handler"); });
  BOOST_CHECK_THROW(r.run([]() -> task<> { co_await sluice::sleep_for(1h); }), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(untracked_goroutines)

BOOST_AUTO_TEST_CASE(are_no_work_while_they_are_parked) {
  asio::io_context io;
  auto ch = make_channel<int>();
  int got = 0;
  sluice::go(sluice::untracked(io), [&]() -> task<> {
    for (int i = 0; i < 2; ++i) got += (co_await ch.receive()).value_or(100);
  });
  run(io);
  BOOST_TEST(sluice::goroutine_count(io) == 1u);
  ch.try_send(1);  // ready again, and work
  run(io);
  BOOST_TEST(got == 1);
  ch.try_send(2);
  run(io);
  BOOST_TEST(got == 3);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_CASE(are_work_while_they_run_sleep_or_await_an_asio_operation) {
  asio::io_context io;
  std::vector<int> steps;
  sluice::go(sluice::untracked(io), [&]() -> task<> {
    for (int i = 0; i < 1000; ++i) co_await yield();
    steps.push_back(1);
    co_await sluice::sleep_for(2ms);
    steps.push_back(2);
    asio::steady_timer timer(io, 2ms);
    co_await timer.async_wait(asio::deferred);
    steps.push_back(3);
    co_await asio::post(io, asio::deferred);
    steps.push_back(4);
    const auto [index] = std::tuple(
        (co_await sluice::select(sluice::channel<int>().receive(), sluice::sleep_for(2ms)))
            .index());
    steps.push_back(static_cast<int>(index) + 4);
  });
  run(io);
  BOOST_TEST(steps == (std::vector{1, 2, 3, 4, 5}));
}

BOOST_AUTO_TEST_CASE(start_untracked_goroutines_and_others_start_others) {
  asio::io_context io;
  auto ch = make_channel<int>();
  const auto wait = [&]() -> task<> { static_cast<void>(co_await ch.receive()); };
  sluice::go(sluice::untracked(io), [&]() -> task<> {
    sluice::go(wait);
    co_return;
  });
  run(io);
  BOOST_TEST(sluice::goroutine_count(io) == 1u);
  sluice::go(io, [&]() -> task<> {
    sluice::go(wait);
    co_return;
  });
  poll(io);
  BOOST_TEST(!io.stopped());
  ch.close();
  run(io);
  BOOST_TEST(sluice::goroutine_count(io) == 0u);
}

BOOST_AUTO_TEST_CASE(on_strands_are_no_work_while_they_are_parked) {
  asio::io_context io;
  auto ch = make_channel<int>();
  int got = 0;
  sluice::go(sluice::untracked(asio::make_strand(io)), [&]() -> task<> {
    static_cast<void>(co_await asio::this_coro::executor);
    got = (co_await ch.receive()).value_or(100);
  });
  run(io);
  BOOST_TEST(sluice::goroutine_count(io) == 1u);
  ch.try_send(1);
  run(io);
  BOOST_TEST(got == 1);
}

BOOST_AUTO_TEST_SUITE_END()
