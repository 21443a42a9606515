// SPDX-License-Identifier: BSL-1.0
// What one operation needs to have several children: it counts them, and cancels those that are
// left when one has failed or the whole is cancelled.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/goroutine/owned_goroutines.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/wait_reason.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/task/new_goroutine.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>
#include <sluice/task.hpp>

#include <boost/asio/cancellation_type.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <source_location>
#include <stdexcept>
#include <utility>

namespace sluice::detail {

/// The wait of a goroutine, or of a handler, for children that it has launched.
/**
 * It ends when all of them have ended and been destroyed, whatever they ended with. The first that
 * fails cancels the others, for good: no reset of theirs forgets it. So does whoever cancels the
 * whole; a goroutine's cancellation, under whose lock no executor is to be called, leaves that to a
 * step, which counts as one more child.
 */
class SLUICE_DECL children_wait final : public owned_goroutines,
                                        private cancellable,
                                        private ready_node {
 public:
  explicit children_wait(wait_reason reason) noexcept
      : cancellable{&cancel_later}, ready_node(&cancel_now), reason_(reason) {}
  children_wait(const children_wait&) = delete;
  children_wait& operator=(const children_wait&) = delete;

  /// Whether it has begun, which it does once.
  [[nodiscard]] bool was_begun() const noexcept { return who_ != nullptr; }
  /// Begins the wait of a goroutine.
  /** @return False if that is cancelled already: nothing is launched then. */
  [[nodiscard]] SLUICE_DECL bool begin(goroutine& g) noexcept;
  /// Begins the wait of a handler.
  SLUICE_DECL void begin(waker& p) noexcept;

  /// A child that is to be run.
  struct next_child {
    goroutine* child = nullptr;  ///< none: there is no more, or there is to be no more
    bool is_last = false;        ///< as `make` was told
  };
  /// Makes the next child, by `make`, of what is at `children`.
  using next_function = next_child (*)(void* children, children_wait& wait) noexcept;
  /// Whether who launches children suspends with that.
  enum class launched_by : bool { suspending, another };

  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max() / 2;

  /// Begins to launch children, at most so many at a time, and does not wait for them: each is
  /// launched as a thread comes to it, the first before what else is ready on this one.
  /** The waker may have been called when this returns. */
  SLUICE_DECL void launch(next_function make_next, void* children, start_point at,
                          std::source_location where, std::size_t most_at_a_time,
                          launched_by by) noexcept;

  /// Makes the goroutine of a child. For a `next_function`.
  /** Of the last, if that is known, who launches them is counted no more.
   * On somebody else's executor it has been started, and may have ended.
   * @return None if it is not to begin any more. @throws std::bad_alloc; what that executor throws;
   * std::invalid_argument for a task that was moved from */
  template <class T>
  [[nodiscard]] goroutine* make(owned_goroutine& child, task<T> body, bool is_last) {
    if (!body)
      detail::throw_exception(
          std::invalid_argument("sluice: co_await of a task that was moved from"));
    if (!at_.where->is_native())
      return make_elsewhere(child, new_goroutine(at_, std::move(body), false, where_));
    return owned_goroutines::make(child, at_.where, body.release().promise(), at_.counts_as_work,
                                  where_, is_last ? std::size_t{0} - ended_ : one);
  }

  /// A child has failed.
  SLUICE_DECL void failed(const std::exception_ptr& e) noexcept;
  /// The same.
  SLUICE_DECL void failed(const error_code& e) noexcept;

  /// Cancels the wait of a handler. @return Whether the caller is to call the waker.
  [[nodiscard]] SLUICE_DECL bool cancel_for_handler() noexcept;

  /// The waiting goroutine goes on.
  void end() noexcept { end_in(static_cast<goroutine&>(*who_)); }

  /// What the whole fails with, if not all have succeeded: the first failure, or what cancelled it.
  SLUICE_DECL void failure(error_code& e) const noexcept;
  /// The same.
  SLUICE_DECL void failure(std::exception_ptr& e) const;

 private:
  /// Launches the next child, when its turn comes on a thread; when all have ended it wakes.
  struct fork : ready_node {
    explicit fork(children_wait& w) noexcept : ready_node(&run_fork), owner(w) {}
    children_wait& owner;
  };
  class fork_turn;

  [[nodiscard]] SLUICE_DECL goroutine* make_elsewhere(owned_goroutine& child, new_goroutine made);
  SLUICE_DECL void one_has_ended() noexcept override;
  /// @return Whether nobody goes on launching until a child has ended.
  [[nodiscard]] bool use_last_turn() noexcept {
    return limited_ && turns_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  void go_on_launching(launched_by by) noexcept;
  void launch_elsewhere() noexcept;
  void run_here(worker& w);
  void launch_one(worker& w);
  SLUICE_DECL static void run_fork(ready_node& node, worker* w);
  void cancel_children() noexcept;
  void count_down_and_wake(std::size_t count = one) noexcept;
  SLUICE_DECL static bool cancel_later(cancellable& wait, asio::cancellation_type,
                                       waiter::state outcome, ready_list& steps) noexcept;
  SLUICE_DECL static void cancel_now(ready_node& node, worker*);

  waker* who_ = nullptr;
  next_function make_next_ = nullptr;
  void* children_ = nullptr;
  start_point at_;
  std::source_location where_;
  fork fork_{*this};
  /// How many more may be under way. Who finds none, and makes one, goes on launching; nobody else
  /// does meanwhile.
  std::atomic<std::size_t> turns_{0};
  /// What those count for that have ended, and behind whom the same thread has launched the next
  /// child: who launches them counts for them, too.
  std::size_t ended_ = 0;
  const wait_reason reason_;
  bool limited_ = false;
  bool over_ = false;                               ///< the waiting goroutine is to go on
  waiter::state outcome_ = waiter::state::waiting;  ///< how the whole was cancelled
  error_code first_error_;
  std::exception_ptr first_exception_;
};

}  // namespace sluice::detail
