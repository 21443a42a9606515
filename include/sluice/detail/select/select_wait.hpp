// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/queue_lock.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/wait/waiter.hpp>

#include <boost/asio/cancellation_type.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

namespace sluice::detail {

/// A case of a select that is an operation of this library.
struct select_entry {
  waiter* w = nullptr;
  const waiter_functions* functions = nullptr;
  queue_lock* lock = nullptr;
};

/// The wait of a goroutine, or of a handler, for one of several operations of this library. It is
/// their claim.
/**
 * They are looked at under all their locks, taken in address order; if none is ready each gets a
 * waiter, and all share one claim. `select_group` is the same beside Asio operations.
 *
 * Source: selectgo in Go's runtime/select.go, for the order of locking.
 */
class select_wait : protected cancellable, public selection {
 public:
  enum class order : std::uint8_t { random, written };
  /// What it is the wait of.
  enum class purpose : std::uint8_t {
    select,
    select_with_otherwise,
    timeout,  ///< of one operation, whose completion is the result in any case, and a timer
  };

  static constexpr std::uint32_t none = selection::none;

  select_wait(order o, purpose p) noexcept : select_wait(o, p, &cancel, &forget_claimed) {}
  select_wait(const select_wait&) = delete;
  select_wait& operator=(const select_wait&) = delete;
  ~select_wait() {
    if (who_) forget();
  }

  /// It waits for a handler: it ends as cancelled once all its cases are of channels that have no
  /// handle any more. Before it starts.
  void wait_for_handler() noexcept { for_handler_ = true; }

  [[nodiscard]] bool is_for_handler() const noexcept { return for_handler_; }

  /// Begins to wait. `entries`, whose order changes, and `candidates` (as long as entries) live as
  /// long as the wait.
  /** @param none_looked_ready A look without locks has just found none ready.
   * @return True if the goroutine stays suspended. */
  [[nodiscard]] SLUICE_DECL bool start(goroutine& g, std::span<select_entry> entries,
                                       std::span<std::uint32_t> candidates,
                                       bool none_looked_ready = false);
  /// The same for a handler, enlisted with its context as `h`.
  [[nodiscard]] SLUICE_DECL begun start_for_handler(waker& p, parked_handler& h,
                                                    std::span<select_entry> entries,
                                                    std::span<std::uint32_t> candidates) noexcept;
  /// Cancels it. @return Whether the caller is to call the waker.
  [[nodiscard]] SLUICE_DECL bool cancel_for_handler() noexcept;
  /// Called by whoever calls the waker: what is destroyed from now on waits for nobody.
  /** @param leaves_scheduler The scheduler may end before the handler is called: the losers that
   * wait there are taken out. */
  SLUICE_DECL void woken_for_handler(bool leaves_scheduler) noexcept;
  /// It has ended before it began, because of the exception that is being handled.
  void fail() noexcept { failure_ = std::current_exception(); }

  /// Ends a wait before it has been resumed: nobody claims a case from now on, and whoever has
  /// claimed one before is done with it. Nothing if there is none, or has been done already.
  SLUICE_DECL void forget() noexcept;

  /// Ends the wait: the losing waiters leave no trace.
  /**
   * @return The index of the case that happened; `none` for `otherwise`.
   * @throws system_error if it was cancelled; what putting a case into its queue threw. Without
   * exceptions `failure_code` says it.
   */
  std::uint32_t finish() { return end(none); }
  /// Why none has happened, after `finish`.
  [[nodiscard]] error_code failure_code() const noexcept {
    return outcome_ != waiter::state::waiting && winner_ == none ? outcome_error(outcome_)
                                                                 : error_code();
  }
  void throw_failure() const {
    if (const error_code e = failure_code()) throw_error(e, "sluice: select");
  }

  /// How a wait that was cancelled as a whole has ended; `waiting` if it was not.
  [[nodiscard]] waiter::state outcome() const noexcept { return outcome_; }

 protected:
  static constexpr std::uint32_t cancelled = selection::cancelled;
  static constexpr std::uint32_t failed = none - 2;

  select_wait(order o, purpose p, decltype(cancellable::cancel) cancel_function,
              selection::function* forget_function) noexcept
      : cancellable{cancel_function}, selection(forget_function), order_(o), purpose_(p) {}

