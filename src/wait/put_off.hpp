// SPDX-License-Identifier: BSL-1.0
#pragma once

namespace sluice::detail {

/// While one of these exists, the end of a channel that this thread brings about is put off until
/// the destructor.
/** Declared before the guard of a lock under which nothing of the user's may run: the end of a
 * channel destroys elements. */
class put_off {
 public:
  using function = void(void*) noexcept;

  put_off() noexcept : outer_(innermost_) { innermost_ = this; }
  put_off(const put_off&) = delete;
  put_off& operator=(const put_off&) = delete;
  ~put_off() {
    innermost_ = outer_;
    if (end_) end_(what_);
  }

  /// Calls `end(what)` once no such lock is held. One lock brings about one end at most.
  static void until_unlocked(function* end, void* what) noexcept {
    if (!innermost_) return end(what);
    innermost_->end_ = end;
    innermost_->what_ = what;
  }

 private:
  static thread_local constinit put_off* innermost_;

  put_off* const outer_;
  function* end_ = nullptr;
  void* what_ = nullptr;
};

}  // namespace sluice::detail
