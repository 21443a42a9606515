#include <sluice/worker_pool.hpp>

#include <sluice/bind_context.hpp>
#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include "fragile.hpp"
#include "support.hpp"
#include "time_helpers.hpp"
#include "worker_pool/helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using fates = std::vector<fate>;

static_assert(!std::is_copy_constructible_v<int_pool> && !std::is_move_constructible_v<int_pool>);

/// What a pool with a handler makes of 21.
template <class Handler>
int made_of_21(Handler handler) {
  asio::io_context io;
  int_pool p(io, {}, std::move(handler));
  int result = 0;
  sluice::go(io, [&]() -> task<> { result = co_await p.submit(21); });
  run(io);
  return result;
}

struct doubling {
  explicit doubling(int n) : factor(std::make_unique<int>(n)) {}
  int operator()(int n) const { return n * *factor; }
  std::unique_ptr<int> factor;
};

asio::awaitable<int> double_it(int n) {
  asio::steady_timer timer(co_await asio::this_coro::executor, 1us);
  co_await timer.async_wait(asio::use_awaitable);
  co_return 2 * n;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_job)

BOOST_AUTO_TEST_CASE(gives_its_result_whatever_kind_of_handler_does_it) {
  BOOST_TEST(made_of_21([](int n) { return 2 * n; }) == 42);
  BOOST_TEST(made_of_21([](int n) -> task<int> {
               co_await sluice::sleep_for(1us);
               co_return 2 * n;
             }) == 42);
  BOOST_TEST(made_of_21(double_it) == 42);
  BOOST_TEST(made_of_21(doubling(2)) == 42);
  BOOST_TEST(made_of_21([](int n, std::size_t worker) { return 100 * n + int(worker); }) == 2101);
  BOOST_TEST(made_of_21([](int n, std::size_t worker) -> task<int> {
               co_return 100 * n + int(worker);
             }) == 2101);
}

BOOST_AUTO_TEST_CASE(may_give_nothing) {
  asio::io_context io;
  std::vector<std::string> done;
  sluice::worker_pool<std::string, void> p(io, {}, [&](const std::string& name) -> task<> {
    co_await sluice::sleep_for(1us);
    done.push_back(name);
  });
  submitter s;
  p.submit("a callback's")(s.token());
  sluice::go(io, [&]() -> task<> { co_await p.submit("a goroutine's"); });
  run(io);
  const std::vector<std::string> expected{"a callback's", "a goroutine's"};
  BOOST_TEST(done == expected, per_element());
  BOOST_TEST(s.times == 1);
  BOOST_TEST(s.last == fate::done);
}

BOOST_AUTO_TEST_CASE(and_its_result_may_be_move_only) {
  asio::io_context io;
  using pointer = std::unique_ptr<int>;
  sluice::worker_pool<pointer, pointer> p(io, {}, [](pointer n) -> task<pointer> {
    *n *= 2;
    co_return std::move(n);
  });
  int result = 0;
  sluice::go(io, [&]() -> task<> {
    auto job = std::make_unique<int>(21);
    const auto doubled = co_await p.submit(std::move(job));
    result = *doubled;
  });
  run(io);
  BOOST_TEST(result == 42);
}

BOOST_AUTO_TEST_CASE(is_moved_and_never_copied_and_destroyed_once_with_its_result) {
  const long before = counted::alive;
  {
    asio::io_context io;
    sluice::worker_pool<counted, std::unique_ptr<counted>> p(
        io, {.workers = 2}, [](counted c) { return std::make_unique<counted>(2 * c.value); });
    std::vector<int> results;
    for (int i = 0; i < 10; ++i)
      sluice::go(io, [&p, &results, i]() -> task<> {
        const auto r = co_await p.submit(counted(i));
        results.push_back(r->value);
      });
    run(io);
    std::sort(results.begin(), results.end());
    const std::vector<int> expected{0, 2, 4, 6, 8, 10, 12, 14, 16, 18};
    BOOST_TEST(results == expected, per_element());
  }
  BOOST_TEST(counted::alive == before);
  BOOST_TEST(counted::corrupt == 0);
}

