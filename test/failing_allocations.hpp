#pragma once

// Refuses what is allocated with new. For one source file of a program: it replaces the global
// operators. The sanitizers have operators of their own; nothing fails there.

#include <sluice/detail/base/recycling.hpp>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace sluice_test {

/// How many allocations of this thread succeed until one fails; none fails while it is negative.
inline thread_local constinit long until_failure = -1;
/// How many there were while it was not negative.
inline thread_local constinit long counted_allocations = 0;
/// Whether those after it fail too.
inline thread_local constinit bool none_left = false;

[[maybe_unused]] inline bool fails_now() noexcept {
  if (none_left) return true;
  if (until_failure < 0) return false;
  ++counted_allocations;
  return until_failure-- == 0;
}

/// While it exists this thread gets no memory, nor what the library keeps of its own.
class no_memory_left {
 public:
  no_memory_left() {
    none_left = true;
    for (std::size_t size = sizeof(block); size <= largest_kept; size += sizeof(block)) {
      try {
        for (;;) taken_ = ::new (sluice::detail::allocate_recycled(size)) block{taken_, size};
      } catch (const std::bad_alloc&) {
        // That was the last of this size.
      }
    }
  }
  no_memory_left(const no_memory_left&) = delete;
  no_memory_left& operator=(const no_memory_left&) = delete;
  ~no_memory_left() {
    none_left = false;
    while (block* const b = taken_) {
      taken_ = b->next;
      sluice::detail::deallocate_recycled(b, b->size);
    }
  }

 private:
  struct block {
    block* next;
    std::size_t size;
  };
  static constexpr std::size_t largest_kept = 8192;

  block* taken_ = nullptr;
};

}  // namespace sluice_test

#if !SLUICE_TEST_SANITIZED
void* operator new(std::size_t size) {
  if (sluice_test::fails_now()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  if (sluice_test::fails_now()) throw std::bad_alloc();
  const auto to = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(to, (size + to - 1) / to * to)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif
