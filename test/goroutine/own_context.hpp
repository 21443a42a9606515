#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice_test {

/// An execution context that has nothing in common with Asio's own: a queue and one thread. What it
/// is given after its end it destroys at once, as Asio's strands do.
class own_context : public boost::asio::execution_context {
 public:
  class executor_type;

  own_context() : thread_([this] { run(); }) {}
  ~own_context() {
    join();
    shutdown();
    queue_.clear();
    destroy();
  }

  [[nodiscard]] executor_type get_executor() noexcept;

  /// Runs what is queued and ends the thread.
  void join() {
    {
      const std::lock_guard guard(mutex_);
      ended_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] std::thread::id thread() const noexcept { return id_; }

 private:
  template <class F>
  void push(F&& f) {
    // std::function wants what it holds to be copyable.
    auto shared = std::make_shared<std::decay_t<F>>(std::forward<F>(f));
    {
      const std::lock_guard guard(mutex_);
      if (ended_) return;
      queue_.push_back([shared] { std::move (*shared)(); });
    }
    changed_.notify_one();
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || !queue_.empty(); });
      if (queue_.empty()) return;
      auto f = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      f();
      f = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool ended_ = false;
  std::thread thread_;
  const std::thread::id id_ = thread_.get_id();
};

/// Has what Asio's `post` asks of an executor, and nothing else.
class own_context::executor_type {
 public:
  explicit executor_type(own_context& c) noexcept : context_(&c) {}

  template <class F>
  void execute(F&& f) const {
    context_->push(std::forward<F>(f));
  }

  [[nodiscard]] own_context& query(boost::asio::execution::context_t) const noexcept {
    return *context_;
  }
  [[nodiscard]] static constexpr boost::asio::execution::blocking_t query(
      boost::asio::execution::blocking_t) noexcept {
    return boost::asio::execution::blocking.never;
  }
  [[nodiscard]] executor_type require(boost::asio::execution::blocking_t::never_t) const noexcept {
    return *this;
  }

  friend bool operator==(const executor_type& a, const executor_type& b) noexcept {
    return a.context_ == b.context_;
  }
  friend bool operator!=(const executor_type& a, const executor_type& b) noexcept {
    return a.context_ != b.context_;
  }

 private:
  own_context* context_;
};

inline own_context::executor_type own_context::get_executor() noexcept {
  return executor_type(*this);
}

}  // namespace sluice_test
