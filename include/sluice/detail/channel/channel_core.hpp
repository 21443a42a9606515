// SPDX-License-Identifier: BSL-1.0
// A channel without the type of its elements, and what its operations are to those who wait.
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/boxed.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/queue_lock.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <source_location>
#include <utility>

namespace sluice::detail {

/// What a channel must know of its element type, or of `boxed_ptr` for elements in boxes.
struct element_type {
  std::size_t size;
  std::size_t alignment;
  bool trivial;  ///< moved by copying its bytes
  void (*move)(void* to, void* from) noexcept;
  void (*destroy)(void*) noexcept;
};

class channel_core;

/// A wait to send to or receive from a channel.
struct channel_waiter : waiter {
  /// It keeps the channel's state itself.
  bool owns_state = false;
  channel_core* core = nullptr;
};

/// A wait to receive an element in a box; a `try_send` that has chosen it may fail to make one.
struct failing_channel_waiter : channel_waiter {
  std::exception_ptr failure;
};

SLUICE_DECL extern const waiter_functions send_functions;
SLUICE_DECL extern const waiter_functions receive_functions;

/// The type-erased part of a channel, shared by its handles.
/**
 * After Go's runtime/chan.go. One lock; a ring of `capacity` cells; two lists of waiters. Values
 * are buffered only while no receiver waits; senders wait only while the ring is full. What holds
 * whenever the lock is free stands in `check`.
 *
 * Nothing that moves between a waiter and the channel throws. An element whose move may throw
 * travels in a box, which it enters before its sender waits and leaves when its receiver has gone
 * on; one that cannot leave it comes back (`give_back`) and is the next to be received.
 */
class channel_core {
 public:
  /// @throws std::length_error if that many elements cannot be addressed; std::bad_alloc
  SLUICE_DECL static channel_core& make(const element_type& element, std::size_t capacity,
                                        const dispatcher_ptr& where,
                                        const std::source_location& made_at);

  /// Ties `what` to the channel's lifetime; `size()` and `capacity()` then report 0.
  /** For the channels of timers; called before the channel is used. */
  void own(std::shared_ptr<void> what) noexcept { owned_ = std::move(what); }

  channel_core(const channel_core&) = delete;
  channel_core& operator=(const channel_core&) = delete;

  /// For handles. When none is left, handlers that wait alone are told so, as cancelled.
  void retain() noexcept { handles_.retain(); }
  void release() noexcept {
    if (handles_.release()) last_handle_gone();
  }
  /// For operations that keep the state but are no handle.
  void retain_state() noexcept { references_.retain(); }
  void release_state() noexcept {
    if (references_.release()) last_reference_gone();
  }

  enum class result : unsigned char { done, closed, would_block };

  /// Sends from or receives to `element` now, or changes nothing.
  [[nodiscard]] SLUICE_DECL result try_send(void* element) noexcept;
  [[nodiscard]] SLUICE_DECL result try_receive(void* element) noexcept;
  /// Sends what `make_box(from)` puts into a box, which is called once it is sure that it will be
  /// sent.
  /** @throws What `make_box` throws. Nothing has been sent then, but a select that had been chosen
   * to receive it fails with the same exception, because its choice cannot be taken back. */
  [[nodiscard]] SLUICE_DECL result try_send_new(boxed_ptr (*make_box)(void* from), void* from);

  /// Nobody can send or receive any more but those that wait already: handlers that wait alone,
  /// or come to, are told so, as cancelled.
  /** For timers whose context has ended; whom it wakes is left to the caller. */
  void lose_handles(wake_list& woken) noexcept;

  /// Takes back a box whose element could not be moved out: it is the next to be received.
  SLUICE_DECL void give_back(boxed_ptr b) noexcept;

  /// Whether there is nothing to receive, as can be seen without the lock; and what that means.
  // A channel that is closed and drained stays so for ever: that answer needs no fence.
  [[nodiscard]] bool has_nothing(result& why) const noexcept {
    if (!looks_empty(why)) return false;
    if (why == result::closed) return true;
    fence_before_look();
    return looks_empty(why);
  }

