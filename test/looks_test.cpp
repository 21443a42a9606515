// Looks that say "nothing" are linearizable: of two threads that each do something and then look
// for what the other has done, one finds it. The store-buffering litmus test of the memory-model
// literature, for every way of looking.
// Source: J. Alglave et al., "Litmus: Running Tests Against Hardware".

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/mutex.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/task.hpp>
#include <sluice/timeout.hpp>
#include <sluice/wait_group.hpp>

#include "support.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

using int_channel = sluice::channel<int>;

/// Where two threads meet again and again.
class meeting {
 public:
  void pass(std::size_t round) {
    arrived_.fetch_add(1);
    for (int spins = 0; arrived_.load() < 2 * round;)
      if (++spins > 2000) {
        spins = 0;
        std::this_thread::yield();
      }
  }

  /// The same, and the threads then go on a little one after the other, now this one first and now
  /// that one: what they do next meets at every distance.
  void pass_apart(std::size_t round, std::size_t side) {
    pass(round);
    for (std::size_t n = round * (side == 0 ? 7 : 11) % 256; n != 0; --n)
      std::atomic_signal_fence(std::memory_order_seq_cst);
  }

 private:
  std::atomic<std::size_t> arrived_{0};
};

/// How often of `n` rounds two goroutines on two threads, each of which does `act` to an object of
/// its own and then looks at the other's, have both found nothing.
/** Both functions return an operation to await, or have done what they do. */
template <class Make, class Act, class Look>
std::size_t both_found_nothing(std::size_t n, Make make, Act act, Look look) {
  std::vector<decltype(make())> objects[2];
  std::vector<char> found_nothing[2];
  for (const std::size_t side : {0U, 1U}) {
    for (std::size_t i = 0; i < n; ++i) objects[side].push_back(make());
    found_nothing[side].resize(n);
  }
  meeting start;
  const auto run_side = [&](std::size_t side) {
    asio::io_context io(1);
    sluice::go(io, [&, side]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        auto& mine = objects[side][i];
        auto& other = objects[1 - side][i];
        bool nothing = false;
        start.pass_apart(i + 1, side);
        if constexpr (std::is_void_v<decltype(act(mine, io))>)
          act(mine, io);
        else
          co_await act(mine, io);
        if constexpr (std::is_void_v<decltype(look(other, nothing))>)
          look(other, nothing);
        else
          co_await look(other, nothing);
        found_nothing[side][i] = nothing;
      }
      start.pass(n + 1);  // what has been parked stays there until the other has looked
      io.stop();
    });
    io.run();
  };
  std::thread thread(run_side, 1);
  run_side(0);
  thread.join();
  std::size_t both = 0;
  for (std::size_t i = 0; i < n; ++i) both += found_nothing[0][i] && found_nothing[1][i] ? 1U : 0U;
  return both;
}

