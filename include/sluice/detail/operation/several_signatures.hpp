// SPDX-License-Identifier: BSL-1.0
// Operations with several completion signatures, awaited as one with a single argument.
#pragma once

#include <sluice/detail/operation/asio_operation.hpp>

#include <boost/asio/associator.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace sluice::detail {

/// The completion arguments of an operation with several signatures, a tuple for each of these.
template <class... Arguments>
class one_of_several {
  static constexpr std::size_t count = sizeof...(Arguments);

  /// The first that can say a failure, or the first.
  static constexpr std::size_t failing = [] {
    std::size_t i = 0;
    static_cast<void>((... || (failure_argument<Arguments>::can_be_made || (++i, false))));
    return i == count ? 0 : i;
  }();
  template <std::size_t I>
  using alternative = std::variant_alternative_t<I, std::variant<Arguments...>>;

 public:
  static constexpr bool can_fail = (failure_argument<Arguments>::can_be_made || ...);

  /// Says no failure yet.
  one_of_several()
    requires can_fail
      : all_(std::in_place_index<failing>) {}
  /// Those that a handler was called with, which is of the first signature that they fit.
  template <class... Args>
  explicit one_of_several(std::in_place_t, Args&&... args)
      : all_(std::in_place_index<fitting<Args...>()>, std::forward<Args>(args)...) {}

  template <class F>
  decltype(auto) visit(F f) {
    return std::visit(f, all_);
  }

 private:
  template <class... Args>
  [[nodiscard]] static constexpr std::size_t fitting() {
    constexpr bool exact = (std::same_as<Arguments, std::tuple<std::decay_t<Args>...>> || ...);
    constexpr auto fits = []<class Tuple>(std::type_identity<Tuple>) {
      if constexpr (exact)
        return std::same_as<Tuple, std::tuple<std::decay_t<Args>...>>;
      else if constexpr (std::tuple_size_v<Tuple> == sizeof...(Args))
        return std::constructible_from<Tuple, Args...>;
      else
        return false;
    };
    std::size_t i = 0;
    static_cast<void>((... || (fits(std::type_identity<Arguments>()) || (++i, false))));
    return i;
  }

  std::variant<Arguments...> all_;
};

template <class... Arguments>
  requires one_of_several<Arguments...>::can_fail
struct failure_argument<std::tuple<one_of_several<Arguments...>>> {
  static constexpr bool can_be_made = true;
  template <class F>
  static void visit(std::tuple<one_of_several<Arguments...>>& a, F f) {
    std::get<0>(a).visit([&]<class T>(T& all) { failure_argument<T>::visit(all, f); });
  }
};

template <class First, class Tuple>
inline constexpr bool tuple_begins_with = false;
template <class First, class... Args>
inline constexpr bool tuple_begins_with<First, std::tuple<Args...>> = begins_with<First, Args...>;

/// An exception may come by any of them.
template <class... Arguments>
inline constexpr bool begins_with<std::exception_ptr, one_of_several<Arguments...>> =
    (tuple_begins_with<std::exception_ptr, Arguments> || ...);

/// What awaiting a signature gives.
template <class Arguments>
struct value_of_arguments;
template <class... Args>
struct value_of_arguments<std::tuple<Args...>> : completion_value<Args...> {};

/// What the signature that was used gives: in a variant of what each does, `std::monostate` for
/// void. Its failure is thrown.
template <class... Arguments>
struct completion_value<one_of_several<Arguments...>> {
  template <class T>
  using kept = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  using type = std::variant<kept<typename value_of_arguments<Arguments>::type>...>;

  static bool throws_failure(std::tuple<one_of_several<Arguments...>>& all) {
    return std::get<0>(all).visit(
        []<class T>(T& used) { return value_of_arguments<T>::throws_failure(used); });
  }
  static type get(std::tuple<one_of_several<Arguments...>>&& all) {
    return std::get<0>(all).visit([]<class T>(T& used) {
      constexpr std::size_t index = [] {
        std::size_t i = 0;
        static_cast<void>((... || (std::same_as<T, Arguments> || (++i, false))));
        return i;
      }();
      if constexpr (std::is_void_v<typename value_of_arguments<T>::type>) {
        value_of_arguments<T>::get(std::move(used));
        return type(std::in_place_index<index>);
      } else {
        return type(std::in_place_index<index>, value_of_arguments<T>::get(std::move(used)));
      }
    });
  }
};

/// What a handler was called with, to be put together where it stays: what moving it throws is
/// thrown there.
template <class Arguments, class... Args>
class called_with {
 public:
  explicit called_with(Args&&... args) noexcept : args_(std::forward<Args>(args)...) {}

  operator Arguments() && {
    return std::apply(
        [](Args&&... args) { return Arguments(std::in_place, std::forward<Args>(args)...); },
        std::move(args_));
  }

 private:
  std::tuple<Args&&...> args_;
};

/// A handler of several signatures for one that takes them as one argument.
template <class Handler, class Arguments>
class handler_of_several {
 public:
  explicit handler_of_several(Handler&& h) noexcept : handler_(std::move(h)) {}

  [[nodiscard]] const Handler& inner() const noexcept { return handler_; }

  template <class... Args>
  void operator()(Args&&... args) {
    std::move(handler_)(called_with<Arguments, Args...>(std::forward<Args>(args)...));
  }

 private:
  Handler handler_;
};

/// Launches an operation of several signatures with such a handler.
template <class Initiation, class Arguments>
class initiation_of_several {
 public:
  template <class I>
  explicit initiation_of_several(std::in_place_t, I&& initiation)
      : initiation_(std::forward<I>(initiation)) {}

  [[nodiscard]] auto get_executor() const
    requires requires(const Initiation& i) { i.get_executor(); }
  {
    return initiation_.get_executor();
  }

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) {
    using handler_type = std::decay_t<Handler>;
    std::move(initiation_)(
        handler_of_several<handler_type, Arguments>(handler_type(std::forward<Handler>(handler))),
        std::forward<Args>(args)...);
  }

 private:
  Initiation initiation_;
};

}  // namespace sluice::detail

template <template <class, class> class Associator, class Handler, class Arguments, class Default>
struct boost::asio::associator<Associator, sluice::detail::handler_of_several<Handler, Arguments>,
                               Default> : Associator<Handler, Default> {
  static auto get(const sluice::detail::handler_of_several<Handler, Arguments>& h) noexcept {
    return Associator<Handler, Default>::get(h.inner());
  }
  static auto get(const sluice::detail::handler_of_several<Handler, Arguments>& h,
                  const Default& d) noexcept {
    return Associator<Handler, Default>::get(h.inner(), d);
  }
};
