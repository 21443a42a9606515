#include <sluice/task_group.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Rows of errgroup_test.go of golang.org/x/sync; the limit stands in task_group/limit_test.cpp.

namespace {

using namespace sluice_test;

const context background;

/// Runs a group with that body, and gives the text of what left it.
template <class Body>
std::string text_of_failure(Body body, const context& parent = background,
                            group_errors policy = group_errors::first) {
  std::string text = "none";
  run_task([&]() -> task<> {
    try {
      static_cast<void>(co_await with_task_group(parent, body, policy));
    } catch (const sluice::system_error& e) {
      text = e.code() == aborted             ? "cancelled"
             : e.code() == deadline_exceeded ? "timed out"
                                             : e.what();
    } catch (const std::exception& e) {
      text = e.what();
    }
  });
  return text;
}

task<> fail_with(std::string text) {
  throw std::runtime_error(text);
  co_return;
}

task<error_code> wait_long() {
  co_return co_await error_of(sluice::sleep_for(24h));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_group)

// Source: TestZeroGroup
BOOST_AUTO_TEST_CASE(gives_what_its_body_gives_when_all_have_ended) {
  run_in_virtual_time([]() -> task<> {
    int ended = 0;
    const auto body = [&](task_group& g) -> task<std::unique_ptr<int>> {
      for (int i = 0; i < 3; ++i)
        g.go([&]() -> task<> {
          co_await sluice::sleep_for(1us);
          ++ended;
        });
      co_return std::make_unique<int>(42);
    };
    const auto result = co_await with_task_group(background, body);
    BOOST_TEST(*result == 42);
    BOOST_TEST(ended == 3);
    const auto nobody = [](task_group&) -> task<> { co_return; };
    co_await with_task_group(background, nobody);
  });
}

BOOST_AUTO_TEST_CASE(takes_whatever_go_takes) {
  run_task([]() -> task<> {
    std::vector<std::string> ran;
    const auto body = [&](task_group& g) -> task<> {
      g.go([&] { ran.push_back("plain"); });
      g.go([&]() -> asio::awaitable<int> {
        ran.push_back("awaitable");
        co_return 1;
      });
      const auto work = [&]() -> task<int> {
        ran.push_back("task");
        co_return 1;
      };
      g.go(work());
      co_await g.wait();
      auto moved_from = work();
      const auto kept = std::move(moved_from);
      BOOST_CHECK_THROW(g.go(std::move(moved_from)), std::invalid_argument);
    };
    co_await with_task_group(background, body);
    std::sort(ran.begin(), ran.end());
    const std::vector<std::string> expected{"awaitable", "plain", "task"};
    BOOST_TEST(ran == expected, per_element());
  });
}

// Source: TestZeroGroup: the first error, and it sticks
BOOST_AUTO_TEST_CASE(throws_the_first_error_when_all_have_ended) {
  int ended = 0;
  const auto text = text_of_failure([&](task_group& g) -> task<> {
    g.go([&]() -> task<> {
      static_cast<void>(co_await wait_long());
      ++ended;
      throw std::runtime_error("a consequence");
    });
    g.go(fail_with("first"));
    g.go(fail_with("second"));
    g.go([&]() -> task<> {
      ++ended;
      co_return;
    });
    co_return;
  });
  BOOST_TEST(text == "first");
  BOOST_TEST(ended == 2);
}

// Source: TestWithContext, TestCancelCause
BOOST_AUTO_TEST_CASE(cancels_its_context_at_the_first_error_with_that_as_cause) {
  context ctx;
  std::optional<error_code> sibling;
  std::string cause;
  BOOST_TEST(text_of_failure([&](task_group& g) -> task<> {
               ctx = g.ctx();
               g.go([&]() -> task<> {
                 sibling = co_await wait_long();
                 try {
                   std::rethrow_exception(ctx.cause());
                 } catch (const std::exception& e) {
                   cause = e.what();
                 }
               });
               g.go(fail_with("the error"));
               co_return;
             }) == "the error");
  BOOST_TEST(sibling.value() == aborted);
  BOOST_TEST(cause == "the error");
  BOOST_TEST(ctx.err() == aborted);
}

// Source: TestWithContext: done when Wait returns
BOOST_AUTO_TEST_CASE(cancels_its_context_when_it_is_left) {
  context ctx;
  bool early = true;
  BOOST_TEST(text_of_failure([&](task_group& g) -> task<> {
               ctx = g.ctx();
               g.go([&]() -> task<> {
                 co_await sluice::sleep_for(1us);
                 early = static_cast<bool>(ctx.err());
               });
               co_return;
             }) == "none");
  BOOST_TEST(!early);
  BOOST_TEST(ctx.err() == aborted);
}

BOOST_AUTO_TEST_CASE(whose_body_throws_cancels_the_goroutines_and_waits_for_them) {
  for (const auto policy : {group_errors::first, group_errors::all}) {
    std::optional<error_code> child;
    const auto text = text_of_failure(
        [&](task_group& g) -> task<> {
          g.go([&]() -> task<> { child = co_await wait_long(); });
          co_await sluice::sleep_for(1us);
          throw std::runtime_error("the body");
        },
        background, policy);
    BOOST_TEST(text.find("the body") != std::string::npos);
    BOOST_TEST(child.value() == aborted);
  }
}

BOOST_AUTO_TEST_CASE(may_be_waited_for_in_its_body_and_used_again) {
  int ran = 0;
  BOOST_TEST(text_of_failure([&](task_group& g) -> task<> {
               for (int round = 1; round <= 3; ++round) {
                 for (int i = 0; i < 5; ++i)
                   g.go([&]() -> task<> {
                     co_await sluice::sleep_for(1us);
                     ++ran;
                   });
                 co_await g.wait();
                 BOOST_TEST(ran == 5 * round);
               }
             }) == "none");
}

BOOST_AUTO_TEST_CASE(reports_all_errors_if_it_is_asked_to_and_cancels_nobody) {
  bool third_ended = false;
  std::vector<std::string> texts;
  std::string what;
  run_task([&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.go(fail_with("one"));
      g.go([]() -> task<> {
        throw 2;
        co_return;
      });
      g.go([&]() -> task<> {
        co_await sluice::sleep_for(1us);
        third_ended = true;
        throw std::runtime_error("three");
      });
      co_return;
    };
    try {
      co_await with_task_group(background, body, group_errors::all);
    } catch (const sluice::task_group_error& e) {
      what = e.what();
      for (const auto& one : e.errors()) {
        try {
          std::rethrow_exception(one);
        } catch (const std::exception& x) {
          texts.push_back(x.what());
        } catch (int n) {
          texts.push_back(std::to_string(n));
        }
      }
    }
  });
  const std::vector<std::string> expected{"one", "2", "three"};
  BOOST_TEST(texts == expected, per_element());
  BOOST_TEST(third_ended);
  for (const auto* part : {"3 failed", "one", "unknown exception", "three"})
    BOOST_TEST(what.find(part) != std::string::npos, what);
}

