// Select: receiving from whichever of several channels has a value.
#include "run.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sluice_side {
namespace {

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
