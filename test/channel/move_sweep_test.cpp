// Every kind of sender beside every kind of receiver, with every move of the value failing in turn:
// each operation completes once, nothing is lost, nobody is left waiting, nothing leaves `run()`.
#include "../support.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// An element whose move fails when the fuse has burnt down, without having changed anything.
struct fragile {
  explicit fragile(int n) : number(n) { ++alive; }
  fragile(fragile&& other) : number(other.number) {
    if (fuse > 0 && --fuse == 0) throw std::runtime_error("fragile");
    other.number = moved_from;
    ++alive;
  }
  ~fragile() { --alive; }

  int number;
  static constexpr int moved_from = -1;
  /// The move that throws, counted from now; 0 for none.
  static inline int fuse = 0;
  static inline int alive = 0;
};

constexpr int the_value = 1;
constexpr int another_value = 2;

/// One sender beside one receiver, and what each was told.
struct situation {
  asio::io_context io;
  channel<fragile> ch;
  channel<int> never = make_channel<int>(io);
  sluice::cancellable_context tree = sluice::with_cancel(sluice::context::background());
  asio::cancellation_signal sends, receives;

  int sender_told = 0;
  bool sent = false;
  int receiver_told = 0;
  int received = 0;
  std::future<void> sent_future;
  std::future<std::optional<fragile>> received_future;

  explicit situation(std::size_t capacity) : ch(make_channel<fragile>(io, capacity)) {}

  void tell_sender(bool success) {
    ++sender_told;
    sent = success;
  }
  void tell_receiver(const std::optional<fragile>& v) {
    ++receiver_told;
    if (v) received = v->number;
  }
  /// A token for a sender's handler.
  auto sender_handler() {
    return [this](error_code e) { tell_sender(!e); };
  }
  auto receiver_handler() {
    return [this](error_code e, const std::optional<fragile>& v) {
      BOOST_TEST((v.has_value() || e));
      tell_receiver(v);
    };
  }
};

/// Runs `body`, which ends in success or in an exception.
template <class Body>
task<> as_sender(situation& s, Body body) {
  bool success = false;
  try {
    co_await body();
    success = true;
  } catch (const std::runtime_error&) {
  }
  s.tell_sender(success);
}
/// The same for a receiver, whose `body` tells what it got.
template <class Body>
task<> as_receiver(situation& s, Body body) {
  bool failed = false;
  try {
    co_await body();
  } catch (const std::runtime_error&) {
    failed = true;
  }
  if (failed) s.tell_receiver({});
}
/// Starts something with a handler; what leaves the call is the end of it.
template <class Start>
void start_sender(situation& s, Start start) {
  try {
    start();
  } catch (const std::runtime_error&) {
    s.tell_sender(false);
  }
}

struct kind {
  const char* name;
  void (*start)(situation&);
};