BOOST_AUTO_TEST_CASE(passes_the_values_of_its_parent_on) {
  const sluice::context_key<int> number;
  int value = 0;
  run_task([&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      value = *g.ctx().value(number);
      co_return;
    };
    co_await with_task_group(with_value(background, number, 7), body);
  });
  BOOST_TEST(value == 7);
}

BOOST_AUTO_TEST_CASE(may_be_inside_another) {
  std::optional<error_code> inner_child;
  BOOST_TEST(text_of_failure([&](task_group& outer) -> task<> {
               outer.go([&]() -> task<> {
                 const auto body = [&](task_group& inner) -> task<> {
                   inner.go([&]() -> task<> { inner_child = co_await wait_long(); });
                   co_return;
                 };
                 co_await with_task_group(outer.ctx(), body);
               });
               co_await sluice::sleep_for(1us);
               outer.go(fail_with("outside"));
             }) == "outside");
  BOOST_TEST(inner_child.value() == aborted);
}

BOOST_AUTO_TEST_CASE(can_be_started_with_a_token) {
  asio::io_context io;
  const auto body = [](task_group& g) -> task<int> {
    g.go([] {});
    co_return 42;
  };
  std::future<int> result = sluice::go(io, with_task_group(background, body), asio::use_future);
  run(io);
  BOOST_TEST(result.get() == 42);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelling)

BOOST_AUTO_TEST_CASE(the_parent_cancels_the_goroutines_also_if_it_is_done_already) {
  for (const bool before : {false, true}) {
    const auto parent = with_cancel(background);
    if (before) parent.cancel();
    std::vector<error_code> errors;
    const auto text = text_of_failure(
        [&](task_group& g) -> task<> {
          for (int i = 0; i < 3; ++i)
            g.go([&]() -> task<> { errors.push_back(co_await wait_long()); });
          co_await sluice::sleep_for(1us);
          parent.cancel();
        },
        parent.ctx);
    BOOST_TEST(text == "none", "nobody failed");
    BOOST_TEST(errors == std::vector<error_code>(3, aborted), per_element());
  }
}

BOOST_AUTO_TEST_CASE(by_a_deadline_is_seen_as_that) {
  std::string text;
  std::optional<error_code> child;
  run_in_virtual_time([&]() -> task<> {
    const auto tree = with_timeout(background, 1ms);
    const auto body = [&](task_group& g) -> task<> {
      g.go([]() -> task<> { co_await sluice::sleep_for(24h); });
      g.go([&]() -> task<> { child = co_await wait_long(); });
      co_return;
    };
    child = co_await error_of(with_task_group(tree.ctx, body));
  });
  BOOST_TEST(child.value() == deadline_exceeded);
}

BOOST_AUTO_TEST_CASE(the_goroutine_that_waits_cancels_the_group_and_waits_for_all) {
  asio::io_context io;
  const auto finish = make_channel<void>(io);
  const auto tree = with_cancel(background);
  std::optional<error_code> waiting, child;
  sluice::go(tree.ctx, io, [&]() -> task<> {
    const auto body = [&](task_group& g) -> task<> {
      g.go([&]() -> task<> { child = co_await wait_long(); });
      g.go([&]() -> task<> {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        static_cast<void>(co_await finish.receive());
      });
      co_return;
    };
    waiting = co_await error_of(with_task_group(background, body));
  });
  poll(io);
  tree.cancel();
  poll(io);
  BOOST_TEST(child.value() == aborted);
  BOOST_TEST(!waiting, "one has not ended");
  finish.close();
  run(io);
  BOOST_TEST(waiting.value() == aborted);
}

BOOST_AUTO_TEST_CASE(is_no_part_of_what_a_context_does_that_is_destroyed) {
  const auto shared = std::make_shared<int>();
  {
    asio::io_context io;
    sluice::go(io, [&, shared]() -> task<> {
      const auto body = [&](task_group& g) -> task<> {
        g.set_limit(2);
        for (int i = 0; i < 4; ++i)
          g.go([shared]() -> task<> { static_cast<void>(co_await wait_long()); });
        co_return;
      };
      co_await with_task_group(background, body);
    });
    poll(io);
    BOOST_TEST(shared.use_count() == 6);
  }
  BOOST_TEST(shared.use_count() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
