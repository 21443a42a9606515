// SPDX-License-Identifier: BSL-1.0
#include <sluice/detail/base/built_with.hpp>

namespace sluice::detail {

template <class BuiltWith>
void library() noexcept {}

template void library<these_settings>() noexcept;

}  // namespace sluice::detail
