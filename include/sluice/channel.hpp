// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/from_parts.hpp>
#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/detail/channel/channel_operations.hpp>
#include <sluice/detail/channel/channel_ref.hpp>
#include <sluice/detail/channel/element.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/executor/rebound.hpp>
#include <sluice/detail/operation/public_operation.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/received.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

template <class T>
class channel;
template <class T>
class sender;
template <class T>
class receiver;

/// Sending one value: what `send` returns.
/**
 * In a task it is awaited, gives nothing, and throws. With a token its signature is
 * `void(error_code)`. An operation that ended in an error still holds its value.
 *
 * @par Cancellation
 * A cancelled send has not sent its value; one that was taken is a success even if cancelled a
 * moment later.
 */
template <class T>
class send_operation : public detail::public_operation<detail::send_wait<T>> {
 public:
  /// Used by `send`.
  using detail::public_operation<detail::send_wait<T>>::public_operation;
  /// What it is moved from is not to be used any more.
  send_operation(send_operation&&) = default;
  /// Ends the wait, if there is one: the value has not been sent.
  // In line, which a call would outweigh: as a rule there is none.
  [[gnu::always_inline]] ~send_operation() = default;

  /// The type of what is sent; for void one without a value.
  using element = detail::element_of<T>;
  /// What is to be sent; after an error, what was not.
  /** Not to be asked for after a success, unless it is trivially copyable: it has been moved on,
   * and this operation sends nothing more. */
  [[nodiscard]] element& value() noexcept { return detail::access::wait_of(*this).value(); }
};

/// Receiving one value: what `receive` returns.
/**
 * In a task it is awaited and gives a `received<T>`, a bool for `channel<void>`: empty or false
 * once the channel is closed and drained. With a token its signature is `void(error_code,
 * std::optional<T>)` or `void(error_code, bool)`.
 *
 * @par Cancellation
 * A cancelled receive has taken nothing; one that has taken a value completes with it even if
 * cancelled a moment later.
 */
template <class T>
class receive_operation : public detail::public_operation<detail::receive_wait<T>> {
 public:
  /// Used by `receive`.
  using detail::public_operation<detail::receive_wait<T>>::public_operation;
  /// What it is moved from is not to be used any more.
  receive_operation(receive_operation&&) = default;
  /// Ends the wait, if there is one: nothing has been received.
  // In line, as that of `send_operation`.
  [[gnu::always_inline]] ~receive_operation() = default;

  /// The type of what is received; for void one without a value.
  using element = detail::element_of<T>;
  /// What a receive gives.
  using value_type = typename detail::what_is_received<T>::type;
  /// What it gives a token.
  using argument_type = std::conditional_t<std::is_void_v<T>, bool, std::optional<element>>;
};

namespace detail {

/// The sending half of a handle's interface.
template <class Handle, class T>
class sending {
  using element = element_of<T>;

 public:
  /// Sends a value, waiting until it is taken or there is room in the buffer.
  /**
   * Go's `ch <- v`. The value is taken by this call. On a nil channel it waits for ever.
   *
   * Awaited: void. With a token: `void(error_code)`.
   *
   * @par Errors
   * `error::closed` if the channel is closed, on entry or while waiting;
   * `asio::error::operation_aborted` if cancelled; what moving the value throws. The value has then
   * not been sent, and an operation that was kept still holds it: `op.value()`.
   */
  [[nodiscard("co_await it, or give it a completion token")]] send_operation<T> send(
      parameter<element> value) const&
    requires(!std::is_void_v<T>)
  {
    return {handle().get(), false, std::in_place, static_cast<element&&>(std::move(value))};
  }
  /// The same through a handle that is not kept: the operation keeps the channel's state.
  [[nodiscard("co_await it, or give it a completion token")]] auto send(
      parameter<element> value) && -> send_operation<T>
    requires(!std::is_void_v<T>)
  {
    retain();
    return {handle().get(), true, std::in_place, static_cast<element&&>(std::move(value))};
  }
  /// The same for a `channel<void>`.
  [[nodiscard("co_await it, or give it a completion token")]] send_operation<T> send() const&
    requires(std::is_void_v<T>)
  {
    return {handle().get(), false, std::in_place};
  }
  /// The same for a `channel<void>`, through a handle that is not kept.
  [[nodiscard("co_await it, or give it a completion token")]] auto send() && -> send_operation<T>
    requires(std::is_void_v<T>)
  {
    retain();
    return {handle().get(), true, std::in_place};
  }

