#pragma once

#include "bytes.hpp"
#include "stage.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace sluice_test::fuzz {

/// Whether every call is printed.
inline const bool traced = std::getenv("SLUICE_FUZZ_TRACE") != nullptr;

/// One program that bytes have chosen: its calls, one after another, on one thread. After each of
/// them everybody has ended who can, and the library is where the model is.
template <class Element>
class play {
  static constexpr bool may_throw = std::is_same_v<Element, fragile>;
  using endings = std::vector<model::ending>;

 public:
  explicit play(bytes b) : bytes_(b) {
    for (auto& c : channels_) c = new_channel();
    for (auto& t : timers_) t = rules_.make_timer(), stage_.add_timer();
    for (auto& c : contexts_) c = new_context();
  }

  /// @throws std::logic_error that says what is wrong.
  void perform() {
    for (int calls = 0; calls < 100 && !bytes_.empty(); ++calls) call();
    finish();
  }

 private:
  void call() {
    switch (bytes_.below(16)) {
      case 0:
      case 1:
      case 2:
        return begin_one(a_case::kind::send);
      case 3:
      case 4:
      case 5:
        return begin_one(a_case::kind::receive);
      case 6:
        return begin_one(a_case::kind{static_cast<int>(bytes_.below(4)) + 2});
      case 7:
      case 8:
      case 9:
        return begin_select();
      case 10:
        return close();
      case 11:
        return cancel_waits();
      case 12:
        return set_timer();
      case 13:
        return end_context();
      case 14:
        return replace();
      case 15:
        return cancel_one();
    }
  }

  // --- the calls ---

  void begin_one(a_case::kind k) {
    const a_case c = some_case(k);
    model::manner how;
    how.context = some_context();
    auto w = static_cast<waiter>(bytes_.below(waiters));
    const bool plain =
        (k == a_case::kind::send || k == a_case::kind::receive) && !stage_.is_timer(c.object);
    const bool in_asio = plain && (k == a_case::kind::send || !may_throw);
    if ((!plain && w == waiter::nobody) || (!in_asio && w == waiter::awaitable))
      w = waiter::goroutine;
    bool handled = w == waiter::handler || w == waiter::limited_handler || w == waiter::awaitable;
    const bool of_channel = k == a_case::kind::send || k == a_case::kind::receive;
    if (!of_channel && (!handled || k == a_case::kind::soon))
      w = waiter::goroutine, handled = false;
    how.expires = w == waiter::limited_to_now;
    how.waits = w != waiter::nobody;
    how.holds_no_handle = handled;
    if (w == waiter::nobody || handled) how.context.reset();
    begin(
        c, how, [&](model::number who) { stage_.begin(who, c, w, how.context); },
        std::string("one, as ") + std::to_string(static_cast<int>(w)));
  }

  void begin_select() {
    const auto form = bytes_.below(8);
    model::manner how;
    how.waits = !bytes_.one_in(4);
    how.written_order = bytes_.one_in(4);
    how.context = some_context();
    std::vector<a_case> cases;
    if (form < 4) {
      const bool handled = form == 3;
      for (auto n = bytes_.below(5); n != 0; --n) {
        auto k = a_case::kind{static_cast<int>(std::min(bytes_.below(12), 11U))};
        if (static_cast<int>(k) > static_cast<int>(a_case::kind::never))
          k = static_cast<int>(k) % 2 == 0 ? a_case::kind::send : a_case::kind::receive;
        if (k == a_case::kind::soon && (handled || !how.waits)) k = a_case::kind::never;
        cases.push_back(some_case(k));
      }
      how.holds_no_handle = handled;
      if (handled) how.context.reset();
      return begin(
          cases, how,
          [&](model::number who) {
            stage_.begin_select(who, cases, how, handled ? waiter::handler : waiter::goroutine);
          },
          handled ? "select with a handler" : "select of a range");
    }
    const bool lvalues = form == 7;
    const bool handled = form == 6;
    for (int i = 0; i < 2; ++i)
      cases.push_back(some_case(
          (lvalues ? i == 0 : bytes_.one_in(2)) ? a_case::kind::send : a_case::kind::receive,
          false));
    how.holds_no_handle = handled;
    if (handled) how.context.reset();
    if (lvalues || handled) how.waits = true;
    if (lvalues || handled || !how.waits) how.written_order = false;
    begin(
        cases, how,
        [&](model::number who) {
          if (lvalues)
            stage_.begin_select_of_lvalues(who, cases, how);
          else
            stage_.begin_select_of_two(who, cases, how,
                                       handled ? waiter::handler : waiter::goroutine);
        },
        lvalues   ? "select of lvalues"
        : handled ? "select of two, with a handler"
                  : "select of two");
  }

