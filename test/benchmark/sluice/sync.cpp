// What Go has in sync and golang.org/x/sync beside locks: condition, once, singleflight, and the
// lock that readers share.
#include "run.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sluice_side {
namespace {

using sluice::task;

/// Room for one value, which is waited for with conditions.
struct slot {
  sluice::mutex mutex;
  sluice::condition filled, emptied;
  bool full = false;
  std::int64_t value = 0;
};

task<> fill(slot& place, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    auto guard = co_await place.mutex.lock();
    while (place.full) co_await place.emptied.wait(guard);
    place.value = static_cast<std::int64_t>(i);
    place.full = true;
    place.filled.notify_one();
  }
}

const measure::workload condition("condition", [](const measure::setting& s) {
  std::int64_t sum = 0;
  slot place;
  const double ns = run(s, [&]() -> task<> {
    sluice::go(fill(place, s.size));
    for (std::size_t i = 0; i < s.size; ++i) {
      auto guard = co_await place.mutex.lock();
      while (!place.full) co_await place.filled.wait(guard);
      sum += place.value;
      place.full = false;
      place.emptied.notify_one();
    }
  });
  measure::check(sum, measure::sum_below(s.size));
  return ns;
});

const measure::workload once("once", [](const measure::setting& s) {
  std::int64_t calls = 0;
  const double ns = run(s, [&]() -> task<> {
    sluice::once first;
    const auto count = [&] { ++calls; };
    for (std::size_t i = 0; i < s.size; ++i) co_await first.call(count);
  });
  measure::check(calls, 1);
  return ns;
});

using flights = sluice::singleflight<std::int64_t, std::int64_t>;

task<std::int64_t> fetch(std::int64_t key) {
  co_await sluice::this_goroutine::yield();
  co_return key;
}

task<> ask(flights& all, std::int64_t keys, std::int64_t from, std::int64_t to,
           std::atomic<std::int64_t>& sum) {
  std::int64_t own_sum = 0;
  for (std::int64_t i = from; i < to; ++i) {
    const std::int64_t key = i % keys;
    const auto fetch_it = [key] { return fetch(key); };
    own_sum += (co_await all.call(key, fetch_it)).value();
  }
  sum += own_sum;
}

/// 64 goroutines that ask for eight keys, each for one after the other.
const measure::workload singleflight("singleflight", [](const measure::setting& s) {
  constexpr std::int64_t askers = 64;
  constexpr std::int64_t keys = 8;
  const std::int64_t each = static_cast<std::int64_t>(s.size) / askers / keys * keys;
  std::atomic<std::int64_t> sum = 0;
  flights all;
  const double ns = run(s, static_cast<std::size_t>(askers * each), [&]() -> task<> {
    for (std::int64_t i = 0; i < askers; ++i)
      sluice::go(ask(all, keys, i * each, (i + 1) * each, sum));
    co_return;
  });
  measure::check(sum, askers * each / keys * measure::sum_below(keys));
  return ns;
});

/// One lock of ten is a writer's. Each yields while it holds the lock, so that readers share it and
/// writers wait.
task<> read_and_write(sluice::shared_mutex& lock, std::size_t n, std::int64_t& written) {
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 10 == 0) {
      const auto writing = co_await lock.lock();
      const std::int64_t before = written;
      co_await sluice::this_goroutine::yield();
      written = before + 1;
    } else {
      const auto reading = co_await lock.lock_shared();
      const std::int64_t before = written;
      co_await sluice::this_goroutine::yield();
      measure::check(written, before);
    }
  }
}

const measure::workload shared_mutex("shared_mutex", [](const measure::setting& s) {
  constexpr std::size_t members = 10;
  const std::size_t each = s.size / members / 10 * 10;
  std::int64_t written = 0;
  sluice::shared_mutex lock;
  const double ns = run(s, members * each, [&]() -> task<> {
    for (std::size_t i = 0; i < members; ++i) sluice::go(read_and_write(lock, each, written));
    co_return;
  });
  measure::check(written, static_cast<std::int64_t>(members * each / 10));
  return ns;
});

}  // namespace
}  // namespace sluice_side
