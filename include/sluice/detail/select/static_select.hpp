// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/select/case_binding.hpp>
#include <sluice/detail/select/select_group.hpp>
#include <sluice/detail/select/select_token.hpp>
#include <sluice/detail/select/select_wait.hpp>

#include <algorithm>
#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

// A select whose cases stand in its call.

namespace sluice {

template <class... Cases>
class select_result;

}  // namespace sluice

namespace sluice::detail {

/// A select whose cases are known when it is compiled.
template <class... Cases>
class select_cases {
 public:
  static constexpr std::size_t count = sizeof...(Cases);
  static constexpr std::size_t asio_count = (std::size_t{0} + ... + (Cases::is_asio ? 1U : 0U));
  static constexpr std::size_t otherwise_count =
      (std::size_t{0} + ... + (case_of_otherwise<Cases> ? 1U : 0U));
  static constexpr std::size_t sluice_count = count - asio_count - otherwise_count;
  static constexpr bool with_handlers = (case_with_handler<Cases> || ...);
  static constexpr bool with_coroutines = (has_coroutine_handler<Cases> || ...);

  static_assert(otherwise_count <= 1, "a select has at most one otherwise");
  static_assert(
      otherwise_count == 0 || asio_count == 0,
      "whether an Asio operation is ready is known only by launching it, so it cannot stand "
      "beside otherwise");

  template <class... Arguments>
  select_cases(select_wait::order order, std::in_place_t, Arguments&&... arguments)
      : order_(order), cases_(std::forward<Arguments>(arguments)...) {}
  select_cases(select_cases&& other)
      : order_(other.order_), turn_(other.turn_), cases_(std::move(other.cases_)) {}

  [[nodiscard]] bool try_now(goroutine& g) noexcept {
    if constexpr ((Cases::can_be_looked_at && ...))
      return !g.cancel && (asio_count == 0 || select_group::passes_over(g)) &&
             g.try_now([&] { return try_now(); }) && count_pass(g);
    else
      return false;
  }

  [[nodiscard]] bool start(goroutine& g) {
    if (room_) [[unlikely]]
      begin_anew();
    taken_at_once_ = select_wait::none;
    room& r = bind_cases();
    if constexpr (asio_count != 0)
      return r.wait.start(g, r.entries, r.candidates, r.asio_cases);
    else
      return r.wait.start(g, r.entries, r.candidates, none_looked_ready_);
  }

  /// Whether with a token it needs a goroutine behind it.
  static constexpr bool needs_goroutine = with_coroutines;

  // For a handler.
  // A result that g++ 12 can see to the end of: of others it warns when they are moved.
  static constexpr bool often_ready = [] {
    if constexpr (!with_handlers && (Cases::can_be_looked_at && ...))
      return std::is_trivially_destructible_v<select_result<Cases...>>;
    else
      return false;
  }();
  static constexpr bool needs_executor = true;
  [[nodiscard]] bool done_for_handler() noexcept {
    if constexpr (asio_count != 0)
      if (turn_ == select_group::turn_of::nobody) turn_ = select_group::choose_turn();
    if constexpr ((Cases::can_be_looked_at && ...))
      return turn_ != select_group::turn_of::asio && try_now();
    else
      return false;
  }
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h) noexcept
    requires(asio_count == 0)
  {
    if (done_for_handler() || !bind_or_fail()) return begun::done;
    return room_->wait.start_for_handler(p, h, room_->entries, room_->candidates);
  }
  /// @throws As `select_group::start_launching`.
  template <class Where>
  [[nodiscard]] begun begin_for_handler(waker& p, parked_handler& h, Where where)
    requires(asio_count != 0)
  {
    if (done_for_handler() || !bind_or_fail() ||
        room_->wait.done_before_launch(p, room_->entries, room_->candidates, room_->asio_cases,
                                       turn_))
      return begun::done;
    return room_->wait.start_launching(h, where());
  }
  [[nodiscard]] bool abandoned() const noexcept
    requires(asio_count != 0)
  {
    return room_ && room_->wait.abandoned();
  }
  [[nodiscard]] bool cancel_for_handler() noexcept {
    return room_ && room_->wait.cancel_for_handler();
  }
  void woken_for_handler(bool leaves) noexcept { room_->wait.woken_for_handler(leaves); }
  void forget() noexcept {
    if (room_) room_->wait.forget();
  }
  static void end_for_handler() noexcept {}

  /// The index of the case that happened.
  [[nodiscard]] std::size_t finish() {
    if (taken_at_once_ != select_wait::none) return taken_at_once_;
    const auto winner = room_->wait.finish();
    return winner == select_wait::none ? index_of_otherwise() : winner;
  }

