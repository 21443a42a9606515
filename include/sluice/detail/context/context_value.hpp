// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/base/reference_count.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace sluice::detail {

/// A value of a context, and those of its ancestors.
struct context_value {
  using pointer = ref<context_value>;

  context_value(const void* k, std::shared_ptr<const void> v, pointer o) noexcept
      : key(k), value(std::move(v)), outer(std::move(o)) {}

  void retain() noexcept { references.add(); }
  // A loop, because the chain may be long.
  void release() noexcept {
    for (context_value* v = this; v && v->references.release();) {
      context_value* const outer_value = v->outer.detach();
      delete v;
      v = outer_value;
    }
  }

  const void* const key;
  const std::shared_ptr<const void> value;
  pointer outer;
  reference_count<std::size_t> references{0};
};

}  // namespace sluice::detail
