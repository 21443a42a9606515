#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

// Go's rules of channels, select, timers and contexts, as a plain sequential program: one call
// after another, with all that follows from it. Where the rules leave a choice, whoever uses it
// chooses. It knows nothing of the library, allocates as it likes, and can be copied, so that what
// may have happened can be tried.
namespace sluice_test::model {

using number = std::uint32_t;
/// What travels in channels.
using value = std::uint32_t;
/// A channel that is none.
inline constexpr number nil = ~number{0};

/// How an operation ends.
enum class outcome {
  done,        ///< it has sent or received, or what it waited for has come
  closed,      ///< a send fails; a receive has got the zero value and false
  cancelled,   ///< by its context, or together with all that waits for its channel
  deadline,    ///< by the deadline of its context
  timed_out,   ///< by its own limit
  would_wait,  ///< it was not to wait: `default`
};

/// One case of an operation; a plain operation has one.
struct a_case {
  enum class kind {
    send,
    receive,
    done,   ///< waits for a context
    now,    ///< an instant that has passed
    soon,   ///< a timer that has been set to go off at once
    never,  ///< an instant that is not reached
  };
  kind what = kind::never;
  number object = nil;  ///< the channel or context
  value sent = 0;
};

/// The end of an operation.
struct ending {
  number who = 0;
  number which = 0;  ///< the case, of those that could not be told apart by the rules one
  outcome how = outcome::done;
  value got = 0;

  friend bool operator==(const ending&, const ending&) = default;
};

/// How an operation begins.
struct manner {
  bool waits = true;              ///< false: with `default`, or by a function that never waits
  bool expires = false;           ///< it has a limit, which is over when it begins
  bool written_order = false;     ///< of the ready cases the first is chosen
  bool holds_no_handle = false;   ///< it ends with the last handle of all its channels
  std::optional<number> context;  ///< whose end cancels it
};

/// The objects of a program, and who waits for them.
class go_rules {
 public:
  // --- what there is ---

  number make_channel(std::size_t capacity) {
    channels_.emplace_back().capacity = capacity;
    return static_cast<number>(channels_.size() - 1);
  }
  /// A channel of one place, and nothing on its way to it.
  number make_timer() { return make_channel(1); }
  number make_context(std::optional<number> parent) {
    contexts_.push_back({parent, parent ? contexts_[*parent].end : std::nullopt});
    return static_cast<number>(contexts_.size() - 1);
  }

  [[nodiscard]] std::size_t size(number channel) const { return channels_[channel].buffer.size(); }
  [[nodiscard]] bool is_closed(number channel) const { return channels_[channel].closed; }
  [[nodiscard]] std::optional<outcome> end_of(number context) const {
    return contexts_[context].end;
  }
  [[nodiscard]] bool waits(number who) const { return waiting_.contains(who); }
  /// How many values are in channels, and with those who wait to send them.
  [[nodiscard]] std::size_t values() const {
    std::size_t n = 0;
    for (const auto& c : channels_) {
      const bool gone = c.dropped && c.senders.empty() && c.receivers.empty();
      if (!c.timer && !gone) n += c.buffer.size();
    }
    for (const auto& [who, w] : waiting_)
      n += static_cast<std::size_t>(std::ranges::count(w.cases, a_case::kind::send, &a_case::what));
    return n;
  }

  // --- what happens ---
  // `choose(who, candidates)` gives the index of what has happened to `who`, of several endings
  // that the rules allow. Every call gives all that have ended by it, in any order.

  /// An operation begins.
  template <class Choose>
  std::vector<ending> begin(number who, const std::vector<a_case>& cases, const manner& how,
                            Choose choose) {
    std::vector<ending> ended;
    if (how.context && contexts_[*how.context].end) {
      ended.push_back({who, 0, *contexts_[*how.context].end});
      return ended;
    }
    std::vector<ending> ready;
    for (number i = 0; i < cases.size(); ++i)
      if (const auto e = can_happen(cases[i])) ready.push_back({who, i, *e, what_is_got(cases[i])});
    if (!ready.empty()) {
      const auto chosen = how.written_order || ready.size() == 1 ? 0 : choose(who, ready);
      happen(ready[chosen], cases[ready[chosen].which], choose, ended);
    } else if (!how.waits) {
      ended.push_back({who, 0, outcome::would_wait});
    } else if (const auto soon = std::ranges::find(cases, a_case::kind::soon, &a_case::what);
               soon != cases.end()) {
      ended.push_back({who, static_cast<number>(soon - cases.begin()), outcome::done});
    } else if (how.expires) {
      ended.push_back({who, 0, outcome::timed_out});
    } else {
      wait(who, cases, how);
      end_if_forsaken(who, ended);
    }
    return ended;
  }

