// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/select/select_wait.hpp>

#include <boost/asio/cancellation_signal.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>

namespace sluice::detail {

struct launched_case;

/// The wait that has launched an Asio operation, and is told of its end.
class launching_wait {
 public:
  /// On the strand: an Asio operation has completed, or its handler was destroyed.
  virtual void asio_completed(launched_case& c) = 0;
  virtual void asio_abandoned(launched_case& c) = 0;

 protected:
  ~launching_wait() = default;
};

/// A case of a select that is an Asio operation. After launch it is used on the strand only.
struct launched_case {
  using launch_function = void(launched_case&, asio::cancellation_slot);

  explicit launched_case(launch_function* l) noexcept : launch(l) {}

  /// Forgets an earlier wait.
  void begin_anew() noexcept { launched = dropped = told_to_end = completed = succeeded = false; }

  launch_function* launch;
  launching_wait* owner = nullptr;
  /// The goroutine that waits, or for a handler the block without frames: whose strand, and
  /// references, the Asio operation has.
  goroutine* waiting = nullptr;
  std::uint32_t index = 0;
  bool launched = false;
  bool dropped = false;  ///< its handler was destroyed inside the launch
  bool told_to_end = false;
  bool completed = false;
  bool succeeded = false;
  asio::cancellation_signal signal;
};

/// The wait of a select that has Asio operations among its cases.
/**
 * They are launched on the goroutine's explicit strand when no other case is ready, as
 * `make_parallel_group` does it: the first to complete claims, the others are cancelled and
 * awaited. The group itself cannot be used: it knows nothing of our claim, and in Boost 1.81 it
 * forwards a weak cancellation and then not its own terminal one. For a handler they are launched
 * on a strand over its executor, and belong to a block without frames, which their handlers may
 * outlive.
 */
class SLUICE_DECL select_group final : public select_wait, public launching_wait {
 public:
  /// Which cases are tried first.
  enum class turn_of : std::uint8_t { nobody, sluice, asio };

  select_group(order o, purpose p) noexcept : select_wait(o, p, &cancel, &forget_claimed) {}
  ~select_group() {
    if (who_) forget();
  }

  /// Whether ready cases of ours pass over the Asio cases of the goroutine's next select that has
  /// some, for certain.
  [[nodiscard]] static bool passes_over(const goroutine& g) noexcept {
    return g.asio_passed_over < turn - 1;
  }
  /// Chooses by chance which cases are tried first in the select of a handler: there is no
  /// goroutine that could count how often its selects have passed over their Asio cases.
  [[nodiscard]] SLUICE_DECL static turn_of choose_turn() noexcept;

  /// As that of `select_wait`; `asio_cases` live as long as the wait.
  [[nodiscard]] SLUICE_DECL bool start(goroutine& waiting, std::span<select_entry> entries,
                                       std::span<std::uint32_t> candidates,
                                       std::span<launched_case*> asio_cases);
  /// For a handler: whether one of the other cases happens at once. If none does,
  /// `start_launching` follows.
  [[nodiscard]] SLUICE_DECL bool done_before_launch(waker& p, std::span<select_entry> entries,
                                                    std::span<std::uint32_t> candidates,
                                                    std::span<launched_case*> asio_cases,
                                                    turn_of first) noexcept;
  /// Enlists the handler with its context, and launches the Asio cases. They complete on a strand
  /// over `where`, none inside this call.
  /** @throws std::bad_alloc: the wait is to be destroyed, or to end with `fail`. */
  [[nodiscard]] SLUICE_DECL begun start_launching(parked_handler& h, dispatcher_ptr where);

  // These do what those of `select_wait` do.
  [[nodiscard]] SLUICE_DECL bool cancel_for_handler() noexcept;
  SLUICE_DECL void forget() noexcept;
  /** @throws What that of `select_wait` throws, and what launching an Asio operation threw. */
  SLUICE_DECL std::uint32_t finish();

  SLUICE_DECL void asio_completed(launched_case& c) override;
  SLUICE_DECL void asio_abandoned(launched_case& c) override;
  /// Whether an Asio operation has dropped its handler, as nobody but its context should.
  [[nodiscard]] bool abandoned() const noexcept { return abandoned_; }

 private:
  [[nodiscard]] goroutine& waiting_goroutine() const noexcept { return *goroutine_; }

  /// Asio cases go first in every so manieth select of a goroutine that has some. A prime: of
  /// several selects that are used in turn each comes to it, unless there are a multiple of so
  /// many.
  static constexpr std::uint32_t turn = 31;

  /// Who is woken instead of the goroutine while Asio operations are to be cancelled first.
  struct strand_waker : waker {
    select_group* owner = nullptr;
  };

  SLUICE_DECL static bool cancel(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                                 ready_list& steps) noexcept;
  SLUICE_DECL static void forget_claimed(selection& claim) noexcept;
  SLUICE_DECL static void wake_on_strand(waker& p) noexcept;

  void leave_strand() noexcept;
  void bind_to_strand() noexcept;
  [[nodiscard]] static bool asio_goes_first(const goroutine& g) noexcept;
  /// A select of the goroutine has passed over its Asio cases, or its Asio cases went first.
  SLUICE_DECL static void count_pass(goroutine& g, bool asio_went_first) noexcept;
  [[nodiscard]] ready_node& make_step(void (select_group::*step)());
  void post_to_strand(void (select_group::*step)());
  void post_claimed();
  void on_suspended();
  void on_launched();
  void launch_all();
  /// @return False if this has gone meanwhile.
  [[nodiscard]] SLUICE_DECL bool launch(launched_case& c);
  /// @return Whether `on_launched` follows.
  [[nodiscard]] bool give_event_loop_a_turn();
  /// @return Whether `on_claimed` is to follow.
  [[nodiscard]] bool register_entries();
  void on_claimed();
  [[nodiscard]] std::exception_ptr cancel_asio_cases() noexcept;
  void go_on_if_finished();

  strand_waker strand_waker_{{&wake_on_strand, nullptr}};
  std::span<launched_case*> asio_cases_;
  goroutine* goroutine_ = nullptr;      ///< that of the cases, once there is one
  ready_node* claimed_step_ = nullptr;  ///< `on_claimed`, until it is queued on the strand
  launched_case* launching_ = nullptr;  ///< the Asio case whose launch is under way
  std::uint32_t rescued_ = none;        ///< an Asio case that succeeded though all were cancelled
  std::uint32_t outstanding_ = 0;       ///< how many Asio operations have not completed
  bool asio_first_ = false;             ///< it is the Asio cases' turn, ready cases of ours or not
  bool turn_used_ = false;              ///< and one of ours was ready
  bool registered_ = false;             ///< the entries have been looked at after the launch
  bool claim_seen_ = false;             ///< the strand knows that a case has been claimed
  bool busy_ = false;       ///< launching or cancelling: completions may come from inside
  bool asio_won_ = false;   ///< an Asio case has won the claim
  bool abandoned_ = false;  ///< an Asio operation has dropped its handler
  bool resumed_ = false;    ///< the strand has made the goroutine ready, or woken the handler
};

}  // namespace sluice::detail