  /// Refuses a handler of something else; the compiler shows the line.
  template <class Value, detail::no_token_for<void(error_code)> Token>
  void async_send(Value&&, Token&&) const = delete;  // A handler takes (error_code).

  /// Refuses a token beside the value; the compiler shows the line.
  template <class Value, class Token>
  void send(Value&&, Token&&) const = delete;  // async_send(value, token), or send(value)(token).

  /// `send(v)(token)`: signature `void(error_code)`. Thread safe.
  /** The value of a send that fails is destroyed with the operation. */
  template <asio::completion_token_for<typename send_operation<T>::signature> Token =
                asio::default_completion_token_t<executor>>
  auto async_send(element value, Token&& token = asio::default_completion_token_t<executor>()) const
    requires(!std::is_void_v<T>)
  {
    return send(std::move(value))(std::forward<Token>(token));
  }
  /// `send()(token)`, for a `channel<void>`.
  template <asio::completion_token_for<typename send_operation<T>::signature> Token =
                asio::default_completion_token_t<executor>>
  auto async_send(Token&& token = asio::default_completion_token_t<executor>()) const
    requires(std::is_void_v<T>)
  {
    return send()(std::forward<Token>(token));
  }

  /// Sends a value if that is possible at once.
  /**
   * @param value Moved from if it is sent, untouched otherwise. If it is no `T` it is converted
   * first, as by `send`, and is untouched in any case.
   * @param e If it was not sent, `asio::error::would_block` or `error::closed`.
   * @return Whether it was sent.
   * @throws What moving the value throws.
   */
  template <gives_element<element> U = element>
  bool try_send(U&& value, error_code& e) const
    requires(!std::is_void_v<T>)
  {
    if (has_no_room(e)) return false;
    constexpr bool copies =
        std::is_lvalue_reference_v<U> || std::is_const_v<std::remove_reference_t<U>>;
    if constexpr (!std::same_as<std::remove_cvref_t<U>, element>) {
      element converted = std::as_const(value);
      return try_send(std::move(converted), e);
    } else if constexpr (!travels_in_box<element> && copies) {
      element copy(value);
      return sent(handle()->try_send(std::addressof(copy)), e);
    } else if constexpr (!travels_in_box<element>) {
      return sent(handle()->try_send(std::addressof(value)), e);
    } else if constexpr (copies) {
      boxed_ptr copy = detail::make_box<element>(value);
      return sent(handle()->try_send(&copy), e);
    } else {
      constexpr auto make = [](void* from) {
        return detail::make_box<element>(std::move(*static_cast<element*>(from)));
      };
      return sent(handle()->try_send_new(make, std::addressof(value)), e);
    }
  }
  /// The same for a `channel<void>`.
  bool try_send(error_code& e) const
    requires(std::is_void_v<T>)
  {
    if (has_no_room(e)) return false;
    element value;
    return sent(handle()->try_send(&value), e);
  }
  /// The same, but it throws.
  /** @throws system_error `asio::error::would_block` or `error::closed`. */
  template <gives_element<element> U = element>
  void try_send(U&& value) const
    requires(!std::is_void_v<T>)
  {
    error_code e;
    if (!try_send(std::forward<U>(value), e))
      throw_channel_error(e, "sluice: try_send", handle().get());
  }
  /// The same for a `channel<void>`; throws as well.
  void try_send() const
    requires(std::is_void_v<T>)
  {
    error_code e;
    if (!try_send(e)) throw_channel_error(e, "sluice: try_send", handle().get());
  }

  /// Refuses what is no value of the channel's; the compiler shows the line.
  template <detail::gives_no_element<element> Value>
  void try_send(Value&&) const = delete;  // The value has to be convertible to the channel's type.

  /// Closes the channel: no more values will be sent.
  /**
   * Go's `close(ch)`. Receivers get what is buffered and then "closed"; parked and later senders
   * fail with `error::closed`. Thread safe; of two threads that close, one gets the error.
   *
   * @throws system_error `error::closed` if it is closed already, with a text that says where it
   * was made and closed; `error::nil_channel` if it is nil.
   */
  void close(std::source_location here = std::source_location::current()) const {
    const error_code e = detail::close_channel(handle().get(), here);
    if (e) detail::throw_channel_error(e, "sluice: close", handle().get());
  }
  /// The same; `e` is the error, if there is one.
  void close(error_code& e,
             std::source_location here = std::source_location::current()) const noexcept {
    e = detail::close_channel(handle().get(), here);
  }
  /// Closes the channel unless it is closed already: for several who may each come to its end.
  /** Thread safe. @return Whether this call has closed it; false for a nil channel too. */
  bool try_close(std::source_location here = std::source_location::current()) const noexcept {
    return !detail::close_channel(handle().get(), here);
  }

