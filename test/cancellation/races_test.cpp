#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>

#include "goroutine/helpers.hpp"
#include "support.hpp"
#include "sync_helpers.hpp"
#include "time_helpers.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

// Requests for cancellation that race with what they cancel.

namespace {

using namespace sluice_test;

/// An executor that calls a function whenever it is given something.
struct noting_executor {
  asio::io_context* context;
  const std::function<void()>* note;

  template <class F>
  void execute(F&& f) const {
    (*note)();
    asio::post(*context, std::forward<F>(f));
  }
  [[nodiscard]] asio::io_context& query(asio::execution::context_t) const noexcept {
    return *context;
  }
  [[nodiscard]] static constexpr asio::execution::blocking_t query(
      asio::execution::blocking_t) noexcept {
    return asio::execution::blocking.never;
  }
  [[nodiscard]] noting_executor require(asio::execution::blocking_t::never_t) const noexcept {
    return *this;
  }
  friend bool operator==(const noting_executor& a, const noting_executor& b) noexcept {
    return a.context == b.context;
  }
};

/// A parent on one strand that cancels its child on another, at about the time when that ends.
class parent_and_child : public std::enable_shared_from_this<parent_and_child> {
 public:
  parent_and_child(asio::io_context& io, std::atomic<std::size_t>& ends)
      : parent_(asio::make_strand(io)), child_(asio::make_strand(io)), ends_(ends) {}

  void start(std::chrono::microseconds life) {
    asio::post(parent_, [self = shared_from_this(), life] {
      sluice::go(
          self->child_,
          [life]() -> task<> { static_cast<void>(co_await error_of(sluice::sleep_for(life))); },
          asio::bind_cancellation_slot(
              self->signal_.slot(),
              asio::bind_executor(self->parent_,
                                  [self](const std::exception_ptr&) { ++self->ends_; })));
    });
  }
  void cancel() {
    asio::post(parent_, [self = shared_from_this()] {
      self->signal_.emit(asio::cancellation_type::terminal);
    });
  }

