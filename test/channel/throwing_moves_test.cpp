// Elements whose moves throw: nothing is lost and nobody is left waiting.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;
using boost::test_tools::per_element;
using ints = std::vector<int>;
using sluice::channel;
using sluice::make_channel;

/// An element whose move fails when the fuse has burnt down, without having changed anything.
class fragile {
 public:
  explicit fragile(int n) : number(n) { ++alive; }
  fragile(fragile&& other) : number(other.number) {
    if (fuse > 0 && --fuse == 0) throw std::runtime_error("fragile");
    other.number = -1;
    ++alive;
  }
  ~fragile() { --alive; }

  int number;
  /// The move that throws, counted from now; 0 for none.
  static inline int fuse = 0;
  static inline int alive = 0;
};

bool is_fragile(const std::runtime_error& e) {
  return e.what() == std::string("fragile");
}

/// Sets the fuse while it lives.
struct lit_fuse {
  explicit lit_fuse(int n) { fragile::fuse = n; }
  ~lit_fuse() { fragile::fuse = 0; }
};

/// Sends and notes how it went: the value if sent, its negative if moving it threw.
task<> send_fragile(channel<fragile> ch, int n, std::vector<int>& log) {
  try {
    co_await ch.send(fragile(n));
    log.push_back(n);
  } catch (const std::runtime_error&) {
    log.push_back(-n);
  }
}

/// Receives and notes the value, or 0 if moving it threw.
task<> receive_fragile(channel<fragile> ch, std::vector<int>& log) {
  try {
    const auto v = co_await ch.receive();
    log.push_back(v ? v->number : -1000);
  } catch (const std::runtime_error&) {
    log.push_back(0);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(a_move_that_throws)

BOOST_AUTO_TEST_CASE(into_the_buffer_leaves_the_value_with_its_sender) {
  auto ch = make_channel<fragile>(1);
  fragile value(1);
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), std::runtime_error, is_fragile);
  }
  BOOST_TEST(value.number == 1);
  BOOST_TEST(ch.size() == 0u);
  ch.try_send(std::move(value));
  BOOST_TEST(ch.try_receive()->number == 1);
}

BOOST_AUTO_TEST_CASE(to_a_parked_receiver_leaves_it_the_first_in_line) {
  asio::io_context io;
  auto ch = make_channel<fragile>();
  ints first;
  ints second;
  sluice::go(io, receive_fragile(ch, first));
  sluice::go(io, receive_fragile(ch, second));
  poll(io);
  fragile value(1);
  {
    const lit_fuse fuse(1);
    BOOST_CHECK_EXCEPTION(ch.try_send(std::move(value)), std::runtime_error, is_fragile);
  }
  BOOST_TEST(value.number == 1);
  ch.try_send(std::move(value));
  ch.try_send(fragile(2));
  run(io);
  BOOST_TEST(first == ints({1}), per_element());
  BOOST_TEST(second == ints({2}), per_element());
}

BOOST_AUTO_TEST_CASE(out_of_the_buffer_leaves_the_value_in_it) {
  auto ch = make_channel<fragile>(2);
  ch.try_send(fragile(1));
  ch.try_send(fragile(2));
  for (int n = 1;; ++n) {
    const lit_fuse fuse(n);
    try {
      BOOST_TEST(ch.try_receive()->number == 1);
      break;
    } catch (const std::runtime_error&) {
      BOOST_REQUIRE(ch.size() == 2u);
    }
  }
  BOOST_TEST(ch.try_receive()->number == 2);
}

BOOST_AUTO_TEST_CASE(from_a_parked_sender_leaves_it_the_first_in_line) {
  asio::io_context io;
  auto ch = make_channel<fragile>();
  ints log;
  sluice::go(io, send_fragile(ch, 1, log));
  sluice::go(io, send_fragile(ch, 2, log));
  poll(io);
  for (int n = 1;; ++n) {
    const lit_fuse fuse(n);
    try {
      BOOST_TEST(ch.try_receive()->number == 1);
      break;
    } catch (const std::runtime_error&) {
      poll(io);
      BOOST_REQUIRE(log.empty());
    }
  }
  BOOST_TEST(ch.try_receive()->number == 2);
  run(io);
  BOOST_TEST(log == ints({1, 2}), per_element());
}

