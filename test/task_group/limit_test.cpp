#include <sluice/task_group.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/testing/explore.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

const context background;

}  // namespace

BOOST_AUTO_TEST_SUITE(a_limit)

// Source: TestGoLimit: never more than the limit
BOOST_AUTO_TEST_CASE(is_never_exceeded_and_always_used) {
  constexpr int limit = 10;
  int active = 0, most = 0, ran = 0;
  run_task([&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(limit);
      for (int i = 0; i < 1025; ++i)
        g.go([&]() -> task<> {
          most = std::max(most, ++active);
          do co_await sluice::this_goroutine::yield();
          while (most < limit);
          --active;
          ++ran;
        });
      co_return;
    };
    co_await with_task_group(background, body);
  });
  BOOST_TEST(ran == 1025);
  BOOST_TEST(most == limit);
}

BOOST_AUTO_TEST_CASE(lets_them_run_in_the_order_in_which_they_were_started) {
  std::vector<int> order, expected;
  run_task([&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(1);
      for (int i = 0; i < 20; ++i) {
        expected.push_back(i);
        g.go([&order, i]() -> task<> {
          order.push_back(i);
          co_await sluice::sleep_for(1us);
        });
      }
      co_return;
    };
    co_await with_task_group(background, body);
  });
  BOOST_TEST(order == expected, per_element());
}

BOOST_AUTO_TEST_CASE(gives_turns_in_the_order_of_the_calls_however_goroutines_are_scheduled) {
  sluice::testing::explore([]() -> task<> {
    std::vector<int> order;
    const auto member = [&](int number) -> task<> {
      order.push_back(number);
      co_await sluice::this_goroutine::yield();
    };
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(1);
      g.go(member(0));
      g.go(member(1));
      auto turn = co_await g.slot();
      g.go(member(3));
      g.go(std::move(turn), member(2));
      g.go(member(4));
    };
    co_await with_task_group(background, body);
    if (order != std::vector<int>{0, 1, 2, 3, 4}) throw std::logic_error("a turn was taken");
  });
}

BOOST_AUTO_TEST_CASE(is_used_by_those_that_were_started_before_they_have_begun) {
  run_task([]() -> task<> {
    int ran = 0;
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(2);
      g.go([&] { ++ran; });
      BOOST_TEST(g.try_go([&] { ++ran; }));
      BOOST_TEST(!g.try_go([&] { ++ran; }));
      g.go([&] { ++ran; });
      BOOST_TEST(!g.try_go([&] { ++ran; }));
      co_return;
    };
    co_await with_task_group(background, body);
    BOOST_TEST(ran == 3);
  });
}

BOOST_AUTO_TEST_CASE(keeps_those_from_running_that_have_not_begun_when_the_group_is_cancelled) {
  run_task([]() -> task<> {
    int ran = 0;
    int ran_with_permit = 0;
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(2);
      auto permit = co_await g.slot();
      g.go(std::move(permit), [&] { ++ran_with_permit; });
      for (int i = 0; i < 3; ++i) g.go([&] { ++ran; });
      throw std::runtime_error("the body");
    };
    BOOST_CHECK_THROW(co_await with_task_group(background, body), std::runtime_error);
    BOOST_TEST(ran == 0);
    BOOST_TEST(ran_with_permit == 1);
  });
}

// Source: TestTryGo
BOOST_AUTO_TEST_CASE(makes_try_go_refuse_until_one_has_ended) {
  run_task([]() -> task<> {
    int ran = 0;
    const auto body = [&](task_group& g) -> task<> {
      for (int i = 0; i < 100; ++i) BOOST_TEST(g.try_go([&] { ++ran; }));
      co_await g.wait();
      BOOST_TEST(ran == 100);

      const auto open = make_channel<void>();
      const auto wait = [open]() -> task<> { static_cast<void>(co_await open.receive()); };
      g.set_limit(2);
      BOOST_TEST(g.try_go(wait));
      BOOST_TEST(g.try_go(wait));
      BOOST_TEST(!g.try_go(wait));
      BOOST_TEST(!g.try_go(wait));
      open.close();
      co_await g.wait();
      BOOST_TEST(g.try_go(wait));
    };
    co_await with_task_group(background, body);
  });
}

// Source: TestSetLimit and its panics
BOOST_AUTO_TEST_CASE(can_be_set_while_nothing_runs_and_is_not_zero) {
  run_task([]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      BOOST_CHECK_THROW(g.set_limit(0), std::invalid_argument);
      BOOST_CHECK_THROW(static_cast<void>(g.slot()), std::logic_error);
      const auto open = make_channel<void>();
      g.go([open]() -> task<> { static_cast<void>(co_await open.receive()); });
      BOOST_CHECK_THROW(g.set_limit(1), std::logic_error);
      open.close();
      co_await g.wait();
      g.set_limit(1);
      g.set_limit(3);
    };
    co_await with_task_group(background, body);
  });
}