const kind senders[] = {
    {"goroutine",
     [](situation& s) {
       sluice::go(s.io, as_sender(s, [&s]() -> task<> { co_await s.ch.send(fragile(the_value)); }));
     }},
    {"goroutine of a context",
     [](situation& s) {
       sluice::go(s.tree.ctx, s.io,
                  as_sender(s, [&s]() -> task<> { co_await s.ch.send(fragile(the_value)); }));
     }},
    {"select",
     [](situation& s) {
       sluice::go(
           s.io, as_sender(s, [&s]() -> task<> {
             static_cast<void>(co_await select(s.ch.send(fragile(the_value)), s.never.receive()));
           }));
     }},
    {"select with handlers",
     [](situation& s) {
       sluice::go(s.io, as_sender(s, [&s]() -> task<> {
                    co_await select(sluice::on(s.ch.send(fragile(the_value)), [] {}),
                                    sluice::on(s.never.receive(), [] {}));
                  }));
     }},
    {"select of an lvalue",
     [](situation& s) {
       sluice::go(s.io, as_sender(s, [&s]() -> task<> {
                    auto op = s.ch.send(fragile(the_value));
                    static_cast<void>(co_await select(s.never.receive(), op));
                  }));
     }},
    {"select of a range",
     [](situation& s) {
       sluice::go(s.tree.ctx, s.io, as_sender(s, [&s]() -> task<> {
                    std::vector<sluice::send_operation<fragile>> ops;
                    ops.push_back(s.ch.send(fragile(the_value)));
                    static_cast<void>(co_await select(std::move(ops)));
                  }));
     }},
    {"timeout",
     [](situation& s) {
       sluice::go(s.io, as_sender(s, [&s]() -> task<> {
                    co_await sluice::timeout(s.ch.send(fragile(the_value)), 1h);
                  }));
     }},
    {"handler",
     [](situation& s) {
       start_sender(s, [&s] { s.ch.async_send(fragile(the_value), s.sender_handler()); });
     }},
    {"handler with a slot",
     [](situation& s) {
       start_sender(s, [&s] {
         s.ch.async_send(fragile(the_value),
                         asio::bind_cancellation_slot(s.sends.slot(), s.sender_handler()));
       });
     }},
    {"try_send",
     [](situation& s) {
       fragile value(the_value);
       error_code e;
       bool success = false;
       try {
         success = s.ch.try_send(std::move(value), e);
       } catch (const std::runtime_error&) {
       }
       s.tell_sender(success);
       BOOST_TEST(value.number == (success ? fragile::moved_from : the_value));
     }},
    {"future",
     [](situation& s) {
       start_sender(
           s, [&s] { s.sent_future = s.ch.async_send(fragile(the_value), asio::use_future); });
     }},
    {"asio::awaitable",
     [](situation& s) {
       const auto body = [](situation& of) -> asio::awaitable<void> {
         co_await of.ch.async_send(fragile(the_value), asio::use_awaitable);
       };
       asio::co_spawn(s.io, body(s), [&s](const std::exception_ptr& x) { s.tell_sender(!x); });
     }},
};

const kind receivers[] = {
    {"goroutine",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    const auto v = co_await s.ch.receive();
                    s.tell_receiver(v);
                  }));
     }},
    {"goroutine of a context",
     [](situation& s) {
       sluice::go(s.tree.ctx, s.io, as_receiver(s, [&s]() -> task<> {
                    const auto v = co_await s.ch.receive();
                    s.tell_receiver(v);
                  }));
     }},
    {"select",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    auto r = co_await select(s.ch.receive(), s.never.receive());
                    s.tell_receiver(r.get<0>());
                  }));
     }},
    {"select of a context",
     [](situation& s) {
       sluice::go(s.tree.ctx, s.io, as_receiver(s, [&s]() -> task<> {
                    auto r = co_await sluice::select_in_order(s.never.receive(), s.ch.receive());
                    s.tell_receiver(r.get<1>());
                  }));
     }},
    {"select with handlers",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    co_await select(
                        sluice::on(s.ch.receive(),
                                   [&s](const std::optional<fragile>& v) { s.tell_receiver(v); }),
                        sluice::on(s.never.receive(), [] {}));
                  }));
     }},
    {"select with a handler for errors",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    co_await select(sluice::on(s.ch.receive(),
                                               [&s](error_code, std::optional<fragile>&& v) {
                                                 s.tell_receiver(v);
                                               }),
                                    sluice::on(s.never.receive(), [] {}));
                  }));
     }},
    {"select of a range",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    auto other = make_channel<fragile>();
                    std::vector<sluice::receive_operation<fragile>> ops;
                    ops.push_back(other.receive());
                    ops.push_back(s.ch.receive());
                    auto r = co_await select(ops);
                    s.tell_receiver(r.get());
                  }));
     }},
    {"select that may lose a value",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    auto other = make_channel<fragile>();
                    auto r = co_await select(other.send(fragile(0)), s.ch.receive());
                    s.tell_receiver(r.get<1>());
                  }));
     }},
    {"timeout",
     [](situation& s) {
       sluice::go(s.io, as_receiver(s, [&s]() -> task<> {
                    const auto v = co_await sluice::timeout(s.ch.receive(), 1h);
                    s.tell_receiver(v);
                  }));
     }},
    {"handler", [](situation& s) { s.ch.async_receive(s.receiver_handler()); }},
    {"handler with a slot",
     [](situation& s) {
       s.ch.async_receive(asio::bind_cancellation_slot(s.receives.slot(), s.receiver_handler()));
     }},
    {"handler of another context's goroutine",
     [](situation& s) { s.ch.receive()(asio::bind_executor(s.io, s.receiver_handler())); }},
    {"try_receive",
     [](situation& s) {
       error_code e;
       try {
         const auto v = s.ch.try_receive(e);
         s.tell_receiver(v);
       } catch (const std::runtime_error&) {
         s.tell_receiver({});
       }
     }},
};

