// SPDX-License-Identifier: BSL-1.0
#include <sluice/detail/base/built_with.hpp>

// One with an attribute cannot be concatenated.
namespace sluice {  // NOLINT(modernize-concat-nested-namespaces)

namespace detail SLUICE_DECL {

template <class BuiltWith>
void library() noexcept {}

template void library<these_settings>() noexcept;

}  // namespace detail SLUICE_DECL

}  // namespace sluice
