#pragma once

#include <sluice/condition.hpp>
#include <sluice/mutex.hpp>
#include <sluice/task.hpp>

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

/// What a search must find: channels of a mutex and a condition, each with one fault.
namespace sluice_test {

enum class fault {
  none,
  lost_wakeup,         ///< who looks and then waits does both, but not under one lock
  close_before_drain,  ///< a closed channel gives what is in it no more
  woken_once,          ///< one that waits is woken where several may go on
  counted_outside,     ///< what is in it is counted after the lock has been given up
};

/// A buffered channel as a beginner writes it.
class planted_channel {
 public:
  planted_channel(std::size_t capacity, fault planted) : capacity_(capacity), planted_(planted) {}

  sluice::task<> send(int value) {
    auto held = co_await mutex_.lock();
    while (values_.size() == capacity_) co_await changed_.wait(held);
    values_.push_back(value);
    tell();
  }

  sluice::task<std::optional<int>> receive() {
    auto held = co_await mutex_.lock();
    if (planted_ == fault::close_before_drain && closed_) co_return std::nullopt;
    if (planted_ == fault::lost_wakeup && values_.empty() && !closed_) {
      held.unlock();
      held = co_await mutex_.lock();
      co_await changed_.wait(held);
    }
    while (values_.empty() && !closed_) co_await changed_.wait(held);
    if (values_.empty()) co_return std::nullopt;
    const int value = values_.front();
    values_.pop_front();
    tell();
    if (planted_ == fault::counted_outside) {
      const auto seen = received_;
      held.unlock();
      held = co_await mutex_.lock();
      received_ = seen + 1;
    } else {
      ++received_;
    }
    co_return value;
  }

  sluice::task<> close() {
    const auto held = co_await mutex_.lock();
    closed_ = true;
    tell();
  }

  [[nodiscard]] std::size_t received() const noexcept { return received_; }

 private:
  void tell() {
    if (planted_ == fault::woken_once)
      changed_.notify_one();
    else
      changed_.notify_all();
  }

  const std::size_t capacity_;
  const fault planted_;
  sluice::mutex mutex_;
  sluice::condition changed_;
  std::deque<int> values_;
  std::size_t received_ = 0;
  bool closed_ = false;
};

}  // namespace sluice_test
