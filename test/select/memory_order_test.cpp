// What happened before a send, a receive or a close is seen by the goroutine that it wakes.
#include "helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using namespace sluice_test;

}  // namespace

BOOST_AUTO_TEST_SUITE(what_happened_before)  // Source: golang runtime/race/testdata

namespace {

/// A channel of numbers or of nothing.
template <class T>
auto send_number(const channel<T>& ch, std::size_t i) {
  if constexpr (std::is_void_v<T>)
    return ch.send();
  else
    return ch.send(i);
}

/// Plain values, written by one thread and read by the other, with nothing but a channel between.
template <class T>
std::size_t unordered_accesses(std::size_t capacity) {
  const auto n = rounds(1500);
  std::vector<std::size_t> before_send(n), before_receive(n);
  two_contexts contexts;
  const auto ch = make_channel<T>(capacity);
  const auto quiet = make_channel<int>();
  std::size_t wrong = 0;
  std::size_t wrong_back = 0;
  sluice::go(contexts.first, [&]() -> task<> {
    random_numbers random(1);
    for (std::size_t i = 0; i < n; ++i) {
      before_send[i] = i + 1;
      random.pause();
      co_await select(send_number(ch, i), quiet.receive());
      if (i >= capacity) wrong_back += before_receive[i - capacity] != i - capacity + 1;
    }
  });
  sluice::go(contexts.second, [&]() -> task<> {
    random_numbers random(2);
    for (std::size_t i = 0; i < n; ++i) {
      before_receive[i] = i + 1;
      random.pause();
      co_await select(quiet.receive(), ch.receive());
      wrong += before_send[i] != i + 1;
    }
  });
  contexts.run();
  return wrong + wrong_back;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_send_is_seen_after_the_receive_and_a_receive_when_its_send_is_over) {
  for (const std::size_t capacity : {0u, 1u, 2u}) {
    BOOST_TEST(unordered_accesses<std::size_t>(capacity) == 0u);
    BOOST_TEST(unordered_accesses<void>(capacity) == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_channel_with_one_place_is_a_mutex) {
  two_contexts contexts;
  const auto place = make_channel<void>(1);
  const auto quiet = make_channel<int>();
  const auto n = rounds(2000);
  std::size_t count = 0;
  for (int i = 0; i < 4; ++i)
    sluice::go(i % 2 ? contexts.first : contexts.second, [&]() -> task<> {
      for (std::size_t k = 0; k < n; ++k) {
        co_await select(quiet.receive(), place.send());
        ++count;
        co_await select(place.receive(), quiet.receive());
      }
    });
  contexts.run();
  BOOST_TEST(count == 4 * n);
}

BOOST_AUTO_TEST_CASE(a_close_is_seen_after_the_receive_that_it_ends) {
  const auto n = rounds(2000);
  std::vector<channel<void>> channels;
  for (std::size_t i = 0; i < n; ++i) channels.push_back(make_channel<void>());
  std::vector<std::size_t> before_close(n);
  const auto quiet = make_channel<int>();
  two_contexts contexts;
  std::size_t wrong = 0;
  sluice::go(contexts.first, [&]() -> task<> {
    random_numbers random(3);
    for (std::size_t i = 0; i < n; ++i) {
      before_close[i] = i + 1;
      random.pause();
      channels[i].close();
    }
    co_return;
  });
  sluice::go(contexts.second, [&]() -> task<> {
    for (std::size_t i = 0; i < n; ++i) {
      if (i % 2) {
        co_await select(quiet.receive(), channels[i].receive());
      } else {
        for (bool is_closed = false; !is_closed;)
          co_await select(on(channels[i].receive(), [&] { is_closed = true; }),
                          otherwise([] { std::this_thread::yield(); }));
      }
      wrong += before_close[i] != i + 1;
    }
  });
  contexts.run();
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