// Source: hakasapl/PGPatcher#752, bigodines/bigopool#18
BOOST_AUTO_TEST_CASE(that_throws_fails_alone_and_costs_no_worker) {
  asio::io_context io;
  gate all_busy(io);
  int_pool p(io, {.workers = 3}, [&](int n) -> task<int> {
    if (n < 0) co_await all_busy.pass();
    if (n == 37) throw std::runtime_error("37");
    if (n == 38) throw 38;
    co_return n;
  });
  std::vector<submitter> submitters(100);
  for (int n = 0; n < 100; ++n) p.submit(n)(submitters[static_cast<std::size_t>(n)].token());
  run(io);
  for (int n = 0; n < 100; ++n) {
    const auto& s = submitters[static_cast<std::size_t>(n)];
    BOOST_TEST(s.times == 1, "job " << n);
    BOOST_TEST(s.last == (n == 37 || n == 38 ? fate::failed : fate::done), "job " << n);
  }
  BOOST_TEST(p.stats().done == 98u);
  BOOST_TEST(p.stats().failed == 2u);

  std::vector<submitter> later(4);
  for (auto& s : later) p.submit(-1)(s.token());
  poll(io);
  BOOST_TEST(all_busy.arrived == 3);
  all_busy.open();
  run(io);
  BOOST_TEST(p.stats().done == 102u);
}

// Also in the launch: what is launched beside it waits for nobody then.
BOOST_AUTO_TEST_CASE(whose_move_throws_is_told_as_failed_or_was_not_submitted) {
  for (int n = 1, burnt = 1; burnt != 0; ++n) {
    asio::io_context io;
    sluice::worker_pool<fragile, int> p(io, {}, [](fragile f) { return f.number; });
    int told = 0;
    bool submitted = false;
    fragile job(3);
    const lit_fuse fuse(n);
    try {
      auto op = p.submit(std::move(job));
      submitted = true;
      std::move(op)([&](const std::exception_ptr& e, int result) {
        ++told;
        BOOST_TEST((e || result == 3));
      });
    } catch (const std::runtime_error&) {
      BOOST_TEST(!submitted);
    }
    run(io);
    BOOST_TEST(told == submitted);
    burnt = fragile::fuse == 0;
  }
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_CASE(that_throws_gives_the_very_exception) {
  asio::io_context io;
  int_pool p(io, {}, [](int) -> int { throw std::out_of_range("this one"); });
  std::string text;
  sluice::go(io, [&]() -> task<> {
    try {
      static_cast<void>(co_await p.submit(1));
    } catch (const std::out_of_range& e) {
      text = e.what();
    }
  });
  run(io);
  BOOST_TEST(text == "this one");
}

BOOST_AUTO_TEST_CASE(is_told_about_when_its_locals_are_gone) {
  asio::io_context io;
  const auto shared = std::make_shared<int>();
  int_pool p(io, {}, [shared](int) -> task<int> {
    const auto local = shared;
    co_await sluice::sleep_for(1us);
    co_return static_cast<int>(local.use_count());
  });
  long inside = 0, outside = 0;
  p.submit(1)([&](std::exception_ptr, int n) {
    inside = n;
    outside = shared.use_count();
  });
  const long idle = shared.use_count();
  run(io);
  BOOST_TEST(inside == idle + 1);
  BOOST_TEST(outside == idle);
}

// Source: David-Haim/concurrencpp#61
BOOST_AUTO_TEST_CASE(may_await_one_of_the_same_pool_even_if_there_is_one_worker) {
  asio::io_context io;
  std::optional<int_pool> p;
  p.emplace(io, sluice::worker_pool_options{}, [&](int depth) -> task<int> {
    if (depth == 0) co_return 0;
    const int below = co_await p->submit(depth - 1);
    co_return below + 1;
  });
  submitter s;
  p->submit(5)(s.token());
  poll(io);
  BOOST_TEST(s.times == 1);
  BOOST_TEST(s.last == fate::done);
  BOOST_TEST(s.result == 5);
  p.reset();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_submission)

BOOST_AUTO_TEST_CASE(tells_every_kind_of_token) {
  asio::io_context io;
  int_pool p(io, {.workers = 2}, [](int n) -> task<int> {
    co_await sluice::sleep_for(1us);
    if (n < 0) throw std::invalid_argument("negative");
    co_return 2 * n;
  });

  submitter callback;
  p.submit(1)(callback.token());
  std::future<int> future = p.submit(2)(asio::use_future);
  std::future<int> failing = p.submit(-2)(asio::use_future);
  int awaitable = 0;
  bool awaitable_failed = false;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        awaitable = co_await p.submit(3)(asio::use_awaitable);
        try {
          static_cast<void>(co_await p.submit(-3)(asio::use_awaitable));
        } catch (const std::invalid_argument&) {
          awaitable_failed = true;
        }
      },
      asio::detached);
  submitter deferred;
  auto operation = p.submit(4)(asio::deferred);
  fate as_tuple = fate::done;
  int as_tuple_result = 0;
  sluice::go(io, [&]() -> task<> {
    const auto [failure, ignored] = co_await p.submit(-5)(asio::as_tuple(sluice::use_task));
    as_tuple = fate_of(failure);
    const auto [no_failure, result] = co_await p.submit(5)(asio::as_tuple(sluice::use_task));
    if (!no_failure) as_tuple_result = result;
  });
  p.submit(6)(asio::detached);
  run(io);

  BOOST_TEST(callback.result == 2);
  BOOST_TEST(future.get() == 4);
  BOOST_CHECK_THROW(failing.get(), std::invalid_argument);
  BOOST_TEST(awaitable == 6);
  BOOST_TEST(awaitable_failed);
  BOOST_TEST(as_tuple == fate::failed);
  BOOST_TEST(as_tuple_result == 10);
  BOOST_TEST(p.stats().done == 5u);

  std::move(operation)(deferred.token());
  run(io);
  BOOST_TEST(deferred.result == 8);
  BOOST_TEST(p.stats().done == 6u);
}