  void close() {
    const auto n = some_channel();
    trace("close", n);
    sluice::error_code e;
    stage_.channel(n).close(e);
    const bool was_closed = n != model::nil && rules_.is_closed(n);
    expect(e == (n == model::nil ? sluice::error_code(sluice::error::nil_channel)
                 : was_closed    ? sluice::error_code(sluice::error::closed)
                                 : sluice::error_code()),
           "close: the error is wrong");
    agree({[&](model::go_rules& m) {
      return n == model::nil || was_closed ? endings() : m.close(n, chooser());
    }});
  }

  void cancel_waits() {
    const auto n = some_channel();
    const auto side = bytes_.one_in(2) ? a_case::kind::send : a_case::kind::receive;
    trace(side == a_case::kind::send ? "cancel senders" : "cancel receivers", n);
    const auto before = ended_;
    const std::size_t ended = side == a_case::kind::send
                                  ? sluice::sender<Element>(stage_.channel(n)).cancel()
                                  : sluice::receiver<Element>(stage_.channel(n)).cancel();
    agree({[&](model::go_rules& m) {
      return n == model::nil ? endings() : m.cancel_waits(n, side, chooser());
    }});
    expect(ended == ended_ - before, "cancel: the number is wrong");
  }

  void set_timer() {
    const auto i = bytes_.below(static_cast<std::uint32_t>(timers_.size()));
    const auto n = timers_[i];
    const auto what = bytes_.below(3);
    trace(what == 0 ? "stop timer" : what == 1 ? "reset timer to now" : "reset timer", n);
    auto& t = stage_.timer(n);
    const bool kept_back = what == 0 ? t.stop() : what == 1 ? t.reset(0s) : t.reset(24h);
    bool expected = false;
    agree({[&](model::go_rules& m) {
      expected = m.stop_timer(n, timer_is_set_[i]);
      return what == 1 ? m.go_off(n, chooser()) : endings();
    }});
    timer_is_set_[i] = what == 2;
    expect(kept_back == expected, "a timer told something wrong about its value");
  }

  void end_context() {
    const auto i = bytes_.below(static_cast<std::uint32_t>(contexts_.size()));
    trace("cancel context", contexts_[i]);
    stage_.context(contexts_[i]).cancel();
    agree({[&](model::go_rules& m) {
      return m.end_context(contexts_[i], model::outcome::cancelled, chooser());
    }});
  }

  /// A handle goes, or a context is left to its cases, and another comes.
  void replace() {
    if (bytes_.one_in(2)) {
      const auto i = bytes_.below(static_cast<std::uint32_t>(contexts_.size()));
      contexts_[i] = new_context();
      return;
    }
    const auto i = bytes_.below(static_cast<std::uint32_t>(channels_.size()));
    const auto n = std::exchange(channels_[i], model::nil);
    trace("drop channel", n);
    if (n == model::nil) {
      channels_[i] = new_channel();
      return;
    }
    stage_.channel(n) = {};
    agree({[&](model::go_rules& m) { return m.drop(n); }});
  }

  void cancel_one() {
    if (stage_.people.empty()) return;
    const auto who = bytes_.below(static_cast<std::uint32_t>(stage_.people.size()));
    trace("cancel operation", who);
    stage_.signals[who].emit(asio::cancellation_type::terminal);
    agree({[&](model::go_rules& m) { return m.cancel(who); }});
  }

  // --- what they take ---

  model::number new_channel() {
    const std::size_t capacity = bytes_.below(4);
    stage_.add_channel(capacity);
    numbers_.push_back(rules_.make_channel(capacity));
    trace("new channel", numbers_.back(), capacity);
    return numbers_.back();
  }

  model::number new_context() {
    const auto parent = contexts_made_ == 0 ? std::nullopt : some_context();
    const auto under = stage_.context_or_none(parent);
    const auto n = rules_.make_context(parent);
    ++contexts_made_;
    const auto limit = bytes_.below(8);
    trace("new context", n, limit);
    if (limit > 1) {
      stage_.add_context(sluice::with_cancel(under));
      return n;
    }
    stage_.add_context(sluice::with_timeout(*stage_.io, under, limit == 0 ? 0h : 24h));
    if (limit == 0) static_cast<void>(rules_.end_context(n, model::outcome::deadline, chooser()));
    return n;
  }

