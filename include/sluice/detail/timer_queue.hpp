#pragma once

#include <sluice/detail/byte_lock.hpp>
#include <sluice/detail/waiter.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <vector>

namespace sluice::detail {

/// Something that happens at an instant.
struct timer_node {
  using time_point = std::chrono::steady_clock::time_point;
  /// Called under the queue's lock when the node is due and has left the queue.
  using function = void(timer_node&, wake_list&) noexcept;

  static constexpr std::size_t not_queued = std::numeric_limits<std::size_t>::max();

  explicit timer_node(function* f) noexcept : fire(f) {}

  [[nodiscard]] bool queued() const noexcept { return position != not_queued; }

  function* fire;
  time_point deadline{};
  std::size_t position = not_queued;
};

/// The timers of one scheduler: a four-ary heap, with removal from the middle.
/**
 * All members but `next` and `lock` are called under `lock`. The scheduler arms one Asio timer for
 * the earliest deadline, when a drain ends and `earliest_changed` says so.
 */
class timer_queue {
 public:
  using time_point = timer_node::time_point;

  /// @throws std::bad_alloc
  void insert(timer_node& node);
  void remove(timer_node& node) noexcept;

  /// Fires what is due at `now`.
  void fire_due(time_point now, wake_list& wakes) noexcept;

  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }

  /// The earliest deadline, `time_point::max()` if there is none. May be read without the lock.
  [[nodiscard]] time_point next() const noexcept {
    return time_point(time_point::duration(next_.load(std::memory_order_relaxed)));
  }

  byte_lock lock;

 private:
  struct entry {
    time_point deadline;
    timer_node* node;
  };

  void place(std::size_t position, entry e) noexcept;
  void sift_up(std::size_t position, entry e) noexcept;
  void sift_down(std::size_t position, entry e) noexcept;
  void remove_at(std::size_t position) noexcept;
  void publish_next() noexcept;

  std::vector<entry> heap_;
  std::atomic<time_point::rep> next_{time_point::max().time_since_epoch().count()};
};

}  // namespace sluice::detail
