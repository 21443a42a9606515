// A case that cannot be put into its place, many cases that cannot happen, and values that can be
// moved but not assigned.
#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <ctime>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using sluice::detail::queue_lock;

struct place_waiter : sluice::detail::waiter {
  queue_lock* place = nullptr;
};

/// An operation whose place has no memory for it.
class unplaceable : public sluice::detail::operation<unplaceable, place_waiter> {
 public:
  using signature = void(error_code);
  static const sluice::detail::waiter_functions functions;

  explicit unplaceable(queue_lock& l) { place = &l; }
  unplaceable(unplaceable&& other) noexcept { place = other.place; }
  void take() {}
  [[nodiscard]] std::tuple<error_code> take_arguments() { return {}; }
  [[nodiscard]] static sluice::detail::dispatcher_ptr handler_dispatcher() { return {}; }

  static inline int withdrawn = 0;
};

const sluice::detail::waiter_functions unplaceable::functions{
    sluice::detail::wait_reason::mutex,
    [](sluice::detail::waiter& w) noexcept { return static_cast<unplaceable&>(w).place; },
    [](const sluice::detail::waiter&) noexcept { return false; },
    [](sluice::detail::waiter&, sluice::detail::wake_list&) noexcept { return false; },
    [](sluice::detail::waiter&) { throw std::bad_alloc(); },
    [](sluice::detail::waiter&) noexcept {
      ++withdrawn;
      return true;
    },
};

queue_lock in_static_memory;

/// Awaits what fails for want of memory, in a frame that is gone when it is told.
template <class Operation>
task<bool> runs_out_of_memory(Operation op) {
  try {
    static_cast<void>(co_await std::move(op));
  } catch (const std::bad_alloc&) {
    co_return true;
  }
  co_return false;
}

/// An element that can be moved but not assigned.
struct job {
  explicit job(int n) noexcept : id(n) {}
  job(job&&) noexcept = default;
  const int id;
};

/// The same; its moves fail when told.
struct fragile_job {
  explicit fragile_job(int n) : id(n) {}
  fragile_job(fragile_job&& other) : id(other.id) {
    if (fails) throw std::runtime_error("fragile");
  }
  const int id;
  static inline bool fails = false;
};

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_case_that_cannot_be_put_into_its_place)

// The lock's address says whether the channel's case comes before it or after it.
BOOST_AUTO_TEST_CASE(leaves_no_trace_of_the_others) {
  queue_lock on_the_stack;
  for (queue_lock* const place : {&in_static_memory, &on_the_stack}) {
    for (const bool with_context : {false, true}) {
      asio::io_context io;
      bool told = false;
      channel<int> kept;
      unplaceable::withdrawn = 0;
      auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
      const auto body = [&, &stop = cancel]() -> task<> {
        auto ch = make_channel<int>();
        kept = ch;
        auto other = make_channel<int>();
        told =
            co_await runs_out_of_memory(select(ch.receive(), unplaceable(*place), other.receive()));
        ch = {};
        error_code e;
        BOOST_TEST(!kept.try_send(1, e));
        BOOST_TEST(e == would_block);
        stop();
      };
      if (with_context)
        sluice::go(ctx, io, body);
      else
        sluice::go(io, body);
      run(io);
      BOOST_TEST(told);
      BOOST_TEST(unplaceable::withdrawn == 0);
      auto send = [](channel<int> own) -> task<> { co_await own.send(2); };
      sluice::go(io, send(kept));
      poll(io);
      BOOST_TEST(kept.try_receive().value() == 2);
      run(io);
    }
  }
}

BOOST_AUTO_TEST_CASE(ends_a_select_that_has_launched_asio_operations) {
  asio::io_context io;
  bool told = false;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer timer(io, 1h);
    auto ch = make_channel<int>();
    told = co_await runs_out_of_memory(
        select(ch.receive(), unplaceable(in_static_memory), timer.async_wait(sluice::use_task)));
  });
  run(io);
  BOOST_TEST(told);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_select_of_many)