BOOST_AUTO_TEST_CASE(does_nothing_until_it_is_awaited_or_given_a_token) {
  asio::io_context io;
  int_pool p(io, {}, [](int n) { return n; });
  {
    const auto dropped = p.submit(1);
    poll(io);
  }
  poll(io);
  BOOST_TEST(told(p.stats()) == 0u);
  BOOST_TEST(p.stats().queued == 0u);
}

BOOST_AUTO_TEST_CASE(is_told_on_the_handlers_executor_never_inside_the_call) {
  asio::io_context io;
  asio::io_context other;
  auto strand = asio::make_strand(other);
  int_pool p(io, {}, [](int n) { return n; });
  bool inside_call = true;
  bool on_strand = false, on_pool = false;
  p.submit(1)(asio::bind_executor(strand, [&](std::exception_ptr, int) {
    on_strand = !inside_call && strand.running_in_this_thread();
  }));
  p.submit(2)([&](std::exception_ptr, int) {
    on_pool = !inside_call && io.get_executor().running_in_this_thread();
  });
  bool refused_inside = true, refused = false;
  inside_call = false;
  run(io);
  BOOST_TEST(on_pool);
  BOOST_TEST(!on_strand);
  run(other);
  BOOST_TEST(on_strand);

  static_cast<void>(p.stop());
  p.submit(3)([&](const std::exception_ptr& e, int) {
    refused = !refused_inside && fate_of(e) == fate::refused;
  });
  refused_inside = false;
  run(io);
  BOOST_TEST(refused);
}

BOOST_AUTO_TEST_CASE(is_outstanding_work_of_its_handlers_executor) {
  asio::io_context io;
  asio::io_context other;
  gate g(io);
  int_pool p(io, {}, [&](int n) -> task<int> {
    co_await g.pass();
    co_return n;
  });
  submitter s;
  p.submit(1)(asio::bind_executor(other, s.callback()));
  poll(io);
  other.poll();
  BOOST_TEST(!other.stopped());
  g.open();
  run(io);
  run(other);
  BOOST_TEST(s.times == 1);
}