 private:
  [[nodiscard]] const channel_ref& handle() const noexcept {
    return access::ref_of(static_cast<const Handle&>(*this));
  }
  void retain() const noexcept {
    if (handle().get()) handle()->retain_state();
  }
  [[nodiscard]] bool has_no_room(error_code& e) const noexcept {
    if (handle().get() && !handle()->has_no_room()) return false;
    e = asio::error::would_block;
    return true;
  }
  static bool sent(channel_core::result r, error_code& e) noexcept {
    e = channel_error(r);
    return r == channel_core::result::done;
  }
};

/// The receiving half of a handle's interface.
template <class Handle, class T>
class receiving {
  using element = element_of<T>;
  using result = typename receive_operation<T>::value_type;

 public:
  /// Receives a value, waiting until there is one or the channel is closed and drained.
  /**
   * Go's `v, ok := <-ch`; a range loop is `while (auto v = co_await ch.receive())`. On a nil
   * channel it waits for ever.
   *
   * Awaited: `received<T>` (bool for void), empty when closed and drained. With a token:
   * `void(error_code, std::optional<T>)`; closed and drained is no error.
   *
   * @par Errors
   * `asio::error::operation_aborted` if cancelled: nothing has been taken. What moving the value
   * throws.
   */
  [[nodiscard("co_await it, or give it a completion token")]] receive_operation<T> receive()
      const& noexcept {
    return {handle().get(), false};
  }
  /// The same through a handle that is not kept: the operation keeps the channel's state.
  [[nodiscard("co_await it, or give it a completion token")]] receive_operation<T>
  receive() && noexcept {
    if (handle().get()) handle()->retain_state();
    return {handle().get(), true};
  }

  /// Refuses a token; the compiler shows the line.
  template <class Token>
  void receive(Token&&) const = delete;  // async_receive(token), or receive()(token).

  /// `receive()(token)`: signature `void(error_code, std::optional<T>)`. Thread safe.
  template <asio::completion_token_for<typename receive_operation<T>::signature> Token =
                asio::default_completion_token_t<executor>>
  auto async_receive(Token&& token = asio::default_completion_token_t<executor>()) const {
    return receive()(std::forward<Token>(token));
  }

  /// Refuses a handler of something else; the compiler shows the line.
  template <detail::no_token_for<typename receive_operation<T>::signature> Token>
  void async_receive(Token&&) const = delete;  // A handler takes (error_code, std::optional<T>).

  /// Receives a value if there is one.
  /**
   * @param e If there is none, `asio::error::would_block`; no error if the channel is closed and
   * drained.
   * @return The value as a `received<T>` (bool for void); empty if there is none.
   * @throws What moving the value throws.
   */
  result try_receive(error_code& e) const {
    result got{};
    auto r = channel_core::result::would_block;
    if (handle().get() && !handle()->has_nothing(r)) r = receive_now(got);
    e = r == channel_core::result::would_block ? error_code(asio::error::would_block)
                                               : error_code();
    return got;
  }
  /// The same, but it throws.
  /** @throws system_error `asio::error::would_block`. */
  result try_receive() const {
    error_code e;
    result r = try_receive(e);
    if (e) throw_error(e, "sluice: try_receive");
    return r;
  }

 private:
  channel_core::result receive_now(result& got) const {
    element_memory<carried<element>> room;
    const auto r = handle()->try_receive(room.address());
    if (r != channel_core::result::done) return r;
    if constexpr (travels_in_box<element>) {
      boxed_ptr b = room.take();
      SLUICE_TRY {
        got.emplace(std::move(detail::unboxed<element>(b)));
      }
      SLUICE_CATCH_ALL {
        handle()->give_back(std::move(b));
        detail::rethrow();
      }
    } else {
      room.take_into(got);
    }
    return r;
  }
  [[nodiscard]] const channel_ref& handle() const noexcept {
    return access::ref_of(static_cast<const Handle&>(*this));
  }
};

/// What every kind of handle has.
class channel_handle {
 public:
  /// Whether it refers to a channel: false for a nil or moved-from handle.
  [[nodiscard]] explicit operator bool() const noexcept { return ref_.get() != nullptr; }

