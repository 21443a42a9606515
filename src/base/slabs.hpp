// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/intrusive_list.hpp>

#include <cstddef>
#include <new>
#include <utility>

namespace sluice::detail {

/// Blocks of memory that are not in use, linked through themselves.
class block_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

  void push(void* memory) noexcept { first_ = ::new (memory) block{first_}; }
  /// The block that was pushed last. The list must not be empty.
  void* pop() noexcept { return std::exchange(first_, first_->next); }

 private:
  friend class block_appender;

  struct block {
    block* next;
  };

  block* first_ = nullptr;
};

/// Makes an empty list one that gives blocks in the order in which they were added.
class block_appender {
 public:
  explicit block_appender(block_list& list) noexcept : end_(&list.first_) {}
  block_appender(const block_appender&) = delete;
  block_appender& operator=(const block_appender&) = delete;

  void add(void* memory) noexcept {
    *end_ = ::new (memory) block_list::block{nullptr};
    end_ = &(*end_)->next;
  }

 private:
  block_list::block** end_;
};

/// Where threads get blocks of one size in batches, and bring back those that they do not keep.
/**
 * Blocks are cut from slabs, pieces of memory for many of them. A slab whose blocks are all back
 * goes back to `operator delete`, unless it is the only one that has any. Thread safe; any thread
 * may bring back what another took. Each has a cache line of its own. Source: J. Bonwick, "The Slab
 * Allocator", USENIX Summer 1994.
 */
class alignas(64) slabs {
 public:
  /// What a block takes beside the bytes that can be used.
  static constexpr std::size_t overhead = sizeof(void*);

  /// Puts blocks of `stride` bytes, overhead included, into `to`, which must be empty: at least
  /// one, at most `most`.
  /** @return How many. @throws std::bad_alloc */
  std::size_t take(std::size_t stride, std::size_t most, block_list& to);

  /// Brings back all blocks of `from`.
  void give(block_list& from) noexcept;

 private:
  struct slab;

  [[nodiscard]] static slab& slab_of(void* memory) noexcept;

  byte_lock lock_;
  /// Those that have blocks to give.
  intrusive_list<slab> slabs_;
};

}  // namespace sluice::detail
