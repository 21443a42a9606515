// SPDX-License-Identifier: BSL-1.0
#include <sluice/detail/base/built_with.hpp>

namespace sluice {

namespace detail SLUICE_DECL {

template <class BuiltWith>
void library() noexcept {}

template void library<these_settings>() noexcept;

}  // namespace detail SLUICE_DECL

}  // namespace sluice
