// SPDX-License-Identifier: BSL-1.0
// The timers of a scheduler. A node that is due leaves the heap and is then claimed, under the
// lock; it is fired under no lock.
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/queue_lock.hpp>

#include <boost/asio/execution_context.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

namespace sluice::detail {

namespace asio = boost::asio;

class wakeup_timer;

/// Something that happens at an instant.
struct timer_node {
  using time_point = std::chrono::steady_clock::time_point;
  struct kind {
    /// Called under the queue's lock when the node is due and has left the queue.
    /** @return Whether it is to be fired. */
    bool (*claim)(timer_node&) noexcept;
    /// Called under no lock. It may be gone then.
    void (*fire)(timer_node&) noexcept;
  };

  static constexpr std::size_t not_queued = std::numeric_limits<std::size_t>::max();

  explicit timer_node(const kind& k) noexcept : functions(&k) {}
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;
  ~timer_node() {
    SLUICE_ASSERT(!queued(), "a timer ends when it has left the queue of its scheduler");
  }

  [[nodiscard]] bool queued() const noexcept { return position != not_queued; }

  const kind* functions;
  time_point deadline{};
  std::size_t position = not_queued;
  timer_node* next_due;  ///< set when it is claimed
};

/// The timers of one scheduler: a four-ary heap, with removal from the middle, and the one Asio
/// timer that goes off for them.
/**
 * `insert`, `remove`, `claim_some` and `empty` are called under `lock`. Whoever has inserted or
 * removed owes a `settle`. See there for what holds between the heap and the Asio timer.
 */
class timer_queue {
 public:
  using time_point = timer_node::time_point;

  /// @param go_off What the Asio timer calls. It owes a `settle` too.
  /// @param runs_here Whether this thread runs the context.
  /// @param go_off_soon Has the event loop call `make_wakeup_timer` and then that, and needs no
  /// memory.
  SLUICE_DECL timer_queue(asio::execution_context& context, std::function<void()> go_off,
                          std::function<bool()> runs_here, std::function<void()> go_off_soon);
  SLUICE_DECL ~timer_queue();

  /// @throws std::bad_alloc
  void insert(timer_node& node);
  /// Keeps room for a node, until `unreserve`, that is put in again and again.
  /** @throws std::bad_alloc */
  SLUICE_DECL void reserve();
  void unreserve() noexcept {
    SLUICE_ASSERT(reserved_ != 0, "room for a timer that is given back was kept");
    --reserved_;
  }
  /// Inserts a node that room is kept for.
  void insert_reserved(timer_node& node) noexcept;
  SLUICE_DECL void remove(timer_node& node) noexcept;

  /// Claims what is due at `now`, as much as may be done while others wait for the lock.
  /** @return The first to be fired, once the lock is free; each has the next. */
  [[nodiscard]] timer_node* claim_some(time_point now) noexcept;

  /// How many are due at `now`.
  [[nodiscard]] std::uint32_t count_due(time_point now) const noexcept;
  /// Claims the `n`th of those, in no order.
  /** @return Null if it is not to be fired. */
  [[nodiscard]] timer_node* claim_due(time_point now, std::uint32_t n) noexcept;

  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }

  /// The earliest deadline, `time_point::max()` if there is none. May be read without the lock.
  [[nodiscard]] time_point next() const noexcept {
    return time_point(time_point::duration(next_.load(std::memory_order_seq_cst)));
  }

  /// Whether the Asio timer goes off at the earliest deadline or before.
  [[nodiscard]] bool covered() const noexcept;

  /// Sets the Asio timer as the earliest deadline wants it.
  SLUICE_DECL void settle() noexcept;

  /// Makes the Asio timer, where its context cannot end meanwhile. False if there is no memory.
  [[nodiscard]] bool make_wakeup_timer() noexcept;

  /// Unsets the Asio timer for good.
  SLUICE_DECL void close() noexcept;

  queue_lock lock;

 private:
  struct entry {
    time_point deadline;
    timer_node* node;
  };

  SLUICE_DECL void make_room();
  SLUICE_DECL void put(std::size_t position, entry e) noexcept;
  void sift_up(std::size_t position, entry e) noexcept;
  void sift_down(std::size_t position, entry e) noexcept;
  void remove_at(std::size_t position) noexcept;
  void publish_next() noexcept;
  [[nodiscard]] bool suits(time_point set_to) const noexcept;

  const std::unique_ptr<wakeup_timer> wakeup_timer_;
  std::vector<entry> heap_;
  /// The earliest deadline, stored under the lock. Who reads it without sees an earlier state, and
  /// is followed by the `settle` of whoever has changed the heap since.
  std::atomic<time_point::rep> next_{time_point::max().time_since_epoch().count()};
  /// For how many nodes room is kept.
  std::size_t reserved_ = 0;
};

}  // namespace sluice::detail
