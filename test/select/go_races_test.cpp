// Go's own tests of select that need several threads, written anew from what they show.
#include "helpers.hpp"

#include <sluice/context.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

constexpr int threads = 4;

/// Two contexts, so that a goroutine of each runs on a thread of its own.
class two_contexts {
 public:
  asio::io_context first, second;

  void run() {
    const watchdog dog;
    on_threads(2, [&](int i) { (i == 0 ? first : second).run(); });
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(otherwise_is_a_snapshot)

// Source: golang runtime TestNonblockSelectRace, TestNonblockSelectRace2
BOOST_AUTO_TEST_CASE(when_one_channel_becomes_ready_before_the_other_is_emptied) {
  const watchdog dog;
  for (const bool by_close : {false, true}) {
    asio::io_context io;
    channel<int> first, second;
    std::size_t round = 0;
    std::size_t not_ready = 0;
    const auto prepare = [&] {
      first = make_channel<int>(1);
      second = make_channel<int>(1);
      first.try_send(1);
      ++round;
    };
    const auto look = [&] {
      sluice::go(io, [&]() -> task<> {
        const auto& a = round % 2 ? first : second;
        const auto& b = round % 2 ? second : first;
        const auto i =
            co_await select(on(a.receive(), [] {}), on(b.receive(), [] {}), otherwise([] {}));
        not_ready += i == 2;
      });
      poll(io);
    };
    const auto disturb = [&] {
      if (by_close)
        second.close();
      else
        second.try_send(1);
      error_code e;
      first.try_receive(e);
    };
    duel::fight(rounds(20'000), prepare, look, disturb, [] {});
    BOOST_TEST(not_ready == 0u);
  }
}

// Source: golang runtime TestNonblockSelectRace
BOOST_AUTO_TEST_CASE(when_both_sides_are_selects) {
  const watchdog dog;
  asio::io_context io;
  asio::io_context other;
  channel<int> first, second;
  std::size_t not_ready = 0;
  std::size_t not_sent = 0;
  const auto prepare = [&] {
    first = make_channel<int>(1);
    second = make_channel<int>(1);
    first.try_send(1);
  };
  const auto look = [&] {
    sluice::go(io, [&]() -> task<> {
      const auto i = co_await select(on(first.receive(), [] {}), on(second.receive(), [] {}),
                                     otherwise([] {}));
      not_ready += i == 2;
    });
    poll(io);
  };
  const auto disturb = [&] {
    sluice::go(other, [&]() -> task<> {
      const auto i = co_await select(on(second.send(1), [] {}), otherwise([] {}));
      not_sent += i == 1;
      co_await select(on(first.receive(), [] {}), otherwise([] {}));
    });
    poll(other);
  };
  duel::fight(rounds(20'000), prepare, look, disturb, [] {});
  BOOST_TEST(not_ready == 0u);
  BOOST_TEST(not_sent == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

// Source: golang runtime TestSelfSelect
BOOST_AUTO_TEST_CASE(two_selects_on_both_ends_of_one_channel_meet_each_other_and_not_themselves) {
  for (const std::size_t capacity : {0u, 10u}) {
    two_contexts contexts;
    const auto ch = make_channel<int>(capacity);
    const auto n = rounds(10'000);
    std::atomic<std::size_t> own_values = 0;
    std::array<std::atomic<std::size_t>, 2> sent{}, received{};
    for (int p = 0; p < 2; ++p)
      sluice::go(p == 0 ? contexts.first : contexts.second, [&, p]() -> task<> {
        const auto me = static_cast<std::size_t>(p);
        const auto got = [&](std::optional<int> v) {
          ++received[me];
          if (v == p) ++own_values;
        };
        const auto gave = [&] { ++sent[me]; };
        for (std::size_t i = 0; i < n; ++i) {
          if (p == 0 || i % 2 == 0)
            co_await select(on(ch.send(p), gave), on(ch.receive(), got));
          else
            co_await select(on(ch.receive(), got), on(ch.send(p), gave));
        }
      });
    contexts.run();
    BOOST_TEST(sent[0] + received[0] == n);
    BOOST_TEST(sent[1] + received[1] == n);
    BOOST_TEST(sent[0] + sent[1] == received[0] + received[1] + ch.size());
    if (capacity == 0) BOOST_TEST(own_values == 0u);
  }
}

// Source: golang runtime TestSelectStress
BOOST_AUTO_TEST_CASE(selects_and_plain_operations_share_four_channels_to_the_last_value) {
  constexpr std::size_t channels = 4;
  const auto n = rounds(20'000);
  const std::array<channel<std::size_t>, channels> ch{
      make_channel<std::size_t>(), make_channel<std::size_t>(), make_channel<std::size_t>(2),
      make_channel<std::size_t>(3)};
  asio::io_context io;
  std::array<std::atomic<std::size_t>, channels> sum{};
  for (std::size_t c = 0; c < channels; ++c) {
    sluice::go(io, [&, c]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) co_await ch[c].send(i);
    });
    sluice::go(io, [&, c]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) sum[c] += (co_await ch[c].receive()).value();
    });
  }
  sluice::go(io, [&]() -> task<> {
    auto left = ch;  // nil when their quota is done
    std::array<std::size_t, channels> done{};
    for (std::size_t i = 0; i < channels * n; ++i) {
      auto r = co_await select(left[3].send(done[3]), left[2].send(done[2]), left[0].send(done[0]),
                               left[1].send(done[1]));
      constexpr std::array<std::size_t, channels> written{3, 2, 0, 1};
      const auto c = written.at(r.index());
      if (++done[c] == n) left[c] = {};
    }
  });
  sluice::go(io, [&]() -> task<> {
    auto left = ch;
    std::array<std::size_t, channels> done{};
    const auto got = [&](std::size_t c, std::optional<std::size_t> v) {
      sum[c] += v.value();
      if (++done[c] == n) left[c] = {};
    };
    for (std::size_t i = 0; i < channels * n; ++i)
      co_await select(on(left[0].receive(), [&](std::optional<std::size_t> v) { got(0, v); }),
                      on(left[1].receive(), [&](std::optional<std::size_t> v) { got(1, v); }),
                      on(left[2].receive(), [&](std::optional<std::size_t> v) { got(2, v); }),
                      on(left[3].receive(), [&](std::optional<std::size_t> v) { got(3, v); }));
  });
  run(io, threads);
  for (std::size_t c = 0; c < channels; ++c) {
    BOOST_TEST(sum[c] == n * (n - 1));
    BOOST_TEST(ch[c].size() == 0u);
  }
}

// Source: golang runtime TestSelectStackAdjust: where a value goes stays valid until the operation
// is over, also when it is cancelled at the same time.
BOOST_AUTO_TEST_CASE(a_value_never_goes_to_a_select_that_was_cancelled) {
  const watchdog dog;
  counted::corrupt = 0;
  std::size_t sent = 0;
  std::size_t delivered = 0;
  std::size_t wrong = 0;
  {
    running_context running(1);
    const auto a = make_channel<counted>();
    const auto b = make_channel<counted>();
    std::optional<sluice::cancellable_context> c;
    std::atomic<int> got = 0;
    std::atomic<bool> ended = false;
    bool taken = false;
    const auto prepare = [&] {
      c.emplace(sluice::with_cancel(sluice::context::background()));
      got = 0;
      ended = false;
      taken = false;
      sluice::go(c->ctx, running.io, [&]() -> task<> {
        try {
          auto r = co_await select(b.receive(), a.receive(), b.receive());
          got = r.get<1>()->value;
        } catch (const sluice::system_error& e) {
          got = e.code() == aborted ? 0 : -1;
        }
        ended = true;
      });
    };
    const auto send = [&] {
      error_code e;
      for (int tries = 0; !taken && tries < 20; ++tries) taken = a.try_send(counted(7), e);
    };
    const auto check = [&] {
      while (!ended) std::this_thread::yield();
      sent += taken;
      delivered += got == 7;
      wrong += got != (taken ? 7 : 0);
    };
    duel::fight(rounds(20'000), prepare, send, [&] { c->cancel(); }, check);
  }
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(sent == delivered);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// Source: golang runtime TestChanSendSelectBarrier
BOOST_AUTO_TEST_CASE(handoffs_between_selects_neither_leak_nor_double_an_element) {
  counted::corrupt = 0;
  const auto n = rounds(2000);
  std::atomic<std::size_t> intact = 0;
  {
    const auto never_sent = make_channel<counted>();
    const auto never_received = make_channel<counted>();
    asio::io_context io;
    for (int pair = 0; pair < 20; ++pair) {
      const auto ch = make_channel<counted>();
      sluice::go(io, [&, ch]() -> task<> {
        for (std::size_t i = 0; i < n; ++i)
          co_await select(ch.send(counted(static_cast<int>(i))), never_sent.receive());
      });
      sluice::go(io, [&, ch]() -> task<> {
        for (std::size_t i = 0; i < n; ++i) {
          auto r =
              co_await select(never_sent.receive(), ch.receive(), never_received.send(counted(-3)));
          intact += r.get<1>()->value == static_cast<int>(i) && r.lost<2>()->value == -3;
        }
      });
    }
    run(io, threads);
  }
  BOOST_TEST(intact == 20 * n);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// Source: golang runtime TestMultiConsumer
BOOST_AUTO_TEST_CASE(many_consumers_that_select_on_one_queue_and_on_quit_lose_nothing) {
  constexpr int workers = 23;
  const auto items = rounds(100'000);
  asio::io_context io;
  const auto queue = make_channel<int>(5);
  const auto results = make_channel<int>(5);
  const auto quit = make_channel<void>();
  std::atomic<int> running = workers;
  for (int w = 0; w < workers; ++w)
    sluice::go(io, [&]() -> task<> {
      for (bool more = true; more;) {
        std::optional<int> job;
        co_await select(on(quit.receive(), [&] { more = false; }),
                        on(queue.receive(), [&](std::optional<int> v) { job = v; }));
        more = more && job;
        if (job) co_await select(results.send(*job), quit.receive());
      }
      if (--running == 0) results.close();
    });
  std::int64_t expected = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < items; ++i) {
      const int p = static_cast<int>(i % 31) + 1;
      expected += p;
      co_await queue.send(p);
    }
    queue.close();
  });
  std::size_t count = 0;
  std::int64_t sum = 0;
  sluice::go(io, [&]() -> task<> {
    while (const auto v = co_await results.receive()) {
      ++count;
      sum += *v;
    }
  });
  run(io, threads);
  BOOST_TEST(count == items);
  BOOST_TEST(sum == expected);
}

BOOST_AUTO_TEST_SUITE(what_happened_before)  // Source: golang runtime/race/testdata

namespace {

/// A channel of numbers or of nothing.
template <class T>
auto send_number(const channel<T>& ch, std::size_t i) {
  if constexpr (std::is_void_v<T>)
    return ch.send();
  else
    return ch.send(i);
}

/// Plain values, written by one thread and read by the other, with nothing but a channel between.
template <class T>
std::size_t unordered_accesses(std::size_t capacity) {
  const auto n = rounds(1500);
  std::vector<std::size_t> before_send(n), before_receive(n);
  two_contexts contexts;
  const auto ch = make_channel<T>(capacity);
  const auto quiet = make_channel<int>();
  std::size_t wrong = 0;
  std::size_t wrong_back = 0;
  sluice::go(contexts.first, [&]() -> task<> {
    random_numbers random(1);
    for (std::size_t i = 0; i < n; ++i) {
      before_send[i] = i + 1;
      random.pause();
      co_await select(send_number(ch, i), quiet.receive());
      if (i >= capacity) wrong_back += before_receive[i - capacity] != i - capacity + 1;
    }
  });
  sluice::go(contexts.second, [&]() -> task<> {
    random_numbers random(2);
    for (std::size_t i = 0; i < n; ++i) {
      before_receive[i] = i + 1;
      random.pause();
      co_await select(quiet.receive(), ch.receive());
      wrong += before_send[i] != i + 1;
    }
  });
  contexts.run();
  return wrong + wrong_back;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_send_is_seen_after_the_receive_and_a_receive_when_its_send_is_over) {
  for (const std::size_t capacity : {0u, 1u, 2u}) {
    BOOST_TEST(unordered_accesses<std::size_t>(capacity) == 0u);
    BOOST_TEST(unordered_accesses<void>(capacity) == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_channel_with_one_place_is_a_mutex) {
  two_contexts contexts;
  const auto place = make_channel<void>(1);
  const auto quiet = make_channel<int>();
  const auto n = rounds(2000);
  std::size_t count = 0;
  for (int i = 0; i < 4; ++i)
    sluice::go(i % 2 ? contexts.first : contexts.second, [&]() -> task<> {
      for (std::size_t k = 0; k < n; ++k) {
        co_await select(quiet.receive(), place.send());
        ++count;
        co_await select(place.receive(), quiet.receive());
      }
    });
  contexts.run();
  BOOST_TEST(count == 4 * n);
}

BOOST_AUTO_TEST_CASE(a_close_is_seen_after_the_receive_that_it_ends) {
  const auto n = rounds(2000);
  std::vector<channel<void>> channels;
  for (std::size_t i = 0; i < n; ++i) channels.push_back(make_channel<void>());
  std::vector<std::size_t> before_close(n);
  const auto quiet = make_channel<int>();
  two_contexts contexts;
  std::size_t wrong = 0;
  sluice::go(contexts.first, [&]() -> task<> {
    random_numbers random(3);
    for (std::size_t i = 0; i < n; ++i) {
      before_close[i] = i + 1;
      random.pause();
      channels[i].close();
    }
    co_return;
  });
  sluice::go(contexts.second, [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) {
      if (i % 2) {
        co_await select(quiet.receive(), channels[i].receive());
      } else {
        for (bool is_closed = false; !is_closed;)
          co_await select(on(channels[i].receive(), [&] { is_closed = true; }),
                          otherwise([] { std::this_thread::yield(); }));
      }
      wrong += before_close[i] != i + 1;
    }
  });
  contexts.run();
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
