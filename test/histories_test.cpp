// What goroutines of several threads have done to two channels, each in a context with a thread of
// its own, could have been done one after another. SLUICE_STRESS says how many histories are looked
// at.
#include "model/history.hpp"
#include "support.hpp"
#include "time_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using model::event;
using model::history;
using effect = event::effect;

/// Now, and everything that this thread has done can be seen: what it has stored last may be on its
/// way still, and what another thread does meanwhile comes before it.
event::time when_others_can_see() {
  std::atomic<bool> everything{false};
  everything.exchange(true, std::memory_order_seq_cst);
  return steady::now();
}

/// As many as a history can be looked at with.
constexpr std::size_t operations_of_all = 60;

/// One of those who use the channels, and what it has seen.
class actor {
 public:
  actor(const std::array<channel<std::uint32_t>, 2>& channels, std::uint64_t seed,
        std::uint32_t number, bool waits)
      : channels_(channels), random_(seed), next_value_(number * 1'000 + 1), waits_(waits) {}

  /// @param there How many of all have come; they begin together.
  task<> act(std::atomic<std::size_t>& there, std::size_t all) {
    ++there;
    for (int n = 0; there < all; ++n)
      if (n > 5'000) std::this_thread::yield();
    for (std::size_t i = 0; i < operations_of_all / all; ++i) {
      const auto kind = waits_ ? random_.below(8) : 4 + random_.below(2);
      const auto c = static_cast<std::uint8_t>(random_.below(2));
      event e;
      e.channel = c;
      e.value = next_value_++;
      if (random_.below(8) == 0) random_.pause();
      e.begin = steady::now();
      try {
        if (kind < 2) {
          co_await channels_[c].send(e.value);
          e.what = effect::sent;
        } else if (kind < 4) {
          const auto v = co_await channels_[c].receive();
          tell_received(e, v);
        } else if (kind == 4) {
          never_wait(e);
        } else {
          co_await choose(e, kind);
        }
      } catch (const sluice::system_error&) {
        e.what = effect::send_failed;
      }
      e.end = when_others_can_see();
      seen.push_back(e);
    }
  }

  std::vector<event> seen;

 private:
  static void tell_received(event& e, const auto& v) {
    e.what = v ? effect::received : effect::received_closed;
    if (v) e.value = *v;
  }

  void never_wait(event& e) {
    e.waits = false;
    error_code error;
    if (random_.below(2) == 0) {
      if (channels_[e.channel].try_send(e.value, error))
        e.what = effect::sent;
      else if (error == closed)
        e.what = effect::send_failed;
      else
        e.sends = static_cast<std::uint8_t>(1U << e.channel);
    } else {
      const auto v = channels_[e.channel].try_receive(error);
      if (!error)
        tell_received(e, v);
      else
        e.receives = static_cast<std::uint8_t>(1U << e.channel);
    }
  }

  task<> choose(event& e, std::size_t kind) {
    const auto other = static_cast<std::uint8_t>(1 - e.channel);
    if (kind == 5) {
      // All at one instant: nothing only if no channel is ready.
      e.waits = false;
      const auto take = [&e](std::uint8_t c, const auto& v) {
        e.channel = c;
        tell_received(e, v);
      };
      const auto first = e.channel;
      co_await select(
          on(channels_[first].receive(), [&](std::optional<std::uint32_t> v) { take(first, v); }),
          on(channels_[other].receive(), [&](std::optional<std::uint32_t> v) { take(other, v); }),
          otherwise([&e] { e.receives = 3; }));
      co_return;
    }
    const bool sends_first = kind == 6;
    // A send that finds its channel closed says so by an exception, which does not name the case.
    e.what = effect::send_failed;
    const auto to = sends_first ? e.channel : other;
    const auto from = sends_first ? other : e.channel;
    e.channel = to;
    const auto r = co_await select(channels_[to].send(e.value), channels_[from].receive());
    if (r.index() == 0) {
      e.what = effect::sent;
    } else {
      e.channel = from;
      tell_received(e, r.get<1>());
    }
  }

  const std::array<channel<std::uint32_t>, 2>& channels_;
  random_numbers random_;
  std::uint32_t next_value_;
  const bool waits_;  ///< or only does what needs no wait, and meets the others more often
};

/// Threads that each run a context of their own, for all rounds.
class theatre {
 public:
  explicit theatre(int threads)
      : there_(threads + 1), contexts_(static_cast<std::size_t>(threads)) {
    for (auto& c : contexts_) c = std::make_unique<asio::io_context>();
    for (auto& c : contexts_)
      threads_.emplace_back([this, io = c.get()] {
        for (;;) {
          there_.arrive_and_wait();
          if (over_) return;
          io->restart();
          io->run();
          ++ended_;
          there_.arrive_and_wait();
        }
      });
  }
  theatre(const theatre&) = delete;
  theatre& operator=(const theatre&) = delete;
  ~theatre() {
    over_ = true;
    there_.arrive_and_wait();
    for (auto& t : threads_) t.join();
  }

  /// One history. Empty if it is right.
  std::string play(std::uint64_t seed) {
    random_numbers random(seed);
    const std::array<std::size_t, 2> capacities{random.below(3), random.below(3)};
    const std::array<channel<std::uint32_t>, 2> channels{
        make_channel<std::uint32_t>(capacities[0]), make_channel<std::uint32_t>(capacities[1])};
    std::vector<std::unique_ptr<actor>> actors;
    for (std::uint32_t i = 0; i < contexts_.size(); ++i) {
      actors.push_back(std::make_unique<actor>(channels, seed * 64 + i, i + 1, seed % 2 == 0));
      sluice::go(*contexts_[i],
                 [this, a = actors.back().get()] { return a->act(arrived_, contexts_.size()); });
    }
    arrived_ = 0;
    ended_ = 0;
    there_.arrive_and_wait();
    // Whoever waits for somebody who does not come is let go.
    for (int i = 0; i < 2'000 && ended_ != contexts_.size(); ++i) std::this_thread::yield();
    history h(capacities);
    for (std::uint8_t c = 0; c < 2; ++c) {
      event e;
      e.channel = c;
      e.begin = steady::now();
      e.what = channels[c].try_close() ? effect::closed : effect::close_failed;
      e.end = when_others_can_see();
      h.add(e);
    }
    there_.arrive_and_wait();
    for (const auto& a : actors) h.add(a->seen);
    return h.is_linearizable() ? std::string() : h.text();
  }

 private:
  std::barrier<> there_;
  std::atomic<bool> over_ = false;
  std::atomic<std::size_t> arrived_ = 0;
  std::atomic<std::size_t> ended_ = 0;
  std::vector<std::unique_ptr<asio::io_context>> contexts_;
  std::vector<std::thread> threads_;
};

/// An event that takes from `begin` to `end`.
event at(int begin, int end, effect what, std::uint8_t channel, std::uint32_t value) {
  event e;
  e.begin = event::time(std::chrono::nanoseconds(begin));
  e.end = event::time(std::chrono::nanoseconds(end));
  e.what = what;
  e.channel = channel;
  e.value = value;
  return e;
}

}  // namespace

BOOST_AUTO_TEST_CASE(histories_of_several_threads_could_have_been_made_one_after_another) {
  const watchdog dog;
  for (const int threads : {2, 3, 4, 8}) {
    theatre t(threads);
    const auto all = rounds(threads == 2 ? 4'000 : 400);
    for (std::size_t i = 0; i < all; ++i) {
      const auto wrong = t.play(static_cast<std::uint64_t>(threads) * 1'000'000 + i);
      BOOST_TEST_REQUIRE(wrong.empty(), threads << " threads, history " << i << ":\n" << wrong);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_history_that_could_not_is_found) {
  const auto is_right = [](std::size_t capacity, const std::vector<event>& events) {
    history h({capacity, 1});
    h.add(events);
    return h.is_linearizable();
  };
  // In the order in which they were sent.
  BOOST_TEST(is_right(2, {at(0, 1, effect::sent, 0, 1), at(2, 3, effect::sent, 0, 2),
                          at(4, 5, effect::received, 0, 1), at(6, 7, effect::received, 0, 2)}));
  BOOST_TEST(!is_right(2, {at(0, 1, effect::sent, 0, 1), at(2, 3, effect::sent, 0, 2),
                           at(4, 5, effect::received, 0, 2), at(6, 7, effect::received, 0, 1)}));
  // Sends that overlap may come in either order.
  BOOST_TEST(is_right(2, {at(0, 3, effect::sent, 0, 1), at(2, 3, effect::sent, 0, 2),
                          at(4, 5, effect::received, 0, 2), at(6, 7, effect::received, 0, 1)}));
  // Nothing twice, nothing out of nothing, no more than there is room for.
  BOOST_TEST(!is_right(1, {at(0, 1, effect::sent, 0, 1), at(2, 3, effect::received, 0, 1),
                           at(4, 5, effect::received, 0, 1)}));
  BOOST_TEST(!is_right(1, {at(0, 1, effect::sent, 0, 1), at(2, 3, effect::sent, 0, 2)}));
  // Without room the two meet.
  BOOST_TEST(is_right(0, {at(0, 3, effect::sent, 0, 1), at(2, 5, effect::received, 0, 1)}));
  BOOST_TEST(!is_right(0, {at(0, 1, effect::sent, 0, 1), at(2, 3, effect::received, 0, 1)}));
  // What was buffered before the end is received before it is told.
  BOOST_TEST(!is_right(1, {at(0, 1, effect::sent, 0, 1), at(2, 3, effect::closed, 0, 0),
                           at(4, 5, effect::received_closed, 0, 0)}));
  // A value goes into the second channel before the first is emptied: one of them is always ready.
  auto neither = at(0, 9, effect::nothing, 0, 0);
  neither.receives = 3;
  BOOST_TEST(!is_right(1, {at(-3, -2, effect::sent, 0, 1), at(1, 2, effect::sent, 1, 2),
                           at(3, 4, effect::received, 0, 1), neither}));
}
