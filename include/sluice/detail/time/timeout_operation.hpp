// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/handler_arguments.hpp>
#include <sluice/detail/select/case_binding.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/select/select_token.hpp>
#include <sluice/detail/select/select_wait.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/error.hpp>

#include <array>
#include <coroutine>
#include <cstdint>
#include <tuple>
#include <type_traits>

namespace sluice::detail {

/// What `timeout` returns of an operation of this library: a select of that and a timer.
template <class Case>
class timeout_operation : public select_with_token<timeout_operation<Case>> {
 public:
  using sluice_operation = void;
  using value_type = std::conditional_t<std::is_same_v<typename Case::value_type, std::monostate>,
                                        void, typename Case::value_type>;

  timeout_operation(Case&& c, clock::duration d)
      : case_(std::move(c)),
        sleep_(sleep_wait(d)),
        wait_(select_wait::order::written, select_wait::purpose::timeout) {}
  timeout_operation(timeout_operation&& other)
      : case_(std::move(other.case_)),
        sleep_(std::move(other.sleep_)),
        wait_(select_wait::order::written, select_wait::purpose::timeout) {}

  [[nodiscard]] bool try_now(goroutine& g) noexcept {
    if constexpr (Case::can_be_looked_at)
      taken_at_once_ = !g.cancel && case_.look() == readiness::at_once &&
                       g.try_now([this] { return case_.try_now(); });
    return taken_at_once_;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    bind_cases();
    return wait_.start(*h.promise().g, entries_, candidates_);
  }
  value_type await_resume() { return static_cast<value_type>(take()); }

  /// Whether with a token it needs a goroutine behind it.
  static constexpr bool needs_goroutine = false;

  // For a handler.
  static constexpr bool often_ready = Case::can_be_looked_at;
  static constexpr bool needs_executor = true;
  [[nodiscard]] bool done_for_handler() noexcept {
    if constexpr (Case::can_be_looked_at)
      taken_at_once_ = case_.look() == readiness::at_once && case_.try_now();
    return taken_at_once_;
  }
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h) noexcept {
    if (done_for_handler()) return begun::done;
    SLUICE_TRY {
      bind_cases();
    }
    SLUICE_CATCH_ALL {
      wait_.fail();
      return begun::done;
    }
    return wait_.start_for_handler(p, h, entries_, candidates_);
  }
  [[nodiscard]] bool cancel_for_handler() noexcept { return wait_.cancel_for_handler(); }
  void woken_for_handler(bool leaves) noexcept { wait_.woken_for_handler(leaves); }
  void forget() noexcept { wait_.forget(); }
  static void end_for_handler() noexcept {}
  [[nodiscard]] typename Case::arguments take_arguments() {
    error_code e;
    SLUICE_TRY {
      if (!taken_at_once_) {
        if (wait_.finish() == the_timer)
          e = asio::error::timed_out;
        else if constexpr (!has_exceptions)
          e = wait_.failure_code();
      }
    }
    SLUICE_CATCH_ALL {
      this->note_failure(e, *this);
    }
    auto all = case_.take_arguments();
    if (e) std::get<0>(all) = e;
    return all;
  }

  /// For the token form.
  [[nodiscard]] bool move_failed() const noexcept { return case_.move_failed(); }

  static constexpr bool gives_exceptions = Case::gives_exceptions;
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return case_.handler_dispatcher(); }
  void keep() noexcept { case_.keep(); }

 private:
  typename Case::value_type take() {
    if (taken_at_once_) return case_.take();
    if (wait_.finish() == the_timer) return case_.take_after_timeout();
    if constexpr (!has_exceptions) wait_.throw_failure();
    return case_.take();
  }

  void bind_cases() {
    select_entry* entry = entries_.data();
    launched_case** none = nullptr;
    detail::bind_case(case_, the_operation, entry, none);
    detail::bind_case(sleep_, the_timer, entry, none);
  }

  static constexpr std::uint32_t the_operation = 0, the_timer = 1;

  bool taken_at_once_ = false;
  Case case_;
  sluice_case<sleep_wait> sleep_;
  std::array<select_entry, 2> entries_;
  std::array<std::uint32_t, 2> candidates_;
  select_wait wait_;
};

}  // namespace sluice::detail
