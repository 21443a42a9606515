#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Timeouts of jobs, and jobs that are cancelled by those who submitted them.

namespace {

using namespace sluice_test;

using work = std::function<task<int>()>;
/// A pool that does whatever it is given.
using any_pool = sluice::worker_pool<work, int>;

constexpr auto for_ever = sluice::clock::duration::max();

task<int> do_it(work w) {
  co_return co_await w();
}

/// Does something that only ends when it is cancelled, and gives the error.
template <class Operation>
task<error_code> error_of_asio(Operation op) {
  try {
    static_cast<void>(co_await std::move(op));
  } catch (const sluice::system_error& e) {
    co_return e.code();
  }
  co_return no_error;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_timeout)

BOOST_AUTO_TEST_CASE(ends_every_wait_of_the_job_and_is_told) {
  asio::io_context io;
  socket_pair sockets(io);
  asio::steady_timer timer(io, 24h);
  const auto quiet = sluice::make_channel<int>();
  sluice::wait_group never;
  never.add();
  std::array<char, 1> byte;
  std::vector<error_code> errors;
  const auto note_and_throw = [&](error_code e) {
    errors.push_back(e);
    throw sluice::system_error(e);
  };
  const work waits[] = {
      [&]() -> task<int> {
        note_and_throw(co_await error_of(sluice::sleep_for(24h)));
        co_return 0;
      },
      [&]() -> task<int> {
        note_and_throw(co_await error_of(quiet.receive()));
        co_return 0;
      },
      [&]() -> task<int> {
        note_and_throw(co_await error_of(never.wait()));
        co_return 0;
      },
      [&]() -> task<int> {
        note_and_throw(co_await error_of(sluice::select(quiet.receive(), quiet.send(1))));
        co_return 0;
      },
      [&]() -> task<int> {
        note_and_throw(co_await error_of_asio(timer.async_wait(sluice::use_task)));
        co_return 0;
      },
      [&]() -> task<int> {
        note_and_throw(co_await error_of_asio(
            sockets.near.async_read_some(asio::buffer(byte), sluice::use_task)));
        co_return 0;
      }};
  any_pool p(io, {.job_timeout = 50ms}, do_it);
  std::vector<submitter> submitters(std::size(waits));
  for (std::size_t i = 0; i < submitters.size(); ++i) p.submit(waits[i])(submitters[i].token());
  run(io);
  BOOST_TEST(errors == std::vector<error_code>(std::size(waits), deadline_exceeded), per_element());
  for (const auto& s : submitters) {
    BOOST_TEST(s.times == 1);
    BOOST_TEST(s.last == fate::out_of_time);
  }
  BOOST_TEST(p.stats().timed_out == std::size(waits));
  BOOST_TEST(p.stats().overdue == 0u);
}

BOOST_AUTO_TEST_CASE(is_the_pools_or_the_jobs_own) {
  asio::io_context io;
  gate g(io);
  any_pool p(io, {.workers = 3, .job_timeout = 1ms}, do_it);
  const work wait = [&]() -> task<int> {
    co_await g.pass();
    co_return 1;
  };
  submitter pools, own, none;
  p.submit(wait)(pools.token());
  p.submit(wait, 2ms)(own.token());
  p.submit(wait, for_ever)(none.token());
  sluice::go(io, [&]() -> task<> {
    while (pools.times == 0 || own.times == 0) co_await sluice::sleep_for(1ms);
    co_await sluice::sleep_for(3ms);
    g.open();
  });
  run(io);
  BOOST_TEST(pools.last == fate::out_of_time);
  BOOST_TEST(own.last == fate::out_of_time);
  BOOST_TEST(none.last == fate::done);
}

BOOST_AUTO_TEST_CASE(may_be_as_long_as_its_type_allows_and_keeps_nothing_alive) {
  asio::io_context io;
  int_pool p(io, {.job_timeout = 24h}, [](int n) -> task<int> {
    co_await sluice::sleep_for(1us);
    co_return n;
  });
  std::vector<submitter> submitters(5);
  p.submit(0)(submitters[0].token());
  p.submit(1, for_ever)(submitters[1].token());
  p.submit(2, for_ever - 1ns)(submitters[2].token());
  p.submit(3, std::chrono::hours::max())(submitters[3].token());
  p.submit(4, std::chrono::years::max())(submitters[4].token());
  run(io);
  for (const auto& s : submitters) BOOST_TEST(s.last == fate::done);
}

BOOST_AUTO_TEST_CASE(that_is_not_positive_has_passed_when_the_job_begins) {
  for (const auto limit : {0ns, -1ns}) {
    asio::io_context io;
    int_pool p(io, {}, [](int n) -> task<int> {
      co_await sluice::sleep_for(24h);
      co_return n;
    });
    submitter s;
    p.submit(1, limit)(s.token());
    run(io);
    BOOST_TEST(s.times == 1);
    BOOST_TEST(s.last == fate::out_of_time);
    BOOST_TEST(p.stats().timed_out == 1u);
  }
}

BOOST_AUTO_TEST_CASE(is_counted_from_when_a_worker_begins_the_job) {
  asio::io_context io;
  gate g(io);
  any_pool p(io, {.queue_capacity = 1}, do_it);
  const work hold = [&]() -> task<int> {
    co_await g.pass();
    co_return 1;
  };
  const work quick = []() -> task<int> { co_return 2; };
  submitter first, second;
  p.submit(hold)(first.token());
  p.submit(quick, 50ms)(second.token());
  int told_while_queued = 0;
  sluice::go(io, [&]() -> task<> {
    co_await sluice::sleep_for(60ms);
    told_while_queued = second.times;
    g.open();
  });
  run(io);
  BOOST_TEST(told_while_queued == 0);
  BOOST_TEST(second.last == fate::done);
}

BOOST_AUTO_TEST_CASE(is_told_once_whatever_the_job_makes_of_it) {
  asio::io_context io;
  any_pool p(io, {.workers = 3, .job_timeout = 1ms}, do_it);
  const work swallow = []() -> task<int> {
    static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
    co_return 1;
  };
  const work turn_into_another = []() -> task<int> {
    static_cast<void>(co_await error_of(sluice::sleep_for(24h)));
    throw std::runtime_error("another");
    co_return 1;
  };
  submitter a, b;
  p.submit(swallow)(a.token());
  p.submit(turn_into_another)(b.token());
  run(io);
  BOOST_TEST(a.times == 1);
  BOOST_TEST(a.last == fate::out_of_time);
  BOOST_TEST(b.times == 1);
  BOOST_TEST(b.last == fate::out_of_time);
  BOOST_TEST(told(p.stats()) == 2u);
}

// The job's goroutine goes back to its worker, and the next job finds it alone.
BOOST_AUTO_TEST_CASE(costs_no_worker_if_the_job_ends_when_it_is_cancelled) {
  asio::io_context io;
  asio::steady_timer timer(io, 24h);
  int active = 0, most = 0;
  const auto counting = [&](auto wait) -> work {
    return [&active, &most, wait]() -> task<int> {
      most = std::max(most, ++active);
      try {
        co_await wait();
      } catch (const sluice::system_error&) {
      }
      --active;
      co_return 1;
    };
  };
  any_pool p(io, {.job_timeout = 1ms}, do_it);
  for (int i = 0; i < 3; ++i) {
    p.submit(counting([] { return sluice::sleep_for(24h); }))(asio::detached);
    p.submit(counting([&] { return timer.async_wait(sluice::use_task); }))(asio::detached);
  }
  run(io);
  BOOST_TEST(most == 1);
  BOOST_TEST(p.stats().timed_out == 6u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_job_that_ignores_its_cancellation)

// On a busy machine its time may run out before its first step: then once more, with more of it.
BOOST_AUTO_TEST_CASE(is_told_about_at_once_replaced_counted_and_waited_for_by_stop) {
  const auto begin_both = [](std::chrono::milliseconds limit) {
    asio::io_context io;
    gate g(io);
    any_pool p(io, {.workers = 1, .job_timeout = limit}, do_it);
    const work stubborn = [&]() -> task<int> {
      co_await g.pass_stubbornly();
      co_return 1;
    };
    const work quick = []() -> task<int> { co_return 2; };
    submitter first, second, third;
    bool begun = true;
    bool stopped = false;
    sluice::worker_pool_stats before{};
    p.submit(stubborn)(first.token());
    p.submit(stubborn)(second.token());
    sluice::go(io, [&]() -> task<> {
      while (p.stats().overdue < 2) {
        if (p.stats().running + p.stats().queued == 0) {
          begun = false;
          g.open();
          co_return;
        }
        co_await sluice::sleep_for(1ms);
      }
      BOOST_TEST(first.times == 1);
      BOOST_TEST(second.times == 1);
      const int two = co_await p.submit(quick, for_ever);
      BOOST_TEST(two == 2);
      p.submit(quick, for_ever)(third.token());
      before = p.stats();
      sluice::go([&]() -> task<> {
        co_await p.stop();
        stopped = true;
      });
      while (third.times == 0) co_await sluice::sleep_for(1ms);
      BOOST_TEST(!stopped);
      g.open();
    });
    run(io);
    if (!begun) return false;
    BOOST_TEST(stopped);
    BOOST_TEST(third.last == fate::done);
    BOOST_TEST(before.overdue == 2u);
    BOOST_TEST(before.timed_out == 2u);
    BOOST_TEST(first.times == 1);
    BOOST_TEST(first.last == fate::out_of_time);
    BOOST_TEST(second.times == 1);
    BOOST_TEST(second.last == fate::out_of_time);
    const auto after = p.stats();
    BOOST_TEST(after.overdue == 0u);
    BOOST_TEST(after.running == 0u);
    BOOST_TEST(after.timed_out == 2u);
    BOOST_TEST(after.done == 2u);
    return true;
  };
  auto limit = 1ms;
  while (!begin_both(limit)) limit *= 2;
}

BOOST_AUTO_TEST_CASE(keeps_its_own_outcome_if_it_was_cancelled_by_its_submitter) {
  asio::io_context io;
  gate g(io);
  any_pool p(io, {}, do_it);
  const work stubborn = [&]() -> task<int> {
    co_await g.pass_stubbornly();
    co_return 1;
  };
  submitter first, second;
  p.submit(stubborn)(first.token());
  p.submit([]() -> task<int> { co_return 2; })(second.token());
  poll(io);
  BOOST_TEST(second.times == 0);
  first.cancel();
  poll(io);
  BOOST_TEST(second.last == fate::done);
  BOOST_TEST(second.times == 1);
  BOOST_TEST(first.times == 0);
  BOOST_TEST(p.stats().overdue == 1u);
  first.cancel();
  poll(io);
  BOOST_TEST(p.stats().overdue == 1u);
  g.open();
  run(io);
  BOOST_TEST(first.times == 1);
  BOOST_TEST(first.last == fate::done);
  BOOST_TEST(first.result == 1);
  BOOST_TEST(p.stats().overdue == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancelling)

BOOST_AUTO_TEST_CASE(takes_a_job_out_of_the_queue_and_it_never_begins) {
  for (const types type : {types::terminal, types::partial, types::total}) {
    asio::io_context io;
    gate g(io);
    std::vector<int> begun;
    int_pool p(io, {}, [&](int n) -> task<int> {
      begun.push_back(n);
      co_await g.pass();
      co_return n;
    });
    std::vector<submitter> submitters(4);
    for (int n = 0; n < 4; ++n) p.submit(n)(submitters[static_cast<std::size_t>(n)].token());
    poll(io);
    submitters[2].cancel(types::none);
    poll(io);
    BOOST_TEST(submitters[2].times == 0);
    submitters[2].cancel(type);
    BOOST_TEST(submitters[2].times == 0, "not inside emit");
    poll(io);
    BOOST_TEST(submitters[2].times == 1);
    BOOST_TEST(submitters[2].last == fate::cancelled);
    BOOST_TEST(p.stats().queued == 2u);
    submitters[2].cancel(type);
    g.open();
    run(io);
    const std::vector<int> expected{0, 1, 3};
    BOOST_TEST(begun == expected, per_element());
    BOOST_TEST(submitters[2].times == 1);
    BOOST_TEST(p.stats().cancelled == 1u);
    BOOST_TEST(p.stats().done == 3u);
  }
}

BOOST_AUTO_TEST_CASE(ends_the_waits_of_a_job_that_runs_and_its_outcome_is_what_it_ends_with) {
  asio::io_context io;
  any_pool p(io, {.workers = 4}, do_it);
  const auto quiet = sluice::make_channel<int>();
  std::vector<submitter> submitters(4);
  p.submit([&]() -> task<int> {
    const auto v = co_await quiet.receive();
    co_return *v;
  })(submitters[0].token());
  p.submit([&]() -> task<int> {
    static_cast<void>(co_await error_of(quiet.receive()));
    co_return 1;
  })(submitters[1].token());
  p.submit([&]() -> task<int> {
    static_cast<void>(co_await error_of(quiet.receive()));
    throw std::runtime_error("of its own");
    co_return 1;
  })(submitters[2].token());
  p.submit([&]() -> task<int> {
    co_await sluice::sleep_for(24h);
    co_return 1;
  })(submitters[3].token());
  poll(io);
  for (auto& s : submitters) s.cancel();
  run(io);
  const std::vector<fate> expected{fate::cancelled, fate::done, fate::failed, fate::cancelled};
  for (std::size_t i = 0; i < 4; ++i) {
    BOOST_TEST(submitters[i].times == 1);
    BOOST_TEST(submitters[i].last == expected[i]);
  }
  const auto s = p.stats();
  BOOST_TEST(s.done == 1u);
  BOOST_TEST(s.failed == 1u);
  BOOST_TEST(s.cancelled == 2u);
}

// An operation_aborted of the job's own is a failure like any other.
BOOST_AUTO_TEST_CASE(is_not_what_a_job_does_that_was_not_asked_to) {
  asio::io_context io;
  int_pool p(io, {}, [](int) -> int { throw sluice::system_error(aborted); });
  submitter s;
  p.submit(1)(s.token());
  run(io);
  BOOST_TEST(s.times == 1);
  BOOST_TEST(p.stats().failed == 1u);
  BOOST_TEST(p.stats().cancelled == 0u);
}

BOOST_AUTO_TEST_CASE(of_the_goroutine_that_waits_cancels_the_job_queued_or_running) {
  asio::io_context io;
  gate g(io);
  std::vector<int> begun;
  int_pool p(io, {}, [&](int n) -> task<int> {
    begun.push_back(n);
    co_await g.pass();
    co_return n;
  });
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  std::vector<fate> told_by_await;
  for (int n = 0; n < 3; ++n)
    sluice::go(ctx, io, [&p, &told_by_await, n]() -> task<> {
      const fate f = co_await fate_of_job(p.submit(n));
      told_by_await.push_back(f);
    });
  poll(io);
  BOOST_TEST(begun.size() == 1u);
  cancel();
  run(io);
  BOOST_TEST(told_by_await == std::vector<fate>(3, fate::cancelled), per_element());
  BOOST_TEST(begun.size() == 1u);
  BOOST_TEST(p.stats().cancelled == 3u);
}

// On a busy machine the deadline may pass before the job is submitted: then once more.
BOOST_AUTO_TEST_CASE(by_a_deadline_of_the_goroutine_that_waits_says_so) {
  asio::io_context io;
  int_pool p(io, {}, [](int n) -> task<int> {
    co_await sluice::sleep_for(24h);
    co_return n;
  });
  for (auto limit = 1ms; p.stats().cancelled == 0; limit *= 2) {
    error_code told;
    const auto [ctx, cancel] = sluice::with_timeout(io, sluice::context::background(), limit);
    sluice::go(ctx, io, [&]() -> task<> {
      try {
        co_await p.submit(1);
      } catch (const sluice::system_error& e) {
        told = e.code();
      }
    });
    run(io);
    BOOST_REQUIRE(told == deadline_exceeded);
    io.restart();
  }
  BOOST_TEST(p.stats().cancelled == 1u);
}

BOOST_AUTO_TEST_CASE(of_a_case_of_a_select_that_loses_cancels_the_job) {
  asio::io_context io;
  gate g(io);
  sluice::channel<int> begun = sluice::make_channel<int>(io, 1);
  int_pool p(io, {}, [&](int n) -> task<int> {
    co_await begun.send(n);
    co_await g.pass();
    co_return n;
  });
  std::optional<std::size_t> index;
  fate queued = fate::done, running = fate::done;
  sluice::go(io, [&]() -> task<> {
    auto r = co_await sluice::select(p.submit(1), p.submit(2), begun.receive());
    index = r.index();
    if (r.lost<0>()) queued = fate_of(std::get<0>(*r.lost<0>()));
    if (r.lost<1>()) running = fate_of(std::get<0>(*r.lost<1>()));
  });
  run(io);
  BOOST_TEST(index.value() == 2u);
  BOOST_TEST(queued == fate::cancelled);
  BOOST_TEST(running == fate::cancelled);
  BOOST_TEST(g.arrived == 1);
  BOOST_TEST(p.stats().cancelled == 2u);
}

BOOST_AUTO_TEST_CASE(does_nothing_once_the_submitter_has_been_told) {
  asio::io_context io;
  int_pool p(io, {.job_timeout = 24h}, [](int n) { return n; });
  submitter s;
  p.submit(1)(s.token());
  run(io);
  s.cancel();
  run(io);
  BOOST_TEST(s.times == 1);
  BOOST_TEST(s.last == fate::done);
  BOOST_TEST(p.stats().cancelled == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