  /// One of the channels, or none.
  model::number some_channel() {
    const auto i = bytes_.below(static_cast<std::uint32_t>(channels_.size()) * 4 + 1);
    return i == channels_.size() * 4 ? model::nil : channels_[i % channels_.size()];
  }
  std::optional<model::number> some_context() {
    const auto i = bytes_.below(3 * static_cast<std::uint32_t>(contexts_.size()));
    if (i >= contexts_.size() || i >= contexts_made_) return {};
    return contexts_[i];
  }
  a_case some_case(a_case::kind k, bool or_timer = true) {
    a_case c{k};
    if (k == a_case::kind::done) {
      c.object = contexts_[bytes_.below(static_cast<std::uint32_t>(contexts_.size()))];
    } else if (k == a_case::kind::send) {
      c.object = some_channel();
      c.sent = ++last_value_;
      channel_of_value_[c.sent] = c.object;
    } else if (k == a_case::kind::receive) {
      c.object = or_timer && bytes_.one_in(6)
                     ? timers_[bytes_.below(static_cast<std::uint32_t>(timers_.size()))]
                     : some_channel();
    }
    return c;
  }

  // --- both sides ---

  using hypothesis = std::function<endings(model::go_rules&)>;

  template <class Start>
  void begin(const a_case& c, const model::manner& how, Start start, const std::string& text) {
    begin(std::vector{c}, how, start, text);
  }
  template <class Start>
  void begin(const std::vector<a_case>& cases, const model::manner& how, Start start,
             const std::string& text) {
    if constexpr (may_throw)
      if (bytes_.one_in(3)) fragile::fuse = static_cast<int>(bytes_.below(6)) + 1;
    const auto who = stage_.add_person();
    if (traced) print(who, cases, how, text);
    start(who);
    std::vector<hypothesis> possible{
        [&](model::go_rules& m) { return m.begin(who, cases, how, chooser()); }};
    if (has_failed(who)) {
      // Its value could not be moved, and nothing has happened; or it has received something that
      // goes back to the channel.
      possible = {[&](model::go_rules&) { return endings{{who, 0, model::outcome::done}}; },
                  [&](model::go_rules& m) {
                    endings ended{{who, 0, model::outcome::done}};
                    for (const auto w : failed_) {
                      if (w == who) continue;
                      m.forget(w);
                      ended.push_back({w, 0, model::outcome::done});
                    }
                    return ended;
                  }};
      for (model::number i = 0; i < cases.size(); ++i)
        if (cases[i].what == a_case::kind::receive)
          possible.emplace_back([&, i](model::go_rules& m) {
            auto ended = m.begin(who, {cases[i]}, how, chooser());
            for (auto& e : ended)
              if (e.who == who) e.which = i;
            return ended;
          });
    }
    agree(possible);
    fragile::fuse = 0;
  }