 private:
  using strand = asio::strand<asio::io_context::executor_type>;
  const strand parent_, child_;
  asio::cancellation_signal signal_;
  std::atomic<std::size_t>& ends_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(a_request)

// Source: chriskohlhoff/asio#1332, erigontech/silkworm#1353
BOOST_AUTO_TEST_CASE(may_come_when_its_goroutine_has_just_ended) {
  const watchdog dog;
  std::atomic<std::size_t> ends{0};
  const std::size_t n = rounds(5000, 1500);
  {
    running_context where(2);
    random_numbers random(1);
    for (std::size_t i = 0; i < n; ++i) {
      const auto both = std::make_shared<parent_and_child>(where.io, ends);
      both->start(std::chrono::microseconds(random.below(20)));
      for (std::size_t k = random.below(20); k != 0; --k) random.pause();
      both->cancel();
    }
  }
  BOOST_TEST(ends == n);
}

// Source: chriskohlhoff/asio#1029, #1151, #1576
BOOST_AUTO_TEST_CASE(goes_down_through_goroutines_on_other_strands_to_what_they_wait_for) {
  const watchdog dog;
  std::atomic<std::size_t> parents{0}, children{0};
  const std::size_t n = rounds(2000, 500);
  {
    const auto quiet = make_channel<int>();
    running_context where(3);
    random_numbers random(2);
    for (std::size_t i = 0; i < n; ++i) {
      const auto tree = with_cancel(context::background());
      sluice::go(tree.ctx, asio::make_strand(where.io), [&, kind = i % 3]() -> task<> {
        const auto child = [&, kind]() -> task<> {
          if (kind == 0) {
            static_cast<void>(co_await error_of(quiet.receive()));
          } else if (kind == 1) {
            asio::steady_timer timer(where.io, 24h);
            static_cast<void>(co_await timer.async_wait(asio::as_tuple(sluice::use_task)));
          } else {
            static_cast<void>(co_await error_of(sluice::select(quiet.receive(), quiet.send(1))));
          }
          ++children;
        };
        try {
          co_await sluice::go(asio::make_strand(where.io), child, sluice::use_task);
        } catch (const sluice::system_error&) {
          ++children;  // cancelled before it was started
        }
        ++parents;
      });
      for (std::size_t k = random.below(30); k != 0; --k) random.pause();
    }
  }
  BOOST_TEST(parents == n);
  BOOST_TEST(children == n);
}

BOOST_AUTO_TEST_CASE(goes_to_a_socket_that_is_being_read) {
  const watchdog dog;
  std::atomic<std::size_t> reads{0}, ends{0};
  const std::size_t n = rounds(1000, 500);
  {
    running_context where(2);
    socket_pair sockets(where.io);
    random_numbers random(3);
    sluice::semaphore one_reader(1);
    for (std::size_t i = 0; i < n; ++i) {
      const auto tree = with_cancel(context::background());
      sluice::go(tree.ctx, where.io, [&]() -> task<> {
        try {
          const auto turn = co_await one_reader.acquire();
          std::array<char, 1> byte;
          co_await sockets.near.async_read_some(asio::buffer(byte), sluice::use_task);
          ++reads;
        } catch (const sluice::system_error&) {
        }
        ++ends;
      });
      for (std::size_t k = random.below(10); k != 0; --k) random.pause();
      if (random.below(2) == 0) sockets.far.write_some(asio::buffer("x", 1));
    }
    where.join();
    BOOST_TEST(ends == n);
    // What was written and not read is still there.
    sockets.far.close();
    std::array<char, 4096> rest;
    std::size_t written = reads;
    error_code e;
    for (;;) {
      const auto got = sockets.near.read_some(asio::buffer(rest), e);
      if (e) break;
      written += got;
    }
    BOOST_TEST(e == asio::error::eof);
    BOOST_TEST(written >= reads);
  }
}

// No lock is held when the executor is called.
BOOST_AUTO_TEST_CASE(may_come_from_the_executor_that_another_is_given_to) {
  for (const bool in_select : {false, true}) {
    asio::io_context io;
    std::function<void()> note = [] {};
    asio::cancellation_signal signal;
    asio::steady_timer timer(io, 24h);
    const auto quiet = make_channel<int>(io);
    error_code of_wait;
    sluice::go(
        noting_executor{&io, &note},
        [&]() -> task<> {
          co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
          of_wait = in_select ? co_await error_of(sluice::select(quiet.receive(),
                                                                 timer.async_wait(asio::deferred)))
                              : co_await error_of(timer.async_wait(asio::deferred));
        },
        asio::bind_cancellation_slot(signal.slot(),
                                     asio::bind_executor(io, [](const std::exception_ptr&) {})));
    poll(io);
    bool noted = false;
    note = [&] {
      if (!std::exchange(noted, true)) signal.emit(asio::cancellation_type::total);
    };
    signal.emit(asio::cancellation_type::terminal);
    run(io);
    BOOST_TEST(noted);
    BOOST_TEST(of_wait == aborted);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(values)

namespace {

/// Numbered values through a channel whose senders and receivers are cancelled at random and
/// started again.
class conservation {
 public:
  conservation(std::size_t capacity, int threads, std::size_t values)
      : where_(threads), ch_(make_channel<counted>(capacity)), times_(values) {}

  void run() {
    for (std::uint64_t i = 0; i < 3; ++i) {
      sluice::go(where_.io, [this, i]() -> task<> { return send(i); });
      sluice::go(where_.io, [this, i]() -> task<> { return receive(i); });
    }
    where_.join();
    for (;;) {
      auto left = try_take();
      if (!left) break;
      ++times_[static_cast<std::size_t>(left->value)];
    }
  }

  [[nodiscard]] bool each_arrived_once() const {
    return std::all_of(times_.begin(), times_.end(), [](const auto& n) { return n == 1; });
  }
  [[nodiscard]] std::size_t cancelled() const { return cancelled_; }

 private:
  /// Runs `what` in a goroutine that is cancelled soon, and waits until it has ended.
  template <class What>
  task<> cancelled_soon(random_numbers& random, const What& what) {
    const auto tree = with_cancel(context::background());
    const auto ended = make_channel<void>();
    sluice::go(tree.ctx, where_.io, [&what, ended]() -> task<> {
      co_await what();
      ended.close();
    });
    if (random.below(2) == 0)
      co_await sluice::sleep_for(std::chrono::microseconds(random.below(20)));
    for (std::size_t k = random.below(8); k != 0; --k) random.pause();
    tree.cancel();
    static_cast<void>(co_await ended.receive());
  }

  task<> send(std::uint64_t seed) {
    random_numbers random(seed);
    const auto body = [this]() -> task<> { return send_some(); };
    while (next_ < times_.size()) co_await cancelled_soon(random, body);
    ++senders_done_;
  }

  task<> send_some() {
    for (;;) {
      const std::size_t id = next_++;
      if (id >= times_.size()) co_return;
      auto op = ch_.send(counted(static_cast<int>(id)));
      bool sent = true;
      try {
        co_await op;
      } catch (const sluice::system_error&) {
        sent = false;
      }
      if (sent) continue;
      // It was handed back: it goes by another way.
      ++cancelled_;
      ++times_[static_cast<std::size_t>(op.value().value)];
      co_return;
    }
  }

  task<> receive(std::uint64_t seed) {
    random_numbers random(seed + 3);
    const auto body = [this]() -> task<> { return receive_some(); };
    while (senders_done_ < 3) co_await cancelled_soon(random, body);
  }

  task<> receive_some() {
    for (;;) {
      std::optional<counted> v;
      try {
        v = co_await ch_.receive();
      } catch (const sluice::system_error&) {
        ++cancelled_;
      }
      if (!v) co_return;
      ++times_[static_cast<std::size_t>(v->value)];
    }
  }

  std::optional<counted> try_take() {
    error_code e;
    return ch_.try_receive(e);
  }

  running_context where_;
  const sluice::channel<counted> ch_;
  std::vector<std::atomic<int>> times_;
  std::atomic<std::size_t> next_{0}, senders_done_{0}, cancelled_{0};
};

}  // namespace

// Source: tokio-rs/tokio#5947, Kotlin/kotlinx.coroutines#1936, #4337
BOOST_AUTO_TEST_CASE(are_neither_lost_nor_doubled_by_cancelled_sends_and_receives) {
  const watchdog dog;
  const long before = counted::alive;
  for (const std::size_t capacity : {0U, 1U, 5U})
    for (const int threads : {1, 3}) {
      conservation c(capacity, threads, rounds(10'000, 3000));
      c.run();
      BOOST_TEST(c.each_arrived_once(), "capacity " << capacity << ", threads " << threads);
      BOOST_TEST(c.cancelled() > 0u);
    }
  BOOST_TEST(counted::alive == before);
  BOOST_TEST(counted::corrupt == 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(a_waiter_that_is_cancelled_while_it_is_chosen)

// Source: tokio-rs/tokio#4618, golang/go#37852
BOOST_AUTO_TEST_CASE(leaves_a_value_for_the_next_or_has_it) {
  const watchdog dog;
  running_context where(1);
  std::optional<sluice::channel<int>> ch;
  std::optional<sluice::cancellable_context> first;
  std::atomic<int> received{0}, parked{0};
  std::size_t wrong = 0;
  duel::fight(
      rounds(3000, 800),
      [&] {
        ch = make_channel<int>(where.io);
        first.emplace(with_cancel(context::background()));
        received = 0;
        parked = 0;
        const auto wait = [&]() -> task<> {
          const auto c = *ch;
          ++parked;
          try {
            const auto v = co_await c.receive();
            if (v) ++received;
          } catch (const sluice::system_error&) {
          }
          --parked;
        };
        sluice::go(first->ctx, where.io, wait);
        sluice::go(where.io, wait);
        while (parked != 2) std::this_thread::yield();
      },
      [&] { sluice::go(where.io, [c = *ch]() -> task<> { co_await c.send(1); }); },
      [&] { first->cancel(); },
      [&] {
        while (received != 1 || parked > 1) std::this_thread::yield();
        ch->close();
        while (parked != 0) std::this_thread::yield();
        if (received != 1) ++wrong;
      });
  where.join();
  BOOST_TEST(wrong == 0u);
}

// Source: tokio-rs/tokio#4618: a weighted semaphore; golang/go#37852, embassy-rs/embassy#6964
BOOST_AUTO_TEST_CASE(lets_in_those_that_it_held_up) {
  const watchdog dog;
  running_context where(1);
  std::optional<sluice::semaphore> units;
  std::optional<sluice::semaphore::permit> held;
  std::optional<sluice::cancellable_context> large;
  std::atomic<int> ended{0}, small{0};
  duel::fight(
      rounds(3000, 800),
      [&] {
        units.emplace(10u);
        held.emplace(units->try_acquire(5));
        large.emplace(with_cancel(context::background()));
        ended = 0;
        small = 0;
        sluice::go(large->ctx, where.io, [&]() -> task<> {
          try {
            const auto p = co_await units->acquire(10);
          } catch (const sluice::system_error&) {
          }
          ++ended;
        });
        sluice::go(where.io, [&]() -> task<> {
          {
            const auto p = co_await units->acquire(1);
          }
          ++small;
          ++ended;
        });
      },
      [&] { large->cancel(); }, [&] { held->release(); },
      [&] {
        while (ended != 2) std::this_thread::yield();
      });
  where.join();
  BOOST_TEST(small == 1);
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// Cancels a goroutine that is about to launch an Asio operation, again and again: `wait(timer)` is
/// what gives the error of its wait.
template <class Wait>
void cancel_before_launch(Wait wait) {
  running_context running(2);
  const watchdog dog;
  std::atomic<bool> begun = false;
  std::atomic<std::size_t> ended = 0;
  std::atomic<std::size_t> wrong = 0;
  for (std::size_t i = 0; i < rounds(1'000); ++i) {
    begun = false;
    auto limited = sluice::with_cancel(sluice::context::background());
    sluice::go(limited.ctx, running.io, [&]() -> task<> {
      asio::steady_timer t(running.io, 1h);
      begun = true;
      const auto e = co_await wait(t);
      if (e != aborted) ++wrong;
      ++ended;
    });
    while (!begun) std::this_thread::yield();
    for (std::size_t k = i % 200; k != 0; --k) static_cast<void>(begun.load());
    limited.cancel();
    while (ended <= i) std::this_thread::yield();
  }
  running.join();
  BOOST_TEST(wrong == 0u);
}

}  // namespace

// A request that came after the goroutine had begun to wait and before it had launched the
// operation was sent to nobody.
BOOST_AUTO_TEST_CASE(a_cancellation_reaches_an_asio_operation_that_is_about_to_be_launched) {
  cancel_before_launch(
      [](asio::steady_timer& t) { return error_of(t.async_wait(sluice::use_task)); });
}

BOOST_AUTO_TEST_CASE(a_select_and_a_cancellation_before_its_launch_agree) {
  const auto quiet = make_channel<int>();
  cancel_before_launch([&](asio::steady_timer& t) {
    return error_of(select(quiet.receive(), t.async_wait(sluice::use_task)));
  });
}

// The request looked at a sleep whose goroutine had just gone on.
BOOST_AUTO_TEST_CASE(a_cancellation_and_the_end_of_a_sleep_at_the_same_time_are_no_race) {
  running_context running(2);
  const watchdog dog;
  std::atomic<std::size_t> ended = 0;
  for (std::size_t i = 0; i < rounds(1'000); ++i) {
    auto limited = sluice::with_cancel(sluice::context::background());
    sluice::go(limited.ctx, running.io, [&]() -> task<> {
      for (;;) {
        const auto e = co_await error_of(sluice::sleep_for(1ns));
        if (e) break;
      }
      ++ended;
    });
    for (std::size_t k = i % 500; k != 0; --k) static_cast<void>(ended.load());
    limited.cancel();
    while (ended <= i) std::this_thread::yield();
  }
  running.join();
  BOOST_TEST(ended == rounds(1'000));
}
