#pragma once

#include "walk/walk.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <source_location>
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
  ~atomic() { walk::forget(word_); }

  T load(memory_order = memory_order_seq_cst) const noexcept { return of(walk::load(word_)); }
  void store(T value, memory_order order = memory_order_seq_cst,
             source_location at = source_location::current()) noexcept {
    if (walk::makes(mistake::writes_nothing, at)) return;
    walk::store(word_, to_word(value),
                order == memory_order_seq_cst && !walk::makes(mistake::stores_late, at));
  }
  T exchange(T value, memory_order = memory_order_seq_cst,
             source_location at = source_location::current()) noexcept {
    return change([value](T) { return optional(value); }, at);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order = memory_order_seq_cst,
                             source_location at = source_location::current()) noexcept {
    const T before =
        change([&](T seen) { return seen == expected ? optional(desired) : nullopt; }, at);
    if (before == expected) return true;
    expected = before;
    return false;
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order order = memory_order_seq_cst,
                               source_location at = source_location::current()) noexcept {
    return compare_exchange_weak(expected, desired, order, at);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order order, memory_order,
                             source_location at = source_location::current()) noexcept {
    return compare_exchange_weak(expected, desired, order, at);
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order order, memory_order,
                               source_location at = source_location::current()) noexcept {
    return compare_exchange_weak(expected, desired, order, at);
  }
  T fetch_add(auto n, memory_order = memory_order_seq_cst,
              source_location at = source_location::current()) noexcept {
    return change([n](T b) { return optional(static_cast<T>(b + static_cast<T>(n))); }, at);
  }
  T fetch_sub(auto n, memory_order = memory_order_seq_cst,
              source_location at = source_location::current()) noexcept {
    return change([n](T b) { return optional(static_cast<T>(b - static_cast<T>(n))); }, at);
  }
  T fetch_and(T n, memory_order = memory_order_seq_cst,
              source_location at = source_location::current()) noexcept {
    return change([n](T b) { return optional(static_cast<T>(b & n)); }, at);
  }
  T fetch_or(T n, memory_order = memory_order_seq_cst,
             source_location at = source_location::current()) noexcept {
    return change([n](T b) { return optional(static_cast<T>(b | n)); }, at);
  }
  void wait(T value, memory_order = memory_order_seq_cst) noexcept {
    walk::wait(word_, to_word(value));
  }
  void notify_one() noexcept { walk::notify(word_); }
  void notify_all() noexcept { walk::notify(word_); }

 private:
  using walk = ::sluice_test::walk;
  using mistake = walk::mistake;
  using word = walk::word;

  static_assert(is_trivially_copyable_v<T> && sizeof(T) <= sizeof(word));

  template <class Change>
  T change(Change f, const source_location& at) noexcept {
    if (walk::makes(mistake::changes_in_steps, at)) {
      const T before = load();
      if (const optional<T> after = f(before)) store(*after);
      return before;
    }
    if (walk::makes(mistake::writes_nothing, at)) return load();
    return of(walk::change(word_, [&](word seen) -> optional<word> {
      if (const optional<T> after = f(of(seen))) return to_word(*after);
      return nullopt;
    }));
  }

  static constexpr word to_word(T value) noexcept {
    if constexpr (is_arithmetic_v<T> || is_enum_v<T>) {
      return static_cast<word>(value);
    } else if (is_constant_evaluated()) {
      return 0;  // a null pointer, or the first instant
    } else {
      word w = 0;
      memcpy(&w, &value, sizeof value);
      return w;
    }
  }
  static T of(word w) noexcept {
    if constexpr (is_arithmetic_v<T> || is_enum_v<T>) {
      return static_cast<T>(w);
    } else {
      T value;
      memcpy(static_cast<void*>(&value), &w, sizeof value);
      return value;
    }
  }

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

/// For a scope, unless the function that it stands in makes the mistake of not locking.
template <class Mutex>
class lock_guard {
 public:
  explicit lock_guard(Mutex& m, const source_location& at = source_location::current())
      : m_(::sluice_test::walk::makes(::sluice_test::walk::mistake::takes_no_lock, at) ? nullptr
                                                                                       : &m) {
    if (m_) m_->lock();
  }
  lock_guard(const lock_guard&) = delete;
  lock_guard& operator=(const lock_guard&) = delete;
  ~lock_guard() {
    if (m_) m_->unlock();
  }

 private:
  Mutex* const m_;
};

struct thread {
  enum class id : size_t { none = 0 };
};

namespace chrono {

using namespace ::std::chrono;

/// Goes on when a walk says so.
struct steady_clock : ::std::chrono::steady_clock {
  static inline time_point at{hours(1)};
  static time_point now() noexcept { return at; }
};

}  // namespace chrono

namespace this_thread {

/// The thread that prepares a walk, which may stand for several.
inline std::size_t id_before_walk = 100;

inline thread::id get_id() noexcept {
  return thread::id{::sluice_test::walk::is_running() ? ::sluice_test::walk::this_thread() + 1
                                                      : id_before_walk};
}

template <class Duration>
void sleep_for(const Duration&) noexcept {
  ::sluice_test::walk::wait_for_a_write();
}

}  // namespace this_thread

}  // namespace walked_std
