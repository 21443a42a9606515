// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/select/select_group.hpp>

#include <boost/asio/cancellation_signal.hpp>

namespace sluice::detail {

/// The wait of a goroutine for one Asio operation that is cancelled when it takes too long.
/**
 * Nothing is decided here, as a select decides between its cases: the operation's own completion
 * ends the wait, whoever has asked for its cancellation.
 */
class limited_wait final : launching_wait {
 public:
  /// Launches `c`, which lives as long as the wait, unless there is no time for it.
  /** @return True if the goroutine stays suspended. */
  [[nodiscard]] bool start(goroutine& g, launched_case& c, time_limit::duration longest) {
    limit_.longest = longest;
    c.owner = this;
    c.waiting = &g;
    g.waiting_on = wait_reason::asio_operation;
    const auto launch = [](void* launched) {
      auto& op = *static_cast<launched_case*>(launched);
      op.launch(op, static_cast<limited_wait*>(op.owner)->wait_.slot());
    };
    return wait_.start(g, launch, &c, &limit_);
  }

  enum class end : unsigned char { by_itself, too_late, cancelled, context_deadline };

  /// What has ended it. The goroutine's own cancellation comes before the limit.
  /** @throws What launching it threw. */
  [[nodiscard]] end finish() {
    wait_.finish(limit_);
    if (wait_.timed_out()) return end::context_deadline;
    if (wait_.cancelled()) return end::cancelled;
    return limit_.too_late ? end::too_late : end::by_itself;
  }

 private:
  void asio_completed(launched_case&) override { wait_.completed(); }
  void asio_abandoned(launched_case&) override { wait_.abandoned(); }

  handler_wait wait_;
  time_limit limit_;  ///< ends before the wait's emission
};

}  // namespace sluice::detail
