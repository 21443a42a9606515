// The queue of timers by itself, on a clock that the test sets, and what it delays.
#include "helpers.hpp"

#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/timer_queue.hpp>

#include <sluice/channel.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <utility>

namespace {

using namespace sluice_test;

}  // namespace

// Source: yyzybb537/libgo#101
BOOST_AUTO_TEST_SUITE(the_queue_of_timers)

namespace {

/// A timer of the queue alone, on a clock that the test sets.
struct node : sluice::detail::timer_node {
  node() : timer_node(counted) {}

  static const kind counted;

  int fired = 0;
  std::multimap<clock::time_point, node*>* reference = nullptr;
  std::multimap<clock::time_point, node*>::iterator place;
  clock::time_point* last = nullptr;
};

const node::kind node::counted{
    [](timer_node& n) noexcept {
      auto& self = static_cast<node&>(n);
      self.reference->erase(self.place);
      *self.last = std::max(*self.last, self.deadline);
      return true;
    },
    [](timer_node& n) noexcept { ++static_cast<node&>(n).fired; },
};

/// Notes `n` in `reference`, too.
void insert(sluice::detail::timer_queue& queue, std::multimap<clock::time_point, node*>& reference,
            node& n, clock::time_point deadline) {
  n.deadline = deadline;
  n.reference = &reference;
  n.place = reference.emplace(deadline, &n);
  queue.insert(n);
}

/// Fires all that is due at `now`, batch by batch. @return How many there are in the largest.
std::size_t fire_due(sluice::detail::timer_queue& queue, clock::time_point now) {
  std::size_t most = 0;
  do {
    std::size_t fired = 0;
    for (auto* due = queue.claim_some(now); due; ++fired) {
      auto& n = *std::exchange(due, due->next_due);
      n.functions->fire(n);
    }
    most = std::max(most, fired);
  } while (queue.next() <= now);
  return most;
}

}  // namespace

BOOST_AUTO_TEST_CASE(fires_seconds_and_minutes_when_they_are_over) {
  asio::io_context io;
  sluice::detail::timer_queue queue(io, [] {}, [] { return true; }, [] {});
  std::multimap<clock::time_point, node*> reference;
  clock::time_point last{};
  const clock::time_point start(100h);
  std::deque<node> nodes;
  for (const auto s : {1s, 10s, 70s, 700s, 7'000s, 70'000s}) {
    node& n = nodes.emplace_back();
    n.last = &last;
    insert(queue, reference, n, start + s);
  }
  for (const node& n : nodes) {
    BOOST_TEST((queue.next() == n.deadline));
    fire_due(queue, n.deadline - 1ns);
    BOOST_TEST(n.fired == 0);
    fire_due(queue, n.deadline);
    BOOST_TEST(n.fired == 1);
  }
  BOOST_TEST(queue.empty());
  BOOST_TEST((queue.next() == clock::time_point::max()));
}

// Whoever sets a timer waits for the lock under which they are claimed.
BOOST_AUTO_TEST_CASE(claims_few_at_a_time_of_many_that_are_due) {
  asio::io_context io;
  sluice::detail::timer_queue queue(io, [] {}, [] { return true; }, [] {});
  std::multimap<clock::time_point, node*> reference;
  clock::time_point last{};
  const clock::time_point start(100h);
  std::deque<node> nodes(1000);
  for (node& n : nodes) {
    n.last = &last;
    insert(queue, reference, n, start);
  }
  BOOST_TEST(fire_due(queue, start) <= 100u);
  BOOST_TEST(std::ranges::all_of(nodes, [](const node& n) { return n.fired == 1; }));
}

BOOST_AUTO_TEST_CASE(agrees_with_a_sorted_map_under_random_insertions_and_removals) {
  asio::io_context io;
  sluice::detail::timer_queue queue(io, [] {}, [] { return true; }, [] {});
  random_numbers random(7);
  std::multimap<clock::time_point, node*> reference;
  clock::time_point now(1h);
  clock::time_point last{};
  std::deque<node> nodes(300);
  for (node& n : nodes) n.last = &last;
  std::size_t inserted = 0;
  std::size_t removed = 0;
  for (std::size_t i = 0; i < rounds(50'000); ++i) {
    node& n = nodes[random.below(nodes.size())];
    if (!n.queued()) {
      insert(queue, reference, n, now + std::chrono::milliseconds(random.below(1'000)));
      ++inserted;
    } else if (random.below(2)) {
      reference.erase(n.place);
      queue.remove(n);
      ++removed;
    }
    if (random.below(4) == 0) {
      now += std::chrono::milliseconds(random.below(30));
      fire_due(queue, now);
      BOOST_REQUIRE((last <= now));
    }
    const auto next = reference.empty() ? clock::time_point::max() : reference.begin()->first;
    BOOST_REQUIRE((queue.next() == next));
  }
  fire_due(queue, now + 1h);
  BOOST_TEST(queue.empty());
  std::size_t fired = 0;
  for (const node& n : nodes) fired += static_cast<std::size_t>(n.fired);
  BOOST_TEST(fired + removed == inserted);
}

// Source: yyzybb537/libgo#277
BOOST_AUTO_TEST_CASE(does_not_delay_goroutines_that_a_foreign_thread_wakes) {
  running_context running(1);
  auto latencies = make_channel<clock::duration>(running.io, 100);
  auto wake = make_channel<clock::time_point>(running.io);
  for (int i = 0; i < 100; ++i)
    sluice::go(running.io, [&]() -> task<> {
      const auto sent = co_await wake.receive();
      latencies.try_send(clock::now() - *sent);
    });
  timer far(running.io, long_time);
  auto least = clock::duration::max();
  const watchdog dog;
  for (int i = 0; i < 100; ++i) {
    wake.async_send(clock::now(), asio::use_future).get();
    const auto latency = latencies.async_receive(asio::use_future).get();
    least = std::min(least, *latency);
  }
  far.stop();
  BOOST_TEST((least < 1ms));
}

BOOST_AUTO_TEST_SUITE_END()
