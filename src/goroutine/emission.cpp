// SPDX-License-Identifier: BSL-1.0
// How requests for cancellation come to the slot of an Asio operation. Whoever finds the word of
// requests empty queues the node; nobody else does until the node's turn has emptied the word.

#include <sluice/detail/goroutine/emission.hpp>

#include <sluice/executor.hpp>

#include <utility>

namespace sluice::detail {

std::shared_ptr<emission> emission::make() {
  struct made : emission {};
  return std::allocate_shared<made>(recycling_allocator<made>());
}

void emission::request(const std::shared_ptr<emission>& self, asio::cancellation_type type,
                       ready_list& steps) noexcept {
  auto seen = self->requested_.load(std::memory_order_relaxed);
  while (!self->requested_.compare_exchange_weak(seen, seen | type, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed)) {
  }
  if (seen != asio::cancellation_type::none) return;
  self->queued_ = self;
  steps.push_back(*self);
}

void emission::emit_requested(ready_node& node, worker* w) {
  const auto self = std::move(static_cast<emission&>(node).queued_);
  const auto type =
      self->requested_.exchange(asio::cancellation_type::none, std::memory_order_acq_rel);
  if (w && !self->completed_.load(std::memory_order_relaxed)) self->signal_.emit(type);
}

}  // namespace sluice::detail
