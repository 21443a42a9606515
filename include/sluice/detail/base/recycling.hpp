// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>

#include <cstddef>

namespace sluice::detail {

/// Memory for coroutine frames, goroutines' blocks and queued functions, in classes of sizes.
/**
 * Any thread may give back what another took. Each thread keeps a bounded amount, for the rest see
 * `slabs`; what is large comes from `operator new`, as whose memory it is aligned.
 *
 * @throws std::bad_alloc
 */
[[nodiscard]] SLUICE_DECL void* allocate_recycled(std::size_t size);

/// Gives back what `allocate_recycled(size)` returned.
SLUICE_DECL void deallocate_recycled(void* memory, std::size_t size) noexcept;

}  // namespace sluice::detail
