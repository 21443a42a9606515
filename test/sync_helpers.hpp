#pragma once

#include "support.hpp"
#include "time_helpers.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>

// What the tests of locks, semaphores and conditions share.
namespace sluice_test {

/// Two threads that begin each round at the same time.
class duel {
 public:
  /// Calls `prepare()`, then `a()` and `b()` at the same time, then `check()`: `most` times, or
  /// fewer where the threads' turns are long, as on a machine with other work.
  /** @return How many times. */
  template <class Prepare, class A, class B, class Check>
  static std::size_t fight(std::size_t most, Prepare prepare, A a, B b, Check check) {
    const auto limit = std::chrono::milliseconds(rounds(sanitized ? 150'000 : 4'000));
    const stopwatch watch;
    std::atomic<std::size_t> begun = 0;
    std::atomic<std::size_t> ended = 0;
    std::atomic<bool> over = false;
    std::thread second([&] {
      for (std::size_t i = 1;; ++i) {
        while (begun.load() < i) {
          if (over) return;
          std::this_thread::yield();
        }
        b();
        ended.store(i);
      }
    });
    std::size_t i = 0;
    while (i < most && watch.elapsed() < limit) {
      prepare();
      begun.store(++i);
      for (std::size_t k = i % 64; k != 0; --k) static_cast<void>(begun.load());
      a();
      while (ended.load() < i) std::this_thread::yield();
      check();
    }
    over = true;
    second.join();
    return i;
  }
};

}  // namespace sluice_test
