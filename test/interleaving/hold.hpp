#pragma once

#include <sluice/detail/base/test_point.hpp>

#include <condition_variable>
#include <cstring>
#include <mutex>

namespace sluice_test {

/// Holds the first thread that comes to a test point, as a preemption there would.
/** One at a time. It lets the thread go on when it is destroyed. */
class hold {
 public:
  explicit hold(const char* place) : place_(place) {
    active() = this;
    sluice::detail::at_test_point.store(&arrive, std::memory_order_release);
  }
  hold(const hold&) = delete;
  hold& operator=(const hold&) = delete;
  ~hold() {
    release();
    sluice::detail::at_test_point.store(nullptr, std::memory_order_release);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == 0; });
  }

  /// Waits until a thread is held.
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_; });
  }

  /// Whether a thread is held, or was.
  [[nodiscard]] bool was_reached() {
    const std::lock_guard lock(mutex_);
    return held_;
  }

  /// Lets the thread go on; nobody is held from now on.
  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  static hold*& active() noexcept {
    static hold* h = nullptr;
    return h;
  }

  static void arrive(const char* place) noexcept {
    hold& h = *active();
    if (std::strcmp(place, h.place_) != 0) return;
    std::unique_lock lock(h.mutex_);
    if (h.held_ || h.released_) return;
    h.held_ = true;
    ++h.inside_;
    h.changed_.notify_all();
    h.changed_.wait(lock, [&] { return h.released_; });
    --h.inside_;
    h.changed_.notify_all();
  }

  const char* const place_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool released_ = false;
  int inside_ = 0;
};

}  // namespace sluice_test