/// Runs what is ready. What leaves `run()` is counted.
int poll_all(situation& s) {
  for (int left = 0;; ++left) {
    try {
      poll(s.io);
      if (s.sent_future.valid() && s.sent_future.wait_for(0s) == std::future_status::ready) {
        bool success = true;
        try {
          s.sent_future.get();
        } catch (const std::runtime_error&) {
          success = false;
        }
        s.tell_sender(success);
      }
      return left;
    } catch (const std::exception&) {
      if (left == 10) return left;
    }
  }
}

/// @return Whether the fuse had burnt down, so that there may be another move to fail.
bool try_one(const kind& sender, const kind& receiver, bool receiver_first, std::size_t capacity,
             int failing_move) {
  bool burnt_down = false;
  BOOST_TEST_CONTEXT("sender " << sender.name << ", receiver " << receiver.name
                               << (receiver_first ? " first" : "") << ", capacity " << capacity
                               << ", move " << failing_move) {
    situation s(capacity);
    fragile::fuse = failing_move;
    const kind* const order[] = {receiver_first ? &receiver : &sender,
                                 receiver_first ? &sender : &receiver};
    int left_run = 0;
    for (const kind* const k : order) {
      k->start(s);
      left_run += poll_all(s);
    }
    burnt_down = fragile::fuse == 0;
    fragile::fuse = 0;

    // Who still waits has nobody to meet, and goes on when somebody comes.
    std::size_t drained = 0;
    bool others = false;
    error_code e;
    if (s.receiver_told == 0) {
      BOOST_TEST(s.sender_told == 1);
      BOOST_TEST(s.ch.size() == 0u);
      BOOST_TEST(!s.sent);
      others = s.ch.try_send(fragile(another_value), e);
      BOOST_TEST(others);
      left_run += poll_all(s);
      BOOST_TEST(s.received == another_value);
    }
    while (const auto v = s.ch.try_receive(e)) {
      BOOST_TEST(v->number == the_value);
      ++drained;
      left_run += poll_all(s);
    }
    BOOST_TEST(s.sender_told == 1);
    BOOST_TEST(s.receiver_told == 1);
    BOOST_TEST(left_run == 0);
    const std::size_t arrived = drained + (s.received == the_value ? 1 : 0);
    BOOST_TEST(arrived == (s.sent ? 1u : 0u));
  }
  return burnt_down;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_move_that_fails_between_any_two_parties_is_told_once_and_loses_nothing) {
  const watchdog dog;
  int situations = 0;
  for (const kind& sender : senders)
    for (const kind& receiver : receivers)
      for (const bool receiver_first : {false, true})
        for (const std::size_t capacity : {0u, 1u}) {
          int move = 1;
          while (try_one(sender, receiver, receiver_first, capacity, move)) {
            BOOST_REQUIRE(++move < 100);
          }
          situations += move;
          BOOST_TEST(fragile::alive == 0);
        }
  BOOST_TEST_MESSAGE(situations << " situations");
  BOOST_TEST(situations > 1'000);
}