  /// The wait of a goroutine. @return False if it is cancelled already.
  [[nodiscard]] bool begin(goroutine& g, std::span<select_entry> entries,
                           std::span<std::uint32_t> candidates) noexcept;
  /// That of a handler.
  void begin(waker& p, std::span<select_entry> entries,
             std::span<std::uint32_t> candidates) noexcept;
  /// Prepares the waiters for a wait of which `p` is told.
  void bind(waker& p) noexcept;
  /// From now on cancelling the goroutine ends it. Under the lock of the goroutine's cancellation.
  /** @return False if the goroutine is cancelled already. */
  [[nodiscard]] SLUICE_DECL bool become_cancellable() noexcept;
  /// A case that looks ready.
  [[nodiscard]] std::uint32_t ready_case() noexcept;
  [[nodiscard]] bool try_hinted() noexcept;
  /// `asio_cases` is how many others there are, which may still happen.
  [[nodiscard]] begun attempt_or_enlist(wake_list& woken, parked_handler* h,
                                        std::size_t asio_cases) noexcept;
  /// Sees to it that nobody claims a case from now on, and that nobody who has is on the way here.
  void keep_others_off() noexcept;
  /// The losing waiters have left their queues when it returns.
  SLUICE_DECL void leave() noexcept;
  /// As `finish`, if `rescued` is a case that happened although all were cancelled.
  SLUICE_DECL std::uint32_t end(std::uint32_t rescued);
  /// Cancels it as a whole. @return Whether the caller has to see to it that it goes on.
  [[nodiscard]] bool cancel_all(waiter::state outcome) noexcept;
  /// The cancellation of the goroutine that waits; null without one, or for a handler.
  [[nodiscard]] cancellation* cancellation_of_goroutine() const noexcept;

  waker* who_ = nullptr;        ///< the goroutine or handler that waits; null before and after
  std::exception_ptr failure_;  ///< what launching or enlisting a case threw
  /// Held while a handler's cases are registered, so that its slot cancels before that or after.
  byte_lock slot_lock_;
  std::uint32_t winner_ = none;  ///< the case that happens; from the claim, once others may claim
  const order order_;
  const purpose purpose_;
  bool in_goroutine_ = false;  ///< it waits in one, which is `who_`
  bool shared_ = false;        ///< others may claim: the winner is in the claim
  /// How the select was cancelled as a whole; `waiting` if it was not.
  waiter::state outcome_ = waiter::state::waiting;

 private:
  class locks;

  SLUICE_DECL static bool cancel(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                                 ready_list& steps) noexcept;
  SLUICE_DECL static void forget_claimed(selection& claim) noexcept;

  /// The losing waiters leave their queues. @return False if one of them has been claimed.
  bool withdraw_losers() noexcept;
  [[nodiscard]] bool attempt_one(wake_list& woken) noexcept;
  [[nodiscard]] SLUICE_DECL bool attempt(const select_entry& e, wake_list& woken) noexcept;
  void shuffle_places() noexcept;
  [[nodiscard]] bool is_hopeless(std::size_t asio_cases) noexcept;

  /// The cases, in any order: that of their locks once these have been taken.
  std::span<select_entry> entries_;
  /// Room for the indices in `entries_` of those that look ready.
  std::span<std::uint32_t> candidates_;
  std::uint32_t enlisted_ = 0;  ///< how many entries are in their wait queues
  bool for_handler_ = false;
  bool woken_ = false;  ///< a handler has been: nobody else is on the way to it
};

// Inline: `select_group` does the same.

inline void select_wait::bind(waker& p) noexcept {
  for (auto& e : entries_) {
    e.w->begin(p);
    e.w->shared_claim = this;
    e.lock = e.functions->lock(*e.w);
  }
}

inline cancellation* select_wait::cancellation_of_goroutine() const noexcept {
  return in_goroutine_ ? static_cast<goroutine&>(*who_).cancel.get() : nullptr;
}

inline bool select_wait::begin(goroutine& g, std::span<select_entry> entries,
                               std::span<std::uint32_t> candidates) noexcept {
  who_ = &g;
  in_goroutine_ = true;
  g.waiting_on = wait_reason::select;
  entries_ = entries;
  candidates_ = candidates;
  if (g.cancel) {
    outcome_ = g.cancel->outcome();
    if (outcome_ != waiter::state::waiting) return false;
  }
  bind(g);
  return true;
}

inline void select_wait::begin(waker& p, std::span<select_entry> entries,
                               std::span<std::uint32_t> candidates) noexcept {
  who_ = &p;
  for_handler_ = true;
  entries_ = entries;
  candidates_ = candidates;
  bind(p);
}

}  // namespace sluice::detail
