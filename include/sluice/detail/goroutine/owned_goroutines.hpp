// SPDX-License-Identifier: BSL-1.0
// Goroutines that an operation owns: their blocks are a part of it.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/scheduler/scheduled_goroutine.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <atomic>
#include <cstddef>
#include <source_location>

namespace sluice::detail {

class owned_goroutines;

/// A goroutine that an operation owns, with room for its block and its cancellation.
/**
 * Of these nobody has a counted reference. When the goroutine does something for which there must
 * be one it goes on in a block of its own (`goroutine::with_own_block`), which this keeps. Whatever
 * it has been stays until its operation ends: who cancels, or looks at it, comes to it meanwhile.
 */
class owned_goroutine {
 public:
  owned_goroutine() noexcept {}
  owned_goroutine(const owned_goroutine&) = delete;
  owned_goroutine& operator=(const owned_goroutine&) = delete;

  [[nodiscard]] owned_goroutines& owner() const noexcept { return *owner_; }

 protected:
  ~owned_goroutine() {}

  /// Its root has ended: takes what that has ended with.
  virtual void collect(promise_base& root) noexcept = 0;

 private:
  friend goroutine;
  friend owned_goroutines;

  void move_to(goroutine& g) noexcept;
  void release() noexcept;
  [[nodiscard]] bool is_alive() const noexcept { return !g_->ended(); }

  owned_goroutines* owner_ = nullptr;
  owned_goroutine* elder_ = nullptr;
  goroutine* g_ = nullptr;
  std::atomic<cancellation*> cancel_ = nullptr;
  // Neither is destroyed: what has to be given back is with the block that it goes on in.
  union {
    goroutine block;
  };
  union {
    cancellation own_cancellation;
  };
};

/// Those that one operation owns.
/**
 * One thread at a time starts them; others may end, and cancel them, at the same time. Who cancels
 * is counted meanwhile as one of them, so that the operation stays. A goroutine that is started is
 * put into the list and then counted, by an exchange that tells whether they have been stopped; who
 * stops them does so by an exchange and then looks through the list: it is found, or not started.
 */
class owned_goroutines {
 public:
  owned_goroutines(const owned_goroutines&) = delete;
  owned_goroutines& operator=(const owned_goroutines&) = delete;

  /// The next goroutine of a tree that is owned by what `root` waits for, or by those that wait
  /// there: behind `at`, at first `root`; null behind the last.
  /** While nothing of them runs. */
  [[nodiscard]] static const goroutine* next_below(const goroutine& root,
                                                   const goroutine& at) noexcept;

 protected:
  owned_goroutines() noexcept = default;
  /// Destroys those that are left, each before its elder siblings and after what it owns.
  SLUICE_DECL ~owned_goroutines();

  /// They are waited for by `g`: those who cancel it, or destroy it, find them there.
  [[nodiscard]] waiter::state begin_in(goroutine& g, cancellable& wait) noexcept;
  /// It goes on.
  SLUICE_DECL void end_in(const goroutine& g) noexcept;

  /// Starts to count: who starts them is counted.
  void begin_counting() noexcept { count_.store(one, std::memory_order_relaxed); }
  /// What counts one of them.
  static constexpr std::size_t one = 2;

  /// Makes the goroutine of `o` with `root`, in its place; null if they have been stopped, or their
  /// context is ending. Takes over the frame.
  /** @param count What is added to the count if it is not null: `one`, or less if somebody who is
   * counted need not be any more. */
  [[nodiscard]] SLUICE_DECL goroutine* make(owned_goroutine& o, const dispatcher_ptr& where,
                                            promise_base& root, bool counts_as_work,
                                            std::source_location started_at,
                                            std::size_t count) noexcept;
  /// Makes `g`, which has a block of its own and has not begun, the goroutine of `o`.
  /** @return Whether it is to be started. */
  [[nodiscard]] bool adopt(owned_goroutine& o, goroutine& g);

  /// No more are started. @return Whether they still were.
  bool stop() noexcept {
    return (count_.fetch_or(stopped, std::memory_order_acq_rel) & stopped) == 0;
  }
  [[nodiscard]] bool is_stopped() const noexcept {
    return (count_.load(std::memory_order_acquire) & stopped) != 0;
  }
  /// Cancels those that have been started, for good. Once they have been stopped.
  void cancel_all(waiter::state reason) noexcept;

  /// One that has been counted, or who has, is not there any more; or several, each of whom counts
  /// as `one`. @return Whether nobody is left.
  [[nodiscard]] bool count_down(std::size_t count = one) noexcept {
    return (count_.fetch_sub(count, std::memory_order_acq_rel) & ~stopped) == count;
  }
  /// Counts this thread, unless nobody is left.
  [[nodiscard]] bool count_up_unless_over() noexcept;

  /// One of them has ended, and its frames are gone: it is to be counted down.
  virtual void one_has_ended() noexcept = 0;

 private:
  friend goroutine;
  friend owned_goroutine;

  static constexpr std::size_t stopped = 1;

  [[nodiscard]] bool add(owned_goroutine& o, std::size_t count) noexcept;
  void destroy_all() noexcept;
  [[nodiscard]] static const goroutine* first_alive(const owned_goroutine* o) noexcept;

  /// How many are under way, twice, and whether they have been stopped.
  std::atomic<std::size_t> count_{0};
  /// Who cancels may find one that is being added, and is not started then: it is whole.
  published<owned_goroutine*> youngest_ = nullptr;
  /// The one that waits for these, if it is owned itself: these are not registered then.
  owned_goroutine* waiting_ = nullptr;
  /// Some have a block of their own.
  relaxed<bool> has_own_blocks_ = false;
};

}  // namespace sluice::detail
