// SPDX-License-Identifier: BSL-1.0
// Accepting and connecting in memory, as the implementations of `asio::async_compose`.
#pragma once

#include <sluice/detail/testing/simulated_network.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>
#include <sluice/sleep.hpp>
#include <sluice/testing/stream.hpp>
#include <sluice/timeout.hpp>

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace sluice::detail {

/// Takes the next connection of those that wait.
class accept_operation {
 public:
  accept_operation(executor ex, std::shared_ptr<simulated_listener> from) noexcept
      : executor_(std::move(ex)), from_(std::move(from)) {}

  template <class Self>
  void operator()(Self& self) {
    if (from_ && !std::exchange(begun_, true)) {
      self.reset_cancellation_state(asio::enable_total_cancellation());
      const auto waiting = from_->waiting;
      waiting.receive()(std::move(self));
    } else if (!std::exchange(begun_, true)) {
      asio::post(std::move(self));
    } else {
      self.complete(asio::error::operation_aborted, closed());
    }
  }
  template <class Self>
  void operator()(Self& self, error_code e, std::optional<testing::stream> accepted) {
    if (!e && !accepted) e = asio::error::operation_aborted;
    if (e)
      self.complete(e, closed());
    else
      self.complete(e, std::move(*accepted));
  }

 private:
  [[nodiscard]] testing::stream closed() const noexcept {
    return testing::stream(executor_, nullptr, nullptr);
  }

  executor executor_;
  std::shared_ptr<simulated_listener> from_;
  bool begun_ = false;
};

/// There and back again: whether somebody listens is seen when the request arrives.
class connect_operation {
 public:
  connect_operation(std::shared_ptr<simulated_network> by, std::string from, std::string to)
      : by_(std::move(by)), from_(std::move(from)), to_(std::move(to)) {}

  template <class Self>
  void operator()(Self& self, error_code e = {}, bool = false) {
    if (state_ == state::begins) {
      self.reset_cancellation_state(asio::enable_total_cancellation());
      gives_up_ = sluice::now() + longest;
      state_ = state::on_the_way;
      return sleep_for(by_->latency())(std::move(self));
    }
    if (!e && self.cancelled() != asio::cancellation_type::none) e = asio::error::operation_aborted;
    if (!e && state_ == state::on_the_way) {
      if (!by_->is_up(from_, to_)) {
        const auto changed = by_->changes(from_, to_);
        return timeout(changed.receive(), gives_up_ - sluice::now())(std::move(self));
      }
      if (auto opened = by_->open(from_, to_)) {
        opened_ = std::make_unique<testing::stream>(std::move(*opened));
        state_ = state::on_the_way_back;
        return sleep_for(by_->latency())(std::move(self));
      }
      e = asio::error::connection_refused;
    }
    if (e || !opened_) return self.complete(e, by_->closed_stream());
    auto opened = std::move(*opened_);
    self.complete(e, std::move(opened));
  }

 private:
  enum class state { begins, on_the_way, on_the_way_back };

  /// As long as Linux tries by default.
  static constexpr std::chrono::seconds longest{127};

  std::shared_ptr<simulated_network> by_;
  std::string from_, to_;
  state state_ = state::begins;
  clock::time_point gives_up_{};
  std::unique_ptr<testing::stream> opened_;
};

}  // namespace sluice::detail
