// SPDX-License-Identifier: BSL-1.0
// Elements in memory of their own: for those whose move may throw or do anything else under a
// lock. A box changes hands by its address, which throws nothing.
#pragma once

#include <sluice/detail/base/recycling.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// An element in memory of its own, which changes hands by its address.
struct boxed {
  boxed() noexcept = default;
  boxed(const boxed&) = delete;
  boxed& operator=(const boxed&) = delete;
  virtual ~boxed() = default;

  /// The next of those that came back to their channel.
  boxed* next = nullptr;
};
using boxed_ptr = std::unique_ptr<boxed>;

template <class E>
struct box final : boxed {
  template <class... Args>
  explicit box(std::in_place_t, Args&&... args) : element(std::forward<Args>(args)...) {}

  static void* operator new(std::size_t size) {
    if constexpr (alignof(box) > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
      return ::operator new(size, std::align_val_t{alignof(box)});
    else
      return detail::allocate_recycled(size);
  }
  static void operator delete(void* memory, std::size_t size) noexcept {
    if constexpr (alignof(box) > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
      ::operator delete(memory, std::align_val_t{alignof(box)});
    else
      detail::deallocate_recycled(memory, size);
  }

  E element;
};

template <class E, class... Args>
[[nodiscard]] boxed_ptr make_box(Args&&... args) {
  return boxed_ptr(new box<E>(std::in_place, std::forward<Args>(args)...));
}
template <class E>
[[nodiscard]] E& unboxed(const boxed_ptr& b) noexcept {
  return static_cast<box<E>&>(*b).element;
}

/// Ambiguous where `E` has both a copy and a move constructor.
template <class E>
struct lvalue_or_rvalue {
  operator const E&() const;
  operator E&&();
};

/// Whether moving an `E` leaves behind a whole object, which a destructor then ends.
template <class E>
inline constexpr bool is_copied_when_moved = false;
template <class E>
  requires(std::is_class_v<E> && !std::is_trivially_destructible_v<E> &&
           std::is_copy_constructible_v<E>)
inline constexpr bool is_copied_when_moved<E> = std::is_constructible_v<E, lvalue_or_rvalue<E>>;

/// Whether an element travels in a box: because moving it may throw, or because what a move leaves
/// behind is a whole object whose destructor may do anything, neither of which may happen under a
/// lock or between two wakers.
template <class E>
inline constexpr bool travels_in_box =
    !std::is_nothrow_move_constructible_v<E> || is_copied_when_moved<E>;

}  // namespace sluice::detail