  /// Runs what is ready, and compares what has ended with what the model says.
  void agree(const std::vector<hypothesis>& possible) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    for (;;) {
      run_what_is_ready();
      for (const auto& h : possible) {
        auto m = rules_;
        auto ended = h(m);
        what_fails_goes_back(m, ended);
        if (!is_what_was_told(ended)) continue;
        rules_ = std::move(m);
        ended_ += ended.size();
        for (const auto& e : ended) seen_[e.who] = true;
        return compare_objects();
      }
      // Timers go off when the clock says so.
      if (std::chrono::steady_clock::now() > patience)
        wrong("what has ended is not what should have");
    }
  }

  void run_what_is_ready() {
    stage_.io->restart();
    stage_.io->poll();
    failed_.clear();
    seen_.resize(stage_.people.size());
    for (model::number i = 0; i < stage_.people.size(); ++i) {
      const told& t = stage_.people[i];
      expect(t.ends <= 1, "an operation has ended twice");
      if (t.ends == 1 && !t.how && !seen_[i]) failed_.push_back(i);
    }
  }

  [[nodiscard]] bool has_failed(model::number who) {
    run_what_is_ready();
    return std::ranges::find(failed_, who) != failed_.end();
  }

  /// Of those who should have received something, some could not move it.
  void what_fails_goes_back(model::go_rules& m, endings& ended) {
    for (std::size_t i = 0; i < ended.size(); ++i) {
      const auto e = ended[i];
      if (std::ranges::find(failed_, e.who) == failed_.end() || e.got == 0) continue;
      const auto more = m.give_back(channel_of_value_.at(e.got), e.got, chooser());
      ended.insert(ended.end(), more.begin(), more.end());
    }
  }

  [[nodiscard]] bool is_what_was_told(const endings& ended) const {
    std::size_t told_now = 0;
    for (model::number i = 0; i < stage_.people.size(); ++i)
      told_now += stage_.people[i].ends != 0 && !seen_[i];
    if (told_now != ended.size()) return false;
    return std::ranges::all_of(ended, [&](const model::ending& e) {
      const told& t = stage_.people[e.who];
      if (t.ends == 0 || seen_[e.who]) return false;
      if (!t.how) return true;  // where it has gone is seen in the channels
      return *t.how == e.how &&
             (!t.which || e.how == model::outcome::would_wait || *t.which == e.which) &&
             (!t.got || *t.got == e.got);
    });
  }

  void compare_objects() {
    for (const auto n : channels_) {
      if (n == model::nil) continue;
      expect(stage_.channel(n).size() == rules_.size(n), "a channel's size is wrong");
      expect(stage_.channel(n).is_open() != rules_.is_closed(n), "a channel is closed or open");
    }
    for (const auto n : contexts_) {
      const auto end = rules_.end_of(n);
      const auto e = stage_.context(n).ctx.err();
      expect(e == (!end ? sluice::error_code()
                   : *end == model::outcome::cancelled
                       ? sluice::error_code(asio::error::operation_aborted)
                       : sluice::error_code(sluice::error::deadline_exceeded)),
             "a context's error is wrong");
    }
    expect_values(rules_.values());
  }

  /// What has happened, of what may have.
  auto chooser() {
    return [this](model::number who, const endings& possible) -> std::size_t {
      const told& t = stage_.people[who];
      for (std::size_t i = 0; i < possible.size(); ++i)
        if ((!t.which || *t.which == possible[i].which) && t.how == possible[i].how) return i;
      return 0;
    };
  }

  void finish() {
    const bool context_first = bytes_.one_in(2);
    if (context_first) stage_.io.reset();
    for (const auto n : numbers_) stage_.channel(n) = {};
    stage_.io.reset();
    expect_values(0);
  }

  // --- what is wrong ---

  void expect_values(std::size_t n) const {
    if constexpr (is_counted<Element>)
      if (Element::there != n)
        wrong("there are " + std::to_string(Element::there) + " values instead of " +
              std::to_string(n));
  }

  void expect(bool right, const char* what) const {
    if (!right) wrong(what);
  }
  [[noreturn]] void wrong(std::string text) const {
    for (model::number i = 0; i < stage_.people.size(); ++i) {
      const told& t = stage_.people[i];
      if (t.ends == 0 || (i < seen_.size() && seen_[i])) continue;
      text += "\n  operation " + std::to_string(i) + " has ended: " +
              (t.how ? std::to_string(static_cast<int>(*t.how)) : std::string("failed"));
      if (t.which) text += ", case " + std::to_string(*t.which);
      if (t.got) text += ", value " + std::to_string(*t.got);
    }
    throw std::logic_error(text);
  }

  static void trace(const char* what, model::number n, std::size_t more = 0) {
    if (traced) std::fprintf(stderr, "%s %d (%zu)\n", what, static_cast<int>(n), more);
  }
  static void print(model::number who, const std::vector<a_case>& cases, const model::manner& how,
                    const std::string& text) {
    std::fprintf(stderr, "operation %u: %s%s%s%s%s, fuse %d:", who, text.c_str(),
                 how.waits ? "" : ", does not wait", how.expires ? ", expires" : "",
                 how.written_order ? ", in order" : "", how.context ? ", under a context" : "",
                 fragile::fuse);
    static constexpr const char* names[] = {"send", "receive", "done", "now", "soon", "never"};
    for (const auto& c : cases)
      std::fprintf(stderr, " %s %d (%u)", names[static_cast<int>(c.what)],
                   static_cast<int>(c.object), c.sent);
    std::fprintf(stderr, "\n");
  }

  bytes bytes_;
  stage<Element> stage_;
  model::go_rules rules_;
  std::array<model::number, 3> channels_{};
  std::array<model::number, 2> timers_{};
  std::array<bool, 2> timer_is_set_{};
  std::array<model::number, 3> contexts_{};
  std::size_t contexts_made_ = 0;
  /// All that there have been.
  std::vector<model::number> numbers_;
  model::value last_value_ = 0;
  /// Whose end has been compared already, and who has failed since.
  std::vector<bool> seen_;
  std::vector<model::number> failed_;
  std::size_t ended_ = 0;
  std::map<model::value, model::number> channel_of_value_;
};

/// Performs the program that `data` describes.
inline void perform(std::span<const std::uint8_t> data) {
  bytes b(data);
  switch (b.below(3)) {
    case 0:
      return play<std::uint32_t>(b).perform();
    case 1:
      return play<solid>(b).perform();
    case 2:
      return play<fragile>(b).perform();
  }
}

}  // namespace sluice_test::fuzz
