// SPDX-License-Identifier: BSL-1.0
// Channels and timers as I/O objects of another executor, with the default completion token of
// that.
#pragma once

#include <boost/asio/async_result.hpp>

#include <type_traits>
#include <utility>
#include <variant>

namespace sluice {

namespace asio = boost::asio;

namespace detail {

/// The type of the values that are sent through an object; a type that nothing accepts if the
/// object carries no values.
template <class Object>
struct sent_through {
  using type = std::monostate;
};
template <class Object>
  requires std::is_object_v<typename Object::value_type>
struct sent_through<Object> {
  using type = typename Object::value_type;
};
template <class Object>
using sent_value = typename sent_through<Object>::type;

template <class Object>
concept carries_nothing = std::is_void_v<typename Object::value_type>;

/// A channel's handle or a timer as an I/O object whose executor is an `Executor`.
/** It has that one's default completion token, `asio::use_awaitable` for example, where its
 * functions are given none. Whatever takes an `Object` takes it as well. */
template <class Object, class Executor>
class rebound : public Object {
  using default_token = asio::default_completion_token_t<Executor>;

 public:
  using executor_type = Executor;
  template <class Other>
  struct rebind_executor {
    using other = rebound<Object, Other>;
  };

  using Object::Object;
  rebound(Object object) noexcept : Object(std::move(object)) {}

  /// The executor of the object, as an `Executor`.
  [[nodiscard]] executor_type get_executor() const { return executor_type(Object::get_executor()); }

  /// These do what those of the object do, for an object that has them.
  template <class Token = default_token>
  auto async_send(sent_value<Object> value, Token&& token = default_token()) const
    requires requires(const Object& o, sent_value<Object> v, Token&& t) {
      o.async_send(std::move(v), std::forward<Token>(t));
    }
  {
    return Object::async_send(std::move(value), std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_send(Token&& token = default_token()) const
    requires carries_nothing<Object> &&
             requires(const Object& o, Token&& t) { o.async_send(std::forward<Token>(t)); }
  {
    return Object::async_send(std::forward<Token>(token));
  }
  template <class Token = default_token>
  auto async_receive(Token&& token = default_token()) const
    requires requires(const Object& o, Token&& t) { o.async_receive(std::forward<Token>(t)); }
  {
    return Object::async_receive(std::forward<Token>(token));
  }
};

}  // namespace detail

}  // namespace sluice
