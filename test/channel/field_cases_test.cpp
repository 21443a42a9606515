// What went wrong with channels elsewhere, as their users reported it.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

task<> send_one(sender<int> out, int value, std::vector<error_code>& results) {
  const auto e = co_await error_of(out.send(value));
  results.push_back(e);
}

task<> receive_one(receiver<int> in, ints& got) {
  const auto v = co_await in.receive();
  got.push_back(v.value_or(-1));
}

ints numbers(int n) {
  ints result(static_cast<std::size_t>(n));
  std::iota(result.begin(), result.end(), 0);
  return result;
}

}  // namespace

// Source: chriskohlhoff/asio#1318, chriskohlhoff/asio#1575, boostorg/fiber#181
BOOST_AUTO_TEST_CASE(closing_releases_every_blocked_sender_with_an_error) {
  for (const std::size_t capacity : {0u, 1u}) {
    asio::io_context io;
    auto ch = make_channel<int>(capacity);
    for (std::size_t i = 0; i < capacity; ++i) ch.try_send(-1);
    std::atomic<int> told_closed = 0;
    std::atomic<int> told_otherwise = 0;
    for (int i = 0; i < 50; ++i)
      sluice::go(io, [&, i]() -> task<> {
        const auto e = co_await error_of(ch.send(i));
        ++(e == closed ? told_closed : told_otherwise);
      });
    poll(io);
    BOOST_TEST(told_closed + told_otherwise == 0);
    std::thread closer([&] { ch.close(); });
    run(io, 4);
    closer.join();
    BOOST_TEST(told_closed == 50);
    BOOST_TEST(told_otherwise == 0);
    for (std::size_t i = 0; i < capacity; ++i) BOOST_TEST(ch.try_receive().value_or(0) == -1);
    BOOST_TEST(!ch.try_receive().has_value());
  }
}

// Source: chriskohlhoff/asio#1236
BOOST_AUTO_TEST_CASE(closing_does_not_discard_what_is_buffered) {
  for (const bool consumer_first : {false, true}) {
    asio::io_context io;
    auto ch = make_channel<int>(100);
    ints got;
    int closed_receives = 0;
    const auto consume = [&]() -> task<> {
      while (const auto v = co_await ch.receive()) got.push_back(*v);
      for (int i = 0; i < 10; ++i)
        if (!co_await ch.receive()) ++closed_receives;
    };
    if (consumer_first) sluice::go(io, consume);
    sluice::go(io, [&]() -> task<> {
      for (int i = 0; i < 100; ++i) co_await ch.send(i);
      ch.close();
    });
    poll(io);
    if (!consumer_first) sluice::go(io, consume);
    run(io);
    BOOST_TEST(got == numbers(100), per_element());
    BOOST_TEST(closed_receives == 10);
  }
}

// Source: chriskohlhoff/asio#1022, nim-lang/Nim#26230
BOOST_AUTO_TEST_CASE(a_closed_channel_cannot_be_opened_again) {
  const auto opens = [](auto ch) {
    return requires { ch.reset(); } || requires { ch.open(); } || requires { ch.reopen(); } ||
           requires { ch.clear(); };
  };
  BOOST_TEST(!opens(channel<int>()));
  BOOST_TEST(!opens(sender<int>()));
  BOOST_TEST(!opens(receiver<int>()));
}

// Source: chriskohlhoff/asio#1022
BOOST_AUTO_TEST_CASE(assigning_to_a_handle_does_not_disturb_who_waits_on_the_old_channel) {
  ints got;
  {
    asio::io_context io;
    auto ch = make_channel<int>();
    const sender<int> old = ch;
    for (int i = 0; i < 3; ++i) sluice::go(io, receive_one(ch, got));
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&]() -> task<> { got.push_back((co_await ch.receive()).value_or(-1)); });
    poll(io);
    old.try_send(1);
    old.try_send(2);
    ch = make_channel<int>();
    error_code e;
    BOOST_TEST(!ch.try_send(9, e));  // nobody waits on the new one
    poll(io);
    old.try_send(3);
    old.try_send(4);
    poll(io);
    BOOST_TEST(got == ints({1, 2, 3, 4}), per_element());
  }
  BOOST_TEST(got.size() == 4u);
}

