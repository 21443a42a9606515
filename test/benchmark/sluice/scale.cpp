// How cost grows: with the goroutines alive, the cases of a select, the waiters of a channel, and
// the threads. Most runs take about the same time whatever the size.
#include "run.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sluice_side {
namespace {

using namespace std::chrono_literals;
using channel = sluice::channel<std::int64_t>;
using sluice::task;

constexpr auto long_enough = 80ms;

/// Counts operations until a measurement has taken long enough.
class repetition {
 public:
  explicit repetition(std::size_t at_least = 1) : at_least_(at_least) {}

  /// Whether another one follows. Looks at the clock less and less often.
  [[nodiscard]] bool again() {
    if (count_ == 0) watch_ = measure::stopwatch();
    if (count_ == next_look_) {
      seconds_ = watch_.seconds();
      if (count_ >= at_least_ && seconds_ >= std::chrono::duration<double>(long_enough).count())
        return false;
      next_look_ += 1 + count_ / 8;
    }
    ++count_;
    return true;
  }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] double nanoseconds_each() const {
    return seconds_ * 1e9 / static_cast<double>(count_);
  }

 private:
  const std::size_t at_least_;
  measure::stopwatch watch_;
  double seconds_ = 0;
  std::size_t count_ = 0;
  std::size_t next_look_ = 0;
};

/// Goroutines that wait until a channel is closed, and what they have in common.
struct crowd {
  sluice::channel<void> until;
  sluice::wait_group starting;
  sluice::wait_group ending;
  std::atomic<std::int64_t> sum = 0;
};

task<> wait_in(crowd& all, std::int64_t i) {
  all.starting.done();
  static_cast<void>(co_await all.until.receive());
  all.sum.fetch_add(i, std::memory_order_relaxed);
  all.ending.done();
}

