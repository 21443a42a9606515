// The wait of a select, whatever its cases are.
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/target.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>

#include <boost/asio/cancellation_signal.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

namespace sluice::detail {

class select_wait;

/// A case of a select that is an operation of this library.
struct select_entry {
  waiter* w = nullptr;
  const waiter_functions* functions = nullptr;
  byte_lock* lock = nullptr;
};

/// A case of a select that is an Asio operation. After launch it is used on the strand only.
struct launched_case {
  explicit launched_case(void (*l)(launched_case&)) noexcept : launch(l) {}

  void (*launch)(launched_case&);
  select_wait* owner = nullptr;
  std::uint32_t index = 0;
  bool launched = false;
  bool dropped = false;  ///< its handler was destroyed inside the launch
  bool told_to_end = false;
  bool completed = false;
  bool succeeded = false;
  asio::cancellation_signal signal;
};

/// The wait of a goroutine, or of a handler, for one of several cases. It is their claim.
/**
 * Cases of this library are looked at under all their locks, taken in address order; if none is
 * ready each gets a waiter, and all share one claim. Asio operations are launched on the
 * goroutine's explicit strand when no other case is ready, as `make_parallel_group` does it: the
 * first to complete claims, the others are cancelled and awaited. The group itself cannot be used:
 * it knows nothing of our claim, and in Boost 1.81 it forwards a weak cancellation and then not its
 * own terminal one. For a handler they are launched on a strand over its executor, and belong to a
 * block without frames, which their handlers may outlive.
 *
 * Source: selectgo in Go's runtime/select.go, for the order of locking.
 */
class select_wait : private cancellable, public selection {
 public:
  enum class order : std::uint8_t { random, written };
  /// Which cases are tried first.
  enum class turn_of : std::uint8_t { nobody, ours, asio };

  static constexpr std::uint32_t none = selection::none;
  /// Whether ready cases of ours pass over the Asio cases of the goroutine's next select that has
  /// some, for certain.
  [[nodiscard]] static bool passes_over(const goroutine& g) noexcept { return g.passes < turn - 1; }

  /// @param for_timeout It waits for one operation, whose completion is the result in any case, and
  /// a timer.
  select_wait(order o, bool has_otherwise, bool for_timeout = false) noexcept
      : cancellable{&cancel},
        selection(&forget_claimed),
        order_(o),
        has_otherwise_(has_otherwise),
        for_timeout_(for_timeout) {}
  select_wait(const select_wait&) = delete;
  select_wait& operator=(const select_wait&) = delete;
  ~select_wait() {
    if (who_) forget();
  }

  /// It waits for a handler: it ends as cancelled once all its cases are of channels that have no
  /// handle any more. Before it starts.
  void wait_for_handler() noexcept { for_handler_ = true; }

  /// Begins to wait. `entries`, whose order changes, `candidates` (as long as entries) and
  /// `asio_cases` live as long as the wait.
  /** @return True if the goroutine stays suspended. */
  [[nodiscard]] bool start(goroutine& g, std::span<select_entry> entries,
                           std::span<std::uint32_t> candidates,
                           std::span<launched_case*> asio_cases);

  /// The same for a handler, enlisted with its context as `h`, without Asio cases.
  [[nodiscard]] begun start_for_handler(waker& p, parked_handler& h,
                                        std::span<select_entry> entries,
                                        std::span<std::uint32_t> candidates) noexcept;
  /// Chooses by chance which cases are tried first in the select of a handler: there is no
  /// goroutine that could count how often its selects have passed over their Asio cases.
  [[nodiscard]] static turn_of choose_turn() noexcept;
  /// With Asio cases: whether one of the others happens at once. If none does, `start_launching`
  /// follows.
  [[nodiscard]] bool done_before_launch(waker& p, std::span<select_entry> entries,
                                        std::span<std::uint32_t> candidates,
                                        std::span<launched_case*> asio_cases,
                                        turn_of first) noexcept;
  /// Enlists the handler with its context, and launches the Asio cases. They complete on a strand
  /// over `where`, none inside this call.
  /** @throws std::bad_alloc: the wait is to be destroyed, or to end with `fail`. */
  [[nodiscard]] begun start_launching(parked_handler& h, target_ptr where);
  /// Cancels it. @return Whether the caller is to call the waker.
  [[nodiscard]] bool cancel_for_handler() noexcept;
  /// Called by whoever calls the waker: what is destroyed from now on waits for nobody.
  /** @param leaves_scheduler The scheduler may end before the handler is called: the losers that
   * wait there are taken out. */
  void woken_for_handler(bool leaves_scheduler) noexcept;
  /// It has ended before it began, because of the exception that is being handled.
  void fail() noexcept { failure_ = std::current_exception(); }

  /// Ends a wait before it has been resumed: nobody claims a case from now on, and whoever has
  /// claimed one before is done with it. Nothing if there is none, or has been done already.
  void forget() noexcept;
  static void forget_claimed(selection& claim) noexcept;

  /// Ends the wait: the losing waiters leave no trace.
  /**
   * @return The index of the case that happened; `none` for `otherwise`.
   * @throws system_error if it was cancelled; what launching an Asio operation or putting a case
   * into its place threw.
   */
  std::uint32_t finish();

