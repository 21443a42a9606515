// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/operation/erased_operation.hpp>
#include <sluice/detail/operation/several_signatures.hpp>

#include <boost/asio/async_result.hpp>

#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

/// The completion token that makes an Asio operation awaitable in a `sluice::task`.
/**
 * `co_await socket.async_read_some(buffer, sluice::use_task)`: the result is that of
 * `asio::use_awaitable` (an `error_code` is thrown as `system_error`, an `exception_ptr` rethrown,
 * one value given as itself, several as a tuple). `asio::deferred` may be used in its place;
 * `asio::as_tuple(use_task)` gives the error as a value. One with several signatures gives a
 * `std::variant` of what each of them would give, `std::monostate` for void. The operation is
 * launched when it is awaited; awaiting it again throws std::logic_error. Functions of Asio's older
 * idiom, which `asio::deferred` does not fit (those of Beast's `ssl_stream`), take `use_task` too;
 * that costs an allocation or two.
 *
 * As a default token: `use_task_t::as_default_on(tcp::socket(ex))`.
 *
 * Source: the completion token requirements of the Asio documentation.
 */
struct use_task_t {
  /// An executor whose I/O objects use `use_task` where no token is given.
  template <class InnerExecutor>
  struct executor_with_default : InnerExecutor {
    /// What Asio looks for.
    using default_completion_token_type = use_task_t;

    /// Made from the executor itself.
    template <class OtherExecutor>
      requires(!std::is_same_v<OtherExecutor, executor_with_default> &&
               std::is_convertible_v<OtherExecutor, InnerExecutor>)
    executor_with_default(const OtherExecutor& ex) noexcept : InnerExecutor(ex) {}
  };

  /// The type of an I/O object with `use_task` as its default token.
  template <class T>
  using as_default_on_t =
      typename T::template rebind_executor<executor_with_default<typename T::executor_type>>::other;

  /// The same I/O object with `use_task` as its default token.
  template <class T>
  static as_default_on_t<std::decay_t<T>> as_default_on(T&& object) {
    return as_default_on_t<std::decay_t<T>>(std::forward<T>(object));
  }
};

/// The token object.
inline constexpr use_task_t use_task{};

}  // namespace sluice

template <class... Args>
class boost::asio::async_result<sluice::use_task_t, void(Args...)> {
 public:
  /// What a function returns that is declared by `BOOST_ASIO_INITFN_RESULT_TYPE`, as in Beast, and
  /// in Boost 1.81 with `redirect_error`.
  using return_type = sluice::detail::erased_operation<Args...>;

  template <class Initiation, class... InitArgs>
    requires sluice::detail::decay_copyable<Initiation, InitArgs...>
  static auto initiate(Initiation&& initiation, sluice::use_task_t, InitArgs&&... args) {
    return sluice::detail::asio_operation<void(Args...), std::decay_t<Initiation>,
                                          std::decay_t<InitArgs>...>(
        std::in_place, std::forward<Initiation>(initiation), std::forward<InitArgs>(args)...);
  }
};

/// Of several signatures the one is awaited that is used.
template <class... First, class... Second, class... Rest>
class boost::asio::async_result<sluice::use_task_t, void(First...), void(Second...), Rest...> {
  template <class Signature>
  struct arguments_of;
  template <class... Args>
  struct arguments_of<void(Args...)> {
    using type = std::tuple<std::decay_t<Args>...>;
  };
  using arguments = sluice::detail::one_of_several<typename arguments_of<void(First...)>::type,
                                                   typename arguments_of<void(Second...)>::type,
                                                   typename arguments_of<Rest>::type...>;

 public:
  using return_type = sluice::detail::erased_operation<arguments>;

  template <class Initiation, class... InitArgs>
    requires sluice::detail::decay_copyable<Initiation, InitArgs...>
  static auto initiate(Initiation&& initiation, sluice::use_task_t, InitArgs&&... args) {
    using launched = sluice::detail::initiation_of_several<std::decay_t<Initiation>, arguments>;
    return sluice::detail::asio_operation<void(arguments), launched, std::decay_t<InitArgs>...>(
        std::in_place, launched(std::in_place, std::forward<Initiation>(initiation)),
        std::forward<InitArgs>(args)...);
  }
};
