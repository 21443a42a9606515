// SPDX-License-Identifier: BSL-1.0
// What can cancel a goroutine. There is one for each goroutine that something can cancel, and it
// is told once that the goroutine has ended.
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/recycling.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace sluice {

namespace asio = boost::asio;

namespace detail {

class emission;
class goroutine;
class owned_goroutine;
class owned_goroutines;
class dispatcher;

/// What a goroutine does for somebody who wants to know its strand.
class member {
 public:
  /// Called in the goroutine, once, when it has a strand of its own.
  virtual void runs_on(const dispatcher& strand) noexcept = 0;

 protected:
  ~member() = default;
};

/// A wait of a goroutine that can be cancelled.
struct cancellable {
  /// Cancels the wait, giving it `outcome`. Called under the goroutine's cancellation lock, so the
  /// wait is still there.
  /** @param steps What is to run on the goroutine's strand, queued once the lock is free: an
   * executor of a user's is called then. @return True if the goroutine is to be made ready, because
   * this call has ended the wait. */
  bool (*cancel)(cancellable&, asio::cancellation_type, waiter::state outcome,
                 ready_list& steps) noexcept;
};

/// What can cancel a goroutine, and what has. Made for goroutines with a cancellation slot or a
/// context.
/**
 * Counted: whoever may still ask for cancellation holds a reference. A request that comes after the
 * goroutine's end does nothing.
 */
class cancellation {
 public:
  explicit cancellation(goroutine& g) noexcept : goroutine_(&g) {}
  cancellation(const cancellation&) = delete;
  cancellation& operator=(const cancellation&) = delete;
  /// Called when the last reference goes.
  virtual ~cancellation() = default;
  static void* operator new(std::size_t size) { return allocate_recycled(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    deallocate_recycled(memory, size);
  }

  /// Asks for cancellation. Thread safe.
  /** @param reason The outcome of the waits that it ends: `aborted` or `timed_out`. */
  SLUICE_DECL void request(asio::cancellation_type type,
                           waiter::state reason = waiter::state::aborted) noexcept;

  /// The context that the goroutine is bound to is done, for good. Thread safe.
  /** Unlike a request it is not forgotten: it is looked at, through the filter in force, at once
   * and at every reset. */
  void context_done(waiter::state reason) noexcept;

  /// Held while a wait is registered, so that a request comes before the registration or after it.
  [[nodiscard]] byte_lock& lock() noexcept { return lock_; }
  /// Under the lock: begins a wait, unless cancellation has been asked for.
  /** @return `waiting`, or the outcome of a wait that is not to begin. */
  [[nodiscard]] SLUICE_DECL waiter::state begin(cancellable& wait) noexcept;
  /// The same for a wait by one waiter.
  [[nodiscard]] SLUICE_DECL waiter::state begin(waiter& w, const waiter_functions& f) noexcept;
  /// Ends a wait. After it returns nobody cancels it.
  SLUICE_DECL void end() noexcept;

  /// The outcome of waits while cancellation is asked for, `waiting` if it is not.
  [[nodiscard]] SLUICE_DECL waiter::state outcome() noexcept;

  /// `waiting` until the context that the goroutine is bound to is done, then the outcome of waits
  /// that it ends, whatever the filter.
  [[nodiscard]] waiter::state context_outcome() noexcept;

  [[nodiscard]] SLUICE_DECL asio::cancellation_type requested() noexcept;
  /// Forgets what has been asked for, but not that the context is done, and from now on looks only
  /// at the types in `filter`.
  SLUICE_DECL void reset(asio::cancellation_type filter) noexcept;

  /// Begins to tell a slot what is asked for. On the goroutine's explicit strand.
  /** @throws std::bad_alloc */
  SLUICE_DECL void tell_slot();
  /// That slot, used on the strand while the goroutine runs; not connected before `tell_slot`.
  [[nodiscard]] SLUICE_DECL asio::cancellation_slot slot() noexcept;
  /// Under the lock: whether a slot is told, on the strand.
  [[nodiscard]] bool tells_slot() const noexcept { return told_ != nullptr; }

  /// Whether awaiting a task or an `asio::awaitable` throws while cancellation is asked for.
  [[nodiscard]] SLUICE_DECL bool throws() noexcept;
  SLUICE_DECL void set_throws(bool on) noexcept;

  /// Whether its goroutine, which asks, has set nothing here: as far as that goes another
  /// goroutine's work could go on in it.
  [[nodiscard]] bool is_unset() const noexcept {
    return filter_ == asio::cancellation_type::terminal && !throws_ && !told_;
  }

  /// Something that passes requests on to this goroutine, kept until it ends.
  SLUICE_DECL void keep(std::shared_ptr<void> source);

  /// The goroutine has ended.
  SLUICE_DECL void detach() noexcept;
  /// Whether that changes nothing for those who may still come.
  [[nodiscard]] bool has_nothing_to_end() const noexcept { return !wait_ && !source_ && !told_; }
  /// Whatever has been asked of the goroutine has been asked through `other` from now on, which
  /// `seen` is set to before anybody can ask here again.
  void move_to(cancellation& other, std::atomic<cancellation*>& seen) noexcept;

  void retain() noexcept { references_.retain(); }
  void release() noexcept {
    if (references_.release()) delete this;
  }

  /// The worker of a pool that the goroutine is; set before its first step.
  member* pool_member = nullptr;
  /// What the goroutine is of the operation that owns it, if one does.
  owned_goroutine* owned = nullptr;
  /// Those that such a goroutine waits for now.
  owned_goroutines* owns = nullptr;

 private:
  struct single_wait : cancellable {
    waiter* w = nullptr;
    const waiter_functions* functions = nullptr;
  };
  SLUICE_DECL static bool cancel_single(cancellable& wait, asio::cancellation_type,
                                        waiter::state outcome, ready_list&) noexcept;

  byte_lock lock_;
  goroutine* goroutine_;
  single_wait single_{{&cancel_single}};
  cancellable* wait_ = nullptr;
  asio::cancellation_type requested_ = asio::cancellation_type::none;
  asio::cancellation_type filter_ = asio::cancellation_type::terminal;
  waiter::state outcome_ = waiter::state::waiting;
  waiter::state context_outcome_ = waiter::state::waiting;
  bool throws_ = false;
  reference_count<> references_{1};
  std::shared_ptr<void> source_;
  /// Requests go through it to the slot, once there is one.
  std::shared_ptr<emission> told_;
};

using cancellation_ref = ref<cancellation>;

}  // namespace detail

}  // namespace sluice
