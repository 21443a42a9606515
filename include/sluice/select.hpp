#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/executor/lasting_target.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/operation/without_executor.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/select/range_select_wait.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/detail/select/select_wait.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/received.hpp>
#include <sluice/task.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice {

/// What a select of operations without handlers gives: which case happened, and its value.
/**
 * Default-constructed it is "none". Values need neither default constructors nor copies.
 */
template <class... Cases>
class select_result {
 public:
  /// The index of no case.
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  // A default one would be set to zero as a whole wherever it is value-initialised.
  select_result() noexcept {}

  /// Which case happened, counted from 0; `none` if none did.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

  /// The value of case `I`: for a receive `std::optional<T>` (bool for void), for an Asio operation
  /// what `co_await` would have given, `std::monostate` for void.
  /** @throws std::bad_optional_access if another case happened. */
  template <std::size_t I>
  [[nodiscard]] auto& get() {
    return std::get<I>(values_).value().value;
  }
  template <std::size_t I>
  [[nodiscard]] const auto& get() const {
    return std::get<I>(values_).value().value;
  }

  /// Calls the function of the case that happened, of one for each case, with its value, and
  /// gives what it returns, which is of one type for all.
  /** @throws std::bad_optional_access if no case happened. */
  template <class... Functions>
  requires(sizeof...(Functions) == sizeof...(Cases) && sizeof...(Cases) != 0) decltype(auto)
      visit(Functions&&... functions) {
    return visit_from<0>(std::forward<Functions>(functions)...);
  }

  /// What case `I`, a loser, did all the same or did not use.
  /**
   * For an Asio operation that was launched, the optional of all its completion arguments, error
   * included. For a send given as a temporary, the optional of the value that was not sent.
   *
   * @throws What moving it out of the loser threw, if it did.
   */
  template <std::size_t I>
  [[nodiscard]] auto& lost() {
    return std::get<I>(lost_).get();
  }

  /// Used by `select`.
  template <std::size_t I, class Case>
  void settle(Case& c, std::size_t winner) {
    if (I == winner)
      std::get<I>(values_).emplace(std::in_place, [&c] { return c.take(); });
    else if constexpr (Case::has_lost)
      std::get<I>(lost_).take_from(c);
  }
  void set_index(std::size_t i) noexcept { index_ = i; }

 private:
  template <std::size_t I, class F, class... Rest>
  decltype(auto) visit_from(F&& f, Rest&&... rest) {
    if constexpr (sizeof...(Rest) != 0)
      if (index_ != I) return visit_from<I + 1>(std::forward<Rest>(rest)...);
    return std::invoke(std::forward<F>(f), get<I>());
  }

  std::size_t index_ = none;
  std::tuple<std::optional<detail::returned<typename Cases::value_type>>...> values_;
  std::tuple<detail::lost_value<typename Cases::lost_type>...> lost_;
};

/// `result.get<I>()`, to be written so also where the type of the result is a template's parameter,
/// as in a handler that takes `auto`: `get<0>(result)`.
template <std::size_t I, class... Cases>
[[nodiscard]] auto& get(select_result<Cases...>& result) {
  return result.template get<I>();
}
template <std::size_t I, class... Cases>
[[nodiscard]] const auto& get(const select_result<Cases...>& result) {
  return result.template get<I>();
}
template <std::size_t I, class... Cases>
[[nodiscard]] auto&& get(select_result<Cases...>&& result) {
  return std::move(result.template get<I>());
}

/// Says, as the third argument of `on`, that what a losing Asio operation did all the same may be
/// dropped.
struct drop_lost_t {
  template <class... Args>
  void operator()(Args&&...) const noexcept {}
};
inline constexpr drop_lost_t drop_lost{};

