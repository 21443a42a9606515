// SPDX-License-Identifier: BSL-1.0
// The tree of contexts that can be done, and the references to them: children keep their parents,
// callbacks and links keep nobody.
//
// What may make a context done is its parent or one of its cancellers. One that has none and whose
// parent cannot be done either never will be: it drops its callbacks, which may keep it.
#pragma once

#include <sluice/detail/base/byte_lock.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/intrusive_list.hpp>
#include <sluice/detail/base/queue_lock.hpp>
#include <sluice/detail/base/ref.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/base/relaxed.hpp>
#include <sluice/detail/base/stop.hpp>
#include <sluice/detail/scheduler/dispatcher.hpp>
#include <sluice/detail/wait/waiter.hpp>
#include <sluice/error.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace sluice::detail {

class context_link;
class context_state;
class callback_timer;
using context_ref = ref<context_state>;

/// A weak reference to a context.
class context_link {
 public:
  explicit context_link(context_state& s) noexcept : state_(&s) {}

  /// The context, if it still is there.
  [[nodiscard]] SLUICE_DECL context_ref lock() noexcept;
  /// Cancels the context if it still is there.
  SLUICE_DECL void cancel(const error_code& e, const std::exception_ptr& cause) noexcept;
  /// The same because its deadline has passed.
  SLUICE_DECL void expire() noexcept;
  /// The context is gone.
  SLUICE_DECL void clear() noexcept;

 private:
  byte_lock lock_;
  context_state* state_;
};

/// Somebody who may make a context done, and does not keep it; or nobody.
class context_canceller {
 public:
  context_canceller() noexcept = default;
  /// One more canceller of `s`. @throws std::bad_alloc
  SLUICE_DECL explicit context_canceller(context_state& s);
  SLUICE_DECL context_canceller(const context_canceller& other) noexcept;
  context_canceller(context_canceller&& other) noexcept = default;
  context_canceller& operator=(context_canceller other) noexcept {
    link_.swap(other.link_);
    return *this;
  }
  SLUICE_DECL ~context_canceller();

  explicit operator bool() const noexcept { return link_ != nullptr; }
  [[nodiscard]] context_ref lock() const noexcept { return link_->lock(); }
  /// Cancels the context if it still is there.
  void cancel(const error_code& e, const std::exception_ptr& cause) const noexcept {
    link_->cancel(e, cause);
  }
  /// The same because its deadline has passed.
  void expire() const noexcept { link_->expire(); }

 private:
  std::shared_ptr<context_link> link_;
};

/// Something that happens when a context is done: once, on the thread that cancels, under no lock.
class context_callback : public list_hook<context_callback> {
 public:
  /// A function is called.
  /** It owns what it uses: it may still be running when it has been removed. It does not throw. */
  explicit context_callback(std::function<void()> f) noexcept : function_(std::move(f)) {}
  /// Another context is done as well.
  explicit context_callback(context_canceller target) noexcept : target_(std::move(target)) {}

 private:
  friend class context_state;
  std::function<void()> function_;
  context_canceller target_;
  bool registered_ = false;
};

/// A node of the tree of contexts that can be done. Counted; children keep their parents.
class context_state : public list_hook<context_state> {
 public:
  /// A child of `parent_ref`, which may be none. If the parent is done the child is born done.
  SLUICE_DECL static context_state& make(context_ref parent_ref);

  context_state(const context_state&) = delete;
  context_state& operator=(const context_state&) = delete;

  void retain() noexcept { references_.retain(); }
  SLUICE_DECL void release() noexcept;

  /// Makes it and its descendants done, unless it is; the first cause wins.
  SLUICE_DECL void cancel(const error_code& e, const std::exception_ptr& cause) noexcept;
  /// Cancels at `t` with `cause` if it is not done by then, on the scheduler of `where`.
  SLUICE_DECL void set_deadline(const dispatcher_ptr& where,
                                std::chrono::steady_clock::time_point t, std::exception_ptr cause);
  /// Cancels it because its own deadline has passed.
  SLUICE_DECL void expire() noexcept;
  /// Makes it a descendant of `other` as well, but for values.
  void join(context_state& other);

