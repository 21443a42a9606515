// What went wrong with waits for a value or a time elsewhere, as their users reported it.
#include "helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace {

using namespace sluice_test;

/// A payload that is not zero and tells its own number.
struct message {
  explicit message(std::uint64_t n) : number(n), check(~n * 0x9e3779b97f4a7c15U) {}
  [[nodiscard]] bool is(std::uint64_t n) const {
    return number == n && check == ~n * 0x9e3779b97f4a7c15U;
  }
  std::uint64_t number;
  std::uint64_t check;
};

/// Receives with a deadline, gives the value or nullopt for a timeout, and tells of the end.
using timed_receive = task<std::optional<message>> (*)(const channel<message>&,
                                                       std::chrono::nanoseconds, bool& ended);

task<std::optional<message>> receive_by_select(const channel<message>& ch,
                                               std::chrono::nanoseconds d, bool& ended) {
  std::optional<message> got;
  co_await select(on(ch.receive(),
                     [&](std::optional<message> m) {
                       ended = !m;
                       got = m;
                     }),
                  on(sluice::sleep_for(d), [] {}));
  co_return got;
}

task<std::optional<message>> receive_by_timeout(const channel<message>& ch,
                                                std::chrono::nanoseconds d, bool& ended) {
  try {
    auto m = co_await sluice::timeout(ch.receive(), d);
    ended = !m;
    co_return m;
  } catch (const sluice::system_error& e) {
    if (e.code() != timed_out) throw;
  }
  co_return std::nullopt;
}

}  // namespace

// Source: yyzybb537/libgo#246
BOOST_AUTO_TEST_CASE(a_timed_receive_gives_a_whole_value_or_has_taken_nothing) {
  for (const timed_receive receive : {&receive_by_select, &receive_by_timeout}) {
    const watchdog dog;
    const auto n = rounds(2000);
    asio::io_context to_send;
    asio::io_context to_receive;
    const auto ch = make_channel<message>();
    std::size_t received = 0;
    std::size_t timeouts = 0;
    std::size_t wrong = 0;
    sluice::go(to_send, [&]() -> task<> {
      random_numbers random(1);
      for (std::size_t i = 0; i < n; ++i) {
        co_await sluice::sleep_for(std::chrono::microseconds(random.below(60)));
        co_await ch.send(message(i));
      }
      ch.close();
    });
    sluice::go(to_receive, [&]() -> task<> {
      for (bool ended = false; !ended;) {
        const auto m = co_await receive(ch, 30us, ended);
        if (m)
          wrong += !m->is(received++);
        else
          timeouts += !ended;
      }
    });
    on_threads(2, [&](int i) { (i == 0 ? to_send : to_receive).run(); });
    BOOST_TEST(received == n);
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(timeouts > 0u);
  }
}

BOOST_AUTO_TEST_SUITE(a_time_that_has_passed)  // Source: crossbeam-rs/crossbeam#975

BOOST_AUTO_TEST_CASE(lets_a_ready_value_through_a_timeout) {
  run_task([]() -> task<> {
    const auto ch = holding({1, 2, 3});
    auto a = co_await sluice::timeout(ch.receive(), 0s);
    BOOST_TEST(*a == 1);
    auto b = co_await sluice::timeout(ch.receive(), -5s);
    BOOST_TEST(*b == 2);
    BOOST_TEST(ch.size() == 1u);
  });
}

BOOST_AUTO_TEST_CASE(and_a_ready_channel_are_chosen_alike) {
  run_task([]() -> task<> {
    const auto ch = make_channel<int>(1);
    constexpr int trials = 2000;
    int delivered = 0;
    int wrong = 0;
    for (int i = 0; i < trials; ++i) {
      try_send(ch, i);
      int got = -1;
      const auto take = [&](std::optional<int> v) { got = *v; };
      std::size_t c = 99;
      if (i % 2)
        c = co_await select(on(ch.receive(), take), on(sluice::sleep_for(0s), [] {}));
      else
        c = 1 - co_await select(on(sluice::sleep_until(sluice::clock::now() - 1h), [] {}),
                                on(ch.receive(), take));
      delivered += got != -1;
      wrong += (c == 0) != (got != -1) || ch.size() != (c == 0 ? 0u : 1u);
    }
    BOOST_TEST(wrong == 0);
    BOOST_TEST(delivered > trials / 4);
    BOOST_TEST(delivered < trials * 3 / 4);
  });
}

BOOST_AUTO_TEST_CASE(of_a_context_takes_no_value) {
  asio::io_context io;
  const auto ch = holding({7});
  auto [ctx, cancel] = sluice::with_cancel(sluice::context::background());
  cancel();
  error_code plain;
  error_code selected;
  error_code timed;
  sluice::go(ctx, io, [&]() -> task<> {
    plain = co_await error_of(ch.receive());
    selected = co_await error_of(select(ch.receive(), ch.send(8)));
    timed = co_await error_of(sluice::timeout(ch.receive(), 1s));
  });
  run(io);
  BOOST_TEST(plain == aborted);
  BOOST_TEST(selected == aborted);
  BOOST_TEST(timed == aborted);
  BOOST_TEST(ch.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
