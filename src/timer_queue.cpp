#include <sluice/detail/timer_queue.hpp>

#include <algorithm>

namespace sluice::detail {

namespace {
constexpr std::size_t arity = 4;
}

void timer_queue::insert(timer_node& node) {
  heap_.push_back({});
  sift_up(heap_.size() - 1, {node.deadline, &node});
  publish_next();
}

void timer_queue::remove(timer_node& node) noexcept {
  if (!node.queued()) return;
  remove_at(node.position);
  publish_next();
}

void timer_queue::fire_due(time_point now, wake_list& wakes) noexcept {
  while (!heap_.empty() && heap_.front().deadline <= now) {
    timer_node& node = *heap_.front().node;
    remove_at(0);
    node.fire(node, wakes);
  }
  publish_next();
}

void timer_queue::place(std::size_t position, entry e) noexcept {
  heap_[position] = e;
  e.node->position = position;
}

void timer_queue::sift_up(std::size_t position, entry e) noexcept {
  while (position > 0) {
    const auto parent = (position - 1) / arity;
    if (heap_[parent].deadline <= e.deadline) break;
    place(position, heap_[parent]);
    position = parent;
  }
  place(position, e);
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
    place(position, heap_[least]);
    position = least;
  }
  place(position, e);
}

void timer_queue::remove_at(std::size_t position) noexcept {
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
  next_.store(earliest.time_since_epoch().count(), std::memory_order_relaxed);
}

}  // namespace sluice::detail