const measure::workload goroutines("scale_goroutines", [](const measure::setting& s) {
  const auto n = static_cast<std::int64_t>(s.size);
  crowd all;
  repetition rounds(3);  // from the second on memory of those that have ended is used again
  double starting = 0, waking = 0, bytes = 0;
  run(s, [&]() -> task<> {
    const double before = measure::resident_bytes();
    while (rounds.again()) {
      all.until = sluice::make_channel<void>();
      const measure::stopwatch start;
      all.starting.add(n);
      for (std::int64_t i = 0; i < n; ++i) sluice::go(wait_in(all, i));
      co_await all.starting.wait();
      starting += start.seconds();
      if (rounds.count() == 1) bytes = measure::resident_bytes() - before;
      const measure::stopwatch wake;
      all.ending.add(n);
      all.until.close();
      co_await all.ending.wait();
      waking += wake.seconds();
    }
  });
  measure::check(all.sum, static_cast<std::int64_t>(rounds.count()) * measure::sum_below(s.size));
  const auto all_of_them = static_cast<double>(rounds.count() * s.size);
  const std::pair<std::string, double> start{"start_ns", starting * 1e9 / all_of_them};
  const std::pair<std::string, double> wake{"wake_ns", waking * 1e9 / all_of_them};
  if (s.size < 10'000) return measure::results{start, wake};  // memory is given in large pieces
  return measure::results{start, wake, {"bytes", bytes / static_cast<double>(s.size)}};
});

/// Channels in no order of addresses, and for each an operation that receives from it.
struct inputs {
  inputs(std::size_t n, std::size_t capacity) : channels(n) {
    for (auto& ch : channels) ch = sluice::make_channel<std::int64_t>(capacity);
    std::shuffle(channels.begin(), channels.end(), std::minstd_rand());
    receives.reserve(n);
    for (const auto& ch : channels) receives.push_back(ch.receive());
  }

  std::vector<channel> channels;
  std::vector<sluice::receive_operation<std::int64_t>> receives;
};

/// Another one for each value.
const channel& channel_for(std::int64_t value, const std::vector<channel>& all) {
  return all[static_cast<std::size_t>(value) * 7'919 % all.size()];
}

/// One of the channels has a value in its buffer when the select begins.
double select_ready(const measure::setting& s) {
  std::int64_t sum = 0;
  repetition selects;
  run(s, [&]() -> task<> {
    inputs in(s.size, 1);
    for (std::int64_t i = 0; selects.again(); ++i) {
      co_await channel_for(i, in.channels).send(i);
      const auto r = co_await sluice::select(in.receives);
      sum += *r.get();
    }
  });
  measure::check(sum, measure::sum_below(selects.count()));
  return selects.nanoseconds_each();
}

task<> send_when_asked(std::vector<channel> to, sluice::receiver<void> asked) {
  for (std::int64_t i = 0; co_await asked.receive(); ++i) co_await channel_for(i, to).send(i);
}

/// None has when it begins: the sender sends when it is asked.
double select_parking(const measure::setting& s) {
  std::int64_t sum = 0;
  repetition selects;
  run(s, [&]() -> task<> {
    inputs in(s.size, 0);
    const auto ask = sluice::make_channel<void>();
    sluice::go(send_when_asked(in.channels, ask));
    while (selects.again()) {
      co_await ask.send();
      const auto r = co_await sluice::select(in.receives);
      sum += *r.get();
    }
    ask.close();
  });
  measure::check(sum, measure::sum_below(selects.count()));
  return selects.nanoseconds_each();
}

const measure::workload select("scale_select", [](const measure::setting& s) {
  const double ready = select_ready(s), parking = select_parking(s);
  const auto cases = static_cast<double>(s.size);
  return measure::results{{"ready_ns", ready},
                          {"ready_case_ns", ready / cases},
                          {"parking_ns", parking},
                          {"parking_case_ns", parking / cases}};
});

task<> receive_all(channel in, std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  while (const auto v = co_await in.receive()) own_sum += *v;
  sum += own_sum;
}

/// To the first of those who wait for a channel, who then is the last.
double hand_over(const measure::setting& s) {
  std::atomic<std::int64_t> sum = 0;
  repetition values;
  run(s, [&]() -> task<> {
    const auto ch = sluice::make_channel<std::int64_t>();
    for (std::size_t i = 0; i < s.size; ++i) sluice::go(receive_all(ch, sum));
    co_await sluice::this_goroutine::yield();
    for (std::int64_t i = 0; values.again(); ++i) {
      co_await ch.send(i);
      co_await sluice::this_goroutine::yield();
    }
    ch.close();
  });
  measure::check(sum, measure::sum_below(values.count()));
  return values.nanoseconds_each();
}

task<> receive_until_closed(sluice::receiver<void> shared, channel own,
                            std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  for (;;) {
    const auto r = co_await sluice::select(shared.receive(), own.receive());
    if (r.index() == 0) break;
    own_sum += *r.get<1>();
  }
  sum += own_sum;
}

/// As many members as the size says wait for one channel, and one of them receives from its own
/// instead.
/** Which one is left to chance: it goes to the end of the line, so that in any order that repeats
 * itself it would always be the first. */
double withdraw(const measure::setting& s, std::size_t members) {
  std::atomic<std::int64_t> sum = 0;
  repetition values;
  run(s, [&]() -> task<> {
    std::vector<sluice::channel<void>> shared;
    std::vector<channel> own(members);
    for (std::size_t i = 0; i < members; ++i) {
      if (i % s.size == 0) shared.push_back(sluice::make_channel<void>());
      own[i] = sluice::make_channel<std::int64_t>();
      sluice::go(receive_until_closed(shared.back(), own[i], sum));
    }
    co_await sluice::this_goroutine::yield();
    std::minstd_rand random;
    std::uniform_int_distribution<std::size_t> any(0, members - 1);
    for (std::int64_t i = 0; values.again(); ++i) {
      co_await own[any(random)].send(i);
      co_await sluice::this_goroutine::yield();
    }
    for (const auto& ch : shared) ch.close();
  });
  measure::check(sum, measure::sum_below(values.count()));
  return values.nanoseconds_each();
}

/// Members that are more than the caches hold are slower, however long the line is: that is seen
/// when there are always as many.
const measure::workload waiters("scale_waiters", [](const measure::setting& s) {
  return measure::results{
      {"hand_over_ns", hand_over(s)},
      {"withdraw_ns", withdraw(s, s.size)},
      {"withdraw_of_many_ns", withdraw(s, std::max<std::size_t>(s.size, 10'000))}};
});

struct trips {
  std::atomic<bool> over = false;
  std::atomic<std::int64_t> made = 0;
  std::atomic<std::int64_t> right = 0;
};

task<> ping(channel there, channel back, trips& all) {
  std::int64_t i = 0, right = 0;
  for (; !all.over.load(std::memory_order_relaxed); ++i) {
    co_await there.send(i);
    right += *co_await back.receive() == i + 1;
  }
  there.close();
  all.made += i;
  all.right += right;
}

task<> pong(channel there, channel back) {
  while (const auto v = co_await there.receive()) co_await back.send(*v + 1);
}

/// Pairs of goroutines that have nothing to do with each other.
double round_trips(const measure::setting& s) {
  trips all;
  const double ns = run(s, 1, [&]() -> task<> {
    for (std::size_t i = 0; i < s.size; ++i) {
      const auto there = sluice::make_channel<std::int64_t>();
      const auto back = sluice::make_channel<std::int64_t>();
      sluice::go(pong(there, back));
      sluice::go(ping(there, back, all));
    }
    co_await sluice::sleep_for(long_enough);
    all.over = true;
  });
  measure::check(all.right, all.made);
  return ns / static_cast<double>(all.made);
}

/// Takes some time. The standard tells the ten-thousandth number of a seed of one, and those of
/// other seeds are its multiples.
bool compute(std::int64_t seed) {
  using engine = std::minstd_rand;
  engine e(static_cast<engine::result_type>(seed));
  e.discard(9'999);
  return e() == static_cast<std::uint64_t>(seed) * 399'268'537 % engine::modulus;
}

task<> compute_all(std::int64_t from, std::int64_t to, std::atomic<std::int64_t>& right) {
  std::int64_t own_right = 0;
  for (std::int64_t seed = from; seed < to; ++seed) own_right += compute(seed);
  right += own_right;
  co_return;
}

/// Goroutines that share the same work whatever their number, and do not suspend.
double share_work(const measure::setting& s) {
  const auto n = static_cast<std::int64_t>(s.size);
  const std::int64_t each = std::max<std::int64_t>(2'048 / n, 1);
  std::atomic<std::int64_t> right = 0;
  const double ns = run(s, [&]() -> task<> {
    for (std::int64_t i = 0; i < n; ++i)
      sluice::go(compute_all(1 + i * each, 1 + (i + 1) * each, right));
    co_return;
  });
  measure::check(right, n * each);
  return ns / static_cast<double>(each * 100);
}

/// The size is the number of pairs, and of goroutines that share the work; a hundred steps of it
/// are one operation.
const measure::workload threads("scale_threads", [](const measure::setting& s) {
  return measure::results{{"round_trip_ns", round_trips(s)}, {"work_ns", share_work(s)}};
});

}  // namespace
}  // namespace sluice_side
