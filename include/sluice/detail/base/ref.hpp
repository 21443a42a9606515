// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <utility>

namespace sluice::detail {

/// A counted reference to an object with `retain()` and `release()`, or none.
template <class T>
class ref {
 public:
  ref() noexcept = default;
  /// One more reference.
  explicit ref(T& object) noexcept : object_(&object) { object.retain(); }
  /// Takes over a reference that is counted already.
  [[nodiscard]] static ref adopt(T& object) noexcept {
    ref r;
    r.object_ = &object;
    return r;
  }
  ref(const ref& other) noexcept : object_(other.object_) {
    if (object_) object_->retain();
  }
  ref(ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  ref& operator=(ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~ref() {
    if (object_) object_->release();
  }

  [[nodiscard]] T* get() const noexcept { return object_; }
  /// Gives up the reference without giving it back.
  [[nodiscard]] T* detach() noexcept { return std::exchange(object_, nullptr); }
  [[nodiscard]] T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const ref&, const ref&) noexcept = default;

 private:
  T* object_ = nullptr;
};

}  // namespace sluice::detail
