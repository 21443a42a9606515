// Select: receiving from, and sending to, whichever of several channels is ready, with a parallel
// group, which takes less time than awaitable_operators' ||. Both lose values if several are ready:
// see lossy_asio.cpp. Here at most one is, but for "shared", "rx" and "both", which tell how many
// were lost, and "both" also how many were sent to several.
#include "run.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

#include <algorithm>
#include <array>
#include <atomic>
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
  measure::program program(s.threads);
  const auto ch = make_channels<K>(program.io(), 0);
  channel acknowledged(program.io());
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    go(io, send_in_turn<K>(ch, acknowledged, s.size));
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto r = co_await receive_from_any(ch, indices);
      sum += value_of(r, indices);
      co_await acknowledged.async_send(error_code(), 0, use_awaitable);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
}

const measure::workload ready_2("select_2_ready", ready<2>);
const measure::workload ready_8("select_8_ready", ready<8>);
const measure::workload parking_2("select_2_parking", parking<2>);
const measure::workload parking_8("select_8_parking", parking<8>);

/// What passes through four channels.
class passage {
 public:
  passage(asio::io_context& io, std::size_t capacity, std::size_t values)
      : channels_(make_channels<4>(io, capacity)), seen_(values) {}

  [[nodiscard]] const channels<4>& all() const noexcept { return channels_; }

  void sent(std::int64_t value, std::int64_t copies) {
    sum_ += value * copies;
    sent_ += copies;
  }
  void sender_has_ended() {
    --senders_;
    close_if_empty();
  }
  /// What a select has taken, of which its caller sees one value.
  void received(std::int64_t seen, std::int64_t sum, std::int64_t count) {
    seen_[static_cast<std::size_t>(seen)] = true;
    sum_ -= sum;
    received_ += count;
    close_if_empty();
  }

  [[nodiscard]] measure::results results(double ns) const {
    measure::check(sum_, 0);
    const auto n = static_cast<double>(seen_.size());
    const auto seen = static_cast<double>(std::count(seen_.begin(), seen_.end(), true));
    return {{"ns", ns},
            {"lost_percent", 100 * (1 - seen / n)},
            {"repeated_percent", 100 * (static_cast<double>(sent_) / n - 1)}};
  }

 private:
  /// No earlier: a channel that is closed loses what is in its buffer (Boost 1.81).
  void close_if_empty() {
    if (senders_ == 0 && received_ == sent_)
      for (const auto& ch : channels_) ch->close();
  }

  const channels<4> channels_;
  std::vector<std::atomic<bool>> seen_;
  std::atomic<std::int64_t> sum_ = 0;
  std::atomic<std::int64_t> sent_ = 0;
  std::atomic<std::int64_t> received_ = 0;
  std::atomic<int> senders_ = 4;
};

/// @return How often it was sent.
awaitable<std::int64_t> send_to_own(const channels<4>& ch, std::size_t sender, std::int64_t v) {
  co_await ch[sender]->async_send(error_code(), v, use_awaitable);
  co_return 1;
}

/// Several of the four may happen.
awaitable<std::int64_t> send_to_any(const channels<4>& ch, std::size_t, std::int64_t v) {
  const auto [order, e0, e1, e2, e3] =
      co_await make_parallel_group(ch[0]->async_send(error_code(), v, asio::deferred),
                                   ch[1]->async_send(error_code(), v, asio::deferred),
                                   ch[2]->async_send(error_code(), v, asio::deferred),
                                   ch[3]->async_send(error_code(), v, asio::deferred))
          .async_wait(wait_for_one(), use_awaitable);
  static_cast<void>(order);
  co_return !e0 + !e1 + !e2 + !e3;
}

template <auto Send>
awaitable<void> send_share(passage& p, std::size_t sender, std::size_t each) {
  for (std::size_t i = sender * each; i < (sender + 1) * each; ++i) {
    const auto v = static_cast<std::int64_t>(i);
    const std::int64_t copies = co_await Send(p.all(), sender, v);
    p.sent(v, copies);
  }
  p.sender_has_ended();
}

awaitable<void> receive_all(passage& p) {
  for (;;) {
    const auto [order, e0, v0, e1, v1, e2, v2, e3, v3] =
        co_await receive_from_any(p.all(), std::make_index_sequence<4>());
    const std::array errors{e0, e1, e2, e3};
    const std::array values{v0, v1, v2, v3};
    if (errors[order[0]]) co_return;
    std::int64_t sum = 0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < errors.size(); ++i) {
      if (errors[i]) continue;
      sum += values[i];
      ++count;
    }
    p.received(values[order[0]], sum, count);
  }
}

/// Values from four coroutines through four channels to some that select.
template <auto Send, std::size_t receivers>
measure::results through_four(const measure::setting& s, std::size_t capacity) {
  const std::size_t each = s.size / 4;
  measure::program program(s.threads);
  passage p(program.io(), capacity, 4 * each);
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
    for (std::size_t i = 0; i < 4; ++i) go(io, send_share<Send>(p, i, each));
    for (std::size_t i = 0; i < receivers; ++i) go(io, receive_all(p));
    co_return;
  });
  return p.results(ns);
}

const measure::channel_workloads rx("select_rx", through_four<send_to_own, 1>);
const measure::channel_workloads both("select_both", through_four<send_to_any, 4>);

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
  measure::program program(s.threads);
  std::deque<channel> channels;
  const double ns = run(program, s.size, [&](asio::io_context& io) -> awaitable<void> {
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
