// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/built_with.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/reference_count.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>

#include <cstdint>
#include <utility>

namespace sluice {

namespace asio = boost::asio;

namespace detail {

class scheduler;
class dispatcher_ptr;

/// Where nodes run: a scheduler's own ready list, a strand over it, or somebody else's executor.
/**
 * Thread safe. Dispatchers other than schedulers are counted; a scheduler lives as long as its
 * context.
 */
class SLUICE_DECL dispatcher {
 public:
  enum class kind : unsigned char {
    native,   ///< the scheduler's ready list
    serial,   ///< a strand: nothing on it runs beside anything else on it
    foreign,  ///< an executor that this library does not know
  };

  dispatcher(const dispatcher&) = delete;
  dispatcher& operator=(const dispatcher&) = delete;

  [[nodiscard]] scheduler& owner() const noexcept { return owner_; }
  [[nodiscard]] bool is_native() const noexcept { return kind_ == kind::native; }
  [[nodiscard]] bool is_serial() const noexcept { return kind_ == kind::serial; }

  /// Runs `node` later, never inside this call.
  /** A scheduler's own list needs no memory. @throws What the executor throws, `std::bad_alloc` as
   * a rule; the node is dropped then, or on a strand of Asio's perhaps never run. For a wake-up,
   * which cannot fail, that is the end of the process. */
  virtual void schedule(ready_node& node) = 0;

  /// Runs `f(arg)` now if this thread may run functions of the dispatcher, and says whether it did.
  virtual bool try_run_here(void (*f)(void*), void* arg) = 0;

  /// Whether this thread is running something of this dispatcher's executor.
  [[nodiscard]] virtual bool running_in_this_thread() const noexcept = 0;

  /// Counts outstanding work on the executor.
  virtual void work_started() noexcept = 0;
  virtual void work_finished() noexcept = 0;

  /// The executor to hand to Asio for this dispatcher; for a native one the caller makes a strand
  /// first.
  [[nodiscard]] virtual asio::any_io_executor to_any_executor() const = 0;

  /// The dispatcher that a strand serialises; any other dispatcher itself.
  [[nodiscard]] virtual dispatcher_ptr without_strand() = 0;

  /// Called on the dispatcher by a goroutine that runs there: what to run on instead, if it is a
  /// strand over a scheduler's list that nobody else has a reference to and nothing waits for.
  [[nodiscard]] virtual dispatcher_ptr left_by_the_last() noexcept;

  void retain() noexcept { references_.add(); }
  void release() noexcept {
    if (references_.release()) destroy();
  }

 protected:
  dispatcher(scheduler& owner, kind k) noexcept : owner_(owner), kind_(k) {}
  ~dispatcher() = default;

  /// Acquires what those did who have given up theirs.
  [[nodiscard]] std::uint32_t references() const noexcept { return references_.count(); }

 private:
  /// The last reference is gone.
  virtual void destroy() noexcept = 0;

  scheduler& owner_;
  const kind kind_;
  reference_count<> references_{0};
};

/// A counted reference to a dispatcher; free of charge for a scheduler.
/** It may outlive the scheduler: whether it counts is noted in the lowest bit of the address. */
class dispatcher_ptr {
 public:
  dispatcher_ptr() noexcept = default;
  explicit dispatcher_ptr(dispatcher& t) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(&t) | (t.is_native() ? 0 : counted)) {
    retain();
  }
  dispatcher_ptr(const dispatcher_ptr& other) noexcept : bits_(other.bits_) { retain(); }
  dispatcher_ptr(dispatcher_ptr&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  dispatcher_ptr& operator=(dispatcher_ptr other) noexcept {
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~dispatcher_ptr() {
    if (bits_ & counted) get()->release();
  }

  [[nodiscard]] dispatcher* get() const noexcept {
    return reinterpret_cast<dispatcher*>(bits_ & ~counted);
  }
  [[nodiscard]] dispatcher& operator*() const noexcept { return *get(); }
  [[nodiscard]] dispatcher* operator->() const noexcept { return get(); }
  explicit operator bool() const noexcept { return bits_ != 0; }

 private:
  static constexpr std::uintptr_t counted = 1;

  void retain() noexcept {
    if (bits_ & counted) get()->retain();
  }

  std::uintptr_t bits_ = 0;
};

inline dispatcher_ptr dispatcher::left_by_the_last() noexcept {
  return {};
}

}  // namespace detail

}  // namespace sluice
