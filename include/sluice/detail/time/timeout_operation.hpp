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
#include <optional>
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

  /// @param operation What the case is constructed from.
  template <class Source>
  timeout_operation(std::in_place_t, Source&& operation, clock::duration d)
      : case_(std::forward<Source>(operation)), longest_(d) {}
  timeout_operation(timeout_operation&& other)
      : case_(std::move(other.case_)), longest_(other.longest_) {}

  [[nodiscard]] bool try_now(goroutine& g) noexcept {
    if constexpr (Case::can_be_looked_at)
      taken_at_once_ = !g.cancel && case_.look() == readiness::at_once &&
                       g.try_now([this] { return case_.try_now(); });
    return taken_at_once_;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    if (room_) [[unlikely]]
      begin_anew();
    room& r = bind_cases();
    return r.wait.start(*h.promise().g, r.entries, r.candidates);
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
      room_->wait.fail();
      return begun::done;
    }
    return room_->wait.start_for_handler(p, h, room_->entries, room_->candidates);
  }
  [[nodiscard]] bool cancel_for_handler() noexcept {
    return room_ && room_->wait.cancel_for_handler();
  }
  void woken_for_handler(bool leaves) noexcept { room_->wait.woken_for_handler(leaves); }
  void forget() noexcept {
    if (room_) room_->wait.forget();
  }
  static void end_for_handler() noexcept {}
  [[nodiscard]] typename Case::arguments take_arguments() {
    error_code e;
    SLUICE_TRY {
      if (!taken_at_once_) {
        if (room_->wait.finish() == the_timer)
          e = asio::error::timed_out;
        else if constexpr (!has_exceptions)
          e = room_->wait.failure_code();
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
  /// A handler is to wait for it, which its slot may cancel before it begins.
  void keep() noexcept {
    case_.keep();
    make_room();
  }

 private:
  static constexpr std::uint32_t the_operation = 0, the_timer = 1;

  /// What it needs to wait.
  struct room {
    explicit room(clock::duration d) noexcept
        : sleep(sleep_wait(d)), wait(select_wait::order::written, select_wait::purpose::timeout) {}

    sluice_case<sleep_wait> sleep;
    std::array<select_entry, 2> entries;
    std::array<std::uint32_t, 2> candidates;
    select_wait wait;
  };

  typename Case::value_type take() {
    if (taken_at_once_) return case_.take();
    if (room_->wait.finish() == the_timer) return case_.take_after_timeout();
    if constexpr (!has_exceptions) room_->wait.throw_failure();
    return case_.take();
  }

  room& make_room() noexcept {
    if (!room_) room_.emplace(longest_);
    return *room_;
  }
  /// Forgets an earlier wait: a goroutine may await a timeout that it has named again.
  [[gnu::noinline, gnu::cold]] void begin_anew() noexcept { room_.reset(); }
  room& bind_cases() {
    room& r = make_room();
    select_entry* entry = r.entries.data();
    launched_case** none = nullptr;
    detail::bind_case(case_, the_operation, entry, none);
    detail::bind_case(r.sleep, the_timer, entry, none);
    return r;
  }

  bool taken_at_once_ = false;
  Case case_;
  clock::duration longest_;
  std::optional<room> room_;  ///< once it waits: many are ready
};

}  // namespace sluice::detail