  /// On the strand: an Asio operation has completed, or its handler was destroyed.
  void asio_completed(launched_case& c);
  void asio_abandoned(launched_case& c);

  /// The goroutine that waits, or for a handler the block without frames: whose strand, and
  /// references, the Asio operations have.
  [[nodiscard]] goroutine& waiting_goroutine() const noexcept { return *goroutine_; }
  /// Whether an Asio operation has dropped its handler, as nobody but its context should.
  [[nodiscard]] bool abandoned() const noexcept { return abandoned_; }
  /// How a wait that was cancelled as a whole has ended; `waiting` if it was not.
  [[nodiscard]] waiter::state outcome() const noexcept { return outcome_; }

 private:
  /// Asio cases go first in every so manieth select of a goroutine that has some. A prime: of
  /// several selects that are used in turn each comes to it, unless there are a multiple of so
  /// many.
  static constexpr std::uint32_t turn = 31;

  static constexpr std::uint32_t cancelled = selection::cancelled;
  static constexpr std::uint32_t failed = none - 2;

  /// Who is woken instead of the goroutine while Asio operations are to be cancelled first.
  struct strand_waker : waker {
    select_wait* owner = nullptr;
  };

  class locks;

  static bool cancel(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                     ready_list& steps) noexcept;
  static void wake_on_strand(waker& p) noexcept;

  void leave() noexcept;
  void leave_strand() noexcept;
  void bind(waker& p) noexcept;
  [[nodiscard]] static bool asio_goes_first(const goroutine& g) noexcept;
  /// A select of the goroutine has passed over its Asio cases, or its Asio cases went first.
  static void count_pass(goroutine& g, bool asio_went_first) noexcept;
  [[nodiscard]] std::uint32_t ready_case() const noexcept;
  [[nodiscard]] bool try_hinted() noexcept;
  [[nodiscard]] bool attempt_one(wake_list& woken) noexcept;
  [[nodiscard]] bool attempt(const select_entry& e, wake_list& woken) noexcept;
  [[nodiscard]] bool start_plain();
  [[nodiscard]] ready_node& make_step(void (select_wait::*step)());
  void post_to_strand(void (select_wait::*step)());
  void post_claimed();
  void on_suspended();
  void on_launched();
  void shuffle_places() noexcept;
  void launch_all();
  /// @return False if this has gone meanwhile.
  [[nodiscard]] bool launch(launched_case& c);
  /// @return Whether `on_launched` follows.
  [[nodiscard]] bool give_event_loop_a_turn();
  /// @return Whether `on_claimed` is to follow.
  [[nodiscard]] bool register_entries();
  [[nodiscard]] begun attempt_or_enlist(wake_list& woken, parked_handler* h) noexcept;
  [[nodiscard]] bool is_hopeless() noexcept;
  void on_claimed();
  [[nodiscard]] std::exception_ptr cancel_asio_cases() noexcept;
  void go_on_if_finished();
  [[nodiscard]] bool withdraw_losers() noexcept;

  strand_waker strand_waker_{{&wake_on_strand, nullptr}};
  /// The cases of this library, in any order: that of their locks once these have been taken.
  std::span<select_entry> entries_;
  /// Room for the places in `entries_` of those that look ready.
  std::span<std::uint32_t> candidates_;
  /// The Asio cases.
  std::span<launched_case*> asio_cases_;
  waker* who_ = nullptr;  ///< the goroutine or handler that waits; null before and after
  goroutine* goroutine_;  // set with `who_`; null for a handler that launches nothing
  ready_node* claimed_step_ = nullptr;  ///< `on_claimed`, until it is queued on the strand
  launched_case* launching_ = nullptr;  ///< the Asio case whose launch is under way
  std::exception_ptr failure_;          ///< what launching or enlisting a case threw
  /// Held while a handler's cases are registered, so that its slot cancels before that or after.
  byte_lock slot_lock_;
  std::uint32_t winner_ = none;    ///< the case that happens; from the claim, once others may claim
  std::uint32_t rescued_ = none;   ///< an Asio case that succeeded though all were cancelled
  std::uint32_t outstanding_ = 0;  ///< how many Asio operations have not completed
  std::uint32_t enlisted_ = 0;     ///< how many entries are in their waiting places
  const order order_;
  const bool has_otherwise_;
  const bool for_timeout_;
  bool for_handler_ = false;
  bool in_goroutine_ = false;  ///< it waits in one, which is `who_`
  bool asio_first_ = false;    ///< it is the Asio cases' turn, ready cases of ours or not
  bool turn_used_ = false;     ///< and one of ours was ready
  bool shared_ = false;        ///< others may claim: the winner is in the claim
  bool registered_ = false;    ///< the entries have been looked at after the launch
  bool claim_seen_ = false;    ///< the strand knows that a case has been claimed
  bool busy_ = false;          ///< launching or cancelling: completions may come from inside
  bool asio_won_ = false;      ///< an Asio case has won the claim
  bool abandoned_ = false;     ///< an Asio operation has dropped its handler
  bool resumed_ = false;       ///< the strand has made the goroutine ready, or woken the handler
  bool woken_ = false;         ///< a handler has been: nobody else is on the way to it
  /// How the select was cancelled as a whole; `waiting` if it was not.
  waiter::state outcome_ = waiter::state::waiting;
};

}  // namespace sluice::detail
