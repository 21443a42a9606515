// A clock for counting instructions: it advances by two microseconds each time it is read, whatever
// the machine does meanwhile. Under callgrind a program is some fifty times slower than by itself,
// and the scheduler, which goes by the clock, would do other work than it does for users. Every
// clock of the standard library and of Asio reads this function. Nothing here may wait for time.
#include <sluice/detail/base/cycle_count.hpp>

#include <ctime>

#include <atomic>

namespace {
[[maybe_unused]] const bool by_the_clock_alone = [] {
  sluice::detail::cycles_count = false;
  return true;
}();
}  // namespace

extern "C" int clock_gettime(clockid_t, timespec* time) noexcept {
  constexpr long step = 2'000, second = 1'000'000'000;
  static std::atomic<long> nanoseconds{1'000 * second};
  const long now = nanoseconds.fetch_add(step, std::memory_order_relaxed);
  time->tv_sec = now / second;
  time->tv_nsec = now % second;
  return 0;
}