  /// For good. Stored under the lock when the error and its cause are there: who reads it without
  /// the lock and finds it set may read these, which change no more.
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  /// Looks at the clock: a context whose deadline has passed is done when this returns.
  [[nodiscard]] SLUICE_DECL error_code err() noexcept;
  [[nodiscard]] SLUICE_DECL std::exception_ptr cause() noexcept;
  [[nodiscard]] SLUICE_DECL std::optional<std::chrono::steady_clock::time_point> deadline()
      const noexcept;

  /// Registers a callback. @return False if the context is done already: it will not be called.
  /** One that never will be done drops the callback's function. */
  [[nodiscard]] SLUICE_DECL bool add(context_callback& c) noexcept;
  /// Unregisters it.
  /** @return True if it has not been called and will not be. */
  SLUICE_DECL bool remove(context_callback& c) noexcept;

  /// A weak reference, the same at every call.
  [[nodiscard]] SLUICE_DECL std::shared_ptr<context_link> link();
  /// A token that is requested to stop when it is done, of the one source that it has.
  [[nodiscard]] SLUICE_DECL detail::stop_token stop_token();
  /// Keeps something until it is done or gone.
  SLUICE_DECL void keep(std::shared_ptr<void> what);

  void add_canceller() noexcept;
  /// One less may make it done; the last drops the callbacks of all that now never will be.
  SLUICE_DECL void remove_canceller() noexcept;

  /// How many children have not ended.
  [[nodiscard]] SLUICE_DECL std::size_t child_count() const noexcept;

  // For the waiter functions of `done`.
  [[nodiscard]] queue_lock& lock() noexcept { return lock_; }
  void enlist(waiter& w) noexcept { waiters_.push_back(w); }
  [[nodiscard]] SLUICE_DECL bool withdraw(waiter& w) noexcept;

 private:
  friend class context_link;

  explicit context_state(context_state* parent) noexcept : parent_(parent) {}
  ~context_state() = default;

  [[nodiscard]] bool try_retain() noexcept { return references_.try_retain(); }
  [[nodiscard]] bool is_never_done() const noexcept;
  void mark_never_done(context_state*& first) noexcept;
  void drop_callbacks(context_state*& first) noexcept;
  /// Under the lock. @return False if there is none.
  bool take_callback(std::function<void()>& f, context_canceller& target) noexcept;
  void unlink_child(context_state& c) noexcept;
  [[nodiscard]] context_ref take_child() noexcept;
  [[nodiscard]] bool mark_done(const error_code& e, const std::exception_ptr& cause) noexcept;
  SLUICE_DECL void tell(context_state*& last) noexcept;
  void append_if_marked(context_ref c, context_state*& last) noexcept;
  /// Takes an ancestor's deadline if it is earlier.
  SLUICE_DECL void limit(const std::optional<std::chrono::steady_clock::time_point>& deadline,
                         const std::shared_ptr<context_link>& whose) noexcept;

  mutable queue_lock lock_;
  std::atomic<bool> done_{false};
  error_code error_;
  std::exception_ptr cause_;
  context_state* const parent_;
  intrusive_list<context_state> children_;
  /// Whether it is in its parent's list: under the lock of that, and once false for good.
  relaxed<bool> linked_ = false;
  bool never_done_ = false;
  /// Its cancel function and the other cancellers.
  std::size_t cancellers_ = 1;
  /// Whoever marked it done links it here, behind what it told before.
  context_state* next_to_tell_ = nullptr;
  /// Whoever finds that it never will be done links it here.
  context_state* next_never_done_ = nullptr;
  waiter_list waiters_;
  intrusive_list<context_callback> callbacks_;
  std::shared_ptr<callback_timer> timer_;
  std::shared_ptr<context_link> link_;
  std::vector<std::shared_ptr<void>> kept_;
  std::optional<stop_source> stop_source_;
  /// The earliest of its own and its ancestors', and the context whose own it is.
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::shared_ptr<context_link> whose_deadline_;
  std::exception_ptr deadline_cause_;
  reference_count<std::size_t> references_{1};
};

}  // namespace sluice::detail