// Source: TestGoLimit: Go waits; here it is an operation, that can be cancelled
BOOST_AUTO_TEST_CASE(can_be_waited_for_before_there_is_one_more_goroutine) {
  run_in_virtual_time([]() -> task<> {
    int started = 0, most = 0, active = 0;
    std::size_t index = 9;
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(2);
      for (int i = 0; i < 10; ++i) {
        auto slot = co_await g.slot();
        ++started;
        BOOST_TEST(started - 2 <= 8);
        g.go(std::move(slot), [&]() -> task<> {
          most = std::max(most, ++active);
          co_await sluice::sleep_for(1us);
          --active;
        });
        BOOST_TEST(active <= 2);
      }
      co_await g.wait();
      const auto first = co_await g.slot();
      const auto second = co_await g.slot();
      auto r = co_await sluice::select(g.slot(), sluice::sleep_for(1us));
      index = r.index();
    };
    co_await with_task_group(background, body);
    BOOST_TEST(most == 2);
    BOOST_TEST(index == 1u);
  });
}

// Source: neilotoole/errgroup#6, golang/go#27837
BOOST_AUTO_TEST_CASE(does_not_hide_the_first_error_and_keeps_the_rest_from_running) {
  std::vector<int> ran;
  std::string text;
  run_task([&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(1);
      for (int i = 0; i < 6; ++i)
        g.go([&ran, i]() -> task<> {
          ran.push_back(i);
          co_await sluice::sleep_for(1us);
          if (i == 2) throw std::runtime_error("the real one");
        });
      co_return;
    };
    try {
      co_await with_task_group(background, body);
    } catch (const std::exception& e) {
      text = e.what();
    }
  });
  BOOST_TEST(text == "the real one");
  const std::vector<int> expected{0, 1, 2};
  BOOST_TEST(ran == expected, per_element());
}

// Source: neilotoole/errgroup#11: Go during Wait
BOOST_AUTO_TEST_CASE(lets_goroutines_start_others_while_the_group_is_waited_for) {
  int ran = 0;
  run_in_virtual_time([&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(1);
      g.go([&]() -> task<> {
        ++ran;
        for (int i = 0; i < 3; ++i)
          g.go([&]() -> task<> {
            co_await sluice::sleep_for(1us);
            ++ran;
            g.go([&] { ++ran; });
          });
        co_return;
      });
      co_await g.wait();
      BOOST_TEST(ran == 7);
    };
    co_await with_task_group(background, body);
  });
  BOOST_TEST(ran == 7);
}

// Source: neilotoole/errgroup#6: the parent is cancelled while somebody waits for the limit
BOOST_AUTO_TEST_CASE(holds_up_nobody_once_the_parent_is_cancelled) {
  asio::io_context io;
  const auto parent = with_cancel(background);
  std::optional<error_code> result;
  int ran = 0;
  sluice::go(io, [&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.set_limit(1);
      for (int i = 0; i < 3; ++i)
        g.go([&]() -> task<> {
          ++ran;
          co_await sluice::sleep_for(24h);
        });
      co_return;
    };
    result = co_await error_of(with_task_group(parent.ctx, body));
  });
  poll(io);
  parent.cancel();
  run(io);
  BOOST_TEST(result.value() == aborted);
  BOOST_TEST(ran == 1);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(on_several_threads)

// An idle thread takes half of what was started, and so may come to the last of them first.
BOOST_AUTO_TEST_CASE(those_that_were_started_first_have_the_first_turns) {
  const watchdog dog;
  constexpr int limit = 20;
  std::atomic<int> early{0};
  for (std::size_t round = 0; round < rounds(200, 100); ++round) {
    asio::io_context io;
    std::atomic<int> begun{0};
    std::atomic<bool> over{false};
    sluice::go(io, [&]() -> task<> {
      const auto open = make_channel<void>();
      const auto member = [&](int number) -> task<> {
        if (number >= limit && !over) ++early;
        if (++begun == limit) {
          over = true;
          open.close();
        }
        keep_busy(5us);
        static_cast<void>(co_await open.receive());
      };
      const auto body = [&](task_group& g) -> task<> {
        g.set_limit(limit);
        for (int i = 0; i < 50; ++i) g.go(member(i));
        keep_busy(20us * (round % 20));
        co_return;
      };
      co_await with_task_group(background, body);
    });
    run(io, 3);
  }
  BOOST_TEST(early == 0);
}

BOOST_AUTO_TEST_CASE(a_group_keeps_its_limit_and_has_one_first_error) {
  const watchdog dog;
  for (std::size_t round = 0; round < rounds(50, 30); ++round) {
    asio::io_context io;
    std::atomic<int> active{0}, begun{0}, ended{0}, over{0};
    const bool with_failure = round % 2 == 1;
    std::string text = "none";
    sluice::go(io, [&]() -> task<> {
      const auto body = [&](task_group& g) -> task<> {
        g.set_limit(3);
        for (int i = 0; i < 100; ++i)
          g.go([&, i]() -> task<> {
            if (++active > 3) ++over;
            ++begun;
            std::exception_ptr failure;
            try {
              co_await sluice::sleep_for(std::chrono::microseconds(i % 7));
              if (with_failure && i == 50) throw std::runtime_error("number 50");
            } catch (...) {
              failure = std::current_exception();
            }
            ++ended;
            --active;
            if (failure) std::rethrow_exception(failure);
          });
        co_return;
      };
      try {
        co_await with_task_group(background, body);
      } catch (const std::exception& e) {
        text = e.what();
      }
    });
    run(io, 3);
    BOOST_TEST(over == 0);
    BOOST_TEST(begun == ended);
    BOOST_TEST(text == (with_failure ? "number 50" : "none"));
    BOOST_TEST((with_failure || ended == 100));
  }
}

BOOST_AUTO_TEST_SUITE_END()
