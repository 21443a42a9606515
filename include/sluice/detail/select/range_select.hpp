// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/select/case_binding.hpp>
#include <sluice/detail/select/range_select_wait.hpp>
#include <sluice/detail/select/select_token.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

// A select over a range of cases.

namespace sluice::detail {

/// The counterpart of `select_result` for a range of cases of one type.
template <class Case>
class range_select_result {
 public:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  /// Room for what the losers of that many cases hand back.
  using room = std::vector<lost_value<typename Case::lost_type>>;

  /// Which case happened, counted from 0.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  /// The value of the case that happened. @throws std::bad_optional_access if none did.
  [[nodiscard]] auto& get() { return value_.value().value; }
  [[nodiscard]] const auto& get() const { return value_.value().value; }
  /// What case `i`, a loser, did all the same or did not use; as of `select_result`.
  /** @throws std::out_of_range; what moving it out of the loser threw. */
  [[nodiscard]] auto& lost(std::size_t i) { return lost_.at(i).get(); }

  /// Used by `select`: throws, and is none as before, or has happened.
  void settle(std::vector<Case>& cases, std::size_t winner, room r) {
    value_.emplace(std::in_place, [&] { return cases[winner].take(); });
    lost_ = std::move(r);
    if constexpr (Case::has_lost)
      for (std::size_t i = 0; i < cases.size(); ++i)
        if (i != winner) lost_[i].take_from(cases[i]);
    index_ = winner;
  }

 private:
  std::size_t index_ = none;
  std::optional<returned<typename Case::value_type>> value_;
  room lost_;
};

/// Whether the operations of a range stay in it: those of this library in an lvalue.
template <class Range>
inline constexpr bool stays_in_range =
    std::is_lvalue_reference_v<Range> &&
    std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>> &&
    sluice_operation<std::ranges::range_reference_t<Range>>;

/// A select over a range of cases, known when it runs.
template <class Case>
class range_select_cases {
 public:
  static constexpr bool with_handlers = case_with_handler<Case>;
  static constexpr bool may_launch = [] {
    if constexpr (case_of_any_kind<Case>)
      return true;
    else
      return Case::is_asio;
  }();

  template <class Range>
  range_select_cases(select_wait::order order, Range&& range) : order_(order) {
    if constexpr (std::ranges::sized_range<Range>) cases_.reserve(std::ranges::size(range));
    for (auto&& element : range) {
      if constexpr (stays_in_range<Range>)
        cases_.emplace_back(detail::select_case_of(element));
      else
        cases_.emplace_back(detail::select_case_of(std::move(element)));
    }
  }
  range_select_cases(range_select_cases&&) noexcept = default;

  [[nodiscard]] bool start(goroutine& g) {
    bind_cases();
    return wait_.start(g);
  }

  /// Whether with a token it needs a goroutine behind it.
  static constexpr bool needs_goroutine = has_coroutine_handler<Case>;
  /// The same where only its cases know.
  [[nodiscard]] bool has_coroutines() const noexcept
    requires case_of_any_kind<Case>
  {
    return std::ranges::any_of(cases_, [](const Case& c) { return c.has_coroutine(); });
  }

