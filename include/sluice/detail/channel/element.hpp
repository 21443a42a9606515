// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/boxed.hpp>
#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/error.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

// What travels through a channel of `T`, and how it is moved.

namespace sluice::detail {

/// What travels through a `channel<void>`.
struct nothing {};

/// What a channel can carry: void, or objects that can be moved.
template <class T>
inline constexpr bool can_be_carried =
    std::is_void_v<T> || (std::is_object_v<T> && !std::is_array_v<T> &&
                          std::same_as<T, std::remove_cv_t<T>> && std::move_constructible<T>);

template <class T>
struct element_traits {
  static_assert(can_be_carried<T>,
                "a channel carries values that can be moved, or void: no references (use a pointer "
                "or std::reference_wrapper), nothing const or volatile, no arrays or functions");
  using type = std::conditional_t<can_be_carried<T> && !std::is_void_v<T>, T, nothing>;
};
template <class T>
using element_of = typename element_traits<T>::type;

/// What can become an element without being changed.
template <class From, class E>
concept gives_element = std::same_as<std::remove_cvref_t<From>, E> ||
                        std::convertible_to<const std::remove_reference_t<From>&, E>;

/// What cannot, and is cannot tell an error either.
template <class From, class E>
concept gives_no_element =
    !gives_element<From, E> && !std::same_as<std::remove_cvref_t<From>, error_code>;

template <class E>
void move_element(void* to, void* from) noexcept {
  ::new (to) E(std::move(*static_cast<E*>(from)));
}

/// What a channel of `E` carries.
template <class E>
using carried = std::conditional_t<travels_in_box<E>, boxed_ptr, E>;

/// Where a receiver has its element put: raw memory.
template <class Carried>
class element_memory {
 public:
  [[nodiscard]] void* address() noexcept { return &bytes_; }

  [[nodiscard]] Carried take() noexcept {
    Carried taken(std::move(value()));
    destroy();
    return taken;
  }
  void take_into(std::optional<Carried>& to) noexcept {
    to.emplace(std::move(value()));
    destroy();
  }
  void take_into(bool& to) noexcept { to = true; }
  void destroy() noexcept { value().~Carried(); }

 private:
  [[nodiscard]] Carried& value() noexcept {
    return *std::launder(reinterpret_cast<Carried*>(&bytes_));
  }

  alignas(Carried) std::byte bytes_[sizeof(Carried)];
};

template <class E>
inline constexpr bool is_copied_as_bytes = std::is_trivially_copyable_v<E> && !std::is_empty_v<E>;

template <class E>
void destroy_element(void* e) noexcept {
  static_cast<E*>(e)->~E();
}

template <class Carried>
inline constexpr element_type element_type_of{
    std::is_empty_v<Carried> && std::is_trivially_copyable_v<Carried> ? 0 : sizeof(Carried),
    alignof(Carried),
    std::is_trivially_copyable_v<Carried>,
    &move_element<Carried>,
    std::is_trivially_destructible_v<Carried> ? nullptr : &destroy_element<Carried>,
};

}  // namespace sluice::detail
