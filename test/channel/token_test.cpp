// Channel operations with Asio's completion tokens.
#include "../support.hpp"
#include "../told_elsewhere.hpp"

#include <sluice/channel.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// A receive's handler that notes the value, -1 for closed, or minus 1000 for an error.
auto note_in(ints& log) {
  return [&log](error_code e, std::optional<int> v) { log.push_back(e ? -1000 : v.value_or(-1)); };
}

template <class T>
bool is_ready(const std::future<T>& f) {
  return f.wait_for(0s) == std::future_status::ready;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(callbacks)

BOOST_AUTO_TEST_CASE(are_called_with_what_happened) {
  asio::io_context io;
  auto ch = make_channel<int>(io);
  ints got;
  std::vector<error_code> sent;
  const auto note_error = [&](error_code e) { sent.push_back(e); };
  ch.async_receive(note_in(got));
  ch.async_send(1, note_error);
  ch.send(2)(note_error);
  ch.receive()(note_in(got));
  ch.async_send(3, note_error);
  ch.async_send(4, note_error);
  poll(io);
  BOOST_TEST(got == ints({1, 2}), per_element());
  BOOST_TEST(sent == std::vector<error_code>(2), per_element());
  ch.close();
  ch.async_receive(note_in(got));
  ch.async_send(5, note_error);
  run(io);
  BOOST_TEST(got == ints({1, 2, -1}), per_element());
  BOOST_TEST(sent == std::vector<error_code>({{}, {}, closed, closed, closed}), per_element());
}

BOOST_AUTO_TEST_CASE(of_a_channel_of_void_get_a_bool) {
  asio::io_context io;
  auto ch = make_channel<void>(io);
  std::vector<int> log;
  const auto note = [&](error_code e, bool received) { log.push_back(e ? -1 : received); };
  ch.async_receive(note);
  ch.async_send([&](error_code e) { log.push_back(e ? -1 : 10); });
  run(io);
  ch.close();
  ch.async_receive(note);
  run(io);
  BOOST_TEST(std::accumulate(log.begin(), log.end(), 0) == 11);
  BOOST_TEST(log.size() == 3u);
  BOOST_TEST(log.back() == 0);
}

BOOST_AUTO_TEST_CASE(are_never_called_inside_the_initiating_function) {
  asio::io_context io;
  auto ch = make_channel<int>(io, 1);
  bool inside = false;
  int calls = 0;
  const auto check = [&](auto&&...) {
    ++calls;
    BOOST_TEST(!inside);
  };
  const auto start_all = [&] {
    inside = true;
    ch.async_send(1, check);  // ready at once
    ch.async_receive(check);  // ready at once
    ch.async_receive(check);  // parked
    ch.async_send(2, check);  // completes the parked one
    ch.async_receive(check);  // parked
    ch.close();               // ends it
    ch.async_send(3, check);  // closed
    ch.async_receive(check);  // closed
    inside = false;
  };
  asio::post(io, start_all);  // also on the thread that will run them
  run(io);
  BOOST_TEST(calls == 7);
}

BOOST_AUTO_TEST_CASE(keep_their_context_running_while_they_wait) {
  asio::io_context io;
  asio::io_context handlers;
  auto ch = make_channel<int>(io);
  std::atomic<int> calls = 0;
  ch.async_receive([&](error_code, std::optional<int>) { ++calls; });
  ch.async_receive(asio::bind_executor(handlers, [&](error_code, std::optional<int>) { ++calls; }));
  BOOST_TEST(io.poll() == 0u);
  BOOST_TEST(!io.stopped());
  BOOST_TEST(handlers.poll() == 0u);
  BOOST_TEST(!handlers.stopped());
  const watchdog dog;
  on_threads(3, [&](int i) {
    if (i == 0) {
      ch.try_send(1);
      ch.try_send(2);
    } else {
      (i == 1 ? io : handlers).run();
    }
  });
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(run_on_their_associated_executor) {
  asio::io_context io;
  asio::io_context other;
  auto strand = asio::make_strand(other);
  auto ch = make_channel<int>(io, 1);
  int on_strand = 0;
  const auto check = [&](auto&&...) { on_strand += strand.running_in_this_thread(); };
  ch.async_receive(asio::bind_executor(strand, check));
  ch.async_send(1, asio::bind_executor(strand, check));
  ch.async_send(2, asio::bind_executor(strand, check));
  poll(io);
  BOOST_TEST(on_strand == 0);
  run(other);
  BOOST_TEST(on_strand == 3);
}

BOOST_AUTO_TEST_CASE(without_an_executor_are_told_so_by_a_channel_without_one) {
  auto ch = make_channel<int>(1);
  const error_code none = sluice::error::no_executor;
  BOOST_TEST(told_without_executor([&](auto h) { ch.async_send(1, h); }) == none);
  BOOST_TEST(told_without_executor([&](auto h) { ch.async_receive(h); }) == none);
  BOOST_TEST(told_without_executor([&](auto h) { channel<int>().async_receive(h); }) == none);
  BOOST_TEST(ch.size() == 0u);
  asio::io_context io;
  ints got;
  ch.async_receive(asio::bind_executor(io, note_in(got)));
  ch.try_send(1);
  run(io);
  BOOST_TEST(got == ints({1}), per_element());
}

BOOST_AUTO_TEST_CASE(parked_go_with_the_context_that_would_run_them) {
  auto ch = make_channel<int>();
  auto alive = std::make_shared<int>(0);
  {
    asio::io_context io;
    ch.async_receive(asio::bind_executor(io, [alive](error_code, std::optional<int>) {}));
    ch.async_receive(
        asio::bind_executor(asio::make_strand(io), [alive](error_code, std::optional<int>) {}));
    BOOST_TEST(alive.use_count() == 3);
  }
  BOOST_TEST(alive.use_count() == 1);
  error_code e;
  BOOST_TEST(!ch.try_send(1, e));
  BOOST_TEST(e == would_block);
}

BOOST_AUTO_TEST_CASE(may_start_the_next_operation) {
  asio::io_context io;
  auto ch = make_channel<int>(io);
  const int n = static_cast<int>(rounds(10'000));
  int sum = 0;
  struct receiver {
    void operator()(error_code, std::optional<int> v) {
      if (!v) return;
      sum += *v;
      ch.async_receive(*this);
    }
    channel<int> ch;
    int& sum;
  };
  struct sender {
    void operator()(error_code) {
      if (left-- == 0) return ch.close();
      ch.async_send(1, *this);
    }
    channel<int> ch;
    int left;
  };
  ch.async_receive(receiver{ch, sum});
  sender{ch, n}(no_error);
  run(io);
  BOOST_TEST(sum == n);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(futures)

BOOST_AUTO_TEST_CASE(need_no_executor_and_are_set_on_the_spot) {
  auto ch = make_channel<int>(1);
  auto sent = ch.async_send(1, asio::use_future);
  BOOST_TEST(is_ready(sent));
  auto waits = ch.async_send(2, asio::use_future);
  BOOST_TEST(!is_ready(waits));
  auto received = ch.async_receive(asio::use_future);
  BOOST_TEST(is_ready(received));
  BOOST_TEST(received.get().value_or(-1) == 1);
  BOOST_TEST(is_ready(waits));
  BOOST_TEST(ch.receive()(asio::use_future).get().value_or(-1) == 2);

  auto ended = ch.async_receive(asio::use_future);
  BOOST_TEST(!is_ready(ended));
  ch.close();
  BOOST_TEST(is_ready(ended));
  BOOST_TEST(!ended.get().has_value());
  BOOST_CHECK_EXCEPTION(ch.async_send(3, asio::use_future).get(), sluice::system_error,
                        has_code(closed));
}

BOOST_AUTO_TEST_CASE(connect_plain_threads_with_goroutines) {
  asio::io_context io;
  auto requests = make_channel<int>(io);
  auto replies = make_channel<int>();
  sluice::go(io, [&]() -> task<> {
    while (const auto v = co_await requests.receive()) co_await replies.send(2 * *v);
    replies.close();
  });
  int sum = 0;
  std::thread plain([&] {
    for (int i = 1; i <= 100; ++i) {
      requests.async_send(i, asio::use_future).get();
      sum += replies.async_receive(asio::use_future).get().value_or(0);
    }
    requests.close();
  });
  run(io, 2);
  plain.join();
  BOOST_TEST(sum == 10'100);
}

BOOST_AUTO_TEST_CASE(of_a_channel_with_an_executor_are_set_there_and_broken_if_its_context_goes) {
  std::future<std::optional<int>> broken;
  {
    asio::io_context io;
    auto ch = make_channel<int>(io);
    auto f = ch.async_receive(asio::use_future);
    broken = ch.async_receive(asio::use_future);
    ch.try_send(1);
    poll(io);
    BOOST_REQUIRE(is_ready(f));
    BOOST_TEST(f.get().value_or(-1) == 1);
    BOOST_TEST(!is_ready(broken));
  }
  BOOST_REQUIRE(is_ready(broken));
  BOOST_CHECK_THROW(broken.get(), std::future_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(coroutines)

BOOST_AUTO_TEST_CASE(of_asio_await_a_channel) {
  asio::io_context io;
  auto ch = make_channel<int>();
  ints got;
  std::vector<error_code> errors;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        for (int i = 0; i < 3; ++i) co_await ch.async_send(i, asio::use_awaitable);
        co_await ch.send(3)(asio::use_awaitable);
        ch.close();
        try {
          co_await ch.async_send(9, asio::use_awaitable);
        } catch (const sluice::system_error& x) {
          errors.push_back(x.code());
        }
        error_code e;
        co_await ch.async_send(9, asio::redirect_error(asio::use_awaitable, e));
        errors.push_back(e);
        const auto [as_value] = co_await ch.async_send(9, asio::as_tuple(asio::use_awaitable));
        errors.push_back(as_value);
      },
      asio::detached);
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        while (const auto v = co_await ch.async_receive(asio::use_awaitable)) got.push_back(*v);
        const auto [e, v] = co_await ch.receive()(asio::as_tuple(asio::use_awaitable));
        if (!e && !v) got.push_back(100);
      },
      asio::detached);
  run(io);
  BOOST_TEST(got == ints({0, 1, 2, 3, 100}), per_element());
  BOOST_TEST(errors == std::vector<error_code>(3, closed), per_element());
}

BOOST_AUTO_TEST_CASE(with_stacks_await_a_channel) {
  asio::io_context io;
  auto ch = make_channel<int>(2);
  ints got;
  asio::spawn(
      io,
      [&](asio::yield_context yield) {
        for (int i = 0; i < 5; ++i) ch.async_send(i, yield);
        ch.close();
        error_code e;
        ch.async_send(9, yield[e]);
        got.push_back(e == closed ? -1 : -2);
      },
      asio::detached);
  asio::spawn(
      io,
      [&](asio::yield_context yield) {
        while (const auto v = ch.async_receive(yield)) got.push_back(*v);
      },
      asio::detached);
  run(io);
  BOOST_TEST(std::accumulate(got.begin(), got.end(), 0) == 10 - 1);
}

BOOST_AUTO_TEST_CASE(of_every_kind_meet_on_one_channel) {
  asio::io_context io;
  auto ch = make_channel<int>();
  std::array<int, 4> got{};
  const auto add = [](int& sum, const std::optional<int>& v) {
    if (v) sum += *v;
    return v.has_value();
  };
  sluice::go(io, [&]() -> task<> {
    while (const auto v = co_await ch.receive()) add(got[0], v);
  });
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        while (add(got[1], co_await ch.async_receive(asio::use_awaitable))) {
        }
      },
      asio::detached);
  asio::spawn(
      io,
      [&](asio::yield_context yield) {
        while (add(got[2], ch.async_receive(yield))) {
        }
      },
      asio::detached);
  std::thread plain([&] {
    while (add(got[3], ch.async_receive(asio::use_future).get())) {
    }
  });
  sluice::go(io, [&]() -> task<> {
    for (int i = 1; i <= 1000; ++i) co_await ch.send(i);
    ch.close();
  });
  run(io);
  plain.join();
  BOOST_TEST(std::accumulate(got.begin(), got.end(), 0) == 500'500);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(deferred_operations)

BOOST_AUTO_TEST_CASE(do_nothing_until_they_are_launched) {
  asio::io_context io;
  auto ch = make_channel<int>(io, 1);
  ints got;
  auto send = ch.async_send(1, asio::deferred);
  auto receive = ch.async_receive(asio::deferred);
  auto lazy_send = ch.send(2);
  auto lazy_receive = ch.receive();
  BOOST_TEST(ch.size() == 0u);
  std::move(receive)(note_in(got));
  std::move(lazy_receive)(note_in(got));
  std::move(lazy_send)([](error_code) {});
  std::move(send)([](error_code) {});
  run(io);
  BOOST_TEST(got == ints({2, 1}), per_element());
}

BOOST_AUTO_TEST_CASE(are_awaited_by_a_goroutine) {
  asio::io_context io;
  auto ch = make_channel<int>(1);
  int got = 0;
  error_code error;
  sluice::go(io, [&]() -> task<> {
    co_await ch.async_send(5, asio::deferred);
    const auto v = co_await ch.async_receive(asio::deferred);
    got = v.value_or(-1);
    ch.close();
    try {
      co_await ch.async_send(6, asio::deferred);
    } catch (const sluice::system_error& x) {
      error = x.code();
    }
  });
  run(io);
  BOOST_TEST(got == 5);
  BOOST_TEST(error == closed);
}

BOOST_AUTO_TEST_CASE(are_members_of_a_parallel_group_and_lose_nothing_in_it) {
  asio::io_context io;
  auto a = make_channel<int>(io, 1);
  auto b = make_channel<int>(io, 1);
  b.try_send(7);
  using asio::experimental::make_parallel_group;
  using asio::experimental::wait_for_one;
  bool called = false;
  make_parallel_group(a.receive(), b.receive())
      .async_wait(wait_for_one(), [&](std::array<std::size_t, 2> order, error_code ea,
                                      std::optional<int> va, error_code eb, std::optional<int> vb) {
        called = true;
        BOOST_TEST(order[0] == 1u);
        BOOST_TEST(ea == aborted);
        BOOST_TEST(!va.has_value());
        BOOST_TEST(eb == no_error);
        BOOST_TEST(vb.value_or(-1) == 7);
      });
  run(io);
  BOOST_TEST(called);
  a.try_send(1);
  BOOST_TEST(a.size() == 1u);  // the cancelled receive did not take it
}

BOOST_AUTO_TEST_SUITE_END()