  // For a handler.
  static constexpr bool needs_executor = true;
  /** @throws std::bad_alloc */
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h)
    requires(!may_launch)
  {
    if (!bind_or_fail()) return begun::done;
    return wait_.start_for_handler(p, h);
  }
  /** @throws std::bad_alloc; as `select_group::start_launching` */
  template <class Where>
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h, Where where)
    requires may_launch
  {
    if (!bind_or_fail()) return begun::done;
    if (!wait_.has_asio()) return wait_.start_for_handler(p, h);
    if (wait_.done_before_launch(p)) return begun::done;
    return wait_.start_launching(h, where());
  }
  [[nodiscard]] bool abandoned() const noexcept
    requires may_launch
  {
    return wait_.abandoned();
  }
  [[nodiscard]] bool cancel_for_handler() noexcept { return wait_.cancel_for_handler(); }
  void woken_for_handler(bool leaves) noexcept { wait_.woken_for_handler(leaves); }
  void forget() noexcept { wait_.forget(); }
  static void end_for_handler() noexcept {}

  [[nodiscard]] std::size_t finish() { return wait_.finish(); }

  [[nodiscard]] std::size_t finish_or_throw() {
    const std::size_t winner = finish();
    if constexpr (!has_exceptions)
      if (const error_code e = wait_.failure_code()) throw_error(e, "sluice: select");
    return winner;
  }
  /// What `finish` and `take_into` throw where there are exceptions.
  [[nodiscard]] error_code failure_code(std::size_t winner) {
    if (const error_code e = wait_.failure_code()) return e;
    if constexpr (requires(Case& c) { c.failure_code(); })
      return cases_[winner].failure_code();
    else
      return {};
  }

  void tell_losers(std::size_t winner) {
    if constexpr (with_handlers)
      for (std::size_t i = 0; i < cases_.size(); ++i)
        if (i != winner) cases_[i].lose();
  }

  [[nodiscard]] task<> handler_of(std::size_t winner) { return run_handler(cases_[winner]); }

  static constexpr bool gives_exceptions = Case::gives_exceptions;
  void keep() noexcept {
    for (auto& c : cases_) c.keep();
  }
  void wait_for_handler() { wait_.wait_for_handler(); }

  [[nodiscard]] std::vector<Case>& cases() noexcept { return cases_; }
  [[nodiscard]] bool move_failed() const noexcept {
    return std::ranges::any_of(cases_, [](const Case& c) { return c.move_failed(); });
  }

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    for (const auto& c : cases_)
      if (auto found = c.handler_dispatcher()) return found;
    return {};
  }

 private:
  void bind_cases() {
    wait_.begin_anew(cases_.size());
    std::uint32_t i = 0;
    for (auto& c : cases_) detail::bind_case(c, i++, wait_);
    wait_.prepare(order_);
  }
  // The value of a send may have gone, or `otherwise` stand where it cannot.
  [[nodiscard]] bool bind_or_fail() {
    SLUICE_TRY {
      bind_cases();
      return true;
    }
    SLUICE_CATCH(const std::logic_error& misused) {
      wait_.fail(order_);
      return false;
    }
  }

  static task<> run_handler(Case& c) {
    if constexpr (case_of_any_kind<Case>) {
      if (c.has_coroutine())
        co_await c.call_coroutine();
      else
        c.call();
    } else if constexpr (has_coroutine_handler<Case>) {
      co_await c.call();
    } else {
      static_cast<void>(c.call());
    }
    co_return;
  }

  select_wait::order order_;
  std::vector<Case> cases_;
  range_select_wait wait_;
};

/// What `select` of a range returns.
template <class Case>
class range_select_operation : public range_select_cases<Case>,
                               public select_with_token<range_select_operation<Case>> {
 public:
  using sluice_operation = void;
  using value_type = range_select_result<Case>;
  using range_select_cases<Case>::range_select_cases;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    make_room();
    return this->start(*h.promise().g);
  }
  value_type await_resume() {
    value_type v{};
    take_into(v, this->finish_or_throw());
    return v;
  }

  template <class... Where>
  [[nodiscard]] auto begin_for_handler(waker& p, parked_handler& h, Where... where)
      -> decltype(range_select_cases<Case>::begin_for_handler(p, h, where...)) {
    make_room();
    return range_select_cases<Case>::begin_for_handler(p, h, where...);
  }
  void take_into(value_type& v, std::size_t winner) {
    v.settle(this->cases(), winner, std::move(room_));
  }

 private:
  void make_room() {
    if constexpr (Case::has_lost) room_.resize(this->cases().size());
  }

  // Allocated before the wait: a failure after it would lose what has happened.
  typename value_type::room room_;
};

template <class Case>
  requires case_with_handler<Case>
class range_select_operation<Case> : public range_select_cases<Case>,
                                     public select_with_token<range_select_operation<Case>> {
 public:
  using value_type = std::size_t;
  using range_select_cases<Case>::range_select_cases;

  /// What `co_await` awaits.
  [[nodiscard]] task<std::size_t> into_task() && { return detail::run_select(std::move(*this)); }

  void take_into(std::size_t& index, std::size_t winner)
    requires(!range_select_cases<Case>::needs_goroutine)
  {
    this->tell_losers(winner);
    static_cast<void>(this->cases()[winner].call());
    index = winner;
  }
};

template <class Range>
using range_case_argument =
    std::conditional_t<stays_in_range<Range>, std::ranges::range_reference_t<Range>,
                       std::ranges::range_value_t<Range>>;

template <class Range>
using range_case = typename select_argument<range_case_argument<Range>>::type;

}  // namespace sluice::detail
