#include <sluice/runtime.hpp>

#include <sluice/channel.hpp>
#include <sluice/mutex.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

// The end of a program that the library runs, and its going on in another run.

namespace {

using namespace sluice_test;

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

// "When the function main returns, the program exits. It does not wait for other goroutines."
// (The Go Programming Language Specification, Program execution)
BOOST_AUTO_TEST_SUITE(return_of_main)

namespace {

/// Starts a goroutine in every kind of wait; each counts itself in `alive`, and in `there` when it
/// is about to wait.
class everywhere {
 public:
  static constexpr int kinds = 11;

  everywhere(std::atomic<int>& alive, std::atomic<int>& there) : alive_(alive), there_(there) {}

  void start() {
    held_ = mutex_.try_lock();
    group_.add();
    sluice::go(receive());
    sluice::go(send());
    sluice::go(wait_in_select());
    sluice::go(wait_in_select_with_asio());
    sluice::go(sleep());
    sluice::go(wait_for_asio_timer());
    sluice::go(accept());
    sluice::go(spin());
    sluice::go(lock());
    sluice::go(wait_for_group());
    sluice::go([this]() -> asio::awaitable<void> {
      const witness here(alive_);
      ++there_;
      co_await quiet_.async_receive(asio::use_awaitable);
    });
  }

 private:
  task<> receive() {
    const witness here(alive_);
    ++there_;
    static_cast<void>(co_await quiet_.receive());
  }
  task<> send() {
    const witness here(alive_);
    ++there_;
    co_await sluice::sender<int>(full_).send(1);
  }
  task<> wait_in_select() {
    const witness here(alive_);
    ++there_;
    co_await sluice::select(quiet_.receive(), sluice::sleep_for(1h));
  }
  task<> wait_in_select_with_asio() {
    const witness here(alive_);
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    ++there_;
    co_await sluice::select(quiet_.receive(), timer.async_wait(asio::deferred));
  }
  task<> sleep() {
    const witness here(alive_);
    ++there_;
    co_await sluice::sleep_for(1h);
  }
  task<> wait_for_asio_timer() {
    const witness here(alive_);
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    ++there_;
    co_await timer.async_wait(asio::deferred);
  }
  task<> accept() {
    const witness here(alive_);
    asio::ip::tcp::acceptor acceptor(co_await asio::this_coro::executor,
                                     {asio::ip::address_v4::loopback(), 0});
    ++there_;
    static_cast<void>(co_await acceptor.async_accept(asio::deferred));
  }
  task<> spin() {
    const witness here(alive_);
    for (++there_;;) co_await yield();
  }
  task<> lock() {
    const witness here(alive_);
    ++there_;
    static_cast<void>(co_await mutex_.lock());
  }
  task<> wait_for_group() {
    const witness here(alive_);
    ++there_;
    co_await group_.wait();
  }

  std::atomic<int>& alive_;
  std::atomic<int>& there_;
  sluice::channel<int> quiet_ = make_channel<int>();
  sluice::channel<int> full_ = make_channel<int>();
  sluice::mutex mutex_;
  sluice::mutex::guard held_;
  sluice::wait_group group_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(destroys_the_other_goroutines_wherever_they_are) {
  for (const std::size_t threads : {1U, 3U}) {
    const watchdog dog;
    std::atomic<int> alive = 0;
    std::atomic<int> there = 0;
    everywhere others(alive, there);
    const int result = sluice::run(
        [&]() -> task<int> {
          others.start();
          while (there < everywhere::kinds) co_await yield();
          co_return alive.load();
        },
        threads);
    BOOST_TEST(result == everywhere::kinds);
    BOOST_TEST(alive == 0);
  }
}

namespace {

/// Notes how many are alive when it goes.
class last_look {
 public:
  last_look(const std::atomic<int>& alive, int& seen) : alive_(alive), seen_(seen) {}
  last_look(const last_look&) = delete;
  last_look& operator=(const last_look&) = delete;
  ~last_look() { seen_ = alive_; }

