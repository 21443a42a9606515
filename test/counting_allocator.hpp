#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace sluice_test {

/// What allocators have given out and got back.
struct memory_account {
  void reset() noexcept { bytes = 0, allocations = 0, deallocations = 0; }

  std::atomic<long> bytes{0};
  std::atomic<std::size_t> allocations{0};
  std::atomic<std::size_t> deallocations{0};
};

/// An allocator that, with its copies, counts in an account.
template <class T>
struct counting_allocator {
  using value_type = T;

  explicit counting_allocator(memory_account& a) noexcept : account(&a) {}
  template <class U>
  counting_allocator(const counting_allocator<U>& other) noexcept : account(other.account) {}

  T* allocate(std::size_t n) const {
    account->bytes += static_cast<long>(n * sizeof(T));
    ++account->allocations;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) const noexcept {
    account->bytes -= static_cast<long>(n * sizeof(T));
    ++account->deallocations;
    std::allocator<T>().deallocate(p, n);
  }

  template <class U>
  bool operator==(const counting_allocator<U>& other) const noexcept {
    return account == other.account;
  }

  memory_account* account;
};

}  // namespace sluice_test