  /// The same, and throws why there is none; that `finish` does not without exceptions.
  [[nodiscard]] std::size_t finish_or_throw() {
    const std::size_t winner = finish();
    if constexpr (!has_exceptions)
      if (taken_at_once_ == select_wait::none) room_->wait.throw_failure();
    return winner;
  }
  /// What `finish` and `take_into` throw where there are exceptions.
  [[nodiscard]] error_code failure_code(std::size_t winner) {
    if (taken_at_once_ == select_wait::none)
      if (const error_code e = room_->wait.failure_code()) return e;
    error_code e;
    for_each([&](auto& c, std::size_t i) {
      if (i == winner) e = c.failure_code();
    });
    return e;
  }

  /// Tells the losers, then the handler of the winner.
  void call_handlers(std::size_t winner) {
    tell_losers(winner);
    for_each([&](auto& c, std::size_t i) {
      if (i == winner) {
        if constexpr (case_with_handler<decltype(c)>)
          static_cast<void>(c.call());
        else
          static_cast<void>(c.take());
      }
    });
  }

  void tell_losers(std::size_t winner) {
    for_each([&](auto& c, std::size_t i) {
      if constexpr (case_with_handler<decltype(c)>)
        if (i != winner) c.lose();
    });
  }

  template <std::size_t I>
  static task<> run_handler(select_cases& self) {
    auto& c = std::get<I>(self.cases_);
    if constexpr (has_coroutine_handler<std::remove_cvref_t<decltype(c)>>)
      co_await c.call();
    else if constexpr (case_with_handler<decltype(c)>)
      static_cast<void>(c.call());
    else
      static_cast<void>(c.take());
    co_return;
  }