  template <class Choose>
  std::vector<ending> close(number channel, Choose choose) {
    std::vector<ending> ended;
    channels_[channel].closed = true;
    end_waits(channel, std::nullopt, outcome::closed, choose, ended);
    return ended;
  }

  /// All that waits to send to a channel, or to receive from it, is cancelled.
  template <class Choose>
  std::vector<ending> cancel_waits(number channel, a_case::kind side, Choose choose) {
    std::vector<ending> ended;
    end_waits(channel, side, outcome::cancelled, choose, ended);
    return ended;
  }

  /// Nobody can come to the channel any more but who waits there.
  std::vector<ending> drop(number channel) {
    std::vector<ending> ended;
    channels_[channel].dropped = true;
    for (const auto who : everybody()) end_if_forsaken(who, ended);
    return ended;
  }

  /// A context is done, and all below it.
  template <class Choose>
  std::vector<ending> end_context(number context, outcome how, Choose choose) {
    std::vector<ending> ended;
    if (contexts_[context].end) return ended;
    contexts_[context].end = how;
    for (auto& c : contexts_)
      if (!c.end && c.parent && contexts_[*c.parent].end) c.end = contexts_[*c.parent].end;
    for (const auto who : everybody()) {
      const auto& w = waiting_.at(who);
      std::vector<ending> possible;
      if (w.how.context && contexts_[*w.how.context].end)
        possible.push_back({who, 0, *contexts_[*w.how.context].end});
      for (number i = 0; i < w.cases.size(); ++i)
        if (w.cases[i].what == a_case::kind::done && can_happen(w.cases[i]))
          possible.push_back({who, i, outcome::done});
      if (!possible.empty()) finish(chosen_of(who, possible, choose), ended);
    }
    return ended;
  }

  /// A waiting operation is cancelled.
  std::vector<ending> cancel(number who) {
    std::vector<ending> ended;
    if (waits(who)) finish({who, 0, outcome::cancelled}, ended);
    return ended;
  }

  /// A timer is stopped: what it has sent and nobody has received is gone, too.
  /** @param was_set Whether it was on its way. @return Whether that kept a value back. */
  bool stop_timer(number timer, bool was_set) {
    auto& t = channels_[timer];
    t.timer = true;
    const bool kept_back = was_set || !t.buffer.empty();
    t.buffer.clear();
    return kept_back;
  }
  /// It goes off.
  template <class Choose>
  std::vector<ending> go_off(number timer, Choose choose) {
    channels_[timer].timer = true;
    std::vector<ending> ended;
    if (channels_[timer].buffer.empty()) put(timer, 0, choose, ended);
    return ended;
  }

  /// What was received and could not be taken is the next to be received.
  template <class Choose>
  std::vector<ending> give_back(number channel, value v, Choose choose) {
    std::vector<ending> ended;
    if (first(channel, a_case::kind::receive))
      put(channel, v, choose, ended);
    else
      channels_[channel].buffer.push_front(v);
    return ended;
  }
  /// A waiting operation has ended without having done anything.
  void forget(number who) {
    leave_queues(who);
    waiting_.erase(who);
  }

 private:
  struct a_channel {
    std::size_t capacity = 0;
    bool closed = false;
    bool dropped = false;
    bool timer = false;  ///< what is in it is no value of the program's
    std::deque<value> buffer;
    /// Who waits to send and who to receive, each in the order in which they came.
    std::deque<number> senders, receivers;
  };
  struct a_context {
    std::optional<number> parent;
    std::optional<outcome> end;
  };
  struct a_wait {
    std::vector<a_case> cases;
    manner how;
  };

  [[nodiscard]] static bool is_of_channel(const a_case& c) {
    return c.what == a_case::kind::send || c.what == a_case::kind::receive;
  }
  [[nodiscard]] std::deque<number>& queue(number channel, a_case::kind k) {
    return k == a_case::kind::send ? channels_[channel].senders : channels_[channel].receivers;
  }
  [[nodiscard]] std::optional<number> first(number channel, a_case::kind k) {
    const auto& q = queue(channel, k);
    return q.empty() ? std::nullopt : std::optional(q.front());
  }
  [[nodiscard]] std::vector<number> everybody() const {
    std::vector<number> all;
    for (const auto& [who, w] : waiting_) all.push_back(who);
    return all;
  }