BOOST_AUTO_TEST_CASE(from_a_parked_sender_into_the_buffer_is_that_senders_failure) {
  asio::io_context io;
  auto ch = make_channel<fragile>(1);
  ints log;
  for (int i = 1; i <= 3; ++i) sluice::go(io, send_fragile(ch, i, log));
  poll(io);
  BOOST_TEST(log == ints({1}), per_element());
  {
    const lit_fuse fuse(2);  // 1 moves out; 2 does not move in, so 3 does
    BOOST_TEST(ch.try_receive()->number == 1);
  }
  poll(io);
  BOOST_TEST(log == ints({1, -2, 3}), per_element());
  BOOST_TEST(ch.size() == 1u);
  BOOST_TEST(ch.try_receive()->number == 3);
}

BOOST_AUTO_TEST_CASE(is_told_to_a_handler_as_move_failed) {
  asio::io_context io;
  auto ch = make_channel<fragile>(io, 1);
  ch.try_send(fragile(1));
  std::vector<error_code> results;
  ch.async_send(fragile(2), [&](error_code e) { results.push_back(e); });
  {
    const lit_fuse fuse(2);
    static_cast<void>(ch.try_receive());
  }
  run(io);
  BOOST_TEST(results == std::vector<error_code>({sluice::error::move_failed}), per_element());
}

BOOST_AUTO_TEST_CASE(still_lets_a_receiving_handler_be_called) {
  for (int n = 1; n < 8; ++n) {
    asio::io_context io;
    auto ch = make_channel<fragile>(io);
    int called = 0;
    ch.async_receive([&](error_code e, const std::optional<fragile>& v) {
      ++called;
      BOOST_TEST((v.has_value() ? e == no_error : e == sluice::error::move_failed));
    });
    fragile value(1);
    const lit_fuse fuse(n);
    try {
      ch.try_send(std::move(value));
    } catch (const std::runtime_error&) {
      BOOST_TEST(called == 0);
      ch.try_send(std::move(value));  // it still waits
    }
    BOOST_CHECK_NO_THROW(poll(io));
    BOOST_TEST(called == 1);
  }
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_CASE(anywhere_is_told_to_one_party_and_strands_nobody) {
  for (const std::size_t capacity : {0u, 1u, 2u}) {
    for (int n = 1; n < 60; ++n) {
      asio::io_context io;
      auto ch = make_channel<fragile>(capacity);
      ints sent;
      ints got;
      {
        const lit_fuse fuse(n);
        for (int i = 1; i <= 6; ++i) sluice::go(io, send_fragile(ch, i, sent));
        for (int i = 1; i <= 6; ++i) sluice::go(io, receive_fragile(ch, got));
        poll(io);
      }
      const auto failed_sends = std::erase_if(sent, [](int v) { return v < 0; });
      const auto failed_receives = std::erase(got, 0);
      BOOST_TEST(failed_sends + failed_receives <= 1u);
      if (failed_sends != 0) sluice::go(io, send_fragile(ch, 7, sent));
      if (got.size() < 6) sluice::go(io, receive_fragile(ch, got));
      poll(io);
      // A receive that fails has taken nothing, or the value ends with it: then one waits in vain.
      BOOST_TEST(sent.size() == 6u);
      BOOST_TEST(got.size() + failed_receives >= 6u);
      std::sort(sent.begin(), sent.end());
      std::sort(got.begin(), got.end());
      BOOST_TEST(std::includes(sent.begin(), sent.end(), got.begin(), got.end()));
    }
  }
  BOOST_TEST(fragile::alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
