// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/scheduler/work_list.hpp>

#include <atomic>
#include <cstddef>
#include <new>

namespace sluice::detail {

/// Room for the few handlers that the event loop has of a scheduler at a time, so that giving it
/// one cannot fail.
class post_memory {
 public:
  void* allocate(std::size_t size) {
    for (auto& p : blocks_)
      if (size <= sizeof(p.bytes) && !p.used.exchange(true, std::memory_order_acquire))
        return p.bytes;
    return ::operator new(size);
  }

  void deallocate(void* memory) noexcept {
    for (auto& p : blocks_)
      if (memory == p.bytes) {
        p.used.store(false, std::memory_order_release);
        return;
      }
    ::operator delete(memory);
  }

 private:
  struct block {
    alignas(std::max_align_t) std::byte bytes[192];
    std::atomic<bool> used{false};
  };

  // Drains, a watch and one that is called for; waits for a wake-up timer are fewer.
  block blocks_[2 * ready_lists::most + 2];
};

/// The allocator that gives a posted handler a `post_memory`.
template <class T>
class post_allocator {
 public:
  using value_type = T;

  explicit post_allocator(post_memory& m) noexcept : memory_(&m) {}
  template <class U>
  post_allocator(const post_allocator<U>& other) noexcept : memory_(other.memory_) {}

  T* allocate(std::size_t n) { return static_cast<T*>(memory_->allocate(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) noexcept { memory_->deallocate(p); }

  template <class U>
  bool operator==(const post_allocator<U>& other) const noexcept {
    return memory_ == other.memory_;
  }

 private:
  template <class U>
  friend class post_allocator;
  post_memory* memory_;
};

}  // namespace sluice::detail
