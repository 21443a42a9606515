// Workers that do one job after the other, and what a job leaves behind for the next: nothing.
#include <sluice/worker_pool.hpp>

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>

#include "helpers.hpp"
#include "time_helpers.hpp"
#include "virtual_time.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using work = std::function<task<int>()>;

/// A pool that does whatever it is given.
class any_pool : public sluice::worker_pool<work, int> {
 public:
  template <class Where>
  explicit any_pool(Where& where, sluice::worker_pool_options options = {})
      : worker_pool(where, options, [](work w) -> task<int> { co_return co_await w(); }) {}
};

/// The running goroutine. As long as this is kept no other has its place in memory.
sluice::detail::goroutine_ref here() {
  return sluice::detail::goroutine_ref(*sluice::detail::this_goroutine_or_null());
}

/// What a job finds that is done behind `first` by a pool of one worker.
struct found {
  bool same_goroutine = false;
  bool cancelled = false;
  bool throws = false;
  bool listens = false;
  bool has_strand = false;
  bool has_name = false;
  fate first = fate::done;
};

/// Has `first` done, and `end` called once it waits, with a job queued behind it.
template <class End>
found found_behind(work first, End end) {
  asio::io_context io;
  any_pool p(io);
  found f;
  sluice::detail::goroutine_ref before;
  submitter s, next;
  p.submit([&]() -> task<int> {
    before = here();
    const int n = co_await first();
    co_return n;
  })(s.token());
  p.submit([&]() -> task<int> {
    const auto g = here();
    f.same_goroutine = before == g;
    f.has_strand = g->where->is_serial();
    f.has_name = (g->known & sluice::detail::scheduled_goroutine::name) != 0;
    f.throws = g->cancel->throws();
    f.listens = g->cancel->is_unset();
    co_await sluice::this_goroutine::yield();
    f.cancelled = co_await error_of(sluice::sleep_for(1us)) != no_error;
    co_return 2;
  })(next.token());
  poll(io);
  end(s);
  run(io);
  f.first = s.last;
  BOOST_TEST(next.last == fate::done);
  BOOST_TEST(p.stats().overdue == 0u);
  BOOST_TEST(p.stats().running == 0u);
  return f;
}
found found_behind(work first) {
  return found_behind(std::move(first), [](submitter&) {});
}

void check_fresh(const found& f) {
  BOOST_TEST(!f.cancelled);
  BOOST_TEST(!f.throws);
  BOOST_TEST(f.listens);
  BOOST_TEST(!f.has_strand);
  BOOST_TEST(!f.has_name);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_worker)

// Nothing else runs between two jobs, also if that has been waiting for longer.
BOOST_AUTO_TEST_CASE(takes_the_next_job_in_the_step_in_which_it_ends_the_last) {
  BOOST_TEST(in_one_of_several_runs([] {
    asio::io_context io;
    std::vector<int> order;
    int_pool p(io, {}, [&](int n) {
      order.push_back(n);
      return n;
    });
    sluice::go(io, [&]() -> task<> {
      for (int n = 1; n <= 3; ++n) p.submit(n)(asio::detached);
      sluice::go([&]() -> task<> {
        order.push_back(0);
        co_return;
      });
      co_return;
    });
    run(io);
    return order == std::vector<int>{1, 2, 3, 0};
  }));
}

BOOST_AUTO_TEST_CASE(stays_while_who_it_has_told_submits_the_next) {
  asio::io_context io;
  std::vector<sluice::detail::goroutine_ref> goroutines;
  int_pool p(io, {}, [&](int n) {
    const auto g = here();
    if (std::find(goroutines.begin(), goroutines.end(), g) == goroutines.end())
      goroutines.push_back(g);
    return n;
  });
  std::size_t told_in_all = 0;
  for (int client = 0; client < 3; ++client)
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < 100; ++i) {
        static_cast<void>(co_await p.submit(i));
        ++told_in_all;
      }
    });
  run(io);
  BOOST_TEST(told_in_all == 300u);
  BOOST_TEST(goroutines.size() == 1u);
}

// Otherwise the run of the context would not end.
BOOST_AUTO_TEST_CASE(that_has_nothing_to_do_is_no_work) {
  asio::io_context io;
  int_pool p(io, {.workers = 3}, [](int n) { return n; });
  for (int round = 0; round < 3; ++round) {
    submitter s;
    p.submit(round)(s.token());
    run(io);
    BOOST_TEST(s.times == 1);
    io.restart();
  }
}

