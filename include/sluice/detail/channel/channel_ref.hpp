// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/error.hpp>

#include <source_location>

// What a handle of a channel holds, and what it asks of the channel.

namespace sluice::detail {

/// A handle's reference to a channel; null for a nil channel.
using channel_ref = ref<channel_core>;

[[nodiscard]] SLUICE_DECL error_code channel_error(channel_core::result r) noexcept;
/// Closes a channel. @return `error::nil_channel` or `error::closed` if that cannot be.
[[nodiscard]] SLUICE_DECL error_code close_channel(channel_core* core,
                                                   const std::source_location& at) noexcept;
/// Throws what a call of a handle ends with; for a closed channel with where it was made and
/// closed.
[[noreturn]] SLUICE_DECL void throw_channel_error(error_code e, const char* caller,
                                                  const channel_core* core);

}  // namespace sluice::detail
