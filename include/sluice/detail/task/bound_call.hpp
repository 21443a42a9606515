// SPDX-License-Identifier: BSL-1.0
// A function and copies of its arguments, for `go(f, args…)`.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// The type of an argument that is not given.
/** Functions with arguments to pass on have a fixed number of parameters, each of them `absent`
 * unless given: a location by default cannot stand behind a pack. */
struct absent {};

/// How many of `Args` are given: the first ones.
template <class... Args>
inline constexpr std::size_t given = (std::size_t{!std::is_same_v<Args, absent>} + ... + 0);

/// The parameters of a function that has one signature, a member's object first; of others they are
/// not known, and void.
template <class F>
struct parameters {
  template <std::size_t>
  using at = void;
};
template <class... P>
struct known_parameters {
  template <std::size_t I>
  using at = std::tuple_element_t<I, std::tuple<P...>>;
};
template <class R, class... P>
struct parameters<R (*)(P...)> : known_parameters<P...> {};
template <class R, class... P>
struct parameters<R (*)(P...) noexcept> : known_parameters<P...> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...)> : known_parameters<C&, P...> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...) const> : known_parameters<const C&, P...> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...) noexcept> : known_parameters<C&, P...> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...) const noexcept> : known_parameters<const C&, P...> {};
/// Of a function object those of its `operator()`, which is no template.
template <class F>
  requires std::is_member_function_pointer_v<decltype(&F::operator())>
struct parameters<F> {
  template <std::size_t I>
  using at = typename parameters<decltype(&F::operator())>::template at<I + 1>;
};

/// Whether a parameter that is a reference would be bound to a temporary made from the argument.
template <class Parameter, class Argument>
inline constexpr bool binds_temporary =
    std::is_reference_v<Parameter> && !std::is_reference_v<Argument> &&
    !std::is_convertible_v<std::remove_cvref_t<Argument>*,
                           const volatile std::remove_reference_t<Parameter>*> &&
    std::is_constructible_v<std::remove_cvref_t<Parameter>, std::remove_reference_t<Argument>&>;

/// An argument that is kept, and what a reference to its parameter's type refers to.
template <class Parameter, class Argument>
class kept_argument {
 public:
  template <class A>
  explicit kept_argument(A&& a) : argument_(std::forward<A>(a)) {}

  [[nodiscard]] Argument&& get() noexcept { return static_cast<Argument&&>(argument_); }

 private:
  Argument argument_;
};
template <class Parameter, class Argument>
  requires binds_temporary<Parameter, Argument>
class kept_argument<Parameter, Argument> {
 public:
  template <class A>
  explicit kept_argument(A&& a) : argument_(std::forward<A>(a)) {}

  // Made of the argument where that stays: it may be a view of it.
  [[nodiscard]] std::remove_cvref_t<Parameter>&& get() {
    return std::move(converted_.emplace(argument_));
  }

 private:
  Argument argument_;
  std::optional<std::remove_cvref_t<Parameter>> converted_;
};

/// A call that is made later, once, with a function and arguments of its own.
template <class F, class... Args>
class bound_call {
 public:
  template <class G, class... A>
  explicit bound_call(std::in_place_t, G&& f, A&&... args)
      : function_(std::forward<G>(f)), arguments_(std::forward<A>(args)...) {}

  // What it calls may keep references to the arguments: this lives as long as the goroutine.
  std::invoke_result_t<F, Args...> operator()() {
    return std::apply(
        [this](auto&... kept) -> std::invoke_result_t<F, Args...> {
          return std::invoke(std::move(function_), kept.get()...);
        },
        arguments_);
  }

 private:
  template <class>
  struct kept_with;
  template <std::size_t... I>
  struct kept_with<std::index_sequence<I...>> {
    using type = std::tuple<kept_argument<typename parameters<F>::template at<I>, Args>...>;
  };

  F function_;
  typename kept_with<std::index_sequence_for<Args...>>::type arguments_;
};

template <std::size_t N, class F, class... Args, std::size_t... I>
[[nodiscard]] auto bind_these(std::index_sequence<I...>, F&& f, std::tuple<Args...> args) {
  using call = bound_call<std::decay_t<F>,
                          std::unwrap_ref_decay_t<std::tuple_element_t<I, std::tuple<Args...>>>...>;
  return call(std::in_place, std::forward<F>(f), std::get<I>(std::move(args))...);
}

/// A call of `f` with the first `N` of `args`, which it keeps.
template <std::size_t N, class F, class... Args>
[[nodiscard]] auto bind_call(F&& f, Args&&... args) {
  return detail::bind_these<N>(std::make_index_sequence<N>(), std::forward<F>(f),
                               std::forward_as_tuple(std::forward<Args>(args)...));
}

template <class F, class Args, class Indices>
inline constexpr bool takes_these = false;
template <class F, class... Args, std::size_t... I>
inline constexpr bool takes_these<F, std::tuple<Args...>, std::index_sequence<I...>> =
    std::invocable<std::decay_t<F>,
                   std::unwrap_ref_decay_t<std::tuple_element_t<I, std::tuple<Args...>>>...> &&
    (std::constructible_from<std::unwrap_ref_decay_t<std::tuple_element_t<I, std::tuple<Args...>>>,
                             std::tuple_element_t<I, std::tuple<Args...>>> &&
     ...);

/// The same with those that are given.
template <class F, class... Args>
[[nodiscard]] auto bind_given(F&& f, Args&&... args) {
  return detail::bind_call<given<Args...>>(std::forward<F>(f), std::forward<Args>(args)...);
}

/// Whether `F` can be called with the first `N` of `Args`.
template <std::size_t N, class F, class... Args>
concept takes_first = takes_these<F, std::tuple<Args...>, std::make_index_sequence<N>>;

/// A function, and arguments for it.
template <class F, class... Args>
concept function_with = takes_first<given<Args...>, F, Args...>;

/// A function that takes references to its arguments, which are not copies.
template <class F, class... Args>
concept only_with_references = sizeof...(Args) != 0 && !function_with<F, Args...> &&
                               std::invocable<std::decay_t<F>, std::unwrap_ref_decay_t<Args>&...> &&
                               !std::invocable<std::decay_t<F>, std::unwrap_ref_decay_t<Args>...>;

/// A function whose arguments cannot be copied or moved as they are given.
template <class F, class... Args>
concept not_to_be_copied =
    sizeof...(Args) != 0 && std::invocable<std::decay_t<F>, std::unwrap_ref_decay_t<Args>...> &&
    !(std::constructible_from<std::unwrap_ref_decay_t<Args>, Args> && ...);

/// A call of `F` with those that are given but the last, a token.
template <class F, class... Args>
using bound_call_before_token_t =
    decltype(detail::bind_call<given<Args...> - 1>(std::declval<F>(), std::declval<Args>()...));

/// The last of those that are given.
template <class... Args>
using last_given = std::tuple_element_t<given<Args...> - 1, std::tuple<Args...>>;

}  // namespace sluice::detail
