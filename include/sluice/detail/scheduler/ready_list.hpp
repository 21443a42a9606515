// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/assert.hpp>

#include <atomic>
#include <cstddef>
#include <utility>

namespace sluice::detail {

class worker;

/// Something that can be queued to run: a goroutine's control block or a function given to an
/// executor.
struct ready_node {
  /// Runs it on a thread of its scheduler; a null worker means "destroy it without running it".
  using function = void(ready_node&, worker*);

  explicit ready_node(function* f) noexcept : run(f) {}

  ready_node* next = nullptr;
  function* run;
};

/// A queue of ready nodes, first in, first out; but for those that are put in front. Its length may
/// be read by any thread.
class ready_list {
 public:
  ready_list() noexcept = default;
  ready_list(const ready_list&) = delete;
  ready_list& operator=(const ready_list&) = delete;
  ~ready_list() { SLUICE_ASSERT(empty(), "a list of ready nodes ends when none is left in it"); }

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  [[nodiscard]] const ready_node* front() const noexcept { return head_; }

  void push_back(ready_node& node) noexcept {
    node.next = nullptr;
    (head_ ? tail_->next : head_) = &node;
    tail_ = &node;
    resize(size() + 1);
  }

  void push_front(ready_node& node) noexcept {
    node.next = head_;
    if (!head_) tail_ = &node;
    head_ = &node;
    resize(size() + 1);
  }

  ready_node* pop_front() noexcept {
    ready_node* node = head_;
    if (node) {
      head_ = node->next;
      resize(size() - 1);
    }
    return node;
  }

  /// Moves all of `other` behind the nodes already here.
  void append(ready_list& other) noexcept {
    if (other.empty()) return;
    (head_ ? tail_->next : head_) = other.head_;
    tail_ = other.tail_;
    resize(size() + other.size());
    other.head_ = nullptr;
    other.resize(0);
  }

  /// Moves the first `count` nodes of this list, at most all, behind those of `to`.
  void move_front(std::size_t count, ready_list& to) noexcept {
    ready_list taken;
    while (count-- > 0) {
      ready_node* node = pop_front();
      if (!node) break;
      taken.push_back(*node);
    }
    to.append(taken);
  }

  /// Moves the last `count` nodes, of more, behind those of `to`.
  void move_back(std::size_t count, ready_list& to) noexcept {
    if (count == 0) return;
    const std::size_t kept = size() - count;
    ready_node* last_kept = head_;
    for (std::size_t i = 1; i < kept; ++i) last_kept = last_kept->next;
    ready_list taken;
    taken.head_ = std::exchange(last_kept->next, nullptr);
    taken.tail_ = std::exchange(tail_, last_kept);
    taken.resize(count);
    resize(kept);
    to.append(taken);
  }

 private:
  void resize(std::size_t n) noexcept { size_.store(n, std::memory_order_relaxed); }

  ready_node* head_ = nullptr;
  ready_node* tail_ = nullptr;
  std::atomic<std::size_t> size_{0};
};

}  // namespace sluice::detail
