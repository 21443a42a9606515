// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/handler_arguments.hpp>
#include <sluice/detail/select/case_binding.hpp>
#include <sluice/detail/select/limited_wait.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/select/select_group.hpp>
#include <sluice/detail/time/timeout_operation.hpp>
#include <sluice/error.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/error.hpp>

#include <array>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What `timeout` returns of an Asio operation.
/** A goroutine waits for that operation alone, with a limit; a handler selects between it and a
 * timer. */
template <class Case>
  requires Case::is_asio
class timeout_operation<Case> : public select_with_token<timeout_operation<Case>> {
 public:
  using sluice_operation = void;
  using value_type = std::conditional_t<std::is_same_v<typename Case::value_type, std::monostate>,
                                        void, typename Case::value_type>;

  /// @param operation What the case is constructed from.
  template <class Source>
  timeout_operation(std::in_place_t, Source&& operation, clock::duration d)
      : case_(std::forward<Source>(operation)), longest_(d) {}
  timeout_operation(timeout_operation&& other)
      : case_(std::move(other.case_)), longest_(other.longest_) {}

  [[nodiscard]] static bool try_now(goroutine&) noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    case_.prepare();
    return wait_.start(h.promise().g->with_own_block(), case_, longest_);
  }
  value_type await_resume() { return static_cast<value_type>(take()); }

  /// Whether with a token it needs a goroutine behind it.
  static constexpr bool needs_goroutine = false;

  // For a handler.
  static constexpr bool often_ready = false;
  static constexpr bool needs_executor = true;
  [[nodiscard]] static bool done_for_handler() noexcept { return false; }
  /// @throws As `select_group::start_launching`.
  template <class Where>
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h, Where where) {
    return selecting_->start(case_, p, h, where);
  }
  [[nodiscard]] bool abandoned() const noexcept { return selecting_->wait.abandoned(); }
  [[nodiscard]] bool cancel_for_handler() noexcept { return selecting_->wait.cancel_for_handler(); }
  void woken_for_handler(bool leaves) noexcept { selecting_->wait.woken_for_handler(leaves); }
  void forget() noexcept {
    if (selecting_) selecting_->wait.forget();
  }
  static void end_for_handler() noexcept {}
  template <class D = timeout_operation>
  [[nodiscard]] typename token_signature<D>::arguments take_arguments() {
    if constexpr (!has_exceptions) return take_quietly<token_signature<D>>();
    SLUICE_TRY {
      if constexpr (std::is_void_v<value_type>) {
        static_cast<void>(take());
        return {};
      } else {
        return {typename token_signature<D>::failure(), take()};
      }
    }
    SLUICE_CATCH_ALL {
      return take_failure<token_signature<D>>();
    }
  }

  /// For the token form.
  [[nodiscard]] bool move_failed() const noexcept { return case_.move_failed(); }

  static constexpr bool gives_exceptions = Case::gives_exceptions;
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return case_.handler_dispatcher(); }
  /// A handler is to wait for it, which its slot may cancel before it begins.
  void keep() noexcept {
    case_.keep();
    selecting_.emplace(longest_);
  }

 private:
  static constexpr std::uint32_t the_operation = 0, the_timer = 1;

  /// What a handler waits with.
  struct selection_with_timer {
    explicit selection_with_timer(clock::duration d)
        : sleep(sleep_wait(d)), wait(select_wait::order::written, select_wait::purpose::timeout) {}

    template <class Where>
    [[nodiscard]] begun start(Case& c, waker& p, parked_handler& h, Where where) {
      SLUICE_TRY {
        select_entry* entry = entries.data();
        launched_case** launched = asio_cases.data();
        detail::bind_case(c, the_operation, entry, launched);
        detail::bind_case(sleep, the_timer, entry, launched);
      }
      SLUICE_CATCH_ALL {
        wait.fail();
        return begun::done;
      }
      if (wait.done_before_launch(p, entries, candidates, asio_cases,
                                  select_group::turn_of::sluice))
        return begun::done;
      return wait.start_launching(h, where());
    }
    [[nodiscard]] limited_wait::end finish() {
      if (wait.finish() == the_timer) return limited_wait::end::too_late;
      if constexpr (!has_exceptions)
        if (wait.failure_code()) return limited_wait::end::cancelled;
      if (wait.outcome() == waiter::state::timed_out) return limited_wait::end::context_deadline;
      return limited_wait::end::by_itself;
    }

    sluice_case<sleep_wait> sleep;
    std::array<select_entry, 1> entries;
    std::array<std::uint32_t, 1> candidates;
    std::array<launched_case*, 1> asio_cases;
    select_group wait;
  };

  // Its own limit and the deadline of a context that cancelled it say different things.
  typename Case::value_type take() {
    switch (selecting_ ? selecting_->finish() : wait_.finish()) {
      case limited_wait::end::too_late:
        return case_.take_after_timeout();
      case limited_wait::end::context_deadline:
        return case_.take_cancelled(error::deadline_exceeded);
      case limited_wait::end::cancelled:
        return case_.take_cancelled(asio::error::operation_aborted);
      case limited_wait::end::by_itself:
        break;
    }
    return case_.take();
  }

  // As `take`, where nothing is thrown.
  template <class Told>
  [[nodiscard]] typename Told::arguments take_quietly() {
    typename Told::arguments all{};
    error_code why;
    switch (selecting_->finish()) {
      case limited_wait::end::too_late:
        why = asio::error::timed_out;
        break;
      case limited_wait::end::context_deadline:
        why = error::deadline_exceeded;
        break;
      case limited_wait::end::cancelled:
        why = asio::error::operation_aborted;
        break;
      case limited_wait::end::by_itself:
        break;
    }
    if (why) case_.explain_cancelled(why);
    std::get<0>(all) = case_.failure_code();
    if constexpr (!std::is_void_v<value_type>) {
      if (std::get<0>(all))
        case_.take_beside_error(std::get<1>(all));
      else
        std::get<1>(all) = case_.take();
    }
    return all;
  }

  // For the exception that is being handled. What came beside an error is told; that it cannot be
  // moved is the failure then.
  template <class Told>
  [[nodiscard]] typename Told::arguments take_failure() {
    typename Told::arguments all{};
    this->note_failure(std::get<0>(all), *this);
    if constexpr (!std::is_void_v<value_type>) {
      SLUICE_TRY {
        case_.take_beside_error(std::get<1>(all));
      }
      SLUICE_CATCH_ALL {
        std::get<0>(all) = detail::failure_to_move<typename Told::failure>();
      }
    }
    return all;
  }

  Case case_;
  clock::duration longest_;
  limited_wait wait_;
  std::optional<selection_with_timer> selecting_;
};

}  // namespace sluice::detail
