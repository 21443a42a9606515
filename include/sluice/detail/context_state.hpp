#pragma once

#include <sluice/detail/byte_lock.hpp>
#include <sluice/detail/target.hpp>
#include <sluice/detail/waiter.hpp>
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

class context_state;
class one_shot;

/// Something that a context calls when it is done: once, on the thread that cancels, under no lock.
/** The function owns what it uses: it may still be running when it has been removed. */
class context_callback {
 public:
  explicit context_callback(std::function<void()> f) : function_(std::move(f)) {}

 private:
  friend class context_state;
  std::function<void()> function_;
  context_callback* previous_ = nullptr;
  context_callback* next_ = nullptr;
  bool registered_ = false;
};

/// A weak reference to a context.
class context_link {
 public:
  explicit context_link(context_state& s) noexcept : state_(&s) {}

  /// Cancels the context if it still is there.
  void cancel(const error_code& e, const std::exception_ptr& cause);
  /// The context is gone.
  void clear() noexcept;

 private:
  byte_lock lock_;
  context_state* state_;
};

/// A node of the tree of contexts that can be done. Counted; children keep their parents.
class context_state {
 public:
  /// A child of `parent`, which may be null. If the parent is done the child is born done.
  static context_state& make(context_state* parent);

  context_state(const context_state&) = delete;
  context_state& operator=(const context_state&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  /// Makes it and its descendants done, unless it is; the first cause wins.
  void cancel(error_code e, std::exception_ptr cause);
  /// Cancels at `t` if it is not done by then, on the scheduler of `where`.
  void set_deadline(const target_ptr& where, std::chrono::steady_clock::time_point t);

  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  [[nodiscard]] error_code err() const noexcept;
  [[nodiscard]] std::exception_ptr cause() const noexcept;
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept;

  /// Registers a callback. @return False if the context is done already: it will not be called.
  [[nodiscard]] bool add(context_callback& c) noexcept;
  /// Unregisters it.
  /** @return True if it has not been called and will not be. */
  bool remove(context_callback& c) noexcept;

  /// A weak reference, the same at every call.
  [[nodiscard]] std::shared_ptr<context_link> link();
  /// Keeps something until it is done or gone.
  void keep(std::shared_ptr<void> what);

  /// How many children have not ended.
  [[nodiscard]] std::size_t child_count() const noexcept;

  // For the waiter functions of `done`.
  [[nodiscard]] byte_lock& lock() noexcept { return lock_; }
  void enlist(waiter& w) noexcept { waiters_.push_back(w); }
  [[nodiscard]] bool withdraw(waiter& w) noexcept;

 private:
  friend class context_link;

  explicit context_state(context_state* parent) noexcept : parent_(parent) {}
  ~context_state() = default;

  [[nodiscard]] bool try_retain() noexcept;
  void unlink_child(context_state& c) noexcept;
  /// Marks it done; appends the children to cancel next to `todo`.
  void cancel_one(const error_code& e, const std::exception_ptr& cause, context_state*& todo);

  mutable byte_lock lock_;
  std::atomic<bool> done_{false};
  error_code error_;
  std::exception_ptr cause_;
  context_state* const parent_;
  context_state* first_child_ = nullptr;
  context_state* previous_sibling_ = nullptr;
  context_state* next_sibling_ = nullptr;
  bool linked_ = false;
  context_state* next_to_cancel_ = nullptr;
  waiter_list waiters_;
  context_callback* callbacks_ = nullptr;
  std::shared_ptr<one_shot> timer_;
  std::shared_ptr<context_link> link_;
  std::vector<std::shared_ptr<void>> kept_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::atomic<std::size_t> references_{1};
};

/// A counted reference to a `context_state`, or none.
class context_ref {
 public:
  context_ref() noexcept = default;
  /// Takes over a reference.
  [[nodiscard]] static context_ref adopt(context_state& s) noexcept {
    context_ref r;
    r.state_ = &s;
    return r;
  }
  context_ref(const context_ref& other) noexcept : state_(other.state_) {
    if (state_) state_->retain();
  }
  context_ref(context_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  context_ref& operator=(context_ref other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~context_ref() {
    if (state_) state_->release();
  }

  [[nodiscard]] context_state* get() const noexcept { return state_; }
  [[nodiscard]] context_state* operator->() const noexcept { return state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  context_state* state_ = nullptr;
};

}  // namespace sluice::detail