BOOST_AUTO_TEST_CASE(lets_others_have_their_turn_between_jobs_without_waits) {
  asio::io_context io;
  std::size_t done = 0, done_when_the_other_ran = 0;
  constexpr std::size_t jobs = 100'000;
  int_pool p(io, {}, [&](int n) {
    ++done;
    return n;
  });
  for (std::size_t i = 0; i < jobs; ++i) p.submit(1)(asio::detached);
  asio::post(io, [&] { asio::post(io, [&] { done_when_the_other_ran = done; }); });
  run(io);
  BOOST_TEST(done == jobs);
  BOOST_TEST(done_when_the_other_ran < jobs);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(the_next_job)

BOOST_AUTO_TEST_CASE(runs_in_the_goroutine_of_one_that_has_left_no_trace) {
  const auto f = found_behind([]() -> task<int> {
    co_await sluice::sleep_for(1us);
    co_return 1;
  });
  BOOST_TEST(f.same_goroutine);
  check_fresh(f);
}

BOOST_AUTO_TEST_CASE(runs_in_the_goroutine_of_one_that_threw) {
  const auto f = found_behind([]() -> task<int> {
    throw std::runtime_error("a job that fails");
    co_return 1;
  });
  BOOST_TEST(f.first == fate::failed);
  BOOST_TEST(f.same_goroutine);
  check_fresh(f);
}

BOOST_AUTO_TEST_CASE(is_not_cancelled_with_one_that_was) {
  const auto f = found_behind(
      []() -> task<int> {
        co_await sluice::sleep_for(24h);
        co_return 1;
      },
      [](submitter& s) { s.cancel(); });
  BOOST_TEST(f.first == fate::cancelled);
  check_fresh(f);
}

// Its request comes to a goroutine that has done with that job.
BOOST_AUTO_TEST_CASE(is_not_cancelled_with_one_that_has_just_ended) {
  const auto go_on = sluice::make_channel<void>();
  const auto f = found_behind(
      [go_on]() -> task<int> {
        static_cast<void>(co_await error_of(go_on.receive()));
        co_return 1;
      },
      [go_on](submitter& s) {
        go_on.close();
        s.cancel();
      });
  BOOST_TEST(f.first == fate::done);
  check_fresh(f);
}

BOOST_AUTO_TEST_CASE(is_not_late_with_one_that_was) {
  asio::io_context io;
  any_pool p(io);
  submitter late, next;
  error_code of_next = aborted;
  p.submit(
      []() -> task<int> {
        co_await sluice::sleep_for(24h);
        co_return 1;
      },
      1ms)(late.token());
  p.submit([&]() -> task<int> {
    of_next = co_await error_of(sluice::sleep_for(2ms));
    co_return 2;
  })(next.token());
  run(io);
  BOOST_TEST(late.last == fate::out_of_time);
  BOOST_TEST(next.last == fate::done);
  BOOST_TEST(of_next == no_error);
}

// The timer of each job ends with it.
BOOST_AUTO_TEST_CASE(has_a_limit_of_its_own) {
  asio::io_context io;
  any_pool p(io, {.job_timeout = 20ms});
  std::vector<submitter> submitters(4);
  for (auto& s : submitters)
    p.submit([]() -> task<int> {
      co_await sluice::sleep_for(8ms);
      co_return 1;
    })(s.token());
  run(io);
  std::size_t done = 0;
  for (const auto& s : submitters) done += s.last == fate::done;
  BOOST_TEST(done == p.stats().done);
  BOOST_TEST(told(p.stats()) == 4u);
}

BOOST_AUTO_TEST_CASE(looks_at_requests_that_the_last_did_not_want_to_see) {
  check_fresh(found_behind([]() -> task<int> {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_return 1;
  }));
  check_fresh(found_behind([]() -> task<int> {
    co_await asio::this_coro::throw_if_cancelled(true);
    co_return 1;
  }));
  check_fresh(found_behind([]() -> task<int> {
    const auto state = co_await asio::this_coro::cancellation_state;
    static_cast<void>(state);
    co_return 1;
  }));
}

BOOST_AUTO_TEST_CASE(has_neither_the_name_nor_the_strand_of_the_last) {
  check_fresh(found_behind([]() -> task<int> {
    sluice::this_goroutine::set_name("the last");
    co_return 1;
  }));
  check_fresh(found_behind([]() -> task<int> {
    for (int i = 0; i < 2; ++i) static_cast<void>(co_await asio::this_coro::executor);
    co_return 1;
  }));
}

BOOST_AUTO_TEST_CASE(runs_on_the_pool_also_behind_one_that_has_moved) {
  for (const bool on_a_strand : {false, true}) {
    asio::io_context io, other;
    std::vector<bool> at_home;
    const auto job = [&](int n) -> task<int> {
      at_home.push_back(io.get_executor().running_in_this_thread());
      if (n == 0) co_await asio::dispatch(asio::bind_executor(other, asio::deferred));
      co_return n;
    };
    submitter first, second;
    std::optional<int_pool> p;
    if (on_a_strand)
      p.emplace(asio::make_strand(io), sluice::worker_pool_options{}, job);
    else
      p.emplace(io, sluice::worker_pool_options{}, job);
    p->submit(0)(asio::bind_executor(io, first.callback()));
    p->submit(1)(asio::bind_executor(io, second.callback()));
    while (first.times + second.times < 2) {
      poll(io);
      poll(other);
    }
    BOOST_TEST(at_home == std::vector<bool>(2, true), per_element());
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_goroutine_that_awaits_a_job)

BOOST_AUTO_TEST_CASE(is_told_why_there_is_no_result) {
  std::vector<fate> fates;
  run_in_virtual_time([&]() -> task<> {
    const auto here = co_await asio::this_coro::executor;
    any_pool p(here, {.job_timeout = 1h});
    fates.push_back(co_await fate_of_job(p.submit([]() -> task<int> { co_return 1; })));
    fates.push_back(co_await fate_of_job(p.submit([]() -> task<int> {
      throw std::runtime_error("a job that fails");
      co_return 1;
    })));
    fates.push_back(co_await fate_of_job(p.submit([]() -> task<int> {
      co_await sluice::sleep_for(24h);
      co_return 1;
    })));
    sluice::go([&]() -> task<> {
      co_await sluice::sleep_for(1h);
      p.cancel();
    });
    fates.push_back(co_await fate_of_job(p.submit(
        []() -> task<int> {
          co_await sluice::sleep_for(24h);
          co_return 1;
        },
        24h)));
    fates.push_back(co_await fate_of_job(p.submit([]() -> task<int> { co_return 1; })));
  });
  const std::vector<fate> expected{fate::done, fate::failed, fate::out_of_time, fate::cancelled,
                                   fate::refused};
  BOOST_TEST(fates == expected, per_element());
}

BOOST_AUTO_TEST_CASE(may_be_cancelled_while_its_job_is_queued_and_stop_goes_on) {
  asio::io_context io;
  gate g(io);
  int_pool p(io, {}, [&](int n) -> task<int> {
    co_await g.pass();
    co_return n;
  });
  p.submit(1)(asio::detached);
  const auto tree = sluice::with_cancel(sluice::context::background());
  fate last = fate::done;
  sluice::go(tree.ctx, io, [&]() -> task<> { last = co_await fate_of_job(p.submit(2)); });
  poll(io);
  BOOST_TEST(p.stats().queued == 1u);
  bool stopped = false;
  p.stop()(asio::bind_executor(io, [&](error_code) { stopped = true; }));
  tree.cancel();
  g.open();
  run(io);
  BOOST_TEST(last == fate::cancelled);
  BOOST_TEST(stopped);
  BOOST_TEST(p.stats().cancelled == 1u);
  BOOST_TEST(p.stats().done == 1u);
}

BOOST_AUTO_TEST_CASE(may_be_the_only_one_who_keeps_the_pool) {
  asio::io_context io;
  auto p = std::make_unique<int_pool>(io, sluice::worker_pool_options{}, [](int n) { return n; });
  auto submission = p->submit(1);
  p.reset();
  fate last = fate::done;
  sluice::go(io, [&]() -> task<> { last = co_await fate_of_job(std::move(submission)); });
  run(io);
  BOOST_TEST(last == fate::refused);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(several_threads)

// Clients and workers on two contexts, one of which ends while jobs are under way.
BOOST_AUTO_TEST_CASE(lose_no_job_of_two_contexts_one_of_which_ends) {
  const watchdog dog;
  for (std::size_t round = 0; round < rounds(200); ++round) {
    std::atomic<std::size_t> ran{0}, told_in_all{0};
    asio::thread_pool workers(2);
    int_pool p(workers, {.workers = 3}, [&](int n) {
      ++ran;
      return n;
    });
    {
      asio::thread_pool clients(2);
      for (int c = 0; c < 8; ++c)
        sluice::go(clients, [&]() -> task<> {
          for (int i = 0; i < 20; ++i) {
            static_cast<void>(co_await p.submit(i));
            ++told_in_all;
          }
        });
      if (round % 2 == 0) clients.join();
    }
    std::promise<void> stopped;
    p.stop()(asio::bind_executor(workers, [&](error_code) { stopped.set_value(); }));
    stopped.get_future().wait();
    const auto s = p.stats();
    BOOST_REQUIRE(s.queued == 0u);
    BOOST_REQUIRE(s.failed + s.timed_out + s.overdue == 0u);
    BOOST_REQUIRE(s.done >= told_in_all);
    BOOST_REQUIRE(ran >= s.done);
    BOOST_REQUIRE(ran <= s.done + s.cancelled);
    if (round % 2 == 0) BOOST_REQUIRE(told_in_all == 160u);
    workers.join();
  }
}

BOOST_AUTO_TEST_SUITE_END()
