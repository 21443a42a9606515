// Asio operations as cases on several threads, and beside a channel that is always ready.
#include "helpers.hpp"

#include <sluice/timer.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(beside_a_channel_that_is_always_ready)

namespace {

constexpr std::size_t most_passes = 32;

/// How many selects a goroutine does until its Asio case happens, or has lost but happened all the
/// same; a large number if neither comes.
template <class MakeOperation>
std::size_t selects_until(asio::io_context& io, receiver<int> busy, MakeOperation make) {
  std::size_t n = 0;
  sluice::go(io, [&]() -> task<> {
    bool more = true;
    const auto lost = [&](const error_code& e, auto...) { more = more && e; };
    for (; more && n < 3000; ++n)
      co_await select(busy.receive(), on(make(), [&] { more = false; }, lost));
    io.stop();
  });
  run(io);
  return n;
}

channel<int> endless() {
  auto ch = make_channel<int>();
  ch.close();
  return ch;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_socket_with_something_to_read_is_passed_over_32_times_at_most) {
  asio::io_context io;
  socket_pair sockets(io);
  asio::write(sockets.far, asio::buffer("x", 1));
  char data[10];
  const auto n = selects_until(io, endless(), [&] {
    return sockets.near.async_read_some(asio::buffer(data), asio::deferred);
  });
  BOOST_TEST(n <= most_passes + 1);
}

BOOST_AUTO_TEST_CASE(a_timer_that_has_gone_off_is_passed_over_32_times_at_most) {
  asio::io_context io;
  asio::steady_timer timer(io, 0s);
  const auto n = selects_until(io, endless(), [&] { return timer.async_wait(asio::deferred); });
  BOOST_TEST(n <= most_passes + 1);
}

// A select that waits a little, because the sender is not back yet, passes its Asio case over too.
BOOST_AUTO_TEST_CASE(
    an_asio_case_is_passed_over_32_times_at_most_also_if_the_sender_keeps_coming_back) {
  for (const bool socket : {false, true}) {
    asio::io_context io;
    socket_pair sockets(io);
    asio::write(sockets.far, asio::buffer("x", 1));
    asio::steady_timer timer(io, 0s);
    char data[10];
    const auto busy = make_channel<int>();
    for (int i = 0; i < 2; ++i)
      sluice::go(io, [&]() -> task<> {
        for (;;) co_await busy.send(1);
      });
    const auto n =
        socket
            ? selects_until(
                  io, busy,
                  [&] { return sockets.near.async_read_some(asio::buffer(data), asio::deferred); })
            : selects_until(io, busy, [&] { return timer.async_wait(asio::deferred); });
    BOOST_TEST(n <= most_passes + 1);
  }
}

namespace {

/// How often each of several selects that a goroutine uses in turn, of a ready channel and an Asio
/// operation that is ready, has passed that over at a stretch at most, and how often it was taken.
struct passed_over {
  std::vector<std::size_t> longest;
  std::vector<std::size_t> taken;
};
passed_over use_in_turn(std::size_t selects, std::size_t rounds_of_each) {
  asio::io_context io;
  const auto busy = endless();
  passed_over result{std::vector<std::size_t>(selects), std::vector<std::size_t>(selects)};
  sluice::go(io, [&]() -> task<> {
    std::vector<std::size_t> since(selects);
    asio::steady_timer timer(io, asio::steady_timer::time_point::min());
    for (std::size_t i = 0; i < selects * rounds_of_each; ++i) {
      const auto k = i % selects;
      const auto r = co_await select(busy.receive(), timer.async_wait(asio::deferred));
      if (r.index() == 1) {
        ++result.taken[k];
        since[k] = 0;
      } else {
        result.longest[k] = std::max(result.longest[k], ++since[k]);
      }
    }
    io.stop();
  });
  run(io);
  return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_of_several_selects_used_in_turn_passes_it_over_32_times_at_most) {
  for (const std::size_t selects : {1U, 2U, 3U, 4U, 5U, 11U, 30U}) {
    const auto r = use_in_turn(selects, 200);
    for (std::size_t k = 0; k < selects; ++k)
      BOOST_TEST(r.longest[k] <= most_passes, "select " << k << " of " << selects);
  }
}

BOOST_AUTO_TEST_CASE(none_of_several_selects_used_in_turn_passes_it_over_for_ever) {
  for (const std::size_t selects : {31U, 33U}) {
    const auto r = use_in_turn(selects, 30'000);
    for (std::size_t k = 0; k < selects; ++k)
      BOOST_TEST(r.taken[k] > 0U, "select " << k << " of " << selects);
  }
}

BOOST_AUTO_TEST_CASE(a_select_that_takes_its_asio_case_costs_another_one_no_turn) {
  asio::io_context io;
  const auto busy = endless();
  const auto idle = make_channel<int>();
  std::size_t taken = 0;
  sluice::go(io, [&]() -> task<> {
    asio::steady_timer timer(io, asio::steady_timer::time_point::min());
    for (int i = 0; i < 400; ++i) {
      co_await select(idle.receive(), timer.async_wait(asio::deferred));
      const auto r = co_await select(busy.receive(), timer.async_wait(asio::deferred));
      taken += r.index() == 1 ? 1U : 0U;
    }
    io.stop();
  });
  run(io);
  BOOST_TEST(taken >= 400 / (most_passes + 1));
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

/// What a reader of a stream of numbered bytes has got.
class stream_check {
 public:
  void take(const unsigned char* data, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) right_ += data[i] == static_cast<unsigned char>(count_++);
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] bool is_right() const { return right_ == count_; }

 private:
  std::size_t count_ = 0;
  std::size_t right_ = 0;
};

task<> write_numbered_bytes(tcp::socket& to, std::size_t n, random_numbers random) {
  std::vector<unsigned char> bytes(n);
  for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<unsigned char>(i);
  for (std::size_t sent = 0; sent < n;) {
    const auto piece = std::min(n - sent, random.below(20) + 1);
    co_await asio::async_write(to, asio::buffer(&bytes[sent], piece), asio::deferred);
    sent += piece;
    random.pause();
  }
  to.close();
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_byte_of_a_stream_and_no_value_of_a_channel_is_lost_between_them) {
  for (const int threads : {1, 2, 4}) {
    const auto n = rounds(20'000);
    asio::io_context io;
    socket_pair sockets(io);
    const auto ch = make_channel<std::size_t>();
    stream_check bytes;
    std::size_t values = 0;
    std::size_t wrong = 0;
    std::size_t read_by_losers = 0;
    sluice::go(io, write_numbered_bytes(sockets.far, n, random_numbers(1)));
    sluice::go(io, [&]() -> task<> {
      for (std::size_t i = 0; i < n / 10; ++i) co_await ch.send(i);
      ch.close();
    });
    sluice::go(io, [&]() -> task<> {
      unsigned char data[64];
      bool open = true;
      auto from = ch;
      while (open || from) {
        const auto lost = [&](const error_code& e, std::size_t size) {
          bytes.take(data, size);
          read_by_losers += size != 0;
          if (e == asio::error::eof) open = false;
        };
        co_await select(on(from.receive(),
                           [&](std::optional<std::size_t> v) {
                             if (v)
                               wrong += *v != values++;
                             else
                               from = {};
                           }),
                        on(
                            sockets.near.async_read_some(asio::buffer(data), asio::deferred),
                            [&](const error_code& e, std::size_t size) {
                              bytes.take(data, size);
                              if (e) open = false;
                            },
                            lost));
        if (!open) break;
      }
      while (const auto v = co_await ch.receive()) wrong += *v != values++;
    });
    run(io, threads);
    BOOST_TEST(bytes.count() == n);
    BOOST_TEST(bytes.is_right());
    BOOST_TEST(values == n / 10);
    BOOST_TEST(wrong == 0u);
    BOOST_TEST_MESSAGE(read_by_losers << " reads by losing cases");
  }
}

// Source: chriskohlhoff/asio#1348, #1362, #1400
BOOST_AUTO_TEST_CASE(a_pool_of_threads_without_a_strand_races_nothing) {
  const watchdog dog;
  constexpr int parties = 4;
  const auto n = rounds(3000);
  std::array<std::size_t, 3> happened{};
  std::atomic<std::size_t> sent = 0;
  std::atomic<std::size_t> received = 0;
  std::atomic<std::size_t> finished = 0;
  {
    asio::thread_pool pool(8);
    tcp::acceptor acceptor(pool, {asio::ip::address_v4::loopback(), 0});
    std::deque<tcp::socket> sockets;
    std::vector<std::future<void>> ends;
    std::array<std::array<std::size_t, 3>, parties> counts{};
    for (int p = 0; p < parties; ++p) {
      auto& near = sockets.emplace_back(pool);
      auto& far = sockets.emplace_back(pool);
      near.connect(acceptor.local_endpoint());
      acceptor.accept(far);
      const auto ch = make_channel<int>(pool);
      ends.push_back(sluice::go(
          pool,
          [&, ch, n]() -> task<> {
            for (std::size_t i = 0; i < n; ++i) {
              if (i % 2) co_await far.async_write_some(asio::buffer("x", 1), asio::deferred);
              co_await ch.send(1);
              ++sent;
            }
            ch.close();
          },
          asio::use_future));
      ends.push_back(sluice::go(
          pool,
          [&, ch, p]() -> task<> {
            asio::steady_timer timer(near.get_executor());
            auto& count = counts.at(static_cast<std::size_t>(p));
            char data[4];
            for (bool more = true; more;) {
              timer.expires_after(1us);
              auto r = co_await select(ch.receive(),
                                       near.async_read_some(asio::buffer(data), asio::deferred),
                                       timer.async_wait(asio::deferred));
              ++count.at(r.index());
              if (r.index() == 0) {
                more = r.get<0>().has_value();
                received += more;
              }
            }
            ++finished;
          },
          asio::use_future));
    }
    for (auto& e : ends) e.get();
    pool.join();
    for (const auto& c : counts)
      for (std::size_t i = 0; i < 3; ++i) happened[i] += c[i];
  }
  BOOST_TEST(finished == std::size_t{parties});
  BOOST_TEST(sent == parties * n);
  BOOST_TEST(received == sent);
  for (const auto h : happened) BOOST_TEST(h > 0u);
}

// Composed operations use the socket between their steps, on the goroutine's strand.
BOOST_AUTO_TEST_CASE(composed_operations_on_one_socket_race_nothing) {
  constexpr int threads = 4;
  const auto n = rounds(500);
  constexpr std::size_t size = 40'000;  // more than one step
  asio::io_context io;
  socket_pair sockets(io);
  const auto quiet = make_channel<int>();
  std::atomic<std::size_t> wrong = 0;
  std::atomic<int> ended = 0;
  const auto side = [&](tcp::socket& socket, char mine, char theirs) -> task<> {
    const std::string out(size, mine);
    std::string in(size, 0);
    for (std::size_t i = 0; i < n; ++i) {
      std::size_t written = 0;
      std::size_t read = 0;
      std::fill(in.begin(), in.end(), '\0');
      while (written < size || read < size) {  // a loser goes on where it stopped
        const auto did_write = [&](const error_code& e, std::size_t bytes) {
          written += bytes;
          wrong += e && e != aborted;
        };
        const auto did_read = [&](const error_code& e, std::size_t bytes) {
          read += bytes;
          wrong += e && e != aborted;
        };
        if (written == size) {
          co_await select(
              quiet.receive(),
              on(asio::async_read(socket, asio::buffer(&in[read], size - read), asio::deferred),
                 did_read, did_read));
        } else if (read == size) {
          co_await select(quiet.receive(),
                          on(asio::async_write(socket, asio::buffer(&out[written], size - written),
                                               asio::deferred),
                             did_write, did_write));
        } else {
          co_await select(
              quiet.receive(),
              on(asio::async_read(socket, asio::buffer(&in[read], size - read), asio::deferred),
                 did_read, did_read),
              on(asio::async_write(socket, asio::buffer(&out[written], size - written),
                                   asio::deferred),
                 did_write, did_write));
        }
      }
      wrong += in != std::string(size, theirs);
    }
  };
  sluice::go(io, [&]() -> task<> {
    co_await side(sockets.near, 'a', 'b');
    ++ended;
  });
  sluice::go(io, [&]() -> task<> {
    co_await side(sockets.far, 'b', 'a');
    ++ended;
  });
  run(io, threads);
  BOOST_TEST(wrong == 0u);
  BOOST_TEST(ended == 2);
}
