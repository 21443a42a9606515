#pragma once

#include "walk/walked_std.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace sluice_test {

/// The event loop of an execution context that threads of a walk run: handlers in their order, and
/// one timer each for those that have made one. Time passes when no handler is there.
class walked_loop : public boost::asio::execution_context {
 public:
  using handler = std::function<void()>;
  using time_point = std::chrono::steady_clock::time_point;

  struct timer {
    time_point at;
    handler f;
    bool set = false;
  };

  walked_loop() = default;
  ~walked_loop() { shut_down(); }
  void shut_down() {
    shutdown();
    destroy();
  }

  void post(handler h) {
    queue_.push_back(std::move(h));
    changed();
  }
  /// When the handler that runs on this thread has ended.
  void post_after_handler(handler h) { after_[walk::this_thread()].push_back(std::move(h)); }
  void add(timer& t) { timers_.push_back(&t); }
  void remove(timer& t) { std::erase(timers_, &t); }
  void changed() { changes_.fetch_add(1); }

  [[nodiscard]] bool is_set() const {
    return std::any_of(timers_.begin(), timers_.end(), [](const timer* t) { return t->set; });
  }

  /// Runs handlers on a thread of the walk until `over` says so: each thread that runs the loop
  /// comes to it.
  template <class Over>
  void run(Over over) {
    running_here() = this;
    for (;;) {
      const auto seen = walk::writes();
      if (over()) break;
      if (handler h = next()) {
        h();
        for (handler& left : std::exchange(after_[walk::this_thread()], {})) post(std::move(left));
      } else {
        walk::wait_for_a_write(seen);
      }
    }
    running_here() = nullptr;
    changed();
  }

  /// Runs what is there, before a walk, as the thread of that number.
  void run_before_walk(std::size_t thread) {
    walked_std::this_thread::id_before_walk = thread;
    running_here() = this;
    while (!queue_.empty()) {
      const handler h = std::move(queue_.front());
      queue_.pop_front();
      h();
    }
    running_here() = nullptr;
  }

  /// The loop that this thread runs.
  static walked_loop*& running_here() {
    static walked_loop* loop = nullptr;
    return loop;
  }

 private:
  // No turn comes within: the queue's own lock is not what is walked.
  [[nodiscard]] handler next() {
    walk::turn();
    if (!queue_.empty()) {
      handler h = std::move(queue_.front());
      queue_.pop_front();
      return h;
    }
    timer* first = nullptr;
    for (timer* t : timers_)
      if (t->set && (!first || t->at < first->at)) first = t;
    if (!first) return {};
    if (std::exchange(passes_time_, walk::this_thread()) != walk::this_thread()) in_a_row_ = 0;
    if (++in_a_row_ == most_in_a_row) {
      walk::wait_for_others();
      in_a_row_ = 0;
      return [] {};  // looks again
    }
    auto& now = walked_std::chrono::steady_clock::at;
    now = std::max(now, first->at);
    first->set = false;
    return std::move(first->f);
  }

  /// So often one thread lets time pass while the others stand.
  static constexpr int most_in_a_row = 4;

  std::deque<handler> queue_;
  std::map<std::size_t, std::vector<handler>> after_;
  std::vector<timer*> timers_;
  walked_std::atomic<int> changes_{0};
  std::size_t passes_time_ = 0;
  int in_a_row_ = 0;
};

}  // namespace sluice_test

namespace boost::asio {

/// Stands for Asio's timer: it goes off on a thread that runs the walked loop.
template <class Clock, class, class Executor>
class walked_timer {
 public:
  explicit walked_timer(const Executor& e)
      : loop_(static_cast<sluice_test::walked_loop*>(&query(e, execution::context))) {
    loop_->add(timer_);
  }
  walked_timer(walked_timer&& other) : loop_(other.loop_) { loop_->add(timer_); }
  ~walked_timer() { loop_->remove(timer_); }

  void expires_at(typename Clock::time_point at) {
    cancel();
    timer_.at = at;
  }
  void cancel() { timer_.set = false; }
  template <class Handler>
  void async_wait(Handler h) {
    timer_.f = [h = std::move(h)]() mutable { h(boost::system::error_code()); };
    timer_.set = true;
    loop_->changed();
  }

 private:
  sluice_test::walked_loop* const loop_;
  sluice_test::walked_loop::timer timer_;
};

}  // namespace boost::asio