BOOST_AUTO_TEST_CASE(is_a_case_of_a_select) {
  asio::io_context io;
  int_pool p(io, {.workers = 2}, [](int n) -> task<int> {
    co_await sluice::sleep_for(n * 1ms);
    co_return n;
  });
  std::optional<std::size_t> first, second;
  fate lost = fate::done;
  sluice::go(io, [&]() -> task<> {
    auto won = co_await sluice::select(p.submit(0), sluice::make_channel<int>().receive());
    first = won.index();
    auto two = co_await sluice::select(p.submit(3'600'000), sluice::sleep_for(1ms));
    second = two.index();
    if (two.lost<0>()) lost = fate_of(std::get<0>(*two.lost<0>()));
  });
  run(io);
  BOOST_TEST(first.value() == 0u);
  BOOST_TEST(second.value() == 1u);
  BOOST_TEST(lost == fate::cancelled);
  BOOST_TEST(p.stats().cancelled == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(workers)

BOOST_AUTO_TEST_CASE(work_at_the_same_time_and_have_numbers_from_one) {
  asio::io_context io;
  gate g(io);
  std::multiset<std::size_t> busy;
  std::size_t most = 0;
  int_pool p(io, {.workers = 3}, [&](int n, std::size_t worker) -> task<int> {
    const auto place = busy.insert(worker);
    most = std::max(most, busy.size());
    if (n < 3) co_await g.pass();
    for (int i = 0; i < 3; ++i) co_await sluice::sleep_for(1us);
    busy.erase(place);
    co_return static_cast<int>(worker);
  });
  std::vector<submitter> submitters(30);
  for (int n = 0; n < 30; ++n) p.submit(n)(submitters[static_cast<std::size_t>(n)].token());
  poll(io);
  const std::multiset<std::size_t> all{1, 2, 3};
  BOOST_TEST(busy == all, per_element());
  BOOST_TEST(p.stats().running == 3u);
  BOOST_TEST(p.stats().queued == 27u);
  g.open();
  run(io);
  BOOST_TEST(most == 3u);
  std::set<int> workers;
  for (const auto& s : submitters) workers.insert(s.result);
  const std::set<int> expected{1, 2, 3};
  BOOST_TEST(workers == expected, per_element());
  BOOST_TEST(p.stats().running == 0u);
  BOOST_TEST(p.stats().done == 30u);
}

BOOST_AUTO_TEST_CASE(take_the_jobs_in_the_order_in_which_they_came) {
  asio::io_context io;
  std::vector<int> order;
  int_pool p(io, {.queue_capacity = 2}, [&](int n) -> task<int> {
    order.push_back(n);
    co_await sluice::sleep_for(1us);
    co_return n;
  });
  std::vector<int> expected;
  for (int n = 0; n < 10; ++n) {
    expected.push_back(n);
    p.submit(n)(asio::detached);
  }
  run(io);
  BOOST_TEST(order == expected, per_element());
}

BOOST_AUTO_TEST_CASE(can_become_more_and_fewer) {
  asio::io_context io;
  gate g(io);
  int_pool p(io, {.workers = 2}, [&](int n) -> task<int> {
    co_await g.pass();
    co_return n;
  });
  std::vector<submitter> submitters(12);
  for (auto& s : submitters) p.submit(1)(s.token());
  poll(io);
  BOOST_TEST(p.stats().running == 2u);
  p.resize(5);
  poll(io);
  BOOST_TEST(p.stats().running == 5u);
  BOOST_TEST(g.arrived == 5);

  p.resize(1);
  BOOST_TEST(p.stats().running == 5u);
  for (int i = 0; i < 4; ++i) g.let_in();
  poll(io);
  BOOST_TEST(p.stats().done == 4u);
  BOOST_TEST(p.stats().running == 1u);
  BOOST_TEST(g.arrived == 5);
  g.let_in();
  poll(io);
  BOOST_TEST(p.stats().running == 1u);
  BOOST_TEST(g.arrived == 6);
  g.open();
  run(io);
  BOOST_TEST(p.stats().done == 12u);
}

BOOST_AUTO_TEST_CASE(there_must_be_some_and_time_for_a_job) {
  asio::io_context io;
  const auto identity = [](int n) { return n; };
  BOOST_CHECK_THROW(int_pool(io, {.workers = 0}, identity), std::invalid_argument);
  BOOST_CHECK_THROW(int_pool(io, {.job_timeout = 0s}, identity), std::invalid_argument);
  BOOST_CHECK_THROW(int_pool(io, {.job_timeout = -1s}, identity), std::invalid_argument);
  int_pool p(io, {}, identity);
  BOOST_CHECK_THROW(p.resize(0), std::invalid_argument);
  submitter s;
  p.submit(7)(s.token());
  run(io);
  BOOST_TEST(s.result == 7);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(back_pressure)

BOOST_AUTO_TEST_CASE(lets_a_submitter_wait_until_its_job_has_had_its_turn) {
  asio::io_context io;
  gate g(io);
  int_pool p(io, {.workers = 1, .queue_capacity = 1}, [&](int n) -> task<int> {
    co_await g.pass();
    co_return n;
  });
  std::vector<int> results;
  sluice::go(io, [&]() -> task<> {
    for (int n = 0; n < 3; ++n) {
      const int r = co_await p.submit(n);
      results.push_back(r);
    }
  });
  poll(io);
  BOOST_TEST(results.empty());
  g.let_in();
  poll(io);
  BOOST_TEST(results.size() == 1u);
  g.open();
  run(io);
  const std::vector<int> expected{0, 1, 2};
  BOOST_TEST(results == expected, per_element());
}

BOOST_AUTO_TEST_CASE(refuses_what_would_wait_and_leaves_it_untouched) {
  asio::io_context io;
  gate g(io);
  using text_pool = sluice::worker_pool<std::string, std::string>;
  text_pool p(io, {.workers = 2, .queue_capacity = 1}, [&](std::string s) -> task<std::string> {
    co_await g.pass();
    co_return s;
  });
  const std::string text = "long enough not to fit into the string object";
  std::vector<std::string> told_texts;
  const auto token = [&](std::exception_ptr, std::string s) { told_texts.push_back(std::move(s)); };
  for (int i = 0; i < 3; ++i) {
    std::string job = text;
    BOOST_TEST(p.try_submit(std::move(job), token));
    BOOST_TEST(job.empty());
  }
  std::string job = text;
  BOOST_TEST(!p.try_submit(std::move(job), token));
  BOOST_TEST(job == text);
  poll(io);
  BOOST_TEST(!p.try_submit(std::move(job), token));
  BOOST_TEST(job == text);

  g.let_in();
  poll(io);
  BOOST_TEST(p.try_submit(std::move(job), token));
  BOOST_TEST(job.empty());
  g.open();
  run(io);
  BOOST_TEST(told_texts == std::vector<std::string>(4, text), per_element());
}

BOOST_AUTO_TEST_CASE(a_job_that_is_bound_to_a_context_leaves_the_queue_with_it) {
  asio::io_context io;
  gate g(io);
  int begun = 0;
  int_pool p(io, {.workers = 1, .queue_capacity = 1}, [&](int n) -> task<int> {
    ++begun;
    co_await g.pass();
    co_return n;
  });
  BOOST_TEST(p.try_submit(1, asio::detached));
  const auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  std::exception_ptr told;
  const auto tell = [&](std::exception_ptr e, int) { told = std::move(e); };
  BOOST_TEST(p.try_submit(2, sluice::bind_context(ctx, tell)));
  poll(io);
  BOOST_TEST(!p.try_submit(3, asio::detached));
  cancel();
  poll(io);
  BOOST_TEST(!!told);
  BOOST_TEST(p.try_submit(3, asio::detached));
  g.open();
  run(io);
  BOOST_TEST(begun == 2);
}

BOOST_AUTO_TEST_CASE(without_a_queue_takes_a_job_only_for_a_free_worker) {
  asio::io_context io;
  gate g(io);
  int_pool p(io, {}, [&](int n) -> task<int> {
    co_await g.pass();
    co_return n;
  });
  BOOST_TEST(p.try_submit(1, asio::detached));
  BOOST_TEST(!p.try_submit(2, asio::detached));
  p.resize(2);
  BOOST_TEST(p.try_submit(2, asio::detached));
  BOOST_TEST(!p.try_submit(3, asio::detached));
  poll(io);
  p.resize(1);
  g.let_in();
  poll(io);
  BOOST_TEST(!p.try_submit(3, asio::detached));
  g.let_in();
  poll(io);
  BOOST_TEST(p.try_submit(3, asio::detached));
  g.open();
  run(io);
  BOOST_TEST(p.stats().done == 3u);
}

BOOST_AUTO_TEST_CASE(refuses_everything_once_the_pool_is_stopped) {
  asio::io_context io;
  int_pool p(io, {.workers = 2, .queue_capacity = 2}, [](int n) { return n; });
  static_cast<void>(p.stop());
  submitter s;
  BOOST_TEST(!p.try_submit(1, s.token()));
  run(io);
  BOOST_TEST(s.times == 0);
}

BOOST_AUTO_TEST_SUITE_END()