  /// How a case that begins now would end; nothing if it would wait.
  [[nodiscard]] std::optional<outcome> can_happen(const a_case& c) const {
    switch (c.what) {
      case a_case::kind::done:
        if (c.object == nil || !contexts_[c.object].end) return {};
        return outcome::done;
      case a_case::kind::now:
        return outcome::done;
      case a_case::kind::soon:
      case a_case::kind::never:
        return {};
      case a_case::kind::send:
      case a_case::kind::receive:
        break;
    }
    if (c.object == nil) return {};
    const auto& ch = channels_[c.object];
    if (c.what == a_case::kind::send) {
      if (ch.closed) return outcome::closed;
      if (!ch.receivers.empty() || ch.buffer.size() < ch.capacity) return outcome::done;
    } else {
      if (!ch.buffer.empty() || !ch.senders.empty()) return outcome::done;
      if (ch.closed) return outcome::closed;
    }
    return {};
  }
  /// The value of a receive that is ready, if that is already known.
  [[nodiscard]] value what_is_got(const a_case& c) const {
    if (c.what != a_case::kind::receive || c.object == nil) return 0;
    const auto& ch = channels_[c.object];
    return ch.buffer.empty() ? 0 : ch.buffer.front();
  }

  /// A case that is ready happens.
  template <class Choose>
  void happen(ending e, const a_case& c, Choose choose, std::vector<ending>& ended) {
    if (e.how == outcome::done && c.what == a_case::kind::send)
      put(c.object, c.sent, choose, ended);
    if (e.how == outcome::done && c.what == a_case::kind::receive)
      e.got = take(c.object, choose, ended);
    ended.push_back(e);
  }

  /// A value goes to the first who waits, or into the buffer.
  template <class Choose>
  void put(number channel, value v, Choose choose, std::vector<ending>& ended) {
    if (const auto who = first(channel, a_case::kind::receive))
      finish(partner(*who, channel, a_case::kind::receive, v, choose).first, ended);
    else
      channels_[channel].buffer.push_back(v);
  }

  /// The next value, of the buffer or of the first who waits to send; others then move up.
  template <class Choose>
  value take(number channel, Choose choose, std::vector<ending>& ended) {
    const auto from_sender = [&](number who) {
      const auto [e, v] = partner(who, channel, a_case::kind::send, 0, choose);
      finish(e, ended);
      return v;
    };
    auto& ch = channels_[channel];
    if (ch.buffer.empty()) return from_sender(ch.senders.front());
    const value v = ch.buffer.front();
    ch.buffer.pop_front();
    while (!ch.closed && ch.buffer.size() < ch.capacity && !ch.senders.empty())
      ch.buffer.push_back(from_sender(ch.senders.front()));
    return v;
  }

  /// Which of its cases of this channel has happened to one who waits, and what it sends.
  template <class Choose>
  std::pair<ending, value> partner(number who, number channel, a_case::kind k, value got,
                                   Choose choose) {
    const auto& cases = waiting_.at(who).cases;
    std::vector<ending> possible;
    for (number i = 0; i < cases.size(); ++i)
      if (cases[i].what == k && cases[i].object == channel)
        possible.push_back({who, i, outcome::done, got});
    const ending e = chosen_of(who, possible, choose);
    return {e, cases[e.which].sent};
  }

  /// Ends the waits of one side of a channel, or of both.
  template <class Choose>
  void end_waits(number channel, std::optional<a_case::kind> side, outcome how, Choose choose,
                 std::vector<ending>& ended) {
    for (const auto who : everybody()) {
      const auto& cases = waiting_.at(who).cases;
      std::vector<ending> possible;
      for (number i = 0; i < cases.size(); ++i)
        if (is_of_channel(cases[i]) && cases[i].object == channel &&
            (!side || cases[i].what == *side))
          possible.push_back({who, i, how});
      if (!possible.empty()) finish(chosen_of(who, possible, choose), ended);
    }
  }

  /// It can only wait for those who cannot come any more.
  void end_if_forsaken(number who, std::vector<ending>& ended) {
    const auto& w = waiting_.at(who);
    if (!w.how.holds_no_handle) return;
    bool forsaken = false;
    for (const auto& c : w.cases) {
      if (c.object == nil && c.what != a_case::kind::never) continue;
      if (!is_of_channel(c) || !channels_[c.object].dropped) return;
      forsaken = true;
    }
    if (forsaken) finish({who, 0, outcome::cancelled}, ended);
  }

  template <class Choose>
  static ending chosen_of(number who, const std::vector<ending>& possible, Choose choose) {
    return possible[possible.size() == 1 ? 0 : choose(who, possible)];
  }

  void wait(number who, const std::vector<a_case>& cases, const manner& how) {
    waiting_[who] = {cases, how};
    for (const auto& c : cases) {
      if (c.object == nil || !is_of_channel(c)) continue;
      auto& q = queue(c.object, c.what);
      if (std::ranges::find(q, who) == q.end()) q.push_back(who);
    }
  }
  void leave_queues(number who) {
    for (auto& ch : channels_) {
      std::erase(ch.senders, who);
      std::erase(ch.receivers, who);
    }
  }
  void finish(const ending& e, std::vector<ending>& ended) {
    forget(e.who);
    ended.push_back(e);
  }

  std::vector<a_channel> channels_;
  std::vector<a_context> contexts_;
  std::map<number, a_wait> waiting_;
};

}  // namespace sluice_test::model
