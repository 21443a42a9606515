// SPDX-License-Identifier: BSL-1.0
// What the goroutines of a server share, and their counts. Each of them keeps it until it has
// ended.
#pragma once

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/serve_options.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/wait_group.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace sluice::detail {

struct stop_signals;
class serve_member;

/// Lets one report through each second: clients who can make something fail are not to fill a log,
/// or a pipe that nobody reads. Thread safe.
class once_a_second {
 public:
  [[nodiscard]] bool is_due() noexcept;

 private:
  std::atomic<clock::duration> last_ = clock::duration(std::chrono::seconds(-1));
};

/// What a server, its connections and whoever stops it share.
class serve_state {
 public:
  /** @param listening Whether there is an acceptor that could accept anybody.
   * @throws std::bad_alloc, std::invalid_argument */
  SLUICE_DECL serve_state(start_point at, serve_options options, bool listening);
  SLUICE_DECL ~serve_state();

  [[nodiscard]] const start_point& at() const noexcept { return at_; }
  [[nodiscard]] const serve_options& options() const noexcept { return options_; }
  /// Done when connections are to end by themselves.
  [[nodiscard]] const context& stopping() const noexcept { return stopping_.ctx; }
  /// Done when they are cut off.
  [[nodiscard]] const context& cut() const noexcept { return cut_.ctx; }

  /// What to do about an error of accept.
  enum class advice { again, later, never };
  [[nodiscard]] SLUICE_DECL advice accept_failed(const error_code& e);

  /// Tells the user of the exception that is being handled, unless the server itself has caused it.
  SLUICE_DECL void connection_failed();

  /// Waits for the end of the server: for a signal, the acceptor's end, or its own cancellation.
  [[nodiscard]] SLUICE_DECL static task<> supervise(std::shared_ptr<serve_state> self);

  /// There is one more connection.
  /** @return For how many descriptors the reactor is to be prepared, because there have never been
   * so many connections. */
  [[nodiscard]] SLUICE_DECL std::size_t descriptors_to_prepare() noexcept;
  /// There is one less, as soon as its handler's memory has been freed.
  SLUICE_DECL void connection_ends();
  /// Gives memory back when connections have gone, until the server stops.
  [[nodiscard]] SLUICE_DECL static task<> give_memory_back(serve_member self);

  wait_group accepting;
  wait_group connections;
  wait_group handlers;
  std::optional<semaphore> permits;
  // Written by the goroutine that accepts, and by the one that supervises when that has ended.
  serve_result result;
  error_code failure;

 private:
  template <class Function>
  void call_user(Function f);

  const start_point at_;
  const serve_options options_;
  const cancellable_context cut_;
  const cancellable_context stopping_;
  const std::unique_ptr<stop_signals> signals_;
  /// Why it cannot begin.
  error_code no_begin_;
  once_a_second accept_reports_;
  once_a_second connection_lines_;
  /// How many connections the reactor is prepared for. Of the goroutine that accepts.
  std::ptrdiff_t prepared_ = 0;
  /// How many there have been since memory was given back.
  std::atomic<std::ptrdiff_t> most_ = 0;
  const channel<void> many_have_gone_ = make_channel<void>(1);
};

/// Counts something of a server until it is destroyed.
class serve_member {
 public:
  serve_member(std::shared_ptr<serve_state> s, wait_group serve_state::* where)
      : state_(std::move(s)), where_(where) {
    (state_.get()->*where_).add();
  }
  serve_member(serve_member&&) noexcept = default;
  serve_member& operator=(serve_member&&) = delete;
  ~serve_member() {
    if (!state_) return;
    if (where_ == &serve_state::connections) state_->connection_ends();
    (state_.get()->*where_).done();
  }
  [[nodiscard]] const std::shared_ptr<serve_state>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<serve_state> state_;
  wait_group serve_state::* where_;
};

}  // namespace sluice::detail
