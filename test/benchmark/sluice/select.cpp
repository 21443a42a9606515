// Select: receiving from, and sending to, whichever of several channels is ready.
#include "run.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace sluice_side {
namespace {

using namespace std::chrono_literals;
using channel = sluice::channel<std::int64_t>;
using sluice::task;

template <std::size_t K>
using channels = std::array<channel, K>;

template <std::size_t K>
channels<K> make_channels(std::size_t capacity) {
  channels<K> all;
  for (auto& ch : all) ch = sluice::make_channel<std::int64_t>(capacity);
  return all;
}

template <std::size_t... I>
auto receive_from_any(const channels<sizeof...(I)>& ch, std::index_sequence<I...>) {
  return sluice::select(ch[I].receive()...);
}

template <class Result, std::size_t... I>
std::int64_t value_of(const Result& r, std::index_sequence<I...>) {
  std::int64_t value = 0;
  static_cast<void>(((r.index() == I ? (value = *r.template get<I>(), true) : false) || ...));
  return value;
}

/// Of all channels one has a value in its buffer when the select begins.
template <std::size_t K>
measure::results ready(const measure::setting& s) {
  constexpr std::make_index_sequence<K> indices;
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = make_channels<K>(1);
    for (std::size_t i = 0; i < s.size; ++i) {
      co_await ch[i % K].send(static_cast<std::int64_t>(i));
      const auto r = co_await receive_from_any(ch, indices);
      sum += value_of(r, indices);
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
}

template <std::size_t K>
task<> send_in_turn(channels<K> out, sluice::channel<void> acknowledged, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    co_await out[i % K].send(static_cast<std::int64_t>(i));
    co_await acknowledged.receive();
  }
}

/// None has when it begins: the sender waits for an acknowledgement of each value.
template <std::size_t K>
measure::results parking(const measure::setting& s) {
  constexpr std::make_index_sequence<K> indices;
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = make_channels<K>(0);
    const auto acknowledged = sluice::make_channel<void>();
    sluice::go(send_in_turn<K>(ch, acknowledged, s.size));
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto r = co_await receive_from_any(ch, indices);
      sum += value_of(r, indices);
      co_await acknowledged.send();
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
}

const measure::workload ready_2("select_2_ready", ready<2>);
const measure::workload ready_8("select_8_ready", ready<8>);
const measure::workload parking_2("select_2_parking", parking<2>);
const measure::workload parking_8("select_8_parking", parking<8>);

/// Of two sends one is ready: the other channel is full.
const measure::workload two_sends("select_2_sends", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto full = sluice::make_channel<std::int64_t>(1);
    const auto open = sluice::make_channel<std::int64_t>(1);
    co_await full.send(0);
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto value = static_cast<std::int64_t>(i);
      co_await sluice::select(full.send(value), open.send(value));
      sum += *co_await open.receive();
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

const measure::workload with_default("select_default", [](const measure::setting& s) {
  std::int64_t received = 0;
  std::int64_t misses = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto empty = sluice::make_channel<std::int64_t>();
    for (std::size_t i = 0; i < s.size; ++i)
      co_await sluice::select(
          sluice::on(empty.receive(), [&](std::optional<std::int64_t>) { ++received; }),
          sluice::otherwise([&] { ++misses; }));
  });
  measure::check(received, 0);
  measure::check(misses, static_cast<std::int64_t>(s.size));
  return ns;
});

task<> produce(channel out, sluice::channel<void> end, std::size_t n) {
  const auto hour = sluice::after(1h);
  for (std::size_t i = 0; i < n; ++i)
    co_await sluice::select(out.send(static_cast<std::int64_t>(i)), hour.receive(), end.receive());
  out.close();
}

task<> consume(channel in, sluice::channel<void> end, std::int64_t& sum) {
  const auto hour = sluice::after(1h);
  for (;;) {
    const auto r = co_await sluice::select(in.receive(), hour.receive(), end.receive());
    if (r.index() != 0 || !r.get<0>()) co_return;
    sum += *r.get<0>();
  }
}

/// Both ends of a channel also wait for a timer and for an end, of which neither comes.
/** As BenchmarkSelectProdCons of Go's runtime, without the work that it has them do. */
const measure::workload prod_cons("select_prod_cons", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>(128);
    const auto end = sluice::make_channel<void>();
    sluice::go(produce(ch, end, s.size));
    sluice::go(consume(ch, end, sum));
    co_return;
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

auto send_to_own(const channels<4>& ch, std::size_t sender, std::int64_t v) {
  return ch[sender].send(v);
}

auto send_to_any(const channels<4>& ch, std::size_t, std::int64_t v) {
  return sluice::select(ch[0].send(v), ch[1].send(v), ch[2].send(v), ch[3].send(v));
}

template <auto Send>
task<> send_share(channels<4> out, std::size_t sender, std::size_t each) {
  for (std::size_t i = sender * each; i < (sender + 1) * each; ++i)
    co_await Send(out, sender, static_cast<std::int64_t>(i));
}

task<> receive_share(channels<4> in, std::size_t n, std::atomic<std::int64_t>& sum) {
  constexpr std::make_index_sequence<4> indices;
  std::int64_t own_sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto r = co_await receive_from_any(in, indices);
    own_sum += value_of(r, indices);
  }
  sum += own_sum;
}

/// Values from four goroutines through four channels to some that select.
template <auto Send, std::size_t receivers>
measure::results through_four(const measure::setting& s, std::size_t capacity) {
  const std::size_t each = s.size / 4;
  std::atomic<std::int64_t> sum = 0;
  const double ns = run(s, [&]() -> task<> {
    const auto ch = make_channels<4>(capacity);
    for (std::size_t i = 0; i < 4; ++i) sluice::go(send_share<Send>(ch, i, each));
    for (std::size_t i = 0; i < receivers; ++i)
      sluice::go(receive_share(ch, 4 * each / receivers, sum));
    co_return;
  });
  measure::check(sum, measure::sum_below(4 * each));
  return ns;
}

const measure::channel_workloads rx("select_rx", through_four<send_to_own, 1>);
const measure::channel_workloads both("select_both", through_four<send_to_any, 4>);

task<> receive_either(channel shared, channel own, std::int64_t& sum) {
  for (;;) {
    const auto r = co_await sluice::select(shared.receive(), own.receive());
    const auto& v = r.index() == 0 ? r.get<0>() : r.get<1>();
    if (!v) co_return;
    sum += *v;
  }
}

/// A thousand goroutines, each of which waits for a channel of all and for one of its own.
const measure::workload shared("select_shared", [](const measure::setting& s) {
  constexpr std::size_t members = 1'000;
  std::vector<std::int64_t> sums(members);
  const double ns = run(s, [&]() -> task<> {
    const auto of_all = sluice::make_channel<std::int64_t>();
    std::vector<channel> own;
    for (std::size_t i = 0; i < members; ++i) {
      own.push_back(sluice::make_channel<std::int64_t>());
      sluice::go(receive_either(of_all, own[i], sums[i]));
    }
    for (std::size_t i = 0; i < s.size; ++i) {
      const channel& to = i % 2 == 0 ? of_all : own[i % members];
      co_await to.send(static_cast<std::int64_t>(i));
    }
    of_all.close();
  });
  std::int64_t sum = 0;
  for (const std::int64_t of_one : sums) sum += of_one;
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

}  // namespace
}  // namespace sluice_side
