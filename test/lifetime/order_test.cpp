#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include "goroutine/helpers.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

// In which order a context that is destroyed destroys its goroutines: those started last first, so
// that a goroutine may use what belongs to one that waits for it.

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(order_of_destruction)

namespace {

/// Appends `n` to `order` when it is destroyed.
struct note_end {
  note_end(ints& o, int k) : order(o), n(k) {}
  note_end(const note_end&) = delete;
  note_end& operator=(const note_end&) = delete;
  ~note_end() { order.push_back(n); }
  ints& order;
  int n;
};

/// The order in which ten goroutines are destroyed; `wait(n)` is how the n-th waits.
template <class Where, class Wait>
ints order_of_ends(Where where, Wait wait, const std::function<void()>& wake = [] {}) {
  ints order;
  {
    asio::io_context io;
    const auto place = where(io);
    for (int n = 0; n < 10; ++n)
      sluice::go(place, [&order, &wait, n]() -> task<> {
        const note_end here(order, n);
        co_await wait(n);
      });
    for (int i = 0; i < 100; ++i) io.poll_one();
    wake();
  }
  return order;
}

const ints youngest_first = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};

const auto the_context = [](asio::io_context& io) { return io.get_executor(); };
const auto one_strand = [](asio::io_context& io) { return asio::make_strand(io); };
/// A strand that is younger than the context's scheduler, and so ends before it.
const auto late_strand = [](asio::io_context& io) {
  static_cast<void>(sluice::get_executor(io));
  return asio::make_strand(io);
};

}  // namespace

BOOST_AUTO_TEST_CASE(is_youngest_first_of_parked_goroutines) {
  auto ch = make_channel<int>();
  const auto wait = [ch](int) -> task<> { static_cast<void>(co_await ch.receive()); };
  BOOST_TEST(order_of_ends(the_context, wait) == youngest_first, per_element());
  BOOST_TEST(order_of_ends(one_strand, wait) == youngest_first, per_element());
}

BOOST_AUTO_TEST_CASE(is_youngest_first_of_sleeping_goroutines) {
  const auto wait = [](int n) -> task<> { co_await sluice::sleep_for(1h * (n % 3 + 1)); };
  BOOST_TEST(order_of_ends(the_context, wait) == youngest_first, per_element());
}

BOOST_AUTO_TEST_CASE(is_youngest_first_of_ready_goroutines) {
  auto ch = make_channel<int>();
  const auto wait = [ch](int) -> task<> { static_cast<void>(co_await ch.receive()); };
  BOOST_TEST(order_of_ends(the_context, wait, [&] { ch.close(); }) == youngest_first,
             per_element());
}

BOOST_AUTO_TEST_CASE(is_youngest_first_of_goroutines_ready_on_strands_of_their_own) {
  auto ch = make_channel<int>();
  const auto wait = [ch](int) -> task<> {
    static_cast<void>(co_await asio::this_coro::executor);
    static_cast<void>(co_await ch.receive());
  };
  BOOST_TEST(order_of_ends(the_context, wait, [&] { ch.close(); }) == youngest_first,
             per_element());
}

BOOST_AUTO_TEST_CASE(is_youngest_first_of_goroutines_ready_on_a_strand_of_the_user) {
  auto ch = make_channel<int>();
  const auto wait = [ch](int) -> task<> { static_cast<void>(co_await ch.receive()); };
  BOOST_TEST(order_of_ends(one_strand, wait, [&] { ch.close(); }) == youngest_first, per_element());
  ch = make_channel<int>();
  const auto wait_anew = [ch](int) -> task<> { static_cast<void>(co_await ch.receive()); };
  BOOST_TEST(order_of_ends(late_strand, wait_anew) == youngest_first, per_element());
  BOOST_TEST(order_of_ends(late_strand, wait_anew, [&] { ch.close(); }) == youngest_first,
             per_element());
}

BOOST_AUTO_TEST_CASE(is_youngest_first_whatever_they_wait_for) {
  auto ch = make_channel<int>();
  const auto wait = [&](int n) -> task<> {
    if (n % 3 == 0) {
      static_cast<void>(co_await ch.receive());
    } else if (n % 3 == 1) {
      asio::steady_timer own(co_await asio::this_coro::executor, 1h);
      co_await own.async_wait(asio::deferred);
    } else {
      co_await sluice::sleep_for(1h);
    }
  };
  BOOST_TEST(order_of_ends(the_context, wait, [&] { ch.close(); }) == youngest_first,
             per_element());
}

BOOST_AUTO_TEST_CASE(is_innermost_first_within_a_goroutine) {
  ints order;
  {
    asio::io_context io;
    struct chain {
      static task<> down(ints& o, int n) {
        const note_end before(o, n);
        const note_end also(o, 100 + n);
        if (n == 0)
          co_await sluice::channel<void>().send();
        else
          co_await down(o, n - 1);
      }
    };
    sluice::go(io, chain::down(order, 2));
    poll(io);
  }
  BOOST_TEST(order == ints({100, 0, 101, 1, 102, 2}), per_element());
}

// The frames of children see the locals of their parent, which waits for them.
BOOST_AUTO_TEST_CASE(lets_children_use_what_belongs_to_their_parent) {
  ints seen;
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      const auto shared = std::make_unique<int>(7);
      sluice::wait_group wg;
      for (int i = 0; i < 3; ++i)
        wg.go([&]() -> task<> {
          const at_exit look([&] { seen.push_back(*shared); });
          co_await sluice::channel<void>().send();
        });
      co_await wg.wait();
    });
    poll(io);
  }
  BOOST_TEST(seen == ints({7, 7, 7}), per_element());
}

BOOST_AUTO_TEST_CASE(reaches_into_a_context_that_a_goroutine_owns) {
  ints order;
  {
    asio::io_context io;
    sluice::go(io, [&]() -> task<> {
      const note_end outer(order, 1);
      asio::io_context inner;
      auto ch = make_channel<int>();
      for (int n = 2; n <= 3; ++n)
        sluice::go(inner, [&order, ch, n]() -> task<> {
          const note_end here(order, n);
          static_cast<void>(co_await ch.receive());
        });
      inner.poll();
      co_await sluice::channel<void>().send();
    });
    poll(io);
  }
  BOOST_TEST(order == ints({3, 2, 1}), per_element());
}

BOOST_AUTO_TEST_SUITE_END()
