#pragma once

#include <atomic>

namespace sluice::detail {

/// A variable written under a lock that may also be read, as a hint, without it.
template <class T>
class relaxed {
 public:
  constexpr relaxed() noexcept = default;
  constexpr relaxed(T value) noexcept : value_(value) {}
  relaxed(const relaxed&) = delete;
  relaxed& operator=(const relaxed& other) noexcept { return *this = static_cast<T>(other); }

  operator T() const noexcept { return value_.load(std::memory_order_relaxed); }
  T operator->() const noexcept { return value_.load(std::memory_order_relaxed); }
  relaxed& operator=(T value) noexcept {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }

 private:
  std::atomic<T> value_{};
};

}  // namespace sluice::detail
