// Channels: handing over values one at a time, through a buffer, and without waiting.
#include "run.hpp"

#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/channel_op_status.hpp>
#include <boost/fiber/unbuffered_channel.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace fiber_side {
namespace {

using unbuffered_channel = fibers::unbuffered_channel<std::int64_t>;
using buffered_channel = fibers::buffered_channel<std::int64_t>;
using fibers::channel_op_status;

/// What to make a buffered channel with: a power of two, of which one place stays free.
constexpr std::size_t size_for(std::size_t values) {
  return std::bit_ceil(values + 1);
}

const measure::workload ping_pong("ping_pong", [](const measure::setting& s) {
  std::int64_t sum = 0;
  const double ns = run(s.size, [&] {
    unbuffered_channel there;
    unbuffered_channel back;
    auto echo = go([&] {
      for (std::size_t i = 0; i < s.size; ++i) back.push(there.value_pop() + 1);
    });
    for (std::size_t i = 0; i < s.size; ++i) {
      there.push(static_cast<std::int64_t>(i));
      sum += back.value_pop();
    }
    echo.join();
  });
  measure::check(sum, measure::sum_below(s.size + 1));
  return ns;
});

/// Values from some fibers to others over a channel made with `size`.
template <class Channel, class... Size>
measure::results stream_over(const measure::setting& s, std::int64_t senders,
                             std::int64_t receivers, Size... size) {
  const std::int64_t each = static_cast<std::int64_t>(s.size) / senders;
  std::int64_t sum = 0;
  const double ns = run(s.size, [&] {
    Channel ch(size...);
    std::vector<fibers::fiber> producers;
    std::vector<fibers::fiber> consumers;
    for (std::int64_t i = 0; i < senders; ++i)
      producers.push_back(go([&ch, i, each] {
        for (std::int64_t v = i * each; v < (i + 1) * each; ++v) ch.push(v);
      }));
    for (std::int64_t i = 0; i < receivers; ++i)
      consumers.push_back(go([&ch, &sum] {
        std::int64_t v = 0;
        while (ch.pop(v) == channel_op_status::success) sum += v;
      }));
    for (auto& p : producers) p.join();
    ch.close();
    for (auto& c : consumers) c.join();
  });
  measure::check(sum, measure::sum_below(static_cast<std::size_t>(each * senders)));
  return ns;
}

measure::results stream(const measure::setting& s, std::size_t capacity, std::int64_t senders,
                        std::int64_t receivers) {
  if (capacity == 0) return stream_over<unbuffered_channel>(s, senders, receivers);
  return stream_over<buffered_channel>(s, senders, receivers, size_for(capacity));
}

const measure::stream_workloads streams(&stream);

/// One fiber fills the buffer and empties it.
measure::results in_turn(const measure::setting& s, std::size_t capacity) {
  std::int64_t sum = 0;
  const std::size_t rounds = s.size / capacity;
  const double ns = run(rounds * capacity, [&] {
    buffered_channel ch(size_for(capacity));
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < capacity; ++i) ch.push(static_cast<std::int64_t>(i));
      for (std::size_t i = 0; i < capacity; ++i) sum += ch.value_pop();
    }
  });
  measure::check(sum, static_cast<std::int64_t>(rounds) * measure::sum_below(capacity));
  return ns;
}

const measure::workload uncontended("uncontended",
                                    [](const measure::setting& s) { return in_turn(s, 100); });
const measure::workload seq_n("seq_n",
                              [](const measure::setting& s) { return in_turn(s, s.size); });

/// Receiving without waiting from a channel that has nothing.
measure::results try_receive(const measure::setting& s, bool closed) {
  std::int64_t misses = 0;
  const double ns = run(s.size, [&] {
    buffered_channel ch(size_for(100));
    if (closed) ch.close();
    const auto expected = closed ? channel_op_status::closed : channel_op_status::empty;
    std::int64_t v = 0;
    for (std::size_t i = 0; i < s.size; ++i) misses += ch.try_pop(v) == expected;
  });
  measure::check(misses, static_cast<std::int64_t>(s.size));
  return ns;
}

const measure::workload try_empty("try_empty",
                                  [](const measure::setting& s) { return try_receive(s, false); });
const measure::workload try_closed("try_closed",
                                   [](const measure::setting& s) { return try_receive(s, true); });

const measure::workload sieve("sieve", [](const measure::setting& s) {
  std::int64_t last = 0;
  const double ns = run(s.size, [&] {
    std::vector<std::unique_ptr<unbuffered_channel>> channels;
    std::vector<fibers::fiber> members;
    channels.push_back(std::make_unique<unbuffered_channel>());
    members.push_back(go([&out = *channels.back()] {
      for (std::int64_t i = 2; out.push(i) == channel_op_status::success; ++i) {
      }
    }));
    for (std::size_t i = 0; i < s.size; ++i) {
      auto& in = *channels.back();
      last = in.value_pop();
      auto& out = *channels.emplace_back(std::make_unique<unbuffered_channel>());
      members.push_back(go([&in, &out, prime = last] {
        std::int64_t v = 0;
        while (in.pop(v) == channel_op_status::success)
          if (v % prime != 0) out.push(v);
      }));
    }
    for (auto& ch : channels) ch->close();
    for (auto& m : members) m.join();
  });
  measure::check_prime(last, s.size);
  return ns;
});

const measure::workload ring("ring", [](const measure::setting& s) {
  constexpr std::size_t size = 1'000;
  std::int64_t count = 0;
  const double ns = run(size * s.size, [&] {
    std::vector<unbuffered_channel> channels(size);
    std::vector<fibers::fiber> members;
    for (std::size_t i = 1; i < size; ++i) {
      members.push_back(go([&in = channels[i - 1], &out = channels[i], laps = s.size] {
        for (std::size_t lap = 0; lap < laps; ++lap) out.push(in.value_pop() + 1);
      }));
    }
    for (std::size_t lap = 0; lap < s.size; ++lap) {
      channels.front().push(count + 1);
      count = channels.back().value_pop();
    }
    for (auto& m : members) m.join();
  });
  measure::check(count, static_cast<std::int64_t>(size * s.size));
  return ns;
});

}  // namespace
}  // namespace fiber_side
