// SPDX-License-Identifier: BSL-1.0
// One wait of one waker in one wait queue, the lists of those who wait, and the five functions by
// which every kind of operation is waited for. All that changes a waiter between its enlisting and
// its waking happens under the lock of its queue.
#pragma once

#include <sluice/detail/base/assert.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/pin_count.hpp>
#include <sluice/detail/base/queue_lock.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/scheduler/wait_reason.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/error.hpp>

#include <atomic>
#include <cstdint>
#include <exception>

namespace sluice::detail {

struct parked_handler;

/// The claim that the cases of one select share: the first to win it is the case that happens.
class selection {
 public:
  static constexpr std::uint32_t none = 0xffff'ffff;
  /// The index that is claimed for a select that ends as a whole.
  static constexpr std::uint32_t cancelled = none - 1;

  using function = void(selection&) noexcept;

  /// @param f Ends the select, before one of its cases is destroyed.
  explicit selection(function* f) noexcept : forget(f) {}

  function* const forget;

  /// Wins the claim for a case, once. Called under the lock of that case's wait queue.
  bool claim(std::uint32_t index) noexcept {
    SLUICE_ASSERT(index != none, "whoever claims a select says for which of its cases");
    auto expected = none;
    return winner_.compare_exchange_strong(expected, index, std::memory_order_acq_rel,
                                           std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint32_t winner() const noexcept {
    return winner_.load(std::memory_order_acquire);
  }

  /// The thread that registered the cases and the one that completed one meet here; the second to
  /// arrive goes on, so nothing is resumed while its cases are still being registered.
  [[nodiscard]] bool arrive_second() noexcept {
    return arrived_.exchange(true, std::memory_order_acq_rel);
  }

  /// How many of its cases may still happen, if that is of interest: set before a case is seen.
  void count_hopes(std::uint32_t n) noexcept { hopes_.store(n, std::memory_order_relaxed); }
  /// One of them never will. @return Whether it was the last.
  [[nodiscard]] bool loses_last_hope() noexcept {
    return hopes_.load(std::memory_order_relaxed) != 0 &&
           hopes_.fetch_sub(1, std::memory_order_relaxed) == 1;
  }

 private:
  std::atomic<std::uint32_t> winner_{none};
  std::atomic<bool> arrived_{false};
  std::atomic<std::uint32_t> hopes_{0};
};

/// What a look without locks says about an operation that may be a case of a select.
enum class readiness : std::uint8_t {
  not_ready,
  at_once,  ///< `try_now` does it, unless somebody else comes first
  unknown,  ///< to be asked under its lock
};

/// The links of a waiter in its queue.
struct waiter_link {
  published<waiter_link*> next = nullptr;
  waiter_link* previous;  // set with `next`
};

/// One wait of one waker in one wait queue. It lives in the operation that waits.
struct waiter : waiter_link {
  enum class state : std::uint8_t {
    idle,       ///< not started, or withdrawn
    waiting,    ///< enlisted
    done,       ///< it has happened
    closed,     ///< the channel is closed
    failed,     ///< moving the element threw
    aborted,    ///< cancelled; nothing has happened
    timed_out,  ///< cancelled because a deadline has passed; nothing has happened
  };

  ~waiter() {
    SLUICE_ASSERT(!linked(), "an operation ends when its waiter has left its wait queue");
  }

  [[nodiscard]] bool linked() const noexcept { return next != nullptr; }

  /// Prepares it for a wait of `p` alone.
  void begin(waker& p) noexcept {
    SLUICE_ASSERT(!linked(), "a wait begins when its waiter is in no list");
    who = &p;
    shared_claim = nullptr;
    outcome = state::waiting;
  }

  waker* who = nullptr;
  // Set where a wait begins, and not before: many operations need no wait.
  selection* shared_claim;
  void* element_address;  ///< of a channel: what is sent, or where it is received
  std::uint32_t index;
  pin_count::epoch pinned;  ///< of whoever has claimed it, if he needs a pin
  // Last: what is derived from it has its flags behind this one, and sets them with it.
  state outcome = state::idle;
};

/// The error of a wait that has ended; none if it is done.
[[nodiscard]] SLUICE_DECL error_code outcome_error(waiter::state outcome) noexcept;
/// Throws that error, with the name of what was waited for.
[[noreturn]] SLUICE_DECL void throw_wait_error(waiter::state outcome, wait_reason reason);

/// A first-in, first-out list of waiters with removal from the middle in constant time.
class waiter_list {
 public:
  waiter_list() noexcept { root_.next = root_.previous = &root_; }
  waiter_list(const waiter_list&) = delete;
  waiter_list& operator=(const waiter_list&) = delete;
  ~waiter_list() { SLUICE_ASSERT(empty(), "a wait queue is destroyed when nobody waits there"); }

  /// May be asked without the lock, for a hint.
  [[nodiscard]] bool empty() const noexcept { return root_.next == &root_; }

  void push_back(waiter& w) noexcept { link(w, *root_.previous, root_); }
  void push_front(waiter& w) noexcept { link(w, root_, *root_.next); }

  /// The first waiter, or null.
  [[nodiscard]] waiter* front() const noexcept {
    return empty() ? nullptr : static_cast<waiter*>(root_.next.operator->());
  }

  waiter* pop_front() noexcept {
    waiter* const w = front();
    if (w) remove(*w);
    return w;
  }

  /// The waiter behind `w`, or null.
  [[nodiscard]] waiter* after(waiter& w) const noexcept {
    waiter_link* const next = w.next;
    return next == &root_ ? nullptr : static_cast<waiter*>(next);
  }

  /// @return False if it is in no list.
  static bool remove_if_linked(waiter& w) noexcept {
    if (!w.linked()) return false;
    remove(w);
    return true;
  }

  static void remove(waiter& w) noexcept {
    SLUICE_ASSERT(w.linked(), "a waiter that is taken out of a list is in one");
    SLUICE_ASSERT(w.previous->next == &w && w.next->previous == &w,
                  "the neighbours of a waiter in a list are linked with it");
    w.previous->next = w.next;
    w.next->previous = w.previous;
    w.next = nullptr;
  }

 private:
  static void link(waiter& w, waiter_link& before, waiter_link& after) noexcept {
    SLUICE_ASSERT(!w.linked(), "a waiter that is put into a list is in none");
    w.previous = &before;
    w.next = &after;
    before.next = &w;
    after.previous = &w;
  }

  waiter_link root_;
};

/// Claimed waiters, woken when it is destroyed: declare it before the guard of the lock.
/** So they are woken once no lock is held, also if an exception passes. */
class wake_list {
 public:
  wake_list() noexcept = default;
  wake_list(const wake_list&) = delete;
  wake_list& operator=(const wake_list&) = delete;
  ~wake_list() { wake_all(); }

  void add(waiter& w) noexcept {
    SLUICE_ASSERT(!w.linked(), "a waiter that is to be woken has left its wait queue");
    SLUICE_ASSERT(w.who, "a waiter that is to be woken belongs to a waker");
    SLUICE_ASSERT(w.shared_claim || w.outcome != waiter::state::waiting,
                  "a waiter that is to be woken alone has its outcome");
    w.previous = nullptr;
    if (head_)
      tail_->previous = &w;
    else
      head_ = &w;
    tail_ = &w;
  }

  void wake_all() noexcept {
    if (head_) wake_from_head();
  }

 private:
  SLUICE_DECL void wake_from_head() noexcept;

  waiter* head_ = nullptr;
  waiter* tail_;  // set with `head_`
};

/// What a kind of operation gives to `select`, to cancellation and to token calls.
/** A waker that was claimed is woken, whatever happens next: whoever claims puts it into a
 * `wake_list` that was declared before the lock's guard, and nowhere else. */
struct waiter_functions {
  /// What it waits on, for reports.
  wait_reason reason;
  /// The lock of its wait queue; null if it can never happen, as with a nil channel.
  queue_lock* (*lock)(waiter&) noexcept;
  /// Whether an attempt may succeed: without the lock a hint; a no under it is an answer.
  /** A yes is none, because others of its queue may have been decided elsewhere. */
  bool (*ready)(const waiter&) noexcept;
  /// Under the lock: completes the waiter if it can, claiming and completing a partner that is to
  /// be woken after unlocking.
  bool (*attempt)(waiter&, wake_list&) noexcept;
  /// Under the lock: registers the waiter. If it throws the waiter is not registered.
  void (*enlist)(waiter&);
  /// Takes the lock and unregisters the waiter; false if it had been taken already. Called for
  /// every case of a select that was enlisted and does not happen, once.
  bool (*withdraw)(waiter&) noexcept;
};

/// How the wait of a handler has begun.
enum class begun : std::uint8_t {
  done,     ///< there is none: the operation has its outcome
  waits,    ///< whoever ends it calls the waker; it may be gone already
  refused,  ///< its context is ending: the caller takes it back and destroys it
};

/// Begins the wait of `p`, which is enlisted with its context as `h`.
/** Without an `h` it only does what needs no wait, and says `refused` if nothing does. With one the
 * waiter has its waker until its operation ends, also after its wait: who cancels it asks that. */
[[nodiscard]] SLUICE_DECL begun begin_handler_wait(waker& p, parked_handler* h, waiter& w,
                                                   const waiter_functions& f);
/// Ends it for whoever cancels it. @return Whether he is to call the waker.
[[nodiscard]] SLUICE_DECL bool end_handler_wait(waiter& w, const waiter_functions& f) noexcept;

/// Ends the wait of an operation that is destroyed before it was resumed: a case of a select ends
/// that as a whole.
SLUICE_DECL void forget_waiter(waiter& w, const waiter_functions& f) noexcept;

}  // namespace sluice::detail
