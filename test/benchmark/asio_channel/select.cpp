// Select: receiving from whichever of several channels has a value, with a parallel group, which
// takes less time than awaitable_operators' ||. Both lose values if several are ready: see
// lossy_asio.cpp. Here at most one is, but for "shared", which tells how many were lost.
#include "run.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

namespace asio_side {
namespace {

using asio::experimental::make_parallel_group;
using asio::experimental::wait_for_one;

template <std::size_t K>
using channels = std::array<std::unique_ptr<channel>, K>;

template <std::size_t K>
channels<K> make_channels(asio::io_context& io, std::size_t capacity) {
  channels<K> all;
  for (auto& ch : all) ch = std::make_unique<channel>(io, capacity);
  return all;
}

template <std::size_t... I>
auto receive_from_any(const channels<sizeof...(I)>& ch, std::index_sequence<I...>) {
  return make_parallel_group(ch[I]->async_receive(asio::deferred)...)
      .async_wait(wait_for_one(), use_awaitable);
}

/// The value that the first operation has given.
template <class Result, std::size_t... I>
std::int64_t value_of(const Result& r, std::index_sequence<I...>) {
  const std::size_t first = std::get<0>(r)[0];
  return ((first == I ? std::get<2 * I + 2>(r) : 0) + ...);
}

/// The send is not awaited: a buffered channel whose last waiting receive was cancelled treats its
/// buffer as full (Boost 1.81), and the send would wait for the select that follows it.
template <std::size_t K>
measure::results ready(const measure::setting& s) {
  constexpr std::make_index_sequence<K> indices;
  std::int64_t sum = 0;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    const auto ch = make_channels<K>(io, 1);
    for (std::size_t i = 0; i < s.size; ++i) {
      ch[i % K]->async_send(error_code(), static_cast<std::int64_t>(i), asio::detached);
      const auto r = co_await receive_from_any(ch, indices);
      sum += value_of(r, indices);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
}

template <std::size_t K>
awaitable<void> send_in_turn(const channels<K>& out, channel& acknowledged, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    co_await out[i % K]->async_send(error_code(), static_cast<std::int64_t>(i), use_awaitable);
    co_await acknowledged.async_receive(use_awaitable);
  }
}

template <std::size_t K>
measure::results parking(const measure::setting& s) {
  constexpr std::make_index_sequence<K> indices;
  std::int64_t sum = 0;
  channels<K> ch;
  std::unique_ptr<channel> acknowledged;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    ch = make_channels<K>(io, 0);
    acknowledged = std::make_unique<channel>(io);
    go(io, send_in_turn<K>(ch, *acknowledged, s.size));
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto r = co_await receive_from_any(ch, indices);
      sum += value_of(r, indices);
      co_await acknowledged->async_send(error_code(), 0, use_awaitable);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
}

const measure::workload ready_2("select_2_ready", ready<2>);
const measure::workload ready_8("select_8_ready", ready<8>);
const measure::workload parking_2("select_2_parking", parking<2>);
const measure::workload parking_8("select_8_parking", parking<8>);

awaitable<void> receive_either(channel& shared, channel& own, std::int64_t& count) {
  for (;;) {
    const auto [order, shared_error, from_shared, own_error, from_own] =
        co_await make_parallel_group(shared.async_receive(asio::deferred),
                                     own.async_receive(asio::deferred))
            .async_wait(wait_for_one(), use_awaitable);
    static_cast<void>(from_shared);
    static_cast<void>(from_own);
    if (order[0] == 0 ? shared_error : own_error) co_return;
    ++count;
  }
}

const measure::workload shared("select_shared", [](const measure::setting& s) {
  constexpr std::size_t members = 1'000;
  std::vector<std::int64_t> counts(members);
  std::deque<channel> channels;
  const double ns = run(s, [&](asio::io_context& io) -> awaitable<void> {
    channel& of_all = channels.emplace_back(io);
    for (auto& count : counts) go(io, receive_either(of_all, channels.emplace_back(io), count));
    for (std::size_t i = 0; i < s.size; ++i) {
      channel& to = i % 2 == 0 ? of_all : channels[1 + i % members];
      co_await to.async_send(error_code(), 0, use_awaitable);
    }
    of_all.close();
  });
  std::int64_t received = 0;
  for (const std::int64_t count : counts) received += count;
  const double lost = 1 - static_cast<double>(received) / static_cast<double>(s.size);
  return measure::results{{"ns", ns}, {"lost_percent", 100 * lost}};
});

}  // namespace
}  // namespace asio_side
