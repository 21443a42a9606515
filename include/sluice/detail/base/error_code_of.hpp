// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/error.hpp>

#include <exception>

namespace sluice::detail {

/// A failure as those need it who complete with an `error_code`.
[[nodiscard]] SLUICE_DECL error_code error_code_of(const std::exception_ptr& failure) noexcept;

}  // namespace sluice::detail
