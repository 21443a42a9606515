#pragma once

#include "elements.hpp"
#include "told.hpp"

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice_test::fuzz {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using model::a_case;
using sluice::task;

/// How an operation waits.
enum class waiter : std::uint8_t {
  goroutine,       ///< in a goroutine, which a context or a slot may cancel
  limited,         ///< likewise, with a limit that is not reached
  limited_to_now,  ///< likewise, with a limit that is over
  handler,         ///< a callback, with a slot
  limited_handler,
  awaitable,  ///< in a coroutine of Asio's
  nobody,     ///< by a function that never waits
};
inline constexpr std::uint32_t waiters = 7;

/// The library's side: its objects, and how each operation is begun and tells what came of it.
template <class Element>
class stage {
 public:
  stage() = default;
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;

  // --- objects, by the numbers that the model has given them ---

  void add_channel(std::size_t capacity) {
    channels_.emplace_back(sluice::make_channel<Element>(*io, capacity));
    timers_.emplace_back();
  }
  void add_timer() {
    channels_.emplace_back();
    timers_.emplace_back(std::in_place, *io, 24h);
    timers_.back()->stop();
  }
  void add_context(sluice::cancellable_context c) { contexts_.push_back(std::move(c)); }

  [[nodiscard]] sluice::channel<Element>& channel(model::number n) {
    return n == model::nil ? nil_ : channels_[n];
  }
  [[nodiscard]] sluice::timer& timer(model::number n) { return *timers_[n]; }
  [[nodiscard]] bool is_timer(model::number n) const {
    return n != model::nil && timers_[n].has_value();
  }
  [[nodiscard]] sluice::cancellable_context& context(model::number n) { return contexts_[n]; }
  [[nodiscard]] sluice::context context_or_none(std::optional<model::number> n) {
    return n ? contexts_[*n].ctx : sluice::context::background();
  }

  /// What became of an operation, which is told there.
  std::deque<told> people;
  std::deque<asio::cancellation_signal> signals;
  std::optional<asio::io_context> io{std::in_place, 1};

  model::number add_person() {
    people.emplace_back();
    signals.emplace_back();
    return static_cast<model::number>(people.size() - 1);
  }

  // --- operations ---

  /// Begins an operation that waits for one thing.
  void begin(model::number who, const a_case& c, waiter w, std::optional<model::number> context) {
    told& t = people[who];
    try {
      switch (w) {
        case waiter::goroutine:
        case waiter::limited:
        case waiter::limited_to_now:
          return in_goroutine(who, wait(t, c, w), context);
        case waiter::handler:
          return with_operation(c, [&](auto op) { std::move(op)(token(who, handler(t, c))); });
        case waiter::limited_handler:
          return with_operation(
              c, [&](auto op) { sluice::timeout(std::move(op), 24h)(token(who, handler(t, c))); });
        case waiter::awaitable:
          return asio::co_spawn(*io, await(t, c), token(who, [](const std::exception_ptr&) {}));
        case waiter::nobody:
          return try_now(t, c);
      }
    } catch (const std::runtime_error&) {
      t.fail();
    }
  }

  /// Begins a select of a range.
  void begin_select(model::number who, const std::vector<a_case>& cases, const model::manner& how,
                    waiter w) {
    if (w == waiter::goroutine)
      return in_goroutine(who, select_of_range(people[who], cases, how), how.context);
    told& t = people[who];
    try {
      std::vector<sluice::select_case> made = make_cases(t, cases, how, nullptr);
      auto done = [&t](const std::exception_ptr& e, std::size_t) {
        if (e) t.fail(e);
      };
      if (how.written_order)
        sluice::select_in_order(std::move(made))(token(who, std::move(done)));
      else
        sluice::select(std::move(made))(token(who, std::move(done)));
    } catch (const std::runtime_error&) {
      t.fail();
    }
  }

  /// Begins a select of two that stand in the call: sends and receives.
  void begin_select_of_two(model::number who, const std::vector<a_case>& cases,
                           const model::manner& how, waiter w) {
    const bool sends[] = {cases[0].what == a_case::kind::send, cases[1].what == a_case::kind::send};
    const auto go_on = [&](auto first, auto second) {
      constexpr bool a = decltype(first)::value;
      constexpr bool b = decltype(second)::value;
      told& t = people[who];
      if (w == waiter::goroutine)
        return in_goroutine(who, select_of_two<a, b>(t, cases[0], cases[1], how), how.context);
      try {
        sluice::select(operation<a>(cases[0]), operation<b>(cases[1]))(
            token(who, [&t](const sluice::error_code& e, const auto& r) {
              if (e)
                t.end(e);
              else
                tell_result<a, b>(t, r);
            }));
      } catch (const std::runtime_error&) {
        t.fail();
      }
    };
    if (sends[0])
      sends[1] ? go_on(std::true_type(), std::true_type())
               : go_on(std::true_type(), std::false_type());
    else
      sends[1] ? go_on(std::false_type(), std::true_type())
               : go_on(std::false_type(), std::false_type());
  }

  /// Begins a select of a send and a receive whose operations stay in the caller's hands.
  void begin_select_of_lvalues(model::number who, const std::vector<a_case>& cases,
                               const model::manner& how) {
    in_goroutine(who, select_of_lvalues(people[who], cases[0], cases[1]), how.context);
  }

 private:
  static void tell_received(told& t, model::number i, const auto& v) {
    if (v)
      t.end(i, {}, value_of(*v));
    else
      t.end(i, sluice::error::closed);
  }

  template <class Handler>
  auto token(model::number who, Handler h) {
    return asio::bind_cancellation_slot(signals[who].slot(),
                                        asio::bind_executor(*io, std::move(h)));
  }

  void in_goroutine(model::number who, task<> body, std::optional<model::number> context) {
    told& t = people[who];
    sluice::go(context_or_none(context), *io, std::move(body),
               asio::bind_cancellation_slot(signals[who].slot(), [&t](const std::exception_ptr& e) {
                 if (e) t.fail(e);
               }));
  }

  /// Calls `f` with the operation that a case is.
  template <class F>
  void with_operation(const a_case& c, F f) {
    switch (c.what) {
      case a_case::kind::send:
        return f(channel(c.object).send(Element(c.sent)));
      case a_case::kind::receive:
        return is_timer(c.object) ? f(timer(c.object).receive()) : f(channel(c.object).receive());
      case a_case::kind::done:
        return f(contexts_[c.object].ctx.done());
      case a_case::kind::now:
        return f(sluice::sleep_for(0s));
      case a_case::kind::soon:
      case a_case::kind::never:
        return f(sluice::sleep_for(24h));
    }
  }

  /// A handler for what one case gives.
  struct any_handler {
    told& t;
    model::number which;
    void operator()(const sluice::error_code& e) const { t.end(which, e); }
    void operator()(const sluice::error_code& e, const std::optional<Element>& v) const {
      if (e)
        t.end(which, e);
      else
        tell_received(t, which, v);
    }
    void operator()(const sluice::error_code& e,
                    const std::optional<sluice::clock::time_point>& v) const
      requires(!std::is_same_v<Element, sluice::clock::time_point>)
    {
      if (e)
        t.end(which, e);
      else
        t.end(which, v ? sluice::error_code() : sluice::error::closed);
    }
  };
  static any_handler handler(told& t, const a_case&) { return {t, 0}; }

  task<> wait(told& t, a_case c, waiter w) {
    const auto limit = w == waiter::limited_to_now ? 0h : 24h;
    const bool limited = w != waiter::goroutine;
    try {
      switch (c.what) {
        case a_case::kind::send:
          if (limited)
            co_await sluice::timeout(channel(c.object).send(Element(c.sent)), limit);
          else
            co_await channel(c.object).send(Element(c.sent));
          t.end(0, {});
          break;
        case a_case::kind::receive:
          if (is_timer(c.object)) {
            if (limited)
              static_cast<void>(co_await sluice::timeout(timer(c.object).receive(), limit));
            else
              static_cast<void>(co_await timer(c.object).receive());
            t.end(0, {});
          } else if (limited) {
            const auto v = co_await sluice::timeout(channel(c.object).receive(), limit);
            tell_received(t, 0, v);
          } else {
            const auto v = co_await channel(c.object).receive();
            tell_received(t, 0, v);
          }
          break;
        case a_case::kind::done:
          co_await contexts_[c.object].ctx.done();
          t.end(0, {});
          break;
        case a_case::kind::now:
          co_await sluice::sleep_for(0s);
          t.end(0, {});
          break;
        case a_case::kind::soon: {
          const auto soon = sluice::after(0s);
          static_cast<void>(co_await soon.receive());
          t.end(0, {});
          break;
        }
        case a_case::kind::never:
          co_await sluice::sleep_for(24h);
          t.end(0, {});
      }
    } catch (const std::runtime_error&) {
      t.fail();
    }
  }

  // What it has received it moves on, so what may throw then is not received so.
  asio::awaitable<void> await(told& t, a_case c) {
    try {
      if (c.what == a_case::kind::send) {
        co_await channel(c.object).send(Element(c.sent))(asio::use_awaitable);
        t.end(0, {});
      } else if constexpr (!std::is_same_v<Element, fragile>) {
        const auto v = co_await channel(c.object).receive()(asio::use_awaitable);
        tell_received(t, 0, v);
      }
    } catch (const std::runtime_error&) {
      t.fail();
    }
  }

  void try_now(told& t, const a_case& c) {
    sluice::error_code e;
    if (c.what == a_case::kind::send) {
      auto element = Element(c.sent);
      const bool sent = channel(c.object).try_send(std::move(element), e);
      if (sent == static_cast<bool>(e)) throw std::logic_error("try_send: the error is wrong");
      if (!sent && value_of(element) != c.sent)
        throw std::logic_error("try_send: what was not sent has gone");
      t.end(0, e);
      return;
    }
    const auto v = channel(c.object).try_receive(e);
    if (e)
      t.end(0, e);
    else
      tell_received(t, 0, v);
  }

  /// @param kept Where the channels of `after` are kept; none are made without it.
  std::vector<sluice::select_case> make_cases(
      told& t, const std::vector<a_case>& cases, const model::manner& how,
      std::vector<sluice::receiver<sluice::clock::time_point>>* kept) {
    std::vector<sluice::select_case> made;
    for (model::number i = 0; i < cases.size(); ++i) {
      if (cases[i].what == a_case::kind::soon) {
        kept->push_back(sluice::after(0s));
        made.emplace_back(sluice::on(kept->back().receive(), any_handler{t, i}));
      } else {
        with_operation(cases[i], [&](auto op) {
          made.emplace_back(sluice::on(std::move(op), any_handler{t, i}));
        });
      }
    }
    if (!how.waits) made.emplace_back(sluice::otherwise([&t] { t.end_without_waiting(); }));
    return made;
  }

  task<> select_of_range(told& t, std::vector<a_case> cases, model::manner how) {
    std::vector<sluice::receiver<sluice::clock::time_point>> kept;
    try {
      auto made = make_cases(t, cases, how, &kept);
      const auto i = how.written_order ? co_await sluice::select_in_order(std::move(made))
                                       : co_await sluice::select(std::move(made));
      if (t.which && t.which != i) throw std::logic_error("select: the index is wrong");
    } catch (const std::runtime_error&) {
      t.fail();
    }
  }

  template <bool Sends>
  auto operation(const a_case& c) {
    if constexpr (Sends)
      return channel(c.object).send(Element(c.sent));
    else
      return channel(c.object).receive();
  }

  template <bool First, bool Second>
  static void tell_result(told& t, const auto& r) {
    const auto tell = [&]<std::size_t I, bool Sends>() {
      if (r.index() != I) return;
      if constexpr (Sends)
        t.end(I, {});
      else
        tell_received(t, I, r.template get<I>());
    };
    tell.template operator()<0, First>();
    tell.template operator()<1, Second>();
  }

  template <bool First, bool Second>
  task<> select_of_two(told& t, a_case a, a_case b, model::manner how) {
    try {
      if (!how.waits) {
        const any_handler first{t, 0};
        const any_handler second{t, 1};
        co_await sluice::select(sluice::on(operation<First>(a), first),
                                sluice::on(operation<Second>(b), second),
                                sluice::otherwise([&t] { t.end_without_waiting(); }));
      } else if (how.written_order) {
        const auto r = co_await sluice::select_in_order(operation<First>(a), operation<Second>(b));
        tell_result<First, Second>(t, r);
      } else {
        auto r = co_await sluice::select(operation<First>(a), operation<Second>(b));
        tell_result<First, Second>(t, r);
        check_lost<First, Second>(r, a, b);
      }
    } catch (const std::runtime_error&) {
      t.fail();
    }
  }

  /// What a losing send has not sent comes back with the result.
  template <bool First, bool Second>
  static void check_lost(auto& r, const a_case& a, const a_case& b) {
    if constexpr (!std::is_same_v<Element, fragile>) {
      bool right = true;
      if constexpr (First)
        if (r.index() == 1) right &= value_of(*r.template lost<0>()) == a.sent;
      if constexpr (Second)
        if (r.index() == 0) right &= value_of(*r.template lost<1>()) == b.sent;
      if (!right) throw std::logic_error("select: a losing send has lost its value");
    }
  }

  task<> select_of_lvalues(told& t, a_case a, a_case b) {
    std::optional<decltype(operation<true>(a))> sending;
    bool sent = false;
    try {
      sending.emplace(operation<true>(a));
      auto receiving = operation<false>(b);
      const auto r = co_await sluice::select(*sending, receiving);
      sent = r.index() == 0;
      tell_result<true, false>(t, r);
    } catch (const std::runtime_error&) {
      t.fail();
    }
    if (sending && !sent && value_of(sending->value()) != a.sent)
      throw std::logic_error("select: a send that was kept has lost its value");
  }

  std::deque<sluice::channel<Element>> channels_;
  std::deque<std::optional<sluice::timer>> timers_;
  std::deque<sluice::cancellable_context> contexts_;
  sluice::channel<Element> nil_;
};

}  // namespace sluice_test::fuzz