// Source: chriskohlhoff/asio#1752, chriskohlhoff/asio#1654, boostorg/cobalt#66
BOOST_AUTO_TEST_CASE(a_moved_handle_sees_who_waits) {
  asio::io_context io;
  auto first = make_channel<int>();
  std::vector<error_code> results;
  sluice::go(io, send_one(first, 42, results));
  poll(io);
  auto second = std::move(first);
  BOOST_TEST(second.try_receive().value_or(-1) == 42);

  ints got;
  auto overwritten = make_channel<int>();
  const auto other_handle = overwritten;
  sluice::go(io, receive_one(overwritten, got));
  sluice::go(io, send_one(second, 43, results));
  poll(io);
  overwritten = std::move(second);
  BOOST_TEST(overwritten.try_receive().value_or(-1) == 43);
  other_handle.try_send(44);
  run(io);
  BOOST_TEST(got == ints({44}), per_element());
  BOOST_TEST(results == std::vector<error_code>(2), per_element());
}

// Source: chriskohlhoff/asio#1752
BOOST_AUTO_TEST_CASE(a_moved_handle_of_a_channel_of_void_sees_who_waits) {
  asio::io_context io;
  auto first = make_channel<void>();
  bool sent = false;
  sluice::go(io, [ch = first, &sent]() -> task<> {
    co_await ch.send();
    sent = true;
  });
  poll(io);
  auto second = std::move(first);
  auto third = make_channel<void>(2);
  third = std::move(second);
  BOOST_TEST(third.try_receive());
  run(io);
  BOOST_TEST(sent);
}

// Source: PaddlePaddle/Paddle#8197, yyzybb537/libgo#77, faern/oneshot#87
BOOST_AUTO_TEST_CASE(goroutines_that_hold_the_last_handles_stay_parked) {
  int ended = 0;
  auto alive = std::make_shared<int>(0);
  {
    asio::io_context io;
    {
      auto ch = make_channel<int>();
      for (int i = 0; i < 3; ++i)
        sluice::go(io, [ch, alive, &ended]() -> task<> {
          co_await ch.receive();
          ++ended;
        });
      poll(io);
    }
    poll(io);
    BOOST_TEST(ended == 0);
    BOOST_TEST(alive.use_count() == 4);
  }
  BOOST_TEST(ended == 0);
  BOOST_TEST(alive.use_count() == 1);
}

// Source: PaddlePaddle/Paddle#8197
BOOST_AUTO_TEST_CASE(the_last_handle_may_go_while_others_wait_by_reference) {
  counted::corrupt = 0;
  int ended = 0;
  {
    asio::io_context io;
    auto ch = make_channel<counted>(1);
    for (int i = 0; i < 3; ++i)
      sluice::go(io, [&ch, &ended, i]() -> task<> {
        co_await ch.send(counted(i));
        ++ended;
      });
    poll(io);
    ch = channel<counted>();
    poll(io);
    BOOST_TEST(ended == 1);  // the one whose value is buffered
  }
  BOOST_TEST(ended == 1);
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

// Source: boostorg/fiber#114
BOOST_AUTO_TEST_CASE(a_try_from_another_thread_wakes_the_parked_partner) {
  asio::io_context io;
  auto in = make_channel<int>(16);
  auto out = make_channel<int>(1);
  out.try_send(1);
  ints got;
  bool sent = false;
  sluice::go(io, receive_one(in, got));
  sluice::go(io, [&]() -> task<> {
    co_await out.send(2);
    sent = true;
  });
  poll(io);
  BOOST_TEST(got.empty());
  BOOST_TEST(!sent);
  int first = 0;
  std::thread outsider([&] {
    in.try_send(7);
    first = out.try_receive().value_or(-1);
  });
  run(io);  // returns when both have ended
  outsider.join();
  BOOST_TEST(got == ints({7}), per_element());
  BOOST_TEST(sent);
  BOOST_TEST(first == 1);
}

// Source: boostorg/fiber#111
BOOST_AUTO_TEST_CASE(small_rings_wrap_around) {
  for (const std::size_t capacity : {0u, 1u, 2u, 3u}) {
    auto ch = make_channel<std::size_t>(capacity);
    error_code e;
    std::size_t sent = 0;
    std::size_t received = 0;
    std::size_t wrong = 0;
    for (std::size_t i = 0, n = rounds(200'000); i < n; ++i) {
      const auto burst = i % (capacity + 2);  // from none to one too many
      for (std::size_t k = 0; k < burst; ++k)
        if (ch.try_send(sent, e)) ++sent;
      if (ch.size() != std::min(burst, capacity)) ++wrong;
      for (std::size_t k = 0; k < burst; ++k)
        if (const auto v = ch.try_receive(e)) wrong += *v != received++;
      if (ch.size() != 0 || ch.try_receive(e) || e != would_block) ++wrong;
    }
    BOOST_TEST(wrong == 0u);
    BOOST_TEST(received == sent);
  }
}

// Source: crystal-lang/crystal#6948
BOOST_AUTO_TEST_CASE(a_send_ended_by_close_is_no_success) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<error_code> results;
  sluice::go(io, send_one(ch, 1, results));
  poll(io);
  ch.close();
  run(io);
  BOOST_TEST(results == std::vector<error_code>({closed}), per_element());
  BOOST_TEST(!ch.try_receive().has_value());
}

// Source: true-async/php-async#113, async-rs/async-std#436, yyzybb537/libgo#187
BOOST_AUTO_TEST_CASE(without_capacity_a_send_ends_only_together_with_a_receive) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::vector<std::string> log;
  sluice::go(io, [&]() -> task<> {
    for (int i = 0; i < 2; ++i) {
      co_await ch.send(i);
      log.push_back("sent");
    }
  });
  poll(io);
  BOOST_TEST(log.empty());
  log.push_back("receiving");
  BOOST_TEST(ch.try_receive().value_or(-1) == 0);
  poll(io);
  BOOST_TEST(log == std::vector<std::string>({"receiving", "sent"}), per_element());
  BOOST_TEST(ch.try_receive().value_or(-1) == 1);
  run(io);
  BOOST_TEST(log.size() == 3u);
}