namespace detail {

/// Whether a function can be told what a losing case of such an operation has done.
template <class Operation, class F>
[[nodiscard]] consteval bool takes_what_is_lost() {
  using case_type = typename case_for<Operation>::type;
  using function = std::remove_cvref_t<F>;
  if constexpr (std::is_same_v<function, no_lost> || std::is_same_v<function, drop_lost_t>)
    return true;
  else if constexpr (case_type::is_foreign)
    return takes_elements<std::remove_reference_t<F>, typename case_type::arguments>;
  else
    return false;
}

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

/// Whether what kind of case it is, it knows only when it runs.
template <class Case>
concept case_of_any_kind = requires(Case& c, range_select_wait& wait) {
  c.bind_any(wait, std::uint32_t{});
};

template <class Case>
inline constexpr bool has_coroutine_handler = false;
template <class Case>
requires case_with_handler<Case> &&
    (!std::is_void_v<typename Case::handler_result>)inline constexpr bool has_coroutine_handler<
        Case> = awaited_result<typename Case::handler_result>;

template <class Case, class Entry>
void bind_case(Case& c, std::uint32_t index, Entry*& own, foreign_case**& foreign) {
  if constexpr (case_of_otherwise<Case>)
    static_cast<void>(index);
  else if constexpr (Case::is_foreign)
    c.bind(*foreign++, index);
  else
    c.bind(*own++, index);
}
template <class Case>
void bind_case(Case& c, std::uint32_t index, range_select_wait& wait) {
  if constexpr (case_of_any_kind<Case>)
    c.bind_any(wait, index);
  else if constexpr (case_of_otherwise<Case>)
    wait.set_otherwise(index);
  else if constexpr (Case::is_foreign)
    c.bind(wait.add_foreign(), index);
  else
    c.bind(wait.add_own(), index);
}

/// A select whose cases are known when it is compiled.
template <class... Cases>
class select_cases {
 public:
  static constexpr std::size_t count = sizeof...(Cases);
  static constexpr std::size_t foreign_count =
      (std::size_t{0} + ... + (Cases::is_foreign ? 1U : 0U));
  static constexpr std::size_t otherwise_count =
      (std::size_t{0} + ... + (case_of_otherwise<Cases> ? 1U : 0U));
  static constexpr std::size_t own_count = count - foreign_count - otherwise_count;
  static constexpr bool with_handlers = (case_with_handler<Cases> || ...);
  static constexpr bool with_coroutines = (has_coroutine_handler<Cases> || ...);

  static_assert(otherwise_count <= 1, "a select has at most one otherwise");
  static_assert(
      otherwise_count == 0 || foreign_count == 0,
      "whether an Asio operation is ready is known only by launching it, so it cannot stand "
      "beside otherwise");

  template <class... Arguments>
  select_cases(select_wait::order order, std::in_place_t, Arguments&&... arguments)
      : order_(order),
        cases_(std::forward<Arguments>(arguments)...),
        wait_(order, otherwise_count != 0) {}
  select_cases(select_cases&& other)
      : order_(other.order_),
        turn_(other.turn_),
        cases_(std::move(other.cases_)),
        wait_(order_, otherwise_count != 0) {}

  [[nodiscard]] bool done_at_once(goroutine& g) noexcept {
    if constexpr ((Cases::can_be_looked_at && ...))
      return !g.cancel && (foreign_count == 0 || select_wait::passes_over(g)) &&
             g.did_at_once([&] { return take_at_once(); }) && count_pass(g);
    else
      return false;
  }

  [[nodiscard]] bool start(goroutine& g) {
    bind_cases();
    return wait_.start(g, own_, candidates_, foreign_);
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
    if constexpr (foreign_count != 0)
      if (turn_ == select_wait::turn_of::nobody) turn_ = select_wait::choose_turn();
    if constexpr ((Cases::can_be_looked_at && ...))
      return turn_ != select_wait::turn_of::asio && take_at_once();
    else
      return false;
  }
  [[nodiscard]] begun begin_for_handler(party& p, parked_handler& h) noexcept
      requires(foreign_count == 0) {
    if (done_for_handler() || !bind_or_fail()) return begun::done;
    return wait_.start_for_handler(p, h, own_, candidates_);
  }
  /// @throws As `select_wait::start_launching`.
  template <class Place>
  [[nodiscard]] begun begin_for_handler(party& p, parked_handler& h,
                                        Place place) requires(foreign_count != 0) {
    if (done_for_handler() || !bind_or_fail() ||
        wait_.done_before_launch(p, own_, candidates_, foreign_, turn_))
      return begun::done;
    return wait_.start_launching(h, place());
  }
  [[nodiscard]] bool abandoned() const noexcept requires(foreign_count != 0) {
    return wait_.abandoned();
  }
  [[nodiscard]] bool cancel_for_handler() noexcept { return wait_.cancel_for_handler(); }
  void woken_for_handler(bool leaves) noexcept { wait_.woken_for_handler(leaves); }
  void forget() noexcept { wait_.forget(); }
  static void end_for_handler() noexcept {}

