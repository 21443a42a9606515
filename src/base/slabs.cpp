// SPDX-License-Identifier: BSL-1.0
// Blocks of one size, cut from pieces of memory for many of them. A slab is in the list exactly
// while it has blocks to give, and is freed when all its blocks are back, unless it is the only
// one.

#include "slabs.hpp"

#include <algorithm>
#include <mutex>

namespace sluice::detail {

namespace {

constexpr std::size_t slab_size = std::size_t{32} * 1024;
constexpr std::size_t cache_line = 64;
constexpr std::size_t most_under_lock = 64;

}  // namespace

/// Stands at the beginning of its memory; its address, right before each of its blocks.
struct slabs::slab : list_hook<slab> {
  block_list free;
  std::byte* uncut = nullptr;  // memory that has not been touched yet
  std::size_t blocks_uncut = 0;
  std::size_t blocks_taken = 0;

  static slab& make(std::size_t stride) {
    constexpr std::size_t first =
        (sizeof(slab) + overhead + cache_line - 1) / cache_line * cache_line;
    const std::size_t blocks = (slab_size - first) / stride;
    const std::size_t size = first + blocks * stride - overhead;
    auto* const memory =
        static_cast<std::byte*>(::operator new(size, std::align_val_t(cache_line)));
    auto& s = *::new (memory) slab;
    s.uncut = memory + first;
    s.blocks_uncut = blocks;
    return s;
  }

  static void destroy(slab& s) noexcept { ::operator delete(&s, std::align_val_t(cache_line)); }

  [[nodiscard]] bool used_up() const noexcept { return free.empty() && blocks_uncut == 0; }

  void* take(std::size_t stride) noexcept {
    ++blocks_taken;
    if (!free.empty()) return free.pop();
    --blocks_uncut;
    std::byte* const b = std::exchange(uncut, uncut + stride);
    ::new (b - overhead) slab*(this);
    return b;
  }
};

slabs::slab& slabs::slab_of(void* memory) noexcept {
  return **std::launder(reinterpret_cast<slab**>(static_cast<std::byte*>(memory) - overhead));
}

// In the order of their addresses, if they were given back so: the processor fetches ahead.
std::size_t slabs::take(std::size_t stride, std::size_t most, block_list& to) {
  std::unique_lock guard(lock_);
  if (slabs_.empty()) {
    guard.unlock();
    slab& fresh = slab::make(stride);
    guard.lock();
    slabs_.push_front(fresh);
  }
  block_appender blocks(to);
  std::size_t taken = 0;
  for (most = std::min(most, most_under_lock); taken < most && !slabs_.empty(); ++taken) {
    slab& s = *slabs_.front();
    blocks.add(s.take(stride));
    if (s.used_up()) slabs_.remove(s);
  }
  return taken;
}

void slabs::give(block_list& from) noexcept {
  while (!from.empty()) {
    intrusive_list<slab> unused;
    {
      const std::lock_guard guard(lock_);
      for (std::size_t n = most_under_lock; n != 0 && !from.empty(); --n) {
        void* const b = from.pop();
        slab& s = slab_of(b);
        if (s.used_up()) slabs_.push_front(s);
        s.free.push(b);
        const bool only = slabs_.front() == &s && !slabs_.after(s);
        if (--s.blocks_taken != 0 || only) continue;
        slabs_.remove(s);
        unused.push_front(s);
      }
    }
    while (slab* const s = unused.pop_front()) slab::destroy(*s);
  }
}

}  // namespace sluice::detail
