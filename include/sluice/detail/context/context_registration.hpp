// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/context/context_state.hpp>

#include <functional>
#include <utility>

namespace sluice::detail {

/// A callback of a context, unregistered when this is destroyed.
class context_registration {
 public:
  context_registration(context_ref ctx, std::function<void()> f)
      : state_(std::move(ctx)), callback_(std::move(f)) {}
  context_registration(const context_registration&) = delete;
  context_registration& operator=(const context_registration&) = delete;
  ~context_registration() { stop(); }

  /// @return False if the context is done already; the function is not called then.
  [[nodiscard]] bool start() noexcept { return !state_ || state_->add(callback_); }
  bool stop() noexcept { return state_ && state_->remove(callback_); }

 private:
  context_ref state_;
  context_callback callback_;
};

}  // namespace sluice::detail