  /// The index of the case that happened.
  [[nodiscard]] std::size_t finish() {
    if (taken_at_once_ != select_wait::none) return taken_at_once_;
    const auto winner = wait_.finish();
    return winner == select_wait::none ? index_of_otherwise() : winner;
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
    }
    (std::index_sequence_for<Cases...>());
  }

  [[nodiscard]] select_result<Cases...> result(std::size_t winner) requires(!with_handlers) {
    select_result<Cases...> r;
    take_into(r, winner);
    return r;
  }
  /// Gives what has happened to a result that says "none", or throws and has not.
  void take_into(select_result<Cases...>& r, std::size_t winner) requires(!with_handlers) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (r.template settle<I>(std::get<I>(cases_), winner), ...);
    }
    (std::index_sequence_for<Cases...>());
    r.set_index(winner);
  }
  /// Calls the handlers, and gives the index.
  void take_into(std::size_t& index, std::size_t winner) requires with_handlers {
    call_handlers(winner);
    index = winner;
  }

  static constexpr bool gives_exceptions = (Cases::gives_exceptions || ...);
  void keep() noexcept {
    std::apply([](auto&... c) { (c.keep(), ...); }, cases_);
  }
  void wait_for_handler() noexcept { wait_.wait_for_handler(); }

  /// Whether the value of a case could not be moved.
  [[nodiscard]] bool move_failed() const noexcept {
    return std::apply([](const auto&... c) { return (c.move_failed() || ...); }, cases_);
  }

  /// An executor of one of the cases, for handlers without their own.
  [[nodiscard]] pinned_target handler_target() const { return first_target<0>(); }

 private:
  template <std::size_t I>
  [[nodiscard]] pinned_target first_target() const {
    if constexpr (I == sizeof...(Cases)) {
      return {};
    } else {
      pinned_target found = std::get<I>(cases_).handler_target();
      if (!found) return first_target<I + 1>();
      return found;
    }
  }

  void bind_cases() {
    select_entry* own = own_.data();
    foreign_case** foreign = foreign_.data();
    std::uint32_t index = 0;
    std::apply([&](auto&... c) { (detail::bind_case(c, index++, own, foreign), ...); }, cases_);
  }
  [[nodiscard]] bool bind_or_fail() noexcept {
    try {
      bind_cases();
      return true;
    } catch (...) {
      wait_.fail();
      return false;
    }
  }

  /// Does one of the cases that can be done at once, each with the same probability or the first as
  /// written, if a look without locks says which can.
  // Not in every coroutine that selects: their bodies run faster so.
  [[nodiscard, gnu::noinline]] bool take_at_once() noexcept {
    std::size_t found = select_wait::none;
    std::uint32_t ready = 0;
    std::uint32_t own = 0;
    bool sure = true;
    for_each([&](const auto& c, std::size_t i) {
      using case_type = std::remove_cvref_t<decltype(c)>;
      if constexpr (!case_type::is_foreign && !case_of_otherwise<case_type>) ++own;
      const readiness seen = c.look();
      sure &= seen != readiness::unknown;
      if (seen != readiness::at_once) return;
      ++ready;
      // That none written before the first is ready takes the locks to say.
      if (order_ == select_wait::order::written && ready == 1) sure &= own == 1;
      if (ready == 1 || (order_ == select_wait::order::random && scheduler::choose(ready) == 0))
        found = i;
    });
    if (!sure) return false;
    bool done = ready == 0 && none_is_ready();
    if (done) found = index_of_otherwise();
    for_each([&](auto& c, std::size_t i) {
      if (!done && i == found) done = c.do_at_once();
    });
    if (!done) return false;
    taken_at_once_ = static_cast<std::uint32_t>(found);
    return true;
  }

  static bool count_pass([[maybe_unused]] goroutine& g) noexcept {
    if constexpr (foreign_count != 0) ++g.passes;
    return true;
  }

  /// Whether `otherwise` is to be taken, of what looked so: one look tells for one case only.
  [[nodiscard]] bool none_is_ready() noexcept {
    if constexpr (otherwise_count == 0 || own_count != 1) {
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

  static constexpr std::size_t index_of_otherwise() noexcept {
    std::size_t i = 0;
    static_cast<void>(((case_of_otherwise<Cases> ? true : (++i, false)) || ...));
    return i;
  }

  const select_wait::order order_;
  select_wait::turn_of turn_ = select_wait::turn_of::nobody;  ///< for a handler, once it is chosen
  std::uint32_t taken_at_once_ = select_wait::none;
  std::tuple<Cases...> cases_;
  std::array<select_entry, own_count> own_;
  std::array<std::uint32_t, own_count> candidates_;
  std::array<foreign_case*, foreign_count> foreign_;
  select_wait wait_;
};

/// Awaits a select and leaves its handlers to the caller.
template <class Select>
class select_awaiter {
 public:
  using sluice_operation = void;

  explicit select_awaiter(Select& s) noexcept : select_(s) {}

  [[nodiscard]] bool done_at_once(goroutine& g) noexcept requires requires(Select& s) {
    s.done_at_once(g);
  }
  { return select_.done_at_once(g); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    return select_.start(*h.promise().g);
  }
  std::size_t await_resume() { return select_.finish(); }

 private:
  Select& select_;
};

/// `Select` is a reference for one that stays the caller's.
template <class Select>
task<std::size_t> run_select(Select select) {
  const std::size_t winner = co_await select_awaiter<std::remove_reference_t<Select>>(select);
  select.tell_losers(winner);
  co_await select.handler_of(winner);
  co_return winner;
}

template <class Select>
task<typename Select::value_type> await_select(Select select) {
  co_return co_await std::move(select);
}

/// How a select or a timeout is told to a completion token.
/** An exception that a case can end with has to be given: of a handler, or of an operation that
 * completes with an `exception_ptr`. */
template <class Select>
struct token_signature {
  using value = typename Select::value_type;
  using failure = std::conditional_t<Select::gives_exceptions, std::exception_ptr, error_code>;

  template <class Value>
  struct signature {
    using type = void(failure, Value);
    using arguments = std::tuple<failure, Value>;
  };
  template <std::same_as<void> Value>
  struct signature<Value> {
    using type = void(failure);
    using arguments = std::tuple<failure>;
  };
  template <class T>
  struct signature<received<T>> : signature<std::optional<T>> {};
  using type = typename signature<value>::type;
  using arguments = typename signature<value>::arguments;
};

/// Starting a select or a timeout with a completion token.
/**
 * The handler is called exactly once, whatever a case, a handler of a case or a move throws. It
 * waits without a goroutine, but for one of whose cases a handler is a coroutine: that runs in a
 * goroutine on the handler's executor.
 */
template <class Derived>
class select_with_token {
 public:
  /// Starts it with a completion token: `void(error_code[, value])`, or `void(exception_ptr[,
  /// value])` if a case has a handler or completes with an `exception_ptr`.
  template <asio::completion_token_for<typename token_signature<Derived>::type> Token>
  auto operator()(Token&& token) && {
    const auto start = []<bool OnTheSpot, class Handler>(std::bool_constant<OnTheSpot>,
                                                         pinned_target& own, Handler&& handler,
                                                         Derived&& op) {
      if constexpr (Derived::needs_goroutine) {
        launch<OnTheSpot, Handler>(*own, std::move(handler), std::move(op));
      } else {
        if constexpr (requires { op.has_coroutines(); })
          if (op.has_coroutines())
            return launch<OnTheSpot, Handler>(*own, std::move(handler), std::move(op));
        handler_operation<Derived, Handler, OnTheSpot>::start(own, std::move(op),
                                                              std::move(handler));
      }
    };
    return detail::initiate<typename token_signature<Derived>::type>(
        static_cast<Derived&>(*this), std::forward<Token>(token), start);
  }

  /// What its handler is called with, once it has ended.
  // A named return type: of a deduced one clang moves what is returned, which may throw.
  template <class D = Derived>
  [[nodiscard]] typename token_signature<D>::arguments take_arguments() {
    auto& self = static_cast<D&>(*this);
    typename token_signature<D>::arguments all{};
    try {
      self.take_into(std::get<1>(all), self.finish());
    } catch (...) {
      note_failure(std::get<0>(all), self);
    }
    return all;
  }

 protected:
  // What the exception being handled is as an error.
  static error_code error_of_exception(const Derived& op) noexcept {
    if (op.move_failed()) return error::move_failed;
    try {
      throw;
    } catch (const system_error& failure) {
      return failure.code();
    } catch (const std::bad_alloc&) {
      return asio::error::no_memory;
    } catch (...) {
      return error::initiation_failed;
    }
  }
  static void note_failure(error_code& e, const Derived& op) noexcept {
    e = error_of_exception(op);
  }
  static void note_failure(std::exception_ptr& e, const Derived&) noexcept {
    e = std::current_exception();
  }

 private:
  // A future has no executor of its own that a goroutine could run on.
  template <bool OnTheSpot, class Handler>
  static void launch(const target_ptr& where, Handler handler, Derived&& op) {
    op.keep();
    const executor fallback(where);
    using handler_executor = asio::associated_executor_t<Handler, executor>;
    const auto ex = [&] {
      if constexpr (OnTheSpot || !has_execution_context<handler_executor>)
        return fallback;
      else
        return asio::get_associated_executor(handler, fallback);
    }();
    if constexpr (std::is_same_v<std::remove_const_t<decltype(ex)>, executor>) {
      if (!ex.where())
        return detail::complete_without_executor<typename token_signature<Derived>::arguments>(
            std::move(handler));
    }
    start_place place{detail::target_of(ex)};
    boxed_handler<Handler> box(std::move(handler), executor(place.where));
    auto slot = box.slot();
    new_goroutine g(std::move(place),
                    run<Handler>(std::move(box), std::optional<Derived>(std::move(op))), false,
                    std::source_location::current());
    if (!g) return;
    if (slot.is_connected()) {
      const auto cancel = (*g).become_cancellable();
      cancel->reset(asio::cancellation_type::all);
      slot.template emplace<goroutine_canceller>(cancel);
    }
    g.start();
  }

  /// Destroys an operation that its coroutine has as a parameter before the others.
  struct first_to_go {
    std::optional<Derived>& op;
    ~first_to_go() { op.reset(); }
  };

  // The operation may refer to what the handler owns: it ends before the handler is called, and is
  // destroyed before it, also with the coroutine.
  template <class Handler>
  static task<> run(boxed_handler<Handler> handler, std::optional<Derived> op) {
    const first_to_go operation{op};
    std::exception_ptr e;
    std::size_t index = 0;
    try {
      op->wait_for_handler();
      index = co_await detail::run_select<Derived&>(*op);
    } catch (...) {
      e = std::current_exception();
    }
    op.reset();
    boxed_handler<Handler>::complete(std::move(handler), std::move(e), std::move(index));
  }
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
    const std::size_t winner = this->finish();
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
requires select_cases<Cases...>::with_coroutines class select_operation<Cases...>
    : public select_cases<Cases...>, public select_with_token<select_operation<Cases...>> {
 public:
  using value_type = std::size_t;
  using select_cases<Cases...>::select_cases;

  /// What `co_await` awaits.
  [[nodiscard]] task<std::size_t> into_task() && { return detail::run_select(std::move(*this)); }
};

template <class Argument>
using select_argument =
    std::conditional_t<case_with_handler<Argument>,
                       std::type_identity<std::remove_cvref_t<Argument>>, case_for<Argument>>;

/// Cases with handlers are moved, also out of a range.
template <class Argument>
[[nodiscard]] decltype(auto) select_case_of(Argument&& argument) {
  if constexpr (case_with_handler<Argument>)
    return std::move(argument);
  else if constexpr (sluice_operation<Argument>)
    return std::forward<Argument>(argument);  // the case is made of it where it stays
  else
    return detail::make_case(std::forward<Argument>(argument));
}

template <class... Arguments>
[[nodiscard]] auto make_select(select_wait::order order, Arguments&&... arguments) {
  return select_operation<typename select_argument<Arguments>::type...>(
      order, std::in_place, detail::select_case_of(std::forward<Arguments>(arguments))...);
}

/// What may be given to `select`.
template <class T>
concept select_operand = case_operand<T> || case_with_handler<T>;

/// Whether the operations of a range stay in it: those of this library in an lvalue.
template <class Range>
inline constexpr bool stays_in_range = std::is_lvalue_reference_v<Range>&&
    std::is_lvalue_reference_v<std::ranges::range_reference_t<Range>>&&
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
      return Case::is_foreign;
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
  [[nodiscard]] bool has_coroutines() const noexcept requires case_of_any_kind<Case> {
    return std::ranges::any_of(cases_, [](const Case& c) { return c.has_coroutine(); });
  }

  // For a handler.
  static constexpr bool needs_executor = true;
  /** @throws std::bad_alloc */
  [[nodiscard]] begun begin_for_handler(party& p, parked_handler& h) requires(!may_launch) {
    if (!bind_or_fail()) return begun::done;
    return wait_.start_for_handler(p, h);
  }
  /** @throws std::bad_alloc; as `select_wait::start_launching` */
  template <class Place>
  [[nodiscard]] begun begin_for_handler(party& p, parked_handler& h,
                                        Place place) requires may_launch {
    if (!bind_or_fail()) return begun::done;
    if (!wait_.has_foreign()) return wait_.start_for_handler(p, h);
    if (wait_.done_before_launch(p)) return begun::done;
    return wait_.start_launching(h, place());
  }
  [[nodiscard]] bool abandoned() const noexcept requires may_launch { return wait_.abandoned(); }
  [[nodiscard]] bool cancel_for_handler() noexcept { return wait_.cancel_for_handler(); }
  void woken_for_handler(bool leaves) noexcept { wait_.woken_for_handler(leaves); }
  void forget() noexcept { wait_.forget(); }
  static void end_for_handler() noexcept {}

  [[nodiscard]] std::size_t finish() { return wait_.finish(); }

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

  [[nodiscard]] pinned_target handler_target() const {
    for (const auto& c : cases_)
      if (auto found = c.handler_target()) return found;
    return {};
  }

 private:
  void bind_cases() {
    wait_.reserve(cases_.size());
    std::uint32_t i = 0;
    for (auto& c : cases_) detail::bind_case(c, i++, wait_);
    wait_.prepare(order_);
  }
  // The value of a send may have gone, or `otherwise` stand where it cannot.
  [[nodiscard]] bool bind_or_fail() {
    try {
      bind_cases();
      return true;
    } catch (const std::logic_error&) {
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
    take_into(v, this->finish());
    return v;
  }

  template <class... Place>
  [[nodiscard]] auto begin_for_handler(party& p, parked_handler& h, Place... place)
      -> decltype(range_select_cases<Case>::begin_for_handler(p, h, place...)) {
    make_room();
    return range_select_cases<Case>::begin_for_handler(p, h, place...);
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

  void take_into(std::size_t& index,
                 std::size_t winner) requires(!range_select_cases<Case>::needs_goroutine) {
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

}  // namespace detail

/// A case of a select with a handler.
/**
 * The handler is called when the case has happened, before `co_await select(…)` goes on. It takes
 * the completion arguments, `error_code` first, or only the values; without an `error_code` an
 * error is thrown. It may be a coroutine, which is awaited.
 *
 * @param op An operation of this library (an lvalue stays the caller's: a losing send keeps its
 * value), an Asio operation given `asio::deferred` or `use_task`, or what else
 * `asio::is_async_operation` holds for.
 * @param handler An lvalue is referred to. Under g++ 12 a closure written here must be trivially
 * copyable: capture by reference, or name the object first.
 * @param on_lost Called with the full completion arguments of an Asio operation that lost and did
 * something all the same, or was cancelled: bytes that a read took from its socket, a connection
 * that was accepted. Of a read it takes `(error_code, std::size_t)`. It must be written where the
 * operation's result holds more than an error; `drop_lost` says that it may be dropped. An
 * operation of this library that loses has done nothing: there it is `drop_lost` or nothing.
 */
template <detail::select_operand Operation, class Handler, class OnLost = detail::no_lost>
[[nodiscard]] auto on(Operation&& op, Handler&& handler, OnLost&& on_lost = {}) {
  static_assert(
      !std::is_same_v<OnLost, detail::no_lost> || !detail::loses_more_than_an_error<Operation>,
      "an Asio operation that loses may have done something all the same, such as read "
      "bytes: give `on` a third argument that takes what it did, or sluice::drop_lost");
  static_assert(detail::takes_what_is_lost<Operation, OnLost>(),
                "the third argument of `on` is called with all completion arguments of an Asio "
                "operation, such as (error_code, std::size_t) of a read; an operation of this "
                "library that loses has done nothing, and has none");
  static_assert(
      detail::safe_in_co_await_expression<Handler> && detail::safe_in_co_await_expression<OnLost>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await expression and "
      "destroys it twice: capture by reference, or name the closure first and pass the name");
  return detail::handled_case<typename detail::case_for<Operation>::type,
                              detail::kept_handler<Handler>, detail::kept_handler<OnLost>>(
      detail::make_case(std::forward<Operation>(op)), std::forward<Handler>(handler),
      std::forward<OnLost>(on_lost));
}

/// Refuses what is no operation; the compiler shows the line.
template <class... Arguments>
void on(Arguments&&...) = delete;  // on(operation, handler): a task is none; go(f), and a channel.

/// The case that happens when no other is ready. Go's `default`.
/** That none is ready is true at one instant, for all cases together. */
template <class Handler>
requires std::invocable < std::decay_t<Handler>
& > [[nodiscard]] auto otherwise(Handler&& handler) {
  static_assert(
      detail::safe_in_co_await_expression<Handler>,
      "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
      "expression and destroys it twice: capture by reference, or name the closure first");
  return detail::otherwise_case<detail::kept_handler<Handler>>(std::in_place,
                                                               std::forward<Handler>(handler));
}

/// Waits for one of several operations: exactly one happens.
/**
 * Go's `select`. Of the cases that are ready one is chosen, each with the same probability; if none
 * is, the goroutine waits until one is. Losing operations of this library have had no effect. Asio
 * operations are launched when no other case is ready (and at the latest when this goroutine's last
 * 30 selects with Asio operations have passed them over; with a token by chance, once in 31); the
 * first to complete wins, the others are cancelled with every type and awaited, so that none
 * outlives its buffers. A select of nothing waits for ever.
 *
 * Operands are evaluated once, when `select` is called. An lvalue operation stays the caller's, an
 * Asio operation until it is launched. One of this library that is offered again in the next select
 * keeps its value but loses its place: it is at the end of the channel's queue each time, and where
 * others send or receive without a pause its turn may never come, as in Go. What must both send and
 * receive is better two goroutines.
 *
 * @return Without handlers, a `select_result`; with `on` or `otherwise`, the index of the case. A
 * case that ends with an error happens and throws; `on(op, f(error_code, …))` and `asio::as_tuple`
 * give it as a value. With a token: `void(error_code, select_result<…>)`; with `on` or `otherwise`,
 * whose handlers may throw, `void(std::exception_ptr, std::size_t)`; and `void(std::exception_ptr,
 * select_result<…>)` if an operation completes with an `exception_ptr`. The handler runs by default
 * on the executor of the first case that has one, otherwise on the running goroutine's. There the
 * handlers of the cases are called before it, too: in a goroutine made for it if one of them is a
 * coroutine. Otherwise there is none: `go` and `make_channel` are given an executor there, as in
 * every handler, or throw `error::not_in_goroutine`. Asio operations are launched inside the call,
 * as Asio does it, and complete on a strand over that executor; if a handler of a case is a
 * coroutine, they are launched there later.
 *
 * @par Cancellation
 * Any type. A select whose case has been claimed completes with its value; a cancelled one has done
 * nothing to any channel, its Asio operations have been cancelled and awaited, and the first of
 * them that succeeded all the same is its result. An Asio operation that ignores cancellation
 * delays it, unless it is one to `abandon`. With a token it is cancelled too once no case is left
 * that may happen: when all its channels have lost their last handle.
 *
 * @par Errors
 * That of the case; `asio::error::operation_aborted` if cancelled. With a token, in an
 * `error_code`: `error::move_failed` for a value whose move throws, `error::initiation_failed` for
 * an Asio operation that throws as it is launched, `error::no_executor` if no case and no goroutine
 * has one.
 *
 * @code
 * auto r = co_await sluice::select(ch1.receive(), ch2.send(v), sluice::sleep_for(1s),
 *                                  socket.async_read_some(buffer, asio::deferred));
 * if (r.index() == 0) use(r.get<0>());
 *
 * sluice::select(ch1.receive(), ch2.receive())([](sluice::error_code e, auto r) {
 *   if (e) return;
 *   r.visit([](std::optional<int> v) { use(v); }, [](std::optional<std::string> s) { use(s); });
 * });
 *
 * co_await sluice::select(sluice::on(ch.receive(), [&](std::optional<int> v) { use(v); }),
 *                         sluice::otherwise([&] { idle(); }));
 * @endcode
 *
 * Source: "Select statements" in the Go specification.
 */
template <detail::select_operand... Cases>
[[nodiscard("co_await it, or give it a completion token")]] auto select(Cases&&... cases) {
  return detail::make_select(detail::select_wait::order::random, std::forward<Cases>(cases)...);
}

/// Refuses what is no case; the compiler shows the line.
template <class... Arguments>
void select(Arguments&&...) = delete;  // Cases: ch.receive(), on(op, f), async_x(asio::deferred).

/// As `select`, but of the ready operations of this library the first as written is chosen.
template <detail::select_operand... Cases>
[[nodiscard("co_await it, or give it a completion token")]] auto select_in_order(Cases&&... cases) {
  return detail::make_select(detail::select_wait::order::written, std::forward<Cases>(cases)...);
}

/// A case of any kind, for selects whose cases are put together when the program runs.
/**
 * Made from what `on` and `otherwise` return, or from an operation whose value is not wanted; an
 * Asio operation whose result holds more than an error is given by `on`. Move-only.
 *
 * @code
 * std::vector<sluice::select_case> cases;
 * for (auto& ch : channels) cases.emplace_back(sluice::on(ch.receive(), [&](std::optional<int> v) {
 * use(v); })); const std::size_t i = co_await sluice::select(cases);
 * @endcode
 */
class select_case {
 public:
  static constexpr bool has_handler = true;
  static constexpr bool gives_exceptions = true;
  using handler_result = void;

  template <class Case>
  requires(detail::select_operand<Case> && !std::same_as<std::remove_cvref_t<Case>, select_case> &&
           (detail::case_with_handler<Case> || !detail::loses_more_than_an_error<Case>))
      select_case(Case&& c)
      : case_(std::make_unique<holder<typename detail::select_argument<Case>::type>>(
            std::in_place, detail::select_case_of(std::forward<Case>(c)))) {}

  // For select.
  void bind_any(detail::range_select_wait& wait, std::uint32_t index) { case_->bind(wait, index); }
  [[nodiscard]] bool has_coroutine() const noexcept { return case_->has_coroutine(); }
  void call() { case_->call(); }
  [[nodiscard]] task<> call_coroutine() { return case_->call_coroutine(); }
  void lose() { case_->lose(); }
  [[nodiscard]] bool move_failed() const noexcept { return case_->move_failed(); }
  [[nodiscard]] detail::pinned_target handler_target() const { return case_->handler_target(); }
  void keep() noexcept { case_->keep(); }

 private:
  struct any {
    virtual ~any() = default;
    virtual void bind(detail::range_select_wait& wait, std::uint32_t index) = 0;
    [[nodiscard]] virtual bool has_coroutine() const noexcept = 0;
    // The first for what is no coroutine, the second for what is one.
    virtual void call() = 0;
    [[nodiscard]] virtual task<> call_coroutine() = 0;
    virtual void lose() = 0;
    [[nodiscard]] virtual bool move_failed() const noexcept = 0;
    [[nodiscard]] virtual detail::pinned_target handler_target() const = 0;
    virtual void keep() noexcept = 0;
  };

  template <class Case>
  struct holder final : any {
    template <class C>
    explicit holder(std::in_place_t, C&& c) : held(std::forward<C>(c)) {}

    void bind(detail::range_select_wait& wait, std::uint32_t index) override {
      detail::bind_case(held, index, wait);
    }
    bool has_coroutine() const noexcept override { return detail::has_coroutine_handler<Case>; }
    void call() override {
      if constexpr (!detail::case_with_handler<Case>)
        static_cast<void>(held.take());
      else if constexpr (!detail::has_coroutine_handler<Case>)
        static_cast<void>(held.call());
    }
    task<> call_coroutine() override {
      if constexpr (detail::has_coroutine_handler<Case>) co_await held.call();
      co_return;
    }
    void lose() override {
      if constexpr (detail::case_with_handler<Case>) held.lose();
    }
    bool move_failed() const noexcept override { return held.move_failed(); }
    detail::pinned_target handler_target() const override { return held.handler_target(); }
    void keep() noexcept override { held.keep(); }

    Case held;
  };

  std::unique_ptr<any> case_;
};

/// Waits for one of a range of cases: operations of one type, or `select_case`s.
/**
 * As `select(cases…)`. The operations of an lvalue range stay in it and can be used again; Asio
 * operations and `select_case`s are moved out.
 *
 * @return For operations, a result with `index()`, `get()` and `lost(i)`; for `select_case`s, the
 * index.
 * @throws std::invalid_argument for an Asio operation beside `otherwise`; std::bad_alloc
 */
template <std::ranges::input_range Range>
requires(!detail::select_operand<Range>)
    [[nodiscard("co_await it, or give it a completion token")]] auto select(Range&& cases) {
  return detail::range_select_operation<detail::range_case<Range>>(
      detail::select_wait::order::random, std::forward<Range>(cases));
}

/// As `select` of a range, but of the ready operations of this library the first is chosen.
template <std::ranges::input_range Range>
requires(!detail::select_operand<Range>)
    [[nodiscard("co_await it, or give it a completion token")]] auto select_in_order(
        Range&& cases) {
  return detail::range_select_operation<detail::range_case<Range>>(
      detail::select_wait::order::written, std::forward<Range>(cases));
}

}  // namespace sluice
