#pragma once

#include <cstddef>

namespace sluice::detail {

/// Memory for coroutine frames and queued functions, from per-thread caches of a few size classes.
/**
 * Any thread may give back what another took. Each thread keeps a bounded amount; the rest goes
 * back to `operator delete`. Aligned as `operator new` aligns.
 *
 * @throws std::bad_alloc
 */
[[nodiscard]] void* allocate_recycled(std::size_t size);

/// Gives back what `allocate_recycled(size)` returned.
void deallocate_recycled(void* memory, std::size_t size) noexcept;

}  // namespace sluice::detail
