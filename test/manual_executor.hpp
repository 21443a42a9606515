#pragma once

#include "names.hpp"

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace sluice_test {

/// An executor of a user's, that names a context and whose functions whoever wants to runs, on any
/// thread.
class manual_executor {
 public:
  explicit manual_executor(asio::execution_context& context)
      : state_(std::make_shared<state>(context)) {}

  /// Runs what has waited longest. False if nothing waits. Thread safe.
  bool run_one() const {
    std::function<void()> f;
    {
      const std::lock_guard guard(state_->mutex);
      if (state_->functions.empty()) return false;
      f = std::move(state_->functions.front());
      state_->functions.pop_front();
    }
    f();
    return true;
  }

  /// Destroys what waits: it keeps this, so nobody else does.
  void drop_all() const {
    std::deque<std::function<void()>> dropped;
    const std::lock_guard guard(state_->mutex);
    dropped.swap(state_->functions);
  }

  /// Expires when no copy of this and none of its functions is left.
  [[nodiscard]] std::weak_ptr<const void> lifetime() const noexcept { return state_; }

  template <class F>
  void execute(F f) const {
    auto kept = std::make_shared<F>(std::move(f));
    const std::lock_guard guard(state_->mutex);
    state_->functions.emplace_back([kept]() mutable {
      F now(std::move(*kept));
      kept.reset();
      now();
    });
  }
  [[nodiscard]] asio::execution_context& query(asio::execution::context_t) const noexcept {
    return state_->context;
  }
  [[nodiscard]] static constexpr asio::execution::blocking_t query(
      asio::execution::blocking_t) noexcept {
    return asio::execution::blocking.never;
  }
  [[nodiscard]] manual_executor require(asio::execution::blocking_t::never_t) const {
    return *this;
  }
  friend bool operator==(const manual_executor& a, const manual_executor& b) noexcept {
    return a.state_ == b.state_;
  }
  friend bool operator!=(const manual_executor& a, const manual_executor& b) noexcept {
    return !(a == b);
  }

 private:
  struct state {
    explicit state(asio::execution_context& c) : context(c) {}
    asio::execution_context& context;
    std::mutex mutex;
    std::deque<std::function<void()>> functions;
  };
  std::shared_ptr<state> state_;
};

}  // namespace sluice_test