  [[nodiscard]] task<> handler_of(std::size_t winner) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      using function = task<> (*)(select_cases&);
      static constexpr function table[] = {&run_handler<I>...};
      return table[winner](*this);
    }(std::index_sequence_for<Cases...>());
  }

  [[nodiscard]] select_result<Cases...> result(std::size_t winner)
    requires(!with_handlers)
  {
    select_result<Cases...> r;
    take_into(r, winner);
    return r;
  }
  /// Gives what has happened to a result that says "none", or throws and has not.
  void take_into(select_result<Cases...>& r, std::size_t winner)
    requires(!with_handlers)
  {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (r.template settle<I>(std::get<I>(cases_), winner), ...);
    }(std::index_sequence_for<Cases...>());
    r.set_index(winner);
  }
  /// Calls the handlers, and gives the index.
  void take_into(std::size_t& index, std::size_t winner)
    requires with_handlers
  {
    call_handlers(winner);
    index = winner;
  }

  static constexpr bool gives_exceptions = (Cases::gives_exceptions || ...);
  /// A handler is to wait for it, which its slot may cancel before it begins.
  void keep() noexcept {
    std::apply([](auto&... c) { (c.keep(), ...); }, cases_);
    make_room();
  }
  void wait_for_handler() noexcept { make_room().wait.wait_for_handler(); }

  /// Whether the value of a case could not be moved.
  [[nodiscard]] bool move_failed() const noexcept {
    return std::apply([](const auto&... c) { return (c.move_failed() || ...); }, cases_);
  }

  /// An executor of one of the cases, for handlers without their own.
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return first_dispatcher<0>(); }

 private:
  template <std::size_t I>
  [[nodiscard]] pinned_dispatcher first_dispatcher() const {
    if constexpr (I == sizeof...(Cases)) {
      return {};
    } else {
      pinned_dispatcher found = std::get<I>(cases_).handler_dispatcher();
      if (!found) return first_dispatcher<I + 1>();
      return found;
    }
  }

  /// What it needs to wait.
  struct room {
    explicit room(select_wait::order o) noexcept : wait(o, purpose) {}

    std::array<select_entry, sluice_count> entries;
    std::array<std::uint32_t, sluice_count> candidates;
    std::array<launched_case*, asio_count> asio_cases;
    std::conditional_t<asio_count != 0, select_group, select_wait> wait;
  };

  room& make_room() noexcept {
    if (!room_) room_.emplace(order_);
    return *room_;
  }
  /// Forgets an earlier wait: a goroutine may await a select that it has named again.
  // A handler's is begun once, in room that says whose it is.
  [[gnu::noinline, gnu::cold]] void begin_anew() noexcept {
    if (!room_->wait.is_for_handler()) room_.reset();
  }
  room& bind_cases() {
    room& r = make_room();
    select_entry* entry = r.entries.data();
    launched_case** asio_cases = r.asio_cases.data();
    std::uint32_t index = 0;
    std::apply([&](auto&... c) { (detail::bind_case(c, index++, entry, asio_cases), ...); },
               cases_);
    return r;
  }
  [[nodiscard]] bool bind_or_fail() noexcept {
    SLUICE_TRY {
      bind_cases();
      return true;
    }
    SLUICE_CATCH_ALL {
      room_->wait.fail();
      return false;
    }
  }

  /// Does one of the cases that can be done at once, each with the same probability or the first as
  /// written, if a look without locks says which can.
  // Not in every coroutine that selects: their bodies run faster so.
  [[nodiscard, gnu::noinline]] bool try_now() noexcept {
    std::array<bool, count> at_once{};
    std::uint32_t ready = 0;
    std::uint32_t own = 0;
    bool sure = true;
    for_each([&](const auto& c, std::size_t i) {
      using case_type = std::remove_cvref_t<decltype(c)>;
      if constexpr (!case_type::is_asio && !case_of_otherwise<case_type>) ++own;
      const readiness seen = c.look();
      sure &= seen != readiness::unknown;
      if (seen != readiness::at_once) return;
      at_once[i] = true;
      // That none written before the first is ready takes the locks to say.
      if (++ready == 1 && order_ == select_wait::order::written) sure &= own == 1;
    });
    if (!sure) return false;
    none_looked_ready_ = ready == 0;
    if (ready == 0) {
      if (!none_is_ready()) return false;
      taken_at_once_ = index_of_otherwise();
      return true;
    }
    const bool by_chance = order_ == select_wait::order::random && ready != 1;
    std::uint32_t others_before = by_chance ? scheduler::choose(ready) : 0;
    bool done = false;
    for_each([&](auto& c, std::size_t i) {
      if (!at_once[i] || others_before-- != 0) return;
      done = c.try_now();
      if (done) taken_at_once_ = static_cast<std::uint32_t>(i);
    });
    return done;
  }

  static bool count_pass([[maybe_unused]] goroutine& g) noexcept {
    if constexpr (asio_count != 0) ++g.asio_passed_over;
    return true;
  }

  /// Whether `otherwise` is to be taken, of what looked so: one look tells for one case only.
  [[nodiscard]] bool none_is_ready() noexcept {
    if constexpr (otherwise_count == 0 || sluice_count != 1) {
      return false;
    } else {
      fence_before_look();
      bool none = true;
      for_each([&](const auto& c, std::size_t) { none &= c.look() == readiness::not_ready; });
      return none;
    }
  }

  template <class F>
  void for_each(F f) {
    std::size_t i = 0;
    std::apply([&](auto&... c) { (f(c, i++), ...); }, cases_);
  }

  static constexpr std::uint32_t index_of_otherwise() noexcept {
    std::uint32_t i = 0;
    static_cast<void>(((case_of_otherwise<Cases> ? true : (++i, false)) || ...));
    return i;
  }

  static constexpr auto purpose = otherwise_count != 0 ? select_wait::purpose::select_with_otherwise
                                                       : select_wait::purpose::select;

  const select_wait::order order_;
  select_group::turn_of turn_ =
      select_group::turn_of::nobody;  ///< for a handler, once it is chosen
  bool none_looked_ready_ = false;
  std::uint32_t taken_at_once_ = select_wait::none;
  std::tuple<Cases...> cases_;
  std::optional<room> room_;  ///< once it waits: many find a case that is ready
};

/// A select without handlers, or whose handlers are plain functions.
template <class... Cases>
class select_operation : public select_cases<Cases...>,
                         public select_with_token<select_operation<Cases...>> {
  using base = select_cases<Cases...>;

  static auto type_of_value() {
    if constexpr (base::with_handlers)
      return std::type_identity<std::size_t>();
    else
      return std::type_identity<select_result<Cases...>>();
  }

 public:
  using sluice_operation = void;
  using value_type = typename decltype(type_of_value())::type;
  using base::base;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    return this->start(*h.promise().g);
  }
  value_type await_resume() {
    const std::size_t winner = this->finish_or_throw();
    if constexpr (base::with_handlers) {
      this->call_handlers(winner);
      return winner;
    } else {
      return this->result(winner);
    }
  }
};

/// A select with handlers that are coroutines.
template <class... Cases>
  requires select_cases<Cases...>::with_coroutines
class select_operation<Cases...> : public select_cases<Cases...>,
                                   public select_with_token<select_operation<Cases...>> {
 public:
  using value_type = std::size_t;
  using select_cases<Cases...>::select_cases;

  /// What `co_await` awaits.
  [[nodiscard]] task<std::size_t> into_task() && { return detail::run_select(std::move(*this)); }
};

template <class... Arguments>
[[nodiscard]] auto make_select(select_wait::order order, Arguments&&... arguments) {
  return select_operation<typename select_argument<Arguments>::type...>(
      order, std::in_place, detail::select_case_of(std::forward<Arguments>(arguments))...);
}

}  // namespace sluice::detail
