// SPDX-License-Identifier: BSL-1.0
// What a thread does while it holds a pin for somebody whom it wakes: nothing of the user's ends
// on it, because that might wait for the pin.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/pin_count.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>

#include <cstddef>
#include <new>
#include <type_traits>

namespace sluice::detail {

struct parked_handler;

/// A copy of some executor, or nothing: what destroying the last copy of one brings about waits
/// until this goes.
class kept_executor {
 public:
  kept_executor() noexcept = default;
  kept_executor(const kept_executor&) = delete;
  kept_executor& operator=(const kept_executor&) = delete;
  ~kept_executor() {
    if (destroy_) destroy_(bytes_);
  }

  /// Keeps one if there is room and this has none.
  template <class Executor>
  void keep(const Executor& ex) noexcept {
    if constexpr (sizeof(Executor) <= sizeof(bytes_) &&
                  alignof(Executor) <= alignof(std::max_align_t) &&
                  std::is_nothrow_copy_constructible_v<Executor>) {
      if (destroy_) return;
      ::new (static_cast<void*>(bytes_)) Executor(ex);
      destroy_ = [](void* p) noexcept { static_cast<Executor*>(p)->~Executor(); };
    }
  }

 private:
  void (*destroy_)(void*) noexcept = nullptr;
  alignas(std::max_align_t) std::byte bytes_[64];
};

/// A scheduler that this thread has pinned because it wakes something of it.
/**
 * If the executor of a handler refuses it meanwhile, as a rule because its context is ending, the
 * handler is not destroyed here: it may own that context, whose end waits for the pin. Nor later:
 * its executor may need the context. The end of the context destroys it, as it does what is parked.
 *
 * An executor may own its context too, and what it is given may have run, and be gone, before its
 * `execute` returns here with the last copies of it: one is kept until the pin has gone.
 */
class pinned_wake {
 public:
  SLUICE_DECL explicit pinned_wake(pinned_scheduler pinned) noexcept;
  pinned_wake(const pinned_wake&) = delete;
  pinned_wake& operator=(const pinned_wake&) = delete;
  SLUICE_DECL ~pinned_wake();

  explicit operator bool() const noexcept { return static_cast<bool>(pinned_); }

  /// The innermost one of this thread, or null.
  [[nodiscard]] SLUICE_DECL static pinned_wake* under_way() noexcept;
  /// Leaves `h`, which is registered with nobody, to the end of `home`, if this thread has pinned
  /// that one.
  [[nodiscard]] SLUICE_DECL static bool leave_to_end(const scheduler* home,
                                                     parked_handler& h) noexcept;

  /// Keeps an executor that is about to be used until the pin has gone.
  template <class Executor>
  void keep(const Executor& ex) noexcept {
    executor_.keep(ex);
  }

 private:
  kept_executor executor_;
  const pinned_scheduler pinned_;
  pinned_wake* const outer_;
};

}  // namespace sluice::detail