std::size_t many() {
  return rounds(2'000);
}

int_channel empty() {
  return make_channel<int>(1);
}
int_channel full() {
  auto ch = make_channel<int>(1);
  ch.try_send(1);
  return ch;
}
auto put_one(const int_channel& ch, asio::io_context&) {
  return ch.send(1);
}
auto take_one(const int_channel& ch, asio::io_context&) {
  return ch.receive();
}
const auto ignore = [](auto&&...) {};

/// Units of something, all of them out.
template <class Lock, class Grant>
struct locked {
  Lock lock;
  Grant held;

  template <class... Args>
  explicit locked(Args... args) : lock(args...), held(take(lock)) {}

 private:
  static auto take(sluice::semaphore& s) { return s.try_acquire(); }
  static auto take(sluice::mutex& m) { return m.try_lock(); }
  static auto take(sluice::shared_mutex& m) { return m.try_lock(); }
};
using locked_semaphore = locked<sluice::semaphore, sluice::semaphore::permit>;
using locked_mutex = locked<sluice::mutex, sluice::mutex::guard>;
using locked_shared_mutex = locked<sluice::shared_mutex, sluice::shared_mutex::guard>;

template <class Locked>
std::unique_ptr<Locked> make_locked() {
  if constexpr (std::is_same_v<Locked, locked_semaphore>)
    return std::make_unique<Locked>(1U);
  else
    return std::make_unique<Locked>();
}
template <class Locked>
void unlock(const std::unique_ptr<Locked>& l, asio::io_context&) {
  l->held = {};
}

std::unique_ptr<sluice::wait_group> one_member() {
  auto wg = std::make_unique<sluice::wait_group>();
  wg->add();
  return wg;
}
void done(const std::unique_ptr<sluice::wait_group>& wg, asio::io_context&) {
  wg->done();
}

auto undone() {
  return sluice::with_cancel(sluice::context::background());
}
void cancel(const sluice::cancellable_context& c, asio::io_context&) {
  c.cancel();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(of_two_threads_one_finds_what_the_other_did)

BOOST_AUTO_TEST_CASE(try_receive_finds_a_value_that_was_sent) {
  const auto look = [](const int_channel& ch, bool& nothing) {
    error_code e;
    nothing = !ch.try_receive(e);
  };
  BOOST_TEST(both_found_nothing(many(), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(try_send_finds_room_that_was_made) {
  const auto look = [](const int_channel& ch, bool& nothing) {
    error_code e;
    nothing = !ch.try_send(2, e);
  };
  BOOST_TEST(both_found_nothing(many(), full, take_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(try_send_finds_a_receiver_that_waits) {
  const auto make = [] { return make_channel<int>(); };
  const auto receive_later = [](const int_channel& ch, asio::io_context& io) {
    ch.async_receive(asio::bind_executor(io, ignore));
  };
  const auto look = [](const int_channel& ch, bool& nothing) {
    error_code e;
    nothing = !ch.try_send(2, e);
  };
  BOOST_TEST(both_found_nothing(rounds(3'000), make, receive_later, look) == 0U);
}

BOOST_AUTO_TEST_CASE(size_tells_of_a_value_that_was_sent) {
  const auto look = [](const int_channel& ch, bool& nothing) { nothing = ch.size() == 0; };
  BOOST_TEST(both_found_nothing(many(), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_a_value_that_was_sent) {
  const auto look = [](const int_channel& ch, bool& nothing) {
    return sluice::select(on(ch.receive(), ignore), otherwise([&nothing] { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_room_that_was_made) {
  const auto look = [](const int_channel& ch, bool& nothing) {
    return sluice::select(on(ch.send(2), ignore), otherwise([&nothing] { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), full, take_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_two_cases_of_which_one_has_happened) {
  const auto idle = make_channel<int>(1);
  const auto look = [&](const int_channel& ch, bool& nothing) {
    return sluice::select(on(idle.receive(), ignore), on(ch.receive(), ignore),
                          otherwise([&nothing] { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_a_range_with_a_case_that_has_happened) {
  const auto look = [](const int_channel& ch, bool& nothing) {
    std::vector<sluice::select_case> cases;
    cases.emplace_back(on(ch.receive(), ignore));
    cases.emplace_back(otherwise([&nothing] { nothing = true; }));
    return sluice::select(std::move(cases));
  };
  BOOST_TEST(both_found_nothing(rounds(3'000), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(select_in_order_takes_the_first_that_has_happened) {
  auto always = make_channel<int>();
  always.close();
  const auto look = [&](const int_channel& ch, bool& nothing) {
    return sluice::select_in_order(on(ch.receive(), ignore),
                                   on(always.receive(), [&nothing](auto&&) { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(select_in_order_takes_the_first_that_has_happened_also_if_all_are_buffers) {
  auto always = make_channel<int>(2 * many());
  for (std::size_t i = 0; i < 2 * many(); ++i) always.try_send(1);
  const auto look = [&](const int_channel& ch, bool& nothing) {
    return sluice::select_in_order(on(ch.receive(), ignore),
                                   on(always.receive(), [&nothing](auto&&) { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(a_timeout_of_zero_does_not_end_what_has_happened) {
  const auto look = [](const int_channel& ch, bool& nothing) {
    return [](const int_channel& c, bool& none) -> task<> {
      try {
        co_await sluice::timeout(c.receive(), 0ms);
      } catch (const sluice::system_error&) {
        none = true;
      }
    }(ch, nothing);
  };
  BOOST_TEST(both_found_nothing(rounds(3'000), empty, put_one, look) == 0U);
}

BOOST_AUTO_TEST_CASE(try_acquire_finds_units_that_were_given_back) {
  const auto look = [](const auto& s, bool& nothing) { nothing = !s->lock.try_acquire(); };
  BOOST_TEST(both_found_nothing(many(), make_locked<locked_semaphore>, unlock<locked_semaphore>,
                                look) == 0U);
}

BOOST_AUTO_TEST_CASE(try_lock_finds_a_mutex_that_was_unlocked) {
  const auto look = [](const auto& m, bool& nothing) { nothing = !m->lock.try_lock(); };
  BOOST_TEST(both_found_nothing(many(), make_locked<locked_mutex>, unlock<locked_mutex>, look) ==
             0U);
}

BOOST_AUTO_TEST_CASE(try_lock_shared_finds_a_mutex_that_was_unlocked) {
  const auto look = [](const auto& m, bool& nothing) { nothing = !m->lock.try_lock_shared(); };
  BOOST_TEST(both_found_nothing(many(), make_locked<locked_shared_mutex>,
                                unlock<locked_shared_mutex>, look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_units_that_were_given_back) {
  const auto look = [](const auto& s, bool& nothing) {
    return sluice::select(on(s->lock.acquire(), ignore), otherwise([&nothing] { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), make_locked<locked_semaphore>, unlock<locked_semaphore>,
                                look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_a_wait_group_that_has_ended) {
  const auto look = [](const auto& wg, bool& nothing) {
    return sluice::select(on(wg->wait(), ignore), otherwise([&nothing] { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(many(), one_member, done, look) == 0U);
}

BOOST_AUTO_TEST_CASE(count_tells_that_a_wait_group_has_ended) {
  const auto look = [](const auto& wg, bool& nothing) { nothing = wg->count() != 0; };
  BOOST_TEST(both_found_nothing(many(), one_member, done, look) == 0U);
}

BOOST_AUTO_TEST_CASE(otherwise_is_not_taken_beside_a_context_that_is_done) {
  const auto look = [](auto& c, bool& nothing) {
    return sluice::select(on(c.ctx.done(), ignore), otherwise([&nothing] { nothing = true; }));
  };
  BOOST_TEST(both_found_nothing(rounds(3'000), undone, cancel, look) == 0U);
}

BOOST_AUTO_TEST_CASE(err_tells_that_a_context_is_done) {
  const auto look = [](auto& c, bool& nothing) { nothing = !c.ctx.err(); };
  BOOST_TEST(both_found_nothing(rounds(3'000), undone, cancel, look) == 0U);
}

BOOST_AUTO_TEST_SUITE_END()

// What a closed channel that has been drained answers does not depend on who drained it.
BOOST_AUTO_TEST_CASE(a_channel_that_was_closed_and_then_drained_by_another_thread_is_closed) {
  const std::size_t n = rounds(5'000);
  std::vector<int_channel> channels;
  for (std::size_t i = 0; i < n; ++i) channels.push_back(full());
  meeting start;
  std::thread closer([&] {
    for (std::size_t i = 0; i < n; ++i) {
      start.pass(i + 1);
      channels[i].close();
      channels[i].try_receive();
    }
  });
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i) {
    start.pass(i + 1);
    error_code e;
    // It is closed before it is empty, so whoever does not get the value finds it closed.
    if (!channels[i].try_receive(e)) wrong += e == would_block ? 1U : 0U;
  }
  closer.join();
  BOOST_TEST(wrong == 0U);
}