// Source: true-async/php-async#113
BOOST_AUTO_TEST_CASE(rendezvous_go_on_for_ever_whoever_is_faster) {
  for (const bool slow_sender : {false, true}) {
    asio::io_context io;
    auto ch = make_channel<std::size_t>();
    auto pause = make_channel<void>();  // costs the slower side a turn
    const auto n = rounds(100'000);
    std::size_t right = 0;
    const auto be_slow = [&]() -> task<> {
      sluice::go([&]() -> task<> { co_await pause.send(); });
      co_await pause.receive();
    };
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        if (slow_sender) co_await be_slow();
        co_await ch.send(i);
      }
    });
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < n; ++i) {
        if (!slow_sender) co_await be_slow();
        const auto v = co_await ch.receive();
        if (v == i) ++right;
      }
    });
    run(io, 2);
    BOOST_TEST(right == n);
  }
}

namespace {

/// A question with the channel that its answer is to be sent to.
class request {
 public:
  request(int argument, channel<int> reply) : argument_(argument), reply_(std::move(reply)) {}
  [[nodiscard]] int argument() const { return argument_; }
  [[nodiscard]] const channel<int>& reply() const { return reply_; }

 private:
  int argument_;
  channel<int> reply_;
  counted witness_{0};
};

task<> ask(sender<request> server, int argument, ints& answers) {
  auto reply = make_channel<int>();
  request question(argument, reply);
  co_await server.send(std::move(question));
  const auto answer = co_await reply.receive();
  answers.push_back(answer.value_or(-1));
}

}  // namespace

// Source: crossbeam-rs/crossbeam#1102
BOOST_AUTO_TEST_CASE(a_server_that_stops_can_end_the_waits_for_its_replies) {
  ints answers;
  asio::io_context io;
  auto server = make_channel<request>(10);
  for (int i = 0; i < 5; ++i) sluice::go(io, ask(server, i, answers));
  poll(io);
  BOOST_TEST(server.size() == 5u);
  sluice::go(io, [&]() -> task<> {
    server.close();
    for (int i = 0; i < 2; ++i) {
      const auto r = co_await server.receive();
      co_await r->reply().send(10 * r->argument());
    }
    while (const auto r = co_await server.receive()) r->reply().close();
  });
  run(io);
  BOOST_TEST(answers.size() == 5u);
  BOOST_TEST(std::accumulate(answers.begin(), answers.end(), 0) == 0 + 10 - 3);
  BOOST_TEST(counted::alive == 0);
}

// Source: crossbeam-rs/crossbeam#1102
BOOST_AUTO_TEST_CASE(requests_that_nobody_will_take_go_with_the_context_of_their_clients) {
  ints answers;
  auto server = make_channel<request>(10);
  {
    asio::io_context io;
    for (int i = 0; i < 5; ++i) sluice::go(io, ask(server, i, answers));
    poll(io);
  }
  BOOST_TEST(counted::alive == 5);  // still in the buffer
  server = channel<request>();
  BOOST_TEST(answers.empty());
  BOOST_TEST(counted::alive == 0);
}