// Once for each of them, all others were looked at: 1.8 s.
BOOST_AUTO_TEST_CASE(whose_partners_were_decided_elsewhere_looks_at_each_once) {
  constexpr std::size_t n = 8'000;
  asio::io_context io;
  std::vector<channel<int>> channels;
  for (std::size_t i = 0; i < n; ++i) channels.push_back(make_channel<int>());
  int received = 0;
  std::size_t sent = 0;
  double took = 0;
  sluice::go(io, [&]() -> task<> {
    std::vector<sluice::receive_operation<int>> all;
    for (const auto& ch : channels) all.push_back(ch.receive());
    auto r = co_await select(all);
    received = *r.get();
  });
  sluice::go(io, [&]() -> task<> {
    co_await sluice::this_goroutine::yield();
    channels[0].try_send(1);  // the other select is decided, but does not run yet
    std::vector<sluice::send_operation<int>> all;
    for (std::size_t i = 1; i < n; ++i) all.push_back(channels[i].send(2));
    auto op = select(all);
    const double before = processor_seconds();
    sluice::go([&]() -> task<> {
      took = processor_seconds() - before;
      static_cast<void>(co_await channels[n - 1].receive());
    });
    auto r = co_await std::move(op);
    sent = r.index() + 1;
  });
  run(io);
  BOOST_TEST(received == 1);
  BOOST_TEST(sent == n - 1);
  BOOST_TEST(took < 0.3);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(values_that_can_be_moved_but_not_assigned)

BOOST_AUTO_TEST_CASE(pass_through_every_kind_of_select) {
  asio::io_context io;
  int passed = 0;
  sluice::go(io, [&]() -> task<> {
    auto a = make_channel<job>(1);
    auto b = make_channel<job>(1);
    auto never = make_channel<job>();
    auto r1 = co_await select(a.send(job(1)), b.receive());
    BOOST_TEST(r1.index() == 0u);
    auto r2 = co_await select(never.send(job(2)), a.receive());
    BOOST_TEST(r2.get<1>()->id == 1);
    BOOST_TEST(r2.lost<0>()->id == 2);
    co_await a.send(job(3));
    std::vector<sluice::receive_operation<job>> receives;
    receives.push_back(never.receive());
    receives.push_back(a.receive());
    auto r3 = co_await select(receives);
    BOOST_TEST(r3.get()->id == 3);
    std::vector<sluice::send_operation<job>> sends;
    sends.push_back(a.send(job(4)));
    sends.push_back(never.send(job(5)));
    auto r4 = co_await select(std::move(sends));
    BOOST_TEST(r4.index() == 0u);
    BOOST_TEST(r4.lost(1)->id == 5);
    auto r5 = co_await sluice::timeout(a.receive(), 1h);
    BOOST_TEST(r5->id == 4);
    passed = 5;
  });
  run(io);
  BOOST_TEST(passed == 5);
}

BOOST_AUTO_TEST_CASE(pass_through_the_token_forms) {
  asio::io_context io;
  auto a = make_channel<job>(io, 2);
  auto b = make_channel<job>(io);
  a.try_send(job(1));
  a.try_send(job(2));
  int sum = 0;
  select(a.receive(), b.receive())(asio::bind_executor(
      io, [&](error_code e, auto r) { sum += e ? 100 : r.template get<0>()->id; }));
  run(io);
  sluice::timeout(a.receive(), 1h)(asio::bind_executor(
      io, [&](error_code e, std::optional<job> v) { sum += e ? 100 : 10 * v->id; }));
  run(io);
  BOOST_TEST(sum == 21);
}

BOOST_AUTO_TEST_CASE(that_a_loser_cannot_hand_back_do_not_take_the_winners_along) {
  asio::io_context io;
  int received = 0;
  sluice::go(io, [&]() -> task<> {
    auto in = make_channel<int>(1);
    auto out = make_channel<fragile_job>();
    in.try_send(7);
    auto op = select(in.receive(), out.send(fragile_job(1)));
    fragile_job::fails = true;
    auto r = co_await std::move(op);
    fragile_job::fails = false;
    received = *r.get<0>();
    BOOST_CHECK_THROW(static_cast<void>(r.lost<1>()), std::runtime_error);
  });
  run(io);
  BOOST_TEST(received == 7);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(asio_operations_given_by_name)

BOOST_AUTO_TEST_CASE(are_moved_out_of_a_range) {
  asio::io_context io;
  std::size_t first = 0;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer a(io, 1h);
    asio::steady_timer b(io, 0s);
    std::vector<decltype(a.async_wait(sluice::use_task))> waits;
    waits.push_back(a.async_wait(sluice::use_task));
    waits.push_back(b.async_wait(sluice::use_task));
    first = (co_await select(waits)).index();
  });
  run(io);
  BOOST_TEST(first == 1u);
}

BOOST_AUTO_TEST_CASE(stay_the_callers_until_they_are_launched) {
  asio::io_context io;
  std::size_t first = 9;
  std::size_t second = 9;
  int timed = 0;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer timer(io, 0s);
    auto ch = make_channel<int>(1);
    ch.try_send(1);
    auto wait = timer.async_wait(sluice::use_task);
    first = (co_await select(wait, ch.receive())).index();
    second = (co_await select(wait, ch.receive())).index();
    auto again = timer.async_wait(sluice::use_task);
    co_await sluice::timeout(again, 1h);
    ++timed;
  });
  run(io);
  BOOST_TEST(first == 1u);
  BOOST_TEST(second == 0u);
  BOOST_TEST(timed == 1);
}

BOOST_AUTO_TEST_SUITE_END()
