// SPDX-License-Identifier: BSL-1.0
// The heap of a scheduler's timers, and how the one Asio timer follows it. Each node in the heap
// knows its position; the Asio timer suits the earliest deadline, or somebody is about to call
// `settle`.

#include <sluice/detail/scheduler/timer_queue.hpp>

#include "wakeup_timer.hpp"

#include <sluice/detail/base/assert.hpp>

#include <algorithm>
#include <utility>

namespace sluice::detail {

asio::execution_context::id wakeup_timer_closer::id;

namespace {
constexpr std::size_t arity = 4;
// With a heap of a million a batch takes about 50 us.
constexpr int batch = 32;
}  // namespace

timer_queue::timer_queue(asio::execution_context& context, std::function<void()> go_off,
                         std::function<bool()> runs_here, std::function<void()> go_off_soon)
    : wakeup_timer_(std::make_unique<wakeup_timer>(context, std::move(go_off), std::move(runs_here),
                                                   std::move(go_off_soon))) {}

timer_queue::~timer_queue() {
  SLUICE_ASSERT(heap_.empty(), "a queue of timers ends when none is left in it");
}

// Beside the nodes without room of their own there is room for all that have it, also when those
// are out of the heap.
void timer_queue::make_room() {
  const auto needed = heap_.size() + reserved_ + 1;
  if (needed > heap_.capacity()) heap_.reserve(std::max(needed, 2 * heap_.capacity()));
}

void timer_queue::reserve() {
  make_room();
  ++reserved_;
}

void timer_queue::insert(timer_node& node) {
  make_room();
  insert_reserved(node);
}

void timer_queue::insert_reserved(timer_node& node) noexcept {
  SLUICE_ASSERT(!node.queued(), "a timer that is put into the queue is not in it");
  SLUICE_ASSERT(heap_.size() < heap_.capacity(), "there is room for a timer that room is kept for");
  heap_.push_back({});
  sift_up(heap_.size() - 1, {node.deadline, &node});
  publish_next();
}

void timer_queue::remove(timer_node& node) noexcept {
  if (!node.queued()) return;
  remove_at(node.position);
  publish_next();
}

timer_node* timer_queue::claim_some(time_point now) noexcept {
  timer_node* first = nullptr;
  timer_node** last = &first;
  for (int n = 0; n < batch && !heap_.empty() && heap_.front().deadline <= now; ++n) {
    timer_node& node = *heap_.front().node;
    remove_at(0);
    if (!node.functions->claim(node)) continue;
    *last = &node;
    last = &node.next_due;
  }
  *last = nullptr;
  publish_next();
  return first;
}

std::uint32_t timer_queue::count_due(time_point now) const noexcept {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(heap_, [now](const entry& e) { return e.deadline <= now; }));
}

timer_node* timer_queue::claim_due(time_point now, std::uint32_t n) noexcept {
  auto at = heap_.begin();
  for (; at->deadline > now || n != 0; ++at)
    if (at->deadline <= now) --n;
  timer_node& node = *at->node;
  remove_at(node.position);
  const bool claimed = node.functions->claim(node);
  publish_next();
  return claimed ? &node : nullptr;
}

void timer_queue::put(std::size_t position, entry e) noexcept {
  heap_[position] = e;
  e.node->position = position;
}

void timer_queue::sift_up(std::size_t position, entry e) noexcept {
  while (position > 0) {
    const auto parent = (position - 1) / arity;
    if (heap_[parent].deadline <= e.deadline) break;
    put(position, heap_[parent]);
    position = parent;
  }
  put(position, e);
}

void timer_queue::sift_down(std::size_t position, entry e) noexcept {
  for (;;) {
    const auto first = position * arity + 1;
    if (first >= heap_.size()) break;
    const auto last = std::min(first + arity, heap_.size());
    auto least = first;
    for (auto child = first + 1; child < last; ++child)
      if (heap_[child].deadline < heap_[least].deadline) least = child;
    if (heap_[least].deadline >= e.deadline) break;
    put(position, heap_[least]);
    position = least;
  }
  put(position, e);
}

void timer_queue::remove_at(std::size_t position) noexcept {
  SLUICE_ASSERT(heap_[position].node->position == position,
                "a timer in the queue knows its position");
  heap_[position].node->position = timer_node::not_queued;
  const entry last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  if (position > 0 && last.deadline < heap_[(position - 1) / arity].deadline)
    sift_up(position, last);
  else
    sift_down(position, last);
}

void timer_queue::publish_next() noexcept {
  const auto earliest = heap_.empty() ? time_point::max() : heap_.front().deadline;
  const auto at = earliest.time_since_epoch().count();
  if (at != next_.load(std::memory_order_relaxed)) next_.store(at, std::memory_order_seq_cst);
}

// A wake-up timer that is too early costs one turn of the event loop; moving it costs a system
// call. If there is no deadline it must not be set, because it is outstanding work.
bool timer_queue::suits(time_point set_to) const noexcept {
  const auto earliest = next();
  return earliest == wakeup_timer::never ? set_to == wakeup_timer::never : set_to <= earliest;
}

bool timer_queue::covered() const noexcept {
  return wakeup_timer_->set_to() <= next();
}

// The invariant: the wake-up timer suits the earliest deadline, or somebody will call this
// function.
//
// What the two are is in two variables: `next_`, stored under the heap's lock, and the wake-up
// timer's `set_to_`, stored under the wake-up timer's. All their stores and loads are sequentially
// consistent, and whoever stores one of them afterwards loads both here: after a change of the
// heap, after setting the wake-up timer (that is the loop), after it has gone off. So of the last
// store to `next_` and the last one to `set_to_`, whoever made the later one finds both, and leaves
// only if they suit.
void timer_queue::settle() noexcept {
  while (!suits(wakeup_timer_->set_to()))
    if (!wakeup_timer_->set([this](time_point at) { return suits(at) ? at : next(); })) return;
}

bool timer_queue::make_wakeup_timer() noexcept {
  return wakeup_timer_->make();
}

void timer_queue::close() noexcept {
  wakeup_timer_->close();
}

}  // namespace sluice::detail