  /// How many values are buffered, 0 for a nil channel. Go's `len`. Thread safe.
  [[nodiscard]] std::size_t size() const noexcept { return ref_.get() ? ref_->size() : 0; }
  /// How many values can be buffered, 0 for a nil channel. Go's `cap`.
  [[nodiscard]] std::size_t capacity() const noexcept { return ref_.get() ? ref_->capacity() : 0; }

  /// Whether it refers to a channel that is not closed; values may be left in one that is. Thread
  /// safe.
  [[nodiscard]] bool is_open() const noexcept { return ref_.get() && !ref_->closed(); }

  /// The type of its executor, as Asio's I/O objects have one.
  using executor_type = executor;
  /// Where handlers without an executor of their own run.
  /** @throws system_error `error::nil_channel`, or `error::no_executor` if it was made without one
   * or its context has ended. */
  [[nodiscard]] SLUICE_DECL executor_type get_executor() const;

  /// For `std::hash`: the same of all handles of one channel.
  [[nodiscard]] std::size_t hash() const noexcept { return std::hash<const void*>()(ref_.get()); }

 protected:
  channel_handle() noexcept = default;
  explicit channel_handle(channel_ref ref) noexcept : ref_(std::move(ref)) {}

  std::size_t cancel_senders() const noexcept { return ref_.get() ? ref_->cancel_senders() : 0; }
  std::size_t cancel_receivers() const noexcept {
    return ref_.get() ? ref_->cancel_receivers() : 0;
  }

 private:
  friend struct access;
  channel_ref ref_;
};

}  // namespace detail

/// A channel of values of type `T`, to send to and receive from. A handle: copies are the same
/// channel.
/**
 * Go's `chan T`. Made by `make_channel`; a default-constructed or moved-from one is Go's nil
 * channel: sending and receiving wait for ever, closing is an error. The state lives as long as a
 * handle or a parked operation refers to it. An operation is no handle: one that waits with a
 * completion token when the last handle goes, or begins to wait later, completes with
 * `asio::error::operation_aborted`. A channel may outlive the context of its executor, which it
 * then has no more. Elements may be move-only, without default constructor, over-aligned, or throw
 * when moved: then nothing is lost and nobody is stuck. Such an element, and one that is copied
 * because it has a destructor and no move constructor, travels in memory of its own, which is
 * allocated when it is sent. The exception leaves `send`, which has then sent nothing, or the
 * receiving operation, and then the element is in the channel again as the next to be received,
 * even beyond its capacity. Other moves run under the channel's lock and must not use the channel.
 *
 * An operation made from an lvalue handle refers to it: do not keep the operation longer.
 *
 * @par Thread safety
 * All operations may be started from any threads at the same time, on one handle or several.
 * Assigning to a handle is not safe beside its use.
 *
 * @code
 * auto ch = sluice::make_channel<int>(io, 2);
 * sluice::go(io, [ch]() -> sluice::task<> { co_await ch.send(1); ch.close(); });
 * sluice::go(io, [ch]() -> sluice::task<> { while (auto v = co_await ch.receive()) use(*v); });
 * @endcode
 *
 * Source: "Channel types" in the Go specification.
 */
template <class T>
class channel : public detail::channel_handle,
                public detail::sending<channel<T>, T>,
                public detail::receiving<channel<T>, T> {
 public:
  /// The type of the values.
  using value_type = T;

  /// A nil channel.
  channel() noexcept = default;
  /// Cancels all waits to send to this channel and to receive from it, through whatever handle.
  /**
   * They end with `asio::error::operation_aborted`, in goroutines, handlers and selects; the
   * channel goes on. One operation alone is cancelled by its slot, its context or a `timeout`.
   * Thread safe.
   * @return How many it has ended.
   */
  std::size_t cancel() const noexcept { return cancel_senders() + cancel_receivers(); }

  /// Used by a token's `as_default_on`: the same with an executor of another type.
  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<channel, Executor>;
  };

  /// Whether both are handles of one channel, or nil; `std::hash` takes them too.
  friend bool operator==(const channel& a, const channel& b) noexcept {
    return detail::access::ref_of(a) == detail::access::ref_of(b);
  }

 private:
  friend struct detail::access;

  explicit channel(detail::channel_ref ref) noexcept : channel_handle(std::move(ref)) {}
};

