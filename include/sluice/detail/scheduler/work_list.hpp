// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/scheduler/ready_list.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>

namespace sluice::detail {

/// What is ready on one thread: forks, the newest of which is next, and behind them all other
/// nodes, first in, first out.
/** Now and then the others go first: all that are there then. Its length may be read by any
 * thread. */
class work_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return forks_.empty() && others_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return forks_.size() + others_.size(); }
  [[nodiscard]] bool has_forks() const noexcept { return forks_.size() != 0; }
  [[nodiscard]] bool has_others() const noexcept { return others_.size() != 0; }

  void push_back(ready_node& node) noexcept { others_.push_back(node); }
  void push_fork(ready_node& node) noexcept { forks_.push_front(node); }

  /// Takes `fork` out if that is the next node.
  [[nodiscard]] bool take_if_next(const ready_node& fork) noexcept {
    if (forks_.front() != &fork || !others_.empty()) return false;
    forks_.pop_front();
    return true;
  }

  /// The next node, or null.
  ready_node* pop_front() noexcept {
    if (forks_.empty()) [[likely]]
      return others_.pop_front();
    if (others_.empty()) {
      turn_ = 0;
    } else if (turn_ < 0) {
      ++turn_;
      return others_.pop_front();
    } else if (++turn_ >= most_forks) {
      let_others_go_first();
    }
    return forks_.pop_front();
  }

  void append(ready_list& others) noexcept { others_.append(others); }
  void append(work_list& other) noexcept {
    forks_.append(other.forks_);
    others_.append(other.others_);
  }
  /// Moves all behind what is in `to`.
  void move_to(ready_list& to) noexcept {
    to.append(forks_);
    to.append(others_);
  }
  void move_to(work_list& to) noexcept { to.append(*this); }

  /// Moves half of it, at most so much, to `to`: the oldest forks, which have the most behind them,
  /// and the first of the others.
  void move_half(std::size_t most, work_list& to) noexcept {
    const std::size_t all = std::min((size() + 1) / 2, most);
    const std::size_t forks = std::min((forks_.size() + 1) / 2, all);
    if (forks_.size() > most_walked || forks == forks_.size())
      forks_.move_front(forks, to.forks_);
    else
      forks_.move_back(forks, to.forks_);
    others_.move_front(all - forks, to.others_);
  }

  /// What is there behind the forks has its turn before them.
  void let_others_go_first() noexcept { turn_ = -static_cast<std::ptrdiff_t>(others_.size()); }

 private:
  /// After so many in a row the others have their turn.
  static constexpr std::ptrdiff_t most_forks = 64;
  static constexpr std::size_t most_walked = 1024;

  ready_list forks_;
  ready_list others_;
  /// How many forks have run while others were there; if negative, how many of those are to run
  /// first.
  std::ptrdiff_t turn_ = 0;
};

/// A queue of a few lists that stay apart: what several threads have left over, and when.
class ready_lists {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  static constexpr std::size_t most = 4;

  /// How many lists; may be read by any thread.
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

  /// Takes over what is in `list`; joins it to the last one if there are `most` already.
  void push_back(work_list& list, time_point since) noexcept {
    const auto n = size();
    if (n < most) {
      lists_[n].nodes.append(list);
      lists_[n].since = since;
      size_.store(n + 1, std::memory_order_relaxed);
    } else {
      lists_[most - 1].nodes.append(list);
    }
  }

  /// Moves the first list, if there is one, behind what is in `to`.
  /** @return When it was left over; the clock's epoch if there is none. */
  template <class List>
  time_point pop_front(List& to) noexcept {
    const auto n = size();
    if (n == 0) return {};
    const time_point since = lists_[0].since;
    lists_[0].nodes.move_to(to);
    for (std::size_t i = 1; i < n; ++i) {
      lists_[i].nodes.move_to(lists_[i - 1].nodes);
      lists_[i - 1].since = lists_[i].since;
    }
    size_.store(n - 1, std::memory_order_relaxed);
    return since;
  }

 private:
  struct entry {
    work_list nodes;
    time_point since;
  };

  entry lists_[most];
  std::atomic<std::size_t> size_{0};
};

}  // namespace sluice::detail
