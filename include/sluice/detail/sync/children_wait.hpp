// What one operation needs to have several children: it counts them, and cancels those that are
// left when one has failed or the whole is cancelled.
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/intrusive_list.hpp>
#include <sluice/detail/goroutine/cancellation.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>
#include <sluice/detail/scheduler/wait_reason.hpp>
#include <sluice/detail/scheduler/waker.hpp>
#include <sluice/detail/task/startable.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>
#include <sluice/task.hpp>

#include <boost/asio/cancellation_type.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <utility>

namespace sluice::detail {

/// A child as those see it who cancel it.
struct child_link : list_hook<child_link> {
  /// Set while it is there to be cancelled.
  cancellation_ref cancel;
  bool told = false;  ///< that it is
};

/// An error as those need it who complete with an `error_code`.
[[nodiscard]] error_code error_code_of(const std::exception_ptr& failure) noexcept;

/// The wait of a goroutine, or of a handler, for children that it has launched.
/**
 * It ends when all of them have ended and been destroyed, whatever they ended with. The first that
 * fails cancels the others, for good: no reset of theirs forgets it. So does whoever cancels the
 * whole; a goroutine's cancellation, under whose lock no executor is to be called, leaves that to a
 * step, which counts as one more child.
 */
class children_wait : private cancellable, private ready_node {
 public:
  explicit children_wait(wait_reason reason) noexcept
      : cancellable{&cancel_later}, ready_node(&cancel_now), reason_(reason) {}
  children_wait(const children_wait&) = delete;
  children_wait& operator=(const children_wait&) = delete;

  /// Begins the wait of a goroutine.
  /** @return False if that is cancelled already: nothing is launched then. */
  [[nodiscard]] bool begin(goroutine& g) noexcept;
  /// Begins the wait of a handler.
  void begin(waker& p) noexcept;

  /// From now on `f(arg)` is called when a child has ended and none has failed: it may launch
  /// another.
  void set_successor(void (*f)(void*) noexcept, void* arg) noexcept {
    successor_ = f;
    successor_argument_ = arg;
  }

  /// Starts the goroutine of a child, which has a `child_membership` of it.
  /** @throws What starting a goroutine throws. */
  void launch(child_link& c, start_point at, task<> body, std::source_location where);
  /// All have been launched. @return Whether one of them will call the waker, and may have.
  [[nodiscard]] bool launched() noexcept { return !count_down(); }
  /// Whether no more are to be launched.
  [[nodiscard]] bool stopped() noexcept;

  /// A child has failed.
  void failed(const std::exception_ptr& e) noexcept;
  /// The same.
  void failed(const error_code& e) noexcept;

  /// Cancels the wait of a handler. @return Whether the caller is to call the waker.
  [[nodiscard]] bool cancel_for_handler() noexcept;

  /// The waiting goroutine goes on.
  void end() noexcept {
    if (cancel_) cancel_->end();
  }

  /// What the whole fails with, if not all have succeeded: the first failure, or what cancelled it.
  void failure(error_code& e) const noexcept;
  /// The same.
  void failure(std::exception_ptr& e) const;

 private:
  friend class child_membership;

  void ended(child_link& c) noexcept;
  void cancel_children() noexcept;
  [[nodiscard]] bool count_up_unless_over() noexcept;
  [[nodiscard]] bool count_down() noexcept {
    return outstanding_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  void count_down_and_wake() noexcept;
  static bool cancel_later(cancellable& wait, asio::cancellation_type, waiter::state outcome,
                           ready_list& steps) noexcept;
  static void cancel_now(ready_node& node, worker*);

  waker* who_ = nullptr;
  cancellation_ref cancel_;  ///< of the goroutine that waits
  void (*successor_)(void*) noexcept = nullptr;
  void* successor_argument_ = nullptr;
  /// The children, those that are being launched, and those who are cancelling.
  std::atomic<std::size_t> outstanding_{0};
  byte_lock lock_;
  const wait_reason reason_;
  bool stopped_ = false;
  waiter::state outcome_ = waiter::state::waiting;  ///< how the whole was cancelled
  intrusive_list<child_link> running_;
  intrusive_list<child_link> told_;  ///< those who know that they are cancelled
  error_code first_error_;
  std::exception_ptr first_exception_;
};

/// Counts a child until its frame is destroyed.
class child_membership {
 public:
  child_membership(children_wait& wait, child_link& c) noexcept : wait_(&wait), child_(&c) {
    wait.outstanding_.fetch_add(1, std::memory_order_relaxed);
  }
  child_membership(child_membership&& other) noexcept
      : wait_(std::exchange(other.wait_, nullptr)), child_(other.child_) {}
  child_membership& operator=(child_membership&&) = delete;
  ~child_membership() {
    if (wait_) wait_->ended(*child_);
  }

  /// Whether it is not to begin any more.
  [[nodiscard]] bool stopped() const noexcept { return wait_->stopped(); }
  template <class Failure>
  void failed(const Failure& f) const noexcept {
    wait_->failed(f);
  }

 private:
  children_wait* wait_;
  child_link* child_;
};

}  // namespace sluice::detail
