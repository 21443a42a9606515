// Programs of many goroutines around channels: chains, filters, consumers of a queue, servers that
// reply.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <utility>

namespace {

using namespace sluice_test;

constexpr int threads = 4;

task<> pass_on(sender<int> left, receiver<int> right) {
  const auto v = co_await right.receive();
  co_await left.send(v.value_or(-1));
}

task<> count_up(sender<int> out) {
  for (int i = 2;; ++i) co_await out.send(i);
}

task<> drop_multiples(receiver<int> in, sender<int> out, int prime) {
  while (const auto v = co_await in.receive())
    if (*v % prime != 0) co_await out.send(*v);
}

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

// Source: golang test/chan/goroutines.go
BOOST_AUTO_TEST_CASE(a_value_ripples_through_ten_thousand_goroutines) {
  const char* const wanted = std::getenv("SLUICE_GOROUTINES");
  const int count = wanted ? std::atoi(wanted) : 10'000;
  asio::io_context io;
  const auto leftmost = make_channel<int>();
  auto left = leftmost;
  for (int i = 0; i < count; ++i) {
    auto right = make_channel<int>();
    sluice::go(io, pass_on(left, right));
    left = right;
  }
  int got = 0;
  sluice::go(io, [&]() -> task<> { co_await left.send(42); });
  sluice::go(io, [&]() -> task<> { got = (co_await leftmost.receive()).value_or(-1); });
  run(io, threads);
  BOOST_TEST(got == 42);
}

// Source: golang test/chan/sieve1.go
BOOST_AUTO_TEST_CASE(a_chain_of_filters_sieves_primes) {
  const ints expected{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                      43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};
  for (const int n : {1, threads}) {
    ints primes;
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      receiver<int> candidates;
      {
        auto numbers = make_channel<int>();
        sluice::go(count_up(numbers));
        candidates = numbers;
      }
      while (primes.size() < expected.size()) {
        const int prime = (co_await candidates.receive()).value();
        primes.push_back(prime);
        auto filtered = make_channel<int>();
        sluice::go(drop_multiples(candidates, filtered, prime));
        candidates = filtered;
      }
      io.stop();  // the filters stay parked
    });
    run(io, n);
    BOOST_TEST(primes == expected, per_element());
  }
}

// Source: golang runtime TestMultiConsumer
BOOST_AUTO_TEST_CASE(many_consumers_of_one_queue_lose_nothing) {
  constexpr int workers = 23;
  const auto items = rounds(271'828);
  const std::array primes{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31};
  asio::io_context io;
  auto queue = make_channel<int>(5);
  auto results = make_channel<int>(5);
  std::atomic<int> running = workers;
  for (int w = 0; w < workers; ++w)
    sluice::go(io, [&]() -> task<> {
      while (const auto v = co_await queue.receive()) {
        if (*v % 7 == 0) sluice::go([results]() -> task<> { co_return; });  // and some noise
        co_await results.send(*v);
      }
      if (--running == 0) results.close();
    });
  std::int64_t expected = 0;
  sluice::go(io, [&]() -> task<> {
    for (std::size_t i = 0; i < items; ++i) {
      const int p = primes[i % primes.size()];
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