 private:
  const std::atomic<int>& alive_;
  int& seen_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(destroys_them_before_the_locals_of_main_that_they_refer_to) {
  for (const std::size_t threads : {1U, 3U}) {
    const watchdog dog;
    std::atomic<int> alive = 0;
    int left = -1;
    const int result = sluice::run(
        [&]() -> task<int> {
          const last_look look(alive, left);
          std::atomic<int> there = 0;
          everywhere others(alive, there);
          others.start();
          while (there < everywhere::kinds) co_await yield();
          co_return 7;
        },
        threads);
    BOOST_TEST(result == 7);
    BOOST_TEST(left == 0);
  }
}

BOOST_AUTO_TEST_CASE(destroys_those_that_were_ready_before_its_locals) {
  std::atomic<int> alive = 0;
  int left = -1;
  sluice::run(
      [&]() -> task<> {
        const last_look look(alive, left);
        auto ch = make_channel<int>();
        for (int i = 0; i < 3; ++i)
          sluice::go([&]() -> task<> {
            const witness here(alive);
            static_cast<void>(co_await ch.receive());
            ++left;
          });
        co_await yield();
        BOOST_TEST(alive == 3);
        ch.close();
        co_return;
      },
      1);
  BOOST_TEST(left == 0);
}

// Its locals go on being used: they wake, post and start, and none of it runs.
BOOST_AUTO_TEST_CASE(lets_its_locals_do_what_they_like_when_the_others_are_gone) {
  std::atomic<int> alive = 0;
  int ran = 0;
  struct at_end {
    std::function<void()> f;
    ~at_end() { f(); }
  };
  sluice::run(
      [&]() -> task<int> {
        const auto ex = co_await asio::this_coro::executor;
        auto ch = make_channel<int>(1);
        at_end last{[&, ex] {
          asio::post(ex, [&, here = witness(alive)] { ++ran; });
          sluice::go(ex, [&, here = witness(alive)]() -> task<> {
            ++ran;
            co_return;
          });
          static_cast<void>(ch.try_send(1));
          ch.close();
        }};
        sluice::go([&]() -> task<> { static_cast<void>(co_await ch.receive()); });
        co_await yield();
        co_return 0;
      },
      2);
  BOOST_TEST(ran == 0);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(does_not_wait_for_ever_for_one_that_wants_what_it_holds) {
  const watchdog dog;
  std::mutex mutex;
  std::atomic<bool> wants = false;
  const int result = sluice::run(
      [&]() -> task<int> {
        const std::lock_guard guard(mutex);
        sluice::go([&]() -> task<> {
          wants = true;
          const std::lock_guard also(mutex);
          co_return;
        });
        while (!wants) std::this_thread::yield();
        co_return 1;
      },
      2);
  BOOST_TEST(result == 1);
}

BOOST_AUTO_TEST_CASE(leaves_those_alone_beneath_which_it_ends) {
  std::atomic<int> alive = 0;
  bool went_on = false;
  const int result = sluice::run(
      [&]() -> task<int> {
        const auto ex = co_await asio::this_coro::executor;
        auto& io = static_cast<asio::io_context&>(ex.context());
        sluice::go([&]() -> task<> {
          const witness here(alive);
          while (!io.stopped()) io.poll_one();
          went_on = alive == 1;
          co_return;
        });
        co_await yield();
        co_await yield();
        co_return 1;
      },
      1);
  BOOST_TEST(result == 1);
  BOOST_TEST(went_on);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(destroys_goroutines_that_never_ran_with_their_captures) {
  std::atomic<int> alive = 0;
  bool ran = false;
  sluice::run(
      [&]() -> task<> {
        for (int i = 0; i < 3; ++i)
          sluice::go([&ran, here = witness(alive)]() -> task<> {
            ran = true;
            co_return;
          });
        BOOST_TEST(alive == 3);
        co_return;
      },
      1);
  BOOST_TEST(!ran);
  BOOST_TEST(alive == 0);
}

// Nothing runs after it: not the goroutines that were ready, however long it has been going on.
BOOST_AUTO_TEST_CASE(is_the_last_step_of_the_program) {
  for (const int turns : {0, 1, 10, 100, 1000}) {
    bool over = false;
    int late = 0;
    sluice::run(
        [&]() -> task<> {
          for (int k = 0; k < 3; ++k)
            sluice::go([&]() -> task<> {
              for (;;) {
                if (over) ++late;
                co_await yield();
              }
            });
          for (int i = 0; i < turns; ++i) co_await yield();
          over = true;
        },
        1);
    BOOST_TEST_CONTEXT("after " << turns << " turns") BOOST_TEST(late == 0);
  }
}

BOOST_AUTO_TEST_CASE(waits_for_the_step_that_another_thread_is_in) {
  const watchdog dog;
  std::atomic<bool> begun = false;
  std::atomic<bool> main_over = false;
  std::atomic<bool> step_over = false;
  bool next_step = false;
  sluice::run(
      [&]() -> task<> {
        sluice::go([&]() -> task<> {
          begun = true;
          while (!main_over) std::this_thread::yield();
          std::this_thread::sleep_for(5ms);
          step_over = true;
          co_await yield();
          co_await yield();
          next_step = true;
          static_cast<void>(co_await sluice::channel<int>().receive());
        });
        while (!begun) co_await yield();
        main_over = true;
      },
      2);
  BOOST_TEST(step_over);
  BOOST_TEST(!next_step);
}

BOOST_AUTO_TEST_CASE(destroys_values_on_their_way_once) {
  counted::corrupt = 0;
  BOOST_TEST(in_one_of_several_runs([] {
    bool got = false;
    sluice::run(
        [&]() -> task<> {
          auto ch = make_channel<counted>();
          auto buffer = make_channel<counted>(2);
          sluice::go([ch, &got]() -> task<> {
            static_cast<void>(co_await ch.receive());
            got = true;
          });
          sluice::go([buffer]() -> task<> {
            for (int i = 0; i < 3; ++i) co_await buffer.send(counted(i));
          });
          co_await yield();
          co_await ch.send(counted(9));  // handed to a goroutine that will not run again
          BOOST_TEST((got || counted::alive >= 4));
        },
        1);
    BOOST_TEST(counted::alive == 0);
    BOOST_TEST(counted::corrupt == 0);
    return !got;
  }));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(running_again)

BOOST_AUTO_TEST_CASE(goes_on_with_the_goroutines_that_were_left) {
  std::vector<int> got;
  std::atomic<int> alive = 0;
  {
    sluice::runtime r(1);
    auto ch = make_channel<int>();
    r.run([&]() -> task<> {
      sluice::go([&, ch, here = witness(alive)]() -> task<> {
        while (const auto v = co_await ch.receive()) got.push_back(*v);
      });
      co_await ch.send(1);
    });
    BOOST_TEST(sluice::goroutine_count(r.context()) == 1u);
    const int result = r.run([&]() -> task<int> {
      co_await ch.send(2);
      co_await ch.send(3);
      co_return 5;
    });
    BOOST_TEST(result == 5);
    BOOST_TEST(got == (std::vector{1, 2, 3}));
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
}

namespace {

/// Runs a second main that wakes the first one, which was left parked, and sees it end.
int run_beside(sluice::runtime& r, const sluice::channel<int>& first_waits_here,
               const bool& first_ended) {
  return r.run([&]() -> task<int> {
    co_await first_waits_here.send(1);
    while (!first_ended) co_await yield();
    for (int i = 0; i < 100; ++i) co_await yield();
    co_return 2;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(is_possible_after_a_deadlock_and_the_main_of_then_is_a_goroutine_like_any) {
  sluice::runtime r(1);
  auto ch = make_channel<int>();
  bool first_ended = false;
  const auto first = [&]() -> task<int> {
    static_cast<void>(co_await ch.receive());
    first_ended = true;
    co_return 1;
  };
  BOOST_CHECK_THROW(static_cast<void>(r.run(first)), sluice::deadlock_error);
  BOOST_TEST(run_beside(r, ch, first_ended) == 2);
}

BOOST_AUTO_TEST_CASE(is_possible_after_an_exception_and_the_main_of_then_is_a_goroutine_like_any) {
  sluice::runtime r(1);
  auto ch = make_channel<int>();
  bool first_ended = false;
  const auto first = [&]() -> task<int> {
    sluice::go(fail_after_a_turn());
    static_cast<void>(co_await ch.receive());
    first_ended = true;
    co_return 1;
  };
  BOOST_CHECK_THROW(static_cast<void>(r.run(first)), std::runtime_error);
  BOOST_TEST(run_beside(r, ch, first_ended) == 2);
}

BOOST_AUTO_TEST_CASE(inside_a_goroutine_of_another_run_is_a_program_of_its_own) {
  const watchdog dog;
  std::vector<int> got;
  sluice::run(
      [&]() -> task<> {
        auto ch = make_channel<int>();
        const int inner = sluice::run(
            []() -> task<int> {
              auto own = make_channel<int>();
              sluice::go([own]() -> task<> { co_await own.send(5); });
              co_return (co_await own.receive()).value_or(-1);
            },
            1);
        got.push_back(inner);
        try {
          sluice::run(
              []() -> task<> { static_cast<void>(co_await sluice::channel<int>().receive()); }, 1);
        } catch (const sluice::deadlock_error&) {
          got.push_back(6);
        }
        sluice::go([ch]() -> task<> { co_await ch.send(7); });
        got.push_back((co_await ch.receive()).value_or(-1));
      },
      1);
  BOOST_TEST(got == (std::vector{5, 6, 7}));
}

BOOST_AUTO_TEST_CASE(on_several_threads_gives_programs_that_meet_in_a_channel) {
  const watchdog dog;
  const int n = static_cast<int>(rounds(5'000));
  auto ch = make_channel<int>();
  long sum = 0;
  on_threads(2, [&](int who) {
    if (who == 0)
      sluice::run(
          [&]() -> task<> {
            const sluice::work_guard woken_from_outside;
            for (int i = 1; i <= n; ++i) co_await ch.send(i);
            ch.close();
          },
          1);
    else
      sum = sluice::run(
          [&]() -> task<long> {
            const sluice::work_guard woken_from_outside;
            long s = 0;
            while (const auto v = co_await ch.receive()) s += *v;
            co_return s;
          },
          1);
  });
  BOOST_TEST(sum == static_cast<long>(n) * (n + 1) / 2);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(main_that_does_not_wait)

// The members are destroyed after main's frame, and the group with it.
BOOST_AUTO_TEST_CASE(may_leave_a_group_whose_members_are_still_there) {
  const watchdog dog;
  std::atomic<int> alive = 0;
  sluice::run(
      [&]() -> task<> {
        // On the heap, where the address sanitizer sees who comes too late.
        const auto wg = std::make_unique<sluice::wait_group>();
        for (int i = 0; i < 3; ++i) wg->go(wait_for_ever(alive));
        co_await yield();
        BOOST_TEST(alive == 3);
      },
      1);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
