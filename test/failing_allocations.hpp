#pragma once

// Refuses what is allocated with new. For one source file of a program: it replaces the global
// operators. The sanitizers have operators of their own; nothing fails there.

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

}  // namespace sluice_test

#if !SLUICE_TEST_SANITIZED
void* operator new(std::size_t size) {
  if (sluice_test::fails_now()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#endif