  /// Whether nothing can be sent now, as can be seen without the lock.
  [[nodiscard]] bool has_no_room() const noexcept {
    return confirmed([this] { return !may_send(); });
  }

  /// Sends a copy of what is at `element` if that is possible at once; whom it wakes is left to the
  /// caller.
  void offer(void* element, wake_list& woken) noexcept;

  /// Sends or receives for a goroutine that is suspending.
  /** @return True if it stays suspended; otherwise the waiter has its outcome. */
  [[nodiscard]] SLUICE_DECL bool send_for(goroutine& g, channel_waiter& w);
  [[nodiscard]] SLUICE_DECL bool receive_for(goroutine& g, channel_waiter& w);

  /// Whether a value can go into an open channel's buffer, or come out, without anybody being
  /// woken; a hint without the lock.
  [[nodiscard]] bool has_plain_room() const noexcept {
    return count_ < capacity_ && receivers_.empty();
  }
  [[nodiscard]] bool has_plain_value() const noexcept { return count_ != 0 && senders_.empty(); }

  /// Short ways between an operation and the buffer for elements that are moved by copying their
  /// bytes, when nobody waits.
  /** @return False if there is none; nothing has changed then. */
  template <class E>
  [[nodiscard]] bool put_into_buffer(const E& value) noexcept {
    const checked_lock guard(*this);
    const std::size_t count = count_;
    if (count >= capacity_ || !receivers_.empty() || closed_.load(std::memory_order_relaxed))
      return false;
    std::memcpy(ring(alignof(E)) + tail(count) * sizeof(E), &value, sizeof(E));
    count_ = count + 1;
    return true;
  }
  template <class E>
  [[nodiscard]] bool take_from_buffer(void* to) noexcept {
    const checked_lock guard(*this);
    const std::size_t count = count_;
    if (count == 0 || !senders_.empty()) return false;
    const std::size_t first = head_;
    std::memcpy(to, ring(alignof(E)) + first * sizeof(E), sizeof(E));
    head_ = after(first);
    count_ = count - 1;
    return true;
  }

  /// Whether there is such a way, for elements that are bytes; or none because it would have to
  /// wait.
  [[nodiscard]] readiness look_to_send(bool copies_bytes) const noexcept {
    if (!receivers_.empty()) return readiness::unknown;
    const bool has_room = count_ < capacity_;
    if (closed_.load(std::memory_order_acquire)) return readiness::unknown;
    if (!has_room) return readiness::not_ready;
    return copies_bytes ? readiness::at_once : readiness::unknown;
  }
  [[nodiscard]] readiness look_to_receive(bool copies_bytes) const noexcept {
    if (count_ != 0)
      return copies_bytes && senders_.empty() ? readiness::at_once : readiness::unknown;
    return senders_.empty() && !closed_.load(std::memory_order_acquire) ? readiness::not_ready
                                                                        : readiness::unknown;
  }

  /// @return False if it was closed already.
  [[nodiscard]] SLUICE_DECL bool close(const std::source_location& at) noexcept;
  [[nodiscard]] bool closed() const noexcept {
    fence_before_look();
    return closed_.load(std::memory_order_acquire);
  }

  [[nodiscard]] const std::source_location& made_at() const noexcept { return made_at_; }
  /// Where it was closed; for those who have seen that it is.
  [[nodiscard]] const std::source_location& closed_at() const noexcept { return closed_at_; }

  /// Ends the waits to send, or to receive, as cancelled. @return How many.
  std::size_t cancel_senders() noexcept { return cancel(senders_); }
  std::size_t cancel_receivers() noexcept { return cancel(receivers_); }

