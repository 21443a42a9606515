// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/assert.hpp>

namespace sluice::detail {

template <class T>
class intrusive_list;

/// An object's links in an `intrusive_list`; a base class of it.
template <class T>
class list_hook {
  friend class intrusive_list<T>;
  T* previous_ = nullptr;
  T* next_ = nullptr;
};

/// A list of objects that bring their links with them, the one that was added last first.
/** An object is in one list at a time. Nothing here is thread-safe. */
template <class T>
class intrusive_list {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  /// The first object, or null.
  [[nodiscard]] T* front() const noexcept { return first_; }
  /// What stands behind `object`, or null.
  [[nodiscard]] static T* after(const T& object) noexcept { return hook(object).next_; }

  void push_front(T& object) noexcept {
    list_hook<T>& h = object;
    h.previous_ = nullptr;
    h.next_ = first_;
    if (first_) hook(*first_).previous_ = &object;
    first_ = &object;
  }

  void remove(T& object) noexcept {
    const list_hook<T>& h = object;
    SLUICE_ASSERT((h.previous_ ? hook(*h.previous_).next_ : first_) == &object,
                  "what is taken out of a list is in it");
    (h.previous_ ? hook(*h.previous_).next_ : first_) = h.next_;
    if (h.next_) hook(*h.next_).previous_ = h.previous_;
  }

  /// Puts `by` in the place of `object`.
  void replace(T& object, T& by) noexcept {
    list_hook<T>& h = by;
    h = hook(object);
    (h.previous_ ? hook(*h.previous_).next_ : first_) = &by;
    if (h.next_) hook(*h.next_).previous_ = &by;
  }

  /// Takes out the first object. @return That, or null.
  T* pop_front() noexcept {
    T* const object = first_;
    if (object) remove(*object);
    return object;
  }

 private:
  [[nodiscard]] static list_hook<T>& hook(T& object) noexcept { return object; }
  [[nodiscard]] static const list_hook<T>& hook(const T& object) noexcept { return object; }

  T* first_ = nullptr;
};

}  // namespace sluice::detail
