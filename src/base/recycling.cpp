// SPDX-License-Identifier: BSL-1.0
// Memory in classes of sizes: what each thread keeps of them, before the store that all share. A
// thread keeps at most two lists of a class, one of which is full or empty, and gives both back at
// its end.

#include <sluice/detail/base/recycling.hpp>

#include "slabs.hpp"

#include <array>
#include <new>
#include <utility>

namespace sluice::detail {

namespace {

constexpr std::size_t size_step = 16;
static_assert(size_step % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0);
constexpr std::size_t small_classes = 64;
/// Behind those, in steps so much larger, up to 8 KB: frames of a task that waits for several
/// others.
constexpr std::size_t large_steps = 16;
constexpr std::size_t classes = small_classes + 28;
constexpr std::size_t bytes_of_a_list = std::size_t{64} * 1024;
constexpr std::size_t bytes_of_a_batch = std::size_t{8} * 1024;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool addresses_are_watched = true;
#elif defined(__has_feature)
constexpr bool addresses_are_watched = __has_feature(address_sanitizer);
#else
constexpr bool addresses_are_watched = false;
#endif

constexpr std::size_t small_class_of(std::size_t size) noexcept {
  return (size + slabs::overhead - 1) / size_step;
}
constexpr std::size_t large_class_of(std::size_t size) noexcept {
  return small_classes + (small_class_of(size) - small_classes) / large_steps;
}

constexpr std::size_t stride_of(std::size_t size_class) noexcept {
  if (size_class < small_classes) return (size_class + 1) * size_step;
  return (small_classes + (size_class - small_classes + 1) * large_steps) * size_step;
}

constexpr bool is_small(std::size_t size) noexcept {
  return !addresses_are_watched && small_class_of(size) < small_classes;
}
/// Of one that is not small.
constexpr bool is_recycled(std::size_t size) noexcept {
  return !addresses_are_watched && large_class_of(size) < classes;
}

constinit std::array<slabs, classes> store;

/// What a thread keeps of one class: two lists, of which it uses one until that is full or empty,
/// so that it comes to the store once for many blocks. Source: J. Bonwick and J. Adams, "Magazines
/// and Vmem", USENIX 2001.
struct kept_blocks {
  block_list loaded;
  block_list other;  // full or empty
  std::size_t room;  // in the loaded one; none if the thread keeps nothing
};

struct cache {
  kept_blocks of[classes];
};

// What a thread has before its first use and after its last: nothing, and no room. It is not
// written.
constinit cache closed{};

// A pointer, because the thread-locals of all libraries that a program loads later share a small
// room. Trivial, so that a frame freed by another thread-local's destructor still finds it.
thread_local constinit cache* local = &closed;
thread_local constinit bool has_ended = false;

constexpr std::size_t most_in_a_list(std::size_t c) noexcept {
  return bytes_of_a_list / stride_of(c);
}

struct flush_at_thread_exit {
  ~flush_at_thread_exit() {
    cache* const ended = std::exchange(local, &closed);
    has_ended = true;
    for (std::size_t c = 0; c < classes; ++c) {
      store[c].give(ended->of[c].loaded);
      store[c].give(ended->of[c].other);
    }
    delete ended;
  }
};

// Whether this thread keeps blocks, from now on or already.
bool is_open() noexcept {
  if (local == &closed && !has_ended) [[unlikely]] {
    auto* const opened = new (std::nothrow) cache{};
    if (!opened) return false;
    for (std::size_t c = 0; c < classes; ++c) opened->of[c].room = most_in_a_list(c);
    local = opened;
    thread_local const flush_at_thread_exit flush;
    static_cast<void>(flush);
  }
  return local != &closed;
}

[[gnu::noinline]] void* allocate_slowly(std::size_t c) {
  if (!is_open()) {
    block_list one;
    static_cast<void>(store[c].take(stride_of(c), 1, one));
    return one.pop();
  }
  kept_blocks& kept = local->of[c];
  if (kept.other.empty()) {
    const std::size_t most = bytes_of_a_batch / stride_of(c);
    kept.room -= store[c].take(stride_of(c), most, kept.loaded);
  } else {
    std::swap(kept.loaded, kept.other);
    kept.room = 0;
  }
  ++kept.room;
  return kept.loaded.pop();
}

[[gnu::noinline]] void deallocate_slowly(void* memory, std::size_t c) noexcept {
  if (!is_open()) {
    block_list one;
    one.push(memory);
    store[c].give(one);
    return;
  }
  kept_blocks& kept = local->of[c];
  if (kept.room == 0) {
    store[c].give(kept.other);
    std::swap(kept.loaded, kept.other);
    kept.room = most_in_a_list(c);
  }
  --kept.room;
  kept.loaded.push(memory);
}

inline void* allocate_of(std::size_t c) {
  kept_blocks& kept = local->of[c];
  if (kept.loaded.empty()) [[unlikely]]
    return allocate_slowly(c);
  ++kept.room;
  return kept.loaded.pop();
}

inline void deallocate_of(void* memory, std::size_t c) noexcept {
  kept_blocks& kept = local->of[c];
  if (kept.room == 0) [[unlikely]]
    return deallocate_slowly(memory, c);
  --kept.room;
  kept.loaded.push(memory);
}

[[gnu::noinline]] void* allocate_large(std::size_t size) {
  return is_recycled(size) ? allocate_of(large_class_of(size)) : ::operator new(size);
}

[[gnu::noinline]] void deallocate_large(void* memory, std::size_t size) noexcept {
  if (is_recycled(size))
    deallocate_of(memory, large_class_of(size));
  else
    ::operator delete(memory);
}

}  // namespace

void* allocate_recycled(std::size_t size) {
  if (!is_small(size)) [[unlikely]]
    return allocate_large(size);
  return allocate_of(small_class_of(size));
}

void deallocate_recycled(void* memory, std::size_t size) noexcept {
  if (!is_small(size)) [[unlikely]]
    return deallocate_large(memory, size);
  deallocate_of(memory, small_class_of(size));
}

}  // namespace sluice::detail