  [[nodiscard]] std::size_t size() const noexcept {
    fence_before_look();
    return owned_ ? 0 : std::size_t{count_};
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return owned_ ? 0 : capacity_; }
  /// The channel's executor; none if its context has ended.
  [[nodiscard]] pinned_dispatcher where() const noexcept { return pinned_dispatcher(where_); }

  // For waiter_functions; all but the hints under the lock. Without it each reads first what comes
  // and goes and then whether the channel is closed: no room, or nothing there, and then still open
  // was so at the moment of the first look. Who sees that the last value is gone sees a close that
  // came before.
  [[nodiscard]] queue_lock& lock() noexcept { return lock_; }
  [[nodiscard]] bool may_send() const noexcept {
    return !receivers_.empty() || count_ < capacity_ || closed_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool may_receive() const noexcept {
    return holds_value() || closed_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool attempt_send(waiter& w, wake_list& woken) noexcept;
  [[nodiscard]] bool attempt_receive(waiter& w, wake_list& woken) noexcept;
  void enlist_sender(waiter& w) noexcept {
    senders_.push_back(w);
    check();
  }
  void enlist_receiver(waiter& w) noexcept {
    receivers_.push_back(w);
    check();
  }

  /// Whether nobody can send or receive any more but those that wait already.
  [[nodiscard]] bool has_lost_handles() const noexcept { return lost_handles_; }
  /// Ends the wait of a handler that nobody can end any more.
  [[nodiscard]] bool abandons(waiter& w) const noexcept;

  /// Takes a waiter out of its list, without the lock being held. It may be the end of the channel.
  /** @return False if it had been taken already. */
  SLUICE_DECL static bool withdraw(channel_waiter& w) noexcept;

 private:
  channel_core(const element_type& element, std::size_t capacity, lasting_dispatcher where,
               const std::source_location& made_at) noexcept
      : element_(element), capacity_(capacity), where_(std::move(where)), made_at_(made_at) {}
  SLUICE_DECL ~channel_core();

  /// The lock, with a look at what must hold before it is free again.
  class checked_lock {
   public:
    explicit checked_lock(channel_core& c) noexcept : core_(c) { core_.lock_.lock(); }
    checked_lock(const checked_lock&) = delete;
    checked_lock& operator=(const checked_lock&) = delete;
    ~checked_lock() {
      core_.check();
      core_.lock_.unlock();
    }

   private:
    channel_core& core_;
  };

  /// Under the lock, between two operations: what holds whenever the lock is free.
  void check() const noexcept;

  [[nodiscard]] bool holds_value() const noexcept { return count_ != 0 || !senders_.empty(); }
  [[nodiscard]] bool looks_empty(result& why) const noexcept {
    if (holds_value()) return false;
    const bool open = !closed_.load(std::memory_order_acquire);
    why = open ? result::would_block : result::closed;
    return open || !holds_value();
  }

  [[nodiscard]] static constexpr std::size_t offset_of_ring(std::size_t alignment) noexcept {
    const auto a = std::max(alignment, alignof(channel_core));
    return (sizeof(channel_core) + a - 1) & ~(a - 1);
  }
  [[nodiscard]] std::byte* ring(std::size_t alignment) noexcept {
    return reinterpret_cast<std::byte*>(this) + offset_of_ring(alignment);
  }
  [[nodiscard]] std::byte* cell(std::size_t index) noexcept {
    return ring(element_.alignment) + index * element_.size;
  }
  /// The cell behind that one.
  [[nodiscard]] std::size_t after(std::size_t index) const noexcept {
    return index + 1 == capacity_ ? 0 : index + 1;
  }
  void advance_head() noexcept { head_ = after(head_); }
  void drop_first() noexcept {
    advance_head();
    count_ = count_ - 1;
  }
  [[nodiscard]] std::size_t tail(std::size_t in_ring) const noexcept {
    const auto t = head_ + in_ring;
    return t < capacity_ ? t : t - capacity_;
  }
  SLUICE_DECL void move_element(void* to, void* from) noexcept;
  template <class Make>
  [[nodiscard]] bool attempt_send_made(waiter& w, wake_list& woken, Make make);
  SLUICE_DECL void refuse(waiter& receiver, wake_list& woken) noexcept;
  void complete_from(waiter& sender, void* to, wake_list& woken) noexcept;
  void receive_returned(void* to, wake_list& woken) noexcept;
  template <bool (channel_core::*attempt)(waiter&, wake_list&) noexcept,
            void (channel_core::*enlist)(waiter&) noexcept>
  [[nodiscard]] bool wait_for(goroutine& g, channel_waiter& w, const waiter_functions& f);
  [[nodiscard]] waiter* first_claimed(waiter_list& line) noexcept;
  void keep_for_dropped_case() noexcept;
  [[nodiscard]] bool is_left_alone(const waiter& w) const noexcept;
  std::size_t end_waits(waiter_list& line, waiter::state outcome, wake_list& woken) noexcept;
  SLUICE_DECL std::size_t cancel(waiter_list& line) noexcept;
  [[nodiscard]] SLUICE_DECL bool remove(waiter& w, bool& last) noexcept;
  SLUICE_DECL void last_handle_gone() noexcept;
  SLUICE_DECL void last_reference_gone() noexcept;
  SLUICE_DECL void destroy() noexcept;

  queue_lock lock_{queue_lock::usual_patience};
  std::atomic<bool> closed_{false};
  /// No handle is left, or for a timer's channel no context on which it could go off.
  bool lost_handles_ = false;
  /// How many values there are to receive: those in the ring and those that came back.
  published<std::size_t> count_ = 0;
  /// The cell of the first value in the ring.
  std::size_t head_ = 0;
  waiter_list receivers_;
  waiter_list senders_;
  const element_type& element_;
  const std::size_t capacity_;
  /// The executor of handlers that have none of their own.
  const lasting_dispatcher where_;
  /// Boxes that came back, the next to be received first, and how many there are.
  boxed* returned_ = nullptr;
  std::size_t returned_count_ = 0;
  /// What ends with the channel: the timer that sends to it.
  std::shared_ptr<void> owned_;
  reference_count<std::size_t> handles_{1};
  /// References of operations that keep the state, and one for all handles together.
  reference_count<std::size_t> references_{1};
  /// No reference is left, but waiters are.
  bool orphaned_ = false;
  /// How many have given up the last reference, and find another when they have the lock.
  std::uint32_t superseded_ = 0;
  const std::source_location made_at_;
  /// Written under the lock before `closed_` is.
  std::source_location closed_at_;
};

// These are the invariants of Go's runtime/chan.go, except that a case of a select which was
// decided elsewhere stands in its line until it is dropped: so what is said of a line holds for the
// line as a whole.
inline void channel_core::check() const noexcept {
  SLUICE_ASSERT(receivers_.empty() || count_ == 0, "a receiver waits only while there is no value");
  SLUICE_ASSERT(senders_.empty() || count_ >= capacity_,
                "a sender waits only while the ring is full");
  SLUICE_ASSERT(receivers_.empty() || senders_.empty() ||
                    (receivers_.front()->shared_claim &&
                     receivers_.front()->shared_claim == senders_.front()->shared_claim),
                "a receiver and a sender wait together only as cases of one select");
  SLUICE_ASSERT(
      !closed_.load(std::memory_order_relaxed) || (receivers_.empty() && senders_.empty()),
      "nobody waits for a closed channel");
  SLUICE_ASSERT(returned_count_ <= count_ && count_ - returned_count_ <= capacity_,
                "what does not fit into the ring is what came back");
  SLUICE_ASSERT((returned_ != nullptr) == (returned_count_ != 0), "what came back is counted");
  SLUICE_ASSERT(head_ < capacity_ || head_ == 0, "the first value stands in the ring");
  SLUICE_ASSERT(!orphaned_ || references_.count() == 0,
                "a channel that only its waiters keep has no reference");
}

}  // namespace sluice::detail
