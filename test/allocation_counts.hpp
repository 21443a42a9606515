#pragma once

// Counts what the program allocates with new. For one source file of a program: it replaces the
// global operators.

#if SLUICE_TEST_SANITIZED
#include <sanitizer/allocator_interface.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace sluice_test {

/// How many allocations there have been, and how many of them are still there.
inline std::atomic<std::size_t> allocations = 0;
inline std::atomic<std::ptrdiff_t> live_allocations = 0;

}  // namespace sluice_test

#if SLUICE_TEST_SANITIZED

// The thread sanitizer's own operators cannot be replaced; it tells of what they do.
namespace sluice_test {

[[maybe_unused]] inline const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) {
      ++allocations;
      ++live_allocations;
    },
    [](const volatile void* p) {
      if (p) --live_allocations;
    });

}  // namespace sluice_test

#else

namespace sluice_test {

inline void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  ++allocations;
  ++live_allocations;
  const auto rounded = (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment;
  if (void* const p = std::aligned_alloc(alignment, rounded)) return p;
  throw std::bad_alloc();
}

inline void deallocate(void* p) noexcept {
  if (!p) return;
  --live_allocations;
  std::free(p);
}

}  // namespace sluice_test

void* operator new(std::size_t size) {
  return sluice_test::allocate(size);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return sluice_test::allocate(size, std::max(static_cast<std::size_t>(alignment), sizeof(void*)));
}
void operator delete(void* p) noexcept {
  sluice_test::deallocate(p);
}
void operator delete(void* p, std::size_t) noexcept {
  sluice_test::deallocate(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  sluice_test::deallocate(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  sluice_test::deallocate(p);
}

#endif
