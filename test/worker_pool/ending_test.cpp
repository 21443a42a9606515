#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// How a pool, its context and its jobs end before one another.

namespace {

using namespace sluice_test;

/// A pool whose jobs wait at a gate: the negative ones whatever is asked of them.
class gated_pool {
 public:
  gated_pool(asio::io_context& io, std::size_t workers) : g(io) {
    p.emplace(io, sluice::worker_pool_options{.workers = workers}, [this](int n) -> task<int> {
      if (n < 0)
        co_await g.pass_stubbornly();
      else
        co_await g.pass();
      co_return n;
    });
  }

  gate g;
  std::optional<int_pool> p;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(stop)

// Source: qoretechnologies/qore#3897, David-Haim/concurrencpp#93
BOOST_AUTO_TEST_CASE(runs_everything_that_was_accepted_and_refuses_the_rest) {
  asio::io_context io;
  std::size_t ran = 0;
  int_pool p(io, {.workers = 2, .queue_capacity = 10}, [&](int n) -> task<int> {
    co_await sluice::sleep_for(1us);
    ++ran;
    co_return n;
  });
  std::vector<submitter> submitters(1000);
  for (auto& s : submitters) p.submit(1)(s.token());
  bool stopped = false;
  submitter late;
  sluice::go(io, [&]() -> task<> {
    auto stop = p.stop();
    p.submit(1)(late.token());
    co_await std::move(stop);
    stopped = ran == 1000;
  });
  run(io);
  BOOST_TEST(stopped);
  for (const auto& s : submitters) BOOST_TEST((s.times == 1 && s.last == fate::done));
  BOOST_TEST(late.times == 1);
  BOOST_TEST(late.last == fate::refused);
  BOOST_TEST(p.stats().done == 1000u);
  BOOST_TEST(told(p.stats()) == 1000u);
}

BOOST_AUTO_TEST_CASE(tells_every_kind_of_token_and_may_be_repeated) {
  asio::io_context io;
  gated_pool all(io, 1);
  all.p->submit(1)(asio::detached);
  poll(io);
  std::future<void> future = all.p->stop()(asio::use_future);
  std::optional<error_code> callback;
  all.p->stop()(asio::bind_executor(io, [&](error_code e) { callback = e; }));
  bool awaited = false, first = false;
  sluice::go(io, [&]() -> task<> {
    co_await all.p->stop();
    awaited = true;
  });
  sluice::go(io, [&]() -> task<> {
    auto r = co_await sluice::select(all.p->stop(), sluice::sleep_for(24h));
    first = r.index() == 0;
  });
  poll(io);
  BOOST_TEST(!awaited);
  BOOST_TEST((future.wait_for(0s) == std::future_status::timeout));
  all.g.open();
  run(io);
  future.get();
  BOOST_TEST((callback == no_error));
  BOOST_TEST(awaited);
  BOOST_TEST(first);

  bool again = false;
  sluice::go(io, [&]() -> task<> {
    co_await all.p->stop();
    again = true;
  });
  poll(io);
  BOOST_TEST(again);
}

BOOST_AUTO_TEST_CASE(of_an_idle_pool_is_over_at_once) {
  asio::io_context io;
  int_pool p(io, {.workers = 4}, [](int n) { return n; });
  bool stopped = false;
  sluice::go(io, [&]() -> task<> {
    co_await p.stop();
    stopped = true;
  });
  poll(io);
  BOOST_TEST(stopped);
}

BOOST_AUTO_TEST_CASE(whose_wait_is_cancelled_has_stopped_the_pool_all_the_same) {
  asio::io_context io;
  gated_pool all(io, 1);
  submitter running, late;
  all.p->submit(1)(running.token());
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  error_code e;
  sluice::go(ctx, io, [&]() -> task<> { e = co_await error_of(all.p->stop()); });
  poll(io);
  cancel();
  poll(io);
  BOOST_TEST(e == aborted);
  BOOST_TEST(running.times == 0);
  all.p->submit(2)(late.token());
  poll(io);
  BOOST_TEST(late.last == fate::refused);
  all.g.open();
  run(io);
  BOOST_TEST(running.last == fate::done);
}

// Source: microsoft/react-native-windows#9818: wait from inside a job
BOOST_AUTO_TEST_CASE(by_one_of_its_own_jobs_is_a_clear_error) {
  asio::io_context io;
  std::optional<int_pool> p;
  error_code told_to_job;
  p.emplace(io, sluice::worker_pool_options{}, [&](int n) -> task<int> {
    try {
      co_await p->stop();
    } catch (const sluice::system_error& e) {
      told_to_job = e.code();
    }
    co_return n;
  });
  submitter s, later;
  p->submit(1)(s.token());
  run(io);
  BOOST_TEST(told_to_job == make_error_code(boost::system::errc::resource_deadlock_would_occur));
  BOOST_TEST(s.last == fate::done);
  p->submit(2)(later.token());
  run(io);
  BOOST_TEST(later.last == fate::done);
}

// Source: David-Haim/concurrencpp#119, HaxeFoundation/hxcoro#11
BOOST_AUTO_TEST_CASE(beside_submitters_on_many_threads_leaves_nobody_waiting) {
  constexpr int threads = 8;
  const std::size_t each = rounds(500);
  asio::io_context io;
  std::atomic<std::size_t> done{0}, refused{0}, other{0}, ran{0};
  int_pool p(io, {.workers = 3, .queue_capacity = 4}, [&](int n) -> task<int> {
    ++ran;
    co_await sluice::sleep_for(1us);
    co_return n;
  });
  auto work = asio::make_work_guard(io);
  const auto tell = [&](const std::exception_ptr& e, int) {
    const fate f = fate_of(e);
    ++(f == fate::done ? done : f == fate::refused ? refused : other);
  };
  const watchdog dog;
  std::vector<std::thread> runners;
  for (int i = 0; i < 2; ++i) runners.emplace_back([&] { io.run(); });
  std::atomic<std::size_t> not_taken{0};
  std::future<void> stopped;
  on_threads(threads, [&](int t) {
    for (std::size_t i = 0; i < each; ++i) {
      if (t == 0 && i == each / 2) stopped = p.stop()(asio::use_future);
      if (i % 4 != 0)
        p.submit(1)(tell);
      else if (!p.try_submit(1, tell))
        ++not_taken;
    }
  });
  stopped.get();
  const std::size_t ran_when_stopped = ran;
  work.reset();
  for (auto& t : runners) t.join();
  BOOST_TEST(ran == ran_when_stopped);
  BOOST_TEST(done == ran);
  BOOST_TEST(other == 0u);
  BOOST_TEST(done + refused + not_taken == each * threads);
  BOOST_TEST(p.stats().done == done);
  BOOST_TEST(refused > 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(cancel)

// Source: qoretechnologies/qore#3897
BOOST_AUTO_TEST_CASE(tells_everybody_at_once_and_begins_nothing_more) {
  asio::io_context io;
  gated_pool all(io, 2);
  std::vector<submitter> submitters(1000);
  for (std::size_t i = 0; i < submitters.size(); ++i)
    all.p->submit(i == 0 ? -1 : 1)(submitters[i].token());
  poll(io);
  BOOST_TEST(all.g.arrived == 2);
  all.p->cancel();
  BOOST_TEST(submitters[1].times == 0);
  poll(io);
  for (const auto& s : submitters) BOOST_TEST((s.times == 1 && s.last == fate::cancelled));
  BOOST_TEST(all.g.arrived == 2);
  BOOST_TEST(all.p->stats().cancelled == 1000u);
  BOOST_TEST(all.p->stats().queued == 0u);

  submitter late;
  bool stopped = false;
  all.p->submit(1)(late.token());
  sluice::go(io, [&]() -> task<> {
    co_await all.p->stop();
    stopped = true;
  });
  poll(io);
  BOOST_TEST(late.last == fate::refused);
  BOOST_TEST(!stopped, "the stubborn job still runs");
  all.p->cancel();
  all.g.open();
  run(io);
  BOOST_TEST(stopped);
  BOOST_TEST(submitters[0].times == 1);
  BOOST_TEST(told(all.p->stats()) == 1000u);
}

BOOST_AUTO_TEST_CASE(may_be_called_by_one_of_its_own_jobs) {
  asio::io_context io;
  std::optional<int_pool> p;
  error_code after;
  p.emplace(io, sluice::worker_pool_options{}, [&](int n) -> task<int> {
    p->cancel();
    after = co_await error_of(sluice::sleep_for(24h));
    co_return n;
  });
  submitter own, queued;
  p->submit(1)(own.token());
  p->submit(2)(queued.token());
  run(io);
  BOOST_TEST(after == aborted);
  BOOST_TEST(own.times == 1);
  BOOST_TEST(own.last == fate::cancelled);
  BOOST_TEST(queued.last == fate::cancelled);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_pool_that_is_destroyed)

BOOST_AUTO_TEST_CASE(cancels_everything_and_does_not_wait) {
  asio::io_context io;
  gated_pool all(io, 2);
  std::vector<submitter> submitters(5);
  for (std::size_t i = 0; i < submitters.size(); ++i)
    all.p->submit(i == 0 ? -1 : 1)(submitters[i].token());
  poll(io);
  all.p.reset();
  poll(io);
  for (const auto& s : submitters) BOOST_TEST((s.times == 1 && s.last == fate::cancelled));
  BOOST_TEST(all.g.arrived == 2);
  all.g.open();
  run(io);
  for (const auto& s : submitters) BOOST_TEST(s.times == 1);
}

BOOST_AUTO_TEST_CASE(keeps_its_handler_until_the_last_job_has_ended) {
  asio::io_context io;
  gate g(io);
  const auto kept = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = kept;
  std::optional<int_pool> p;
  p.emplace(io, sluice::worker_pool_options{}, [&g, kept = kept](int) -> task<int> {
    co_await g.pass_stubbornly();
    co_return *kept;
  });
  const long with_pool = watch.use_count();
  p->submit(1)(asio::detached);
  poll(io);
  p.reset();
  poll(io);
  BOOST_TEST(watch.use_count() == with_pool);
  g.open();
  run(io);
  BOOST_TEST(watch.use_count() == 1);
}

// Source: microsoft/react-native-windows#9818
BOOST_AUTO_TEST_CASE(by_one_of_its_own_jobs_cancels_that_job_too) {
  asio::io_context io;
  auto owner = std::make_shared<std::optional<int_pool>>();
  std::size_t ended = 0;
  error_code after;
  const std::weak_ptr<std::optional<int_pool>> watch = owner;
  owner->emplace(io, sluice::worker_pool_options{.workers = 2}, [&](int n) -> task<int> {
    if (n == 0) {
      owner.reset();
      after = co_await error_of(sluice::sleep_for(24h));
    } else {
      co_await sluice::sleep_for(24h);
    }
    ++ended;
    co_return n;
  });
  std::vector<submitter> submitters(4);
  for (int i = 0; i < 4; ++i)
    (*owner)->submit(3 - i)(submitters[static_cast<std::size_t>(i)].token());
  submitters[0].cancel();
  submitters[1].cancel();
  run(io);
  BOOST_TEST(watch.expired());
  BOOST_TEST(after == aborted);
  BOOST_TEST(ended == 1u);
  for (const auto& s : submitters) BOOST_TEST((s.times == 1 && s.last == fate::cancelled));
}

namespace {

/// An executor that takes nothing.
struct full_executor {
  asio::execution_context* context;

  template <class F>
  void execute(F&&) const {
    throw std::bad_alloc();
  }
  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept {
    return *context;
  }
  [[nodiscard]] static constexpr asio::execution::blocking_t query(
      asio::execution::blocking_t) noexcept {
    return asio::execution::blocking.never;
  }
  friend bool operator==(const full_executor& a, const full_executor& b) noexcept {
    return a.context == b.context;
  }
};

/// What is told about a job whose goroutine its executor does not take.
fate fate_on_a_full_executor(asio::io_context& io) {
  const asio::any_io_executor full = full_executor{&io};
  int_pool p(full, sluice::worker_pool_options{}, [](int n) -> task<int> { co_return n; });
  asio::io_context of_submitter;
  int told = 0;
  fate last = fate::done;
  p.submit(1)(asio::bind_executor(of_submitter, [&](std::exception_ptr failure, int) {
    ++told;
    last = fate_of(failure);
  }));
  run(io);
  run(of_submitter);
  BOOST_TEST(told == 1);
  const auto s = p.stats();
  BOOST_TEST(s.running == 0u);
  BOOST_TEST(s.done + s.failed + s.cancelled == 1u);
  return last;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_job_that_its_executor_does_not_take_ends_once) {
  asio::io_context io;
  BOOST_TEST(fate_on_a_full_executor(io) == fate::failed);
  asio::io_context known_to_have_goroutines;
  sluice::go(known_to_have_goroutines, []() -> task<> { co_return; });
  BOOST_TEST(fate_on_a_full_executor(known_to_have_goroutines) == fate::cancelled);
}

BOOST_AUTO_TEST_CASE(lets_those_go_who_wait_for_its_stop) {
  asio::io_context io;
  gated_pool all(io, 1);
  all.p->submit(-1)(asio::detached);
  bool stopped = false;
  sluice::go(io, [&]() -> task<> {
    co_await all.p->stop();
    stopped = true;
  });
  poll(io);
  all.p.reset();
  poll(io);
  BOOST_TEST(!stopped);
  all.g.open();
  run(io);
  BOOST_TEST(stopped);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_context_that_is_destroyed)

// Source: David-Haim/concurrencpp#119
BOOST_AUTO_TEST_CASE(before_its_pool_tells_submitters_elsewhere) {
  for (const bool with_overdue : {false, true}) {
    asio::io_context other;
    std::optional<asio::io_context> io(std::in_place);
    std::optional<gated_pool> all(std::in_place, *io, 2);
    std::vector<submitter> elsewhere(6);
    std::vector<submitter> here(6);
    for (std::size_t i = 0; i < 6; ++i) {
      const int job = with_overdue && i < 2 ? -1 : 1;
      all->p->submit(job, 24h)(asio::bind_executor(other, elsewhere[i].callback()));
      all->p->submit(job, 24h)(here[i].token());
    }
    poll(*io);
    if (with_overdue) {
      here[0].cancel();
      poll(*io);
    }
    io.reset();
    run(other);
    for (const auto& s : elsewhere) BOOST_TEST((s.times == 1 && s.last == fate::cancelled));
    for (const auto& s : here) BOOST_TEST(s.times == 0);
    all.reset();
    run(other);
    for (const auto& s : elsewhere) BOOST_TEST(s.times == 1);
  }
}

BOOST_AUTO_TEST_CASE(after_its_pool_destroys_the_jobs_that_still_run) {
  asio::io_context other;
  const auto shared = std::make_shared<int>();
  submitter elsewhere;
  {
    asio::io_context io;
    gate g(io);
    {
      int_pool p(io, {}, [&](int n) -> task<int> {
        const auto local = shared;
        co_await g.pass_stubbornly();
        co_return n;
      });
      p.submit(1)(asio::bind_executor(other, elsewhere.callback()));
      poll(io);
      BOOST_TEST(shared.use_count() == 2);
    }
    poll(io);
    BOOST_TEST(shared.use_count() == 2);
  }
  BOOST_TEST(shared.use_count() == 1);
  run(other);
  BOOST_TEST(elsewhere.times == 1);
  BOOST_TEST(elsewhere.last == fate::cancelled);
}

BOOST_AUTO_TEST_CASE(while_submitters_of_it_wait_drops_them) {
  const auto shared = std::make_shared<int>();
  std::optional<asio::io_context> io(std::in_place);
  gated_pool all(*io, 1);
  for (int i = 0; i < 3; ++i)
    sluice::go(*io, [&, shared, i]() -> task<> {
      const int n = co_await all.p->submit(i);
      *shared += n;
    });
  sluice::go(*io, [&, shared]() -> task<> {
    co_await sluice::select(all.p->submit(1), sluice::sleep_for(24h));
  });
  poll(*io);
  BOOST_TEST(shared.use_count() == 5);
  io.reset();
  BOOST_TEST(shared.use_count() == 1);
  BOOST_TEST(*shared == 0);
}

BOOST_AUTO_TEST_CASE(of_the_submitter_ends_nothing_in_the_pool) {
  asio::io_context io;
  gated_pool all(io, 1);
  {
    asio::io_context submitters;
    for (int i = 0; i < 2; ++i)
      sluice::go(submitters, [&]() -> task<> { static_cast<void>(co_await all.p->submit(1)); });
    poll(submitters);
    poll(io);
    BOOST_TEST(all.p->stats().running == 1u);
    all.p->cancel();
  }
  run(io);
  BOOST_TEST(all.p->stats().cancelled == 2u);
}

BOOST_AUTO_TEST_CASE(before_its_pool_stops_that) {
  for (const bool on_a_strand : {false, true}) {
    asio::io_context other;
    std::optional<int_pool> p;
    auto io = std::make_unique<asio::io_context>();
    const auto same = [](int n) { return n; };
    if (on_a_strand)
      p.emplace(asio::make_strand(*io), sluice::worker_pool_options{}, same);
    else
      p.emplace(*io, sluice::worker_pool_options{}, same);
    auto first = p->submit(1)(asio::use_future);
    run(*io);
    BOOST_TEST(first.get() == 1);  // told on another thread, which has the strand until then
    io.reset();
    int told = 0;
    const auto note = [&](std::exception_ptr e, int) {
      told += text_of(e).find("closed") != text_of(e).npos;
    };
    p->submit(1)(asio::bind_executor(other, note));
    sluice::go(other, [&]() -> task<> {
      told += co_await error_of(p->submit(1)) == sluice::error::closed;
    });
    BOOST_TEST(!p->try_submit(1, asio::bind_executor(other, note)));
    run(other);
    BOOST_TEST(told == 2);
  }
}

BOOST_AUTO_TEST_SUITE_END()
