#pragma once

#include "walk/walk.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>

// What stands for `std` and for system calls in code that is walked: the file that is to be walked
// is included where `std` is defined as `walked_std`.
//
// An acquire load is a plain one, and a release store may be late, as on x86. A sequentially
// consistent store is seen at once.

namespace walked_std {

using namespace std;  // NOLINT(google-build-using-namespace): all that is not replaced

template <class T>
class atomic {
 public:
  constexpr atomic() noexcept : atomic(T()) {}
  constexpr atomic(T value) noexcept : word_(to_word(value)) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  T load(memory_order = memory_order_seq_cst) const noexcept { return of(walk::load(word_)); }
  void store(T value, memory_order order = memory_order_seq_cst) noexcept {
    walk::store(word_, to_word(value), order == memory_order_seq_cst);
  }
  T exchange(T value, memory_order = memory_order_seq_cst) noexcept {
    return of(walk::change(word_, [&](word) { return optional(to_word(value)); }));
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order = memory_order_seq_cst) noexcept {
    const T before = of(walk::change(word_, [&](word seen) -> optional<word> {
      if (of(seen) == expected) return to_word(desired);
      return nullopt;
    }));
    if (before == expected) return true;
    expected = before;
    return false;
  }
  T fetch_add(T n, memory_order = memory_order_seq_cst) noexcept {
    return of(
        walk::change(word_, [&](word b) { return optional(to_word(static_cast<T>(of(b) + n))); }));
  }
  T fetch_sub(T n, memory_order = memory_order_seq_cst) noexcept {
    return of(
        walk::change(word_, [&](word b) { return optional(to_word(static_cast<T>(of(b) - n))); }));
  }
  T fetch_and(T n, memory_order = memory_order_seq_cst) noexcept {
    return of(
        walk::change(word_, [&](word b) { return optional(to_word(static_cast<T>(of(b) & n))); }));
  }
  void wait(T value, memory_order = memory_order_seq_cst) noexcept {
    walk::wait(word_, to_word(value));
  }
  void notify_one() noexcept { walk::notify(word_); }
  void notify_all() noexcept { walk::notify(word_); }

 private:
  using walk = ::sluice_test::walk;
  using word = walk::word;

  static_assert(is_trivially_copyable_v<T> && sizeof(T) <= sizeof(word));

  static constexpr word to_word(T value) noexcept { return static_cast<word>(value); }
  static constexpr T of(word w) noexcept { return static_cast<T>(w); }

  word word_;
};

inline void atomic_signal_fence(memory_order) noexcept {}
inline void atomic_thread_fence(memory_order) noexcept {
  ::sluice_test::walk::fence();
}

class mutex {
 public:
  void lock() noexcept {
    while (held_.exchange(true)) held_.wait(true);
  }
  void unlock() noexcept {
    held_.store(false);
    held_.notify_one();
  }

 private:
  atomic<bool> held_{false};
};

namespace this_thread {

template <class Duration>
void sleep_for(const Duration&) noexcept {
  ::sluice_test::walk::wait_for_a_write();
}

}  // namespace this_thread

}  // namespace walked_std