/// The sending end of a channel. Go's `chan<- T`.
template <class T>
class sender : public detail::channel_handle, public detail::sending<sender<T>, T> {
 public:
  /// The type of the values.
  using value_type = T;

  /// A nil channel.
  sender() noexcept = default;
  /// The sending end of `ch`.
  sender(const channel<T>& ch) noexcept : channel_handle(detail::access::ref_of(ch)) {}

  /// Cancels all waits to send to its channel, through whatever handle; as `channel::cancel`.
  std::size_t cancel() const noexcept { return cancel_senders(); }

  /// Used by a token's `as_default_on`: the same with an executor of another type.
  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<sender, Executor>;
  };

  /// Whether both are handles of one channel, or nil; `std::hash` takes them too.
  friend bool operator==(const sender& a, const sender& b) noexcept {
    return detail::access::ref_of(a) == detail::access::ref_of(b);
  }
};

/// The receiving end of a channel. Go's `<-chan T`.
template <class T>
class receiver : public detail::channel_handle, public detail::receiving<receiver<T>, T> {
 public:
  /// The type of the values.
  using value_type = T;

  /// A nil channel.
  receiver() noexcept = default;
  /// The receiving end of `ch`.
  receiver(const channel<T>& ch) noexcept : channel_handle(detail::access::ref_of(ch)) {}

  /// Cancels all waits to receive from its channel, through whatever handle; as `channel::cancel`.
  std::size_t cancel() const noexcept { return cancel_receivers(); }

  /// Used by a token's `as_default_on`: the same with an executor of another type.
  template <class Executor>
  struct rebind_executor {
    using other = detail::rebound<receiver, Executor>;
  };

  /// Whether both are handles of one channel, or nil; `std::hash` takes them too.
  friend bool operator==(const receiver& a, const receiver& b) noexcept {
    return detail::access::ref_of(a) == detail::access::ref_of(b);
  }
};

/// Makes a channel with room for `capacity` values; with none, sender and receiver meet.
/**
 * Go's `make(chan T, n)`. In a goroutine the channel's executor is the goroutine's scheduler;
 * elsewhere it has none, and a handler without an executor of its own runs on the scheduler of the
 * goroutine that starts the operation, or gets `error::no_executor`.
 * Tokens with a use for the operation's executor, as `asio::cancel_after` without a timer, take
 * this one too.
 *
 * @throws std::length_error if that many elements cannot be addressed (as for a negative number);
 * std::bad_alloc
 */
template <class T>
[[nodiscard]] channel<T> make_channel(std::size_t capacity = 0,
                                      std::source_location here = std::source_location::current()) {
  return detail::access::make<channel<T>>(detail::channel_ref::adopt(
      detail::channel_core::make(detail::element_type_of<detail::carried<detail::element_of<T>>>,
                                 capacity, detail::current_dispatcher_or_none(), here)));
}

/// The same, with an executor for handlers that have none of their own.
/**
 * @param where An executor or an execution context.
 * @param capacity How many values it has room for.
 */
template <class T, detail::executor_or_context Where>
[[nodiscard]] channel<T> make_channel(Where&& where, std::size_t capacity = 0,
                                      std::source_location here = std::source_location::current()) {
  return detail::access::make<channel<T>>(detail::channel_ref::adopt(
      detail::channel_core::make(detail::element_type_of<detail::carried<detail::element_of<T>>>,
                                 capacity, detail::start_point_of(where).where, here)));
}

/// A channel is no range, for each of its values is waited for; the compiler shows the line.
template <std::derived_from<detail::channel_handle> Handle>
void begin(const Handle&) = delete;  // while (auto v = co_await ch.receive()) ...

}  // namespace sluice

/// Handles as keys: those of one channel are equal and have one hash.
template <class T>
struct std::hash<sluice::channel<T>> {
  [[nodiscard]] std::size_t operator()(const sluice::channel<T>& ch) const noexcept {
    return ch.hash();
  }
};
template <class T>
struct std::hash<sluice::sender<T>> {
  [[nodiscard]] std::size_t operator()(const sluice::sender<T>& ch) const noexcept {
    return ch.hash();
  }
};
template <class T>
struct std::hash<sluice::receiver<T>> {
  [[nodiscard]] std::size_t operator()(const sluice::receiver<T>& ch) const noexcept {
    return ch.hash();
  }
};
