// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <atomic>

namespace sluice::detail {

/// A variable written under a lock that may also be read without it.
template <class T, std::memory_order Load, std::memory_order Store>
class unlocked {
 public:
  constexpr unlocked() noexcept = default;
  constexpr unlocked(T value) noexcept : value_(value) {}
  unlocked(const unlocked&) = delete;
  unlocked& operator=(const unlocked& other) noexcept { return *this = static_cast<T>(other); }

  operator T() const noexcept { return value_.load(Load); }
  T operator->() const noexcept { return value_.load(Load); }
  unlocked& operator=(T value) noexcept {
    value_.store(value, Store);
    return *this;
  }

 private:
  std::atomic<T> value_{};
};

/// Read without the lock as a hint.
template <class T>
using relaxed = unlocked<T, std::memory_order_relaxed, std::memory_order_relaxed>;

/// Read without the lock for an answer: who reads a value sees what had happened before it was
/// written.
template <class T>
using published = unlocked<T, std::memory_order_acquire, std::memory_order_release>;

/// Orders a look without a lock behind everything that this thread has done.
/**
 * Two threads that each do something and then look for what the other has done must not both find
 * nothing. Each has written under a lock that is free again, but the store that freed it may still
 * be on its way when the thread's next load is done. With this fence between what it wrote and its
 * look, in both threads, one of the looks comes after the other's fence and finds what was written
 * before that. If only one thread looks without the lock, the lock does the same: the thread that
 * has it second sees what the first had done.
 */
inline void fence_before_look() noexcept {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

/// Whether `look()`, which reads without a lock, says yes, as an answer and not as a hint.
/** Only a yes pays for the fence. */
template <class Look>
[[nodiscard]] bool confirmed(Look look) noexcept {
  if (!look()) return false;
  fence_before_look();
  return look();
}

}  // namespace sluice::detail
