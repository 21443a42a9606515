#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

// What several threads have done to a few channels at the same time, and whether there is an order
// in which it could have been done one after another.
namespace sluice_test::model {

/// One operation as its thread saw it: when it began and ended, and what it did in between.
struct event {
  enum class effect : std::uint8_t {
    sent,
    received,
    send_failed,      ///< the channel was closed
    received_closed,  ///< closed and drained
    closed,
    close_failed,  ///< it was closed already
    nothing,       ///< none of its cases was ready
  };
  using time = std::chrono::steady_clock::time_point;

  time begin, end;
  effect what = effect::nothing;
  std::uint8_t channel = 0;
  std::uint32_t value = 0;
  /// It waited for its partner if there was none: two that never wait do not meet.
  bool waits = true;
  /// Of `nothing`: from which channels it would have received, and to which it would have sent.
  std::uint8_t receives = 0, sends = 0;
};

/// Whether a history of channels is linearizable.
/**
 * A channel is a queue of limited length, and without a length the meeting of a send and a receive
 * at one instant. Source: Wing and Gong, Testing and Verifying Concurrent Objects, with Lowe's
 * memory of what has been tried.
 */
class history {
 public:
  static constexpr std::size_t channels = 2;

  explicit history(std::array<std::size_t, channels> capacities) : capacities_(capacities) {}

  void add(const event& e) { events_.push_back(e); }
  void add(const std::vector<event>& all) { events_.insert(events_.end(), all.begin(), all.end()); }

  /// 64 events at most.
  [[nodiscard]] bool is_linearizable() {
    std::ranges::sort(events_, {}, &event::begin);
    tried_.clear();
    return events_.size() <= 64 && try_from(0, {});
  }

  [[nodiscard]] std::string text() const {
    static constexpr const char* names[] = {
        "sent", "received", "send failed", "received closed", "closed", "close failed", "nothing"};
    std::string all;
    for (std::size_t c = 0; c < channels; ++c)
      all +=
          "channel " + std::to_string(c) + " has room for " + std::to_string(capacities_[c]) + "\n";
    for (const auto& e : events_)
      all += std::to_string((e.begin - events_.front().begin).count()) + " to " +
             std::to_string((e.end - events_.front().begin).count()) +
             " ns: " + names[static_cast<int>(e.what)] + ", channel " + std::to_string(e.channel) +
             ", value " + std::to_string(e.value) + (e.waits ? "" : ", does not wait") +
             ", receives " + std::to_string(e.receives) + ", sends " + std::to_string(e.sends) +
             "\n";
    return all;
  }

 private:
  struct state {
    std::array<std::vector<std::uint32_t>, channels> buffers;
    std::array<bool, channels> closed{};
  };

  [[nodiscard]] bool has_room(const state& s, std::size_t c) const {
    return s.buffers[c].size() < capacities_[c];
  }

  /// Does an event, if it could have been done by itself.
  [[nodiscard]] bool apply(const event& e, state& s) const {
    auto& buffer = s.buffers[e.channel];
    const bool closed = s.closed[e.channel];
    switch (e.what) {
      case event::effect::sent:
        if (closed || !has_room(s, e.channel)) return false;
        buffer.push_back(e.value);
        return true;
      case event::effect::received:
        if (buffer.empty() || buffer.front() != e.value) return false;
        buffer.erase(buffer.begin());
        return true;
      case event::effect::send_failed:
      case event::effect::close_failed:
        return closed;
      case event::effect::received_closed:
        return closed && buffer.empty();
      case event::effect::closed:
        return !std::exchange(s.closed[e.channel], true) && !closed;
      case event::effect::nothing:
        for (std::size_t c = 0; c < channels; ++c) {
          if ((e.receives >> c & 1) != 0 && (s.closed[c] || !s.buffers[c].empty())) return false;
          if ((e.sends >> c & 1) != 0 && (s.closed[c] || has_room(s, c))) return false;
        }
        return true;
    }
    return false;
  }

  /// Whether two have met where there is no buffer.
  [[nodiscard]] bool meet(const event& a, const event& b, const state& s) const {
    return a.what == event::effect::sent && b.what == event::effect::received &&
           a.channel == b.channel && a.value == b.value && capacities_[a.channel] == 0 &&
           !s.closed[a.channel] && (a.waits || b.waits);
  }

  [[nodiscard]] bool try_from(std::uint64_t done, const state& s) {
    if (done ==
        (events_.size() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << events_.size()) - 1))
      return true;
    if (!tried_.insert(key(done, s)).second) return false;
    // Of those that are left, what has begun before the first has ended may be the next.
    auto first_end = event::time::max();
    for (std::size_t i = 0; i < events_.size(); ++i)
      if ((done >> i & 1) == 0) first_end = std::min(first_end, events_[i].end);
    std::vector<std::size_t> next;
    for (std::size_t i = 0; i < events_.size() && events_[i].begin <= first_end; ++i)
      if ((done >> i & 1) == 0) next.push_back(i);
    for (const auto i : next) {
      state after = s;
      if (apply(events_[i], after) && try_from(done | std::uint64_t{1} << i, after)) return true;
      for (const auto j : next)
        if (meet(events_[i], events_[j], s) &&
            try_from(done | std::uint64_t{1} << i | std::uint64_t{1} << j, s))
          return true;
    }
    return false;
  }

  [[nodiscard]] static std::string key(std::uint64_t done, const state& s) {
    std::string k(reinterpret_cast<const char*>(&done), sizeof done);
    for (std::size_t c = 0; c < channels; ++c) {
      k += s.closed[c] ? 'c' : 'o';
      for (const auto v : s.buffers[c]) k.append(reinterpret_cast<const char*>(&v), sizeof v);
    }
    return k;
  }

  std::array<std::size_t, channels> capacities_;
  std::vector<event> events_;
  std::unordered_set<std::string> tried_;
};

}  // namespace sluice_test::model
