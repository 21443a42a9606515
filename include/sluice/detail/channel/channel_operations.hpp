#pragma once

#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/detail/channel/element.hpp>
#include <sluice/detail/executor/lasting_target.hpp>
#include <sluice/detail/goroutine/await.hpp>
#include <sluice/detail/operation/operation.hpp>
#include <sluice/error.hpp>
#include <sluice/received.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>

// What `send` and `receive` return.

namespace sluice {

namespace detail {

template <class T>
using receiving_waiter =
    std::conditional_t<travels_in_box<element_of<T>>, failing_channel_waiter, channel_waiter>;

/// What sending and receiving have in common.
template <class Derived, class Waiter>
class channel_operation : public operation<Derived, Waiter> {
 public:
  /// With a handler it is tried before there is an object for its wait.
  static constexpr bool often_ready = true;

  channel_operation(channel_core* c, bool owns) noexcept {
    this->core = c;
    this->owns_state = owns;
  }
  channel_operation(channel_operation&& other) noexcept {
    this->core = other.core;
    this->owns_state = std::exchange(other.owns_state, false);
  }
  ~channel_operation() {
    if (this->owns_state && this->core) this->core->release_state();
  }

  /// The executor of the channel, for handlers without one of their own.
  [[nodiscard]] pinned_target handler_target() const {
    return this->core ? this->core->where() : pinned_target();
  }

  /// A token is given to it: whoever made it may let go of the handle from now on.
  void keep() noexcept { own_state(); }

  /// Does it for a goroutine if that needs no wait.
  [[nodiscard]] bool done_at_once(goroutine& g) noexcept {
    return this->core && derived().looks_plain() && do_plainly(g);
  }

 protected:
  void own_state() noexcept {
    if (this->core && !std::exchange(this->owns_state, true)) this->core->retain_state();
  }

  [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }

  void throw_unless_done(const char* where) {
    if (this->outcome == waiter::state::done) return;
    if constexpr (std::is_base_of_v<failing_channel_waiter, Waiter>)
      if (this->outcome == waiter::state::failed) std::rethrow_exception(this->failure);
    detail::throw_error(detail::outcome_error(this->outcome), where);
  }

 private:
  // Once, not in every coroutine that sends or receives: their bodies run faster so.
  [[nodiscard, gnu::noinline]] bool do_plainly(goroutine& g) noexcept {
    return !g.cancel && g.did_at_once([this] { return derived().do_at_once(); });
  }
};

}  // namespace detail

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
class send_operation : public detail::channel_operation<send_operation<T>, detail::channel_waiter> {
  using base = detail::channel_operation<send_operation<T>, detail::channel_waiter>;

 public:
  using element = detail::element_of<T>;
  using signature = void(error_code);
  static constexpr const detail::waiter_functions& functions = detail::send_functions;

  /// Used by the channel's own functions.
  template <class... Args>
  send_operation(detail::channel_core* c, bool owns, std::in_place_t, Args&&... args)
      : base(c, owns), value_(carry(std::forward<Args>(args)...)) {}

  send_operation(send_operation&& other) noexcept
      : base(std::move(other)), value_(std::move(other.value_)) {}

  // Before the value goes: a receiver may be about to take it.
  ~send_operation() { this->forget(); }

  /// What is to be sent; after an error, what was not.
  /** Not to be asked for after a success if moving an element may throw: it has gone as a whole. */
  [[nodiscard]] element& value() noexcept {
    if constexpr (in_box)
      return detail::unboxed<element>(value_);
    else
      return value_;
  }

  bool start(detail::goroutine& g) {
    prepare();
    return this->core ? this->core->send_for(g, *this) : detail::await_waiter(g, *this, functions);
  }
  void take() { this->throw_unless_done("sluice: send"); }

  // For select.
  [[nodiscard]] detail::readiness look() const noexcept {
    return this->core ? this->core->look_to_send(copies_bytes) : detail::readiness::not_ready;
  }
  [[nodiscard]] bool looks_plain() const noexcept {
    return copies_bytes && this->core->has_plain_room();
  }
  [[nodiscard]] bool do_at_once() noexcept {
    if constexpr (!copies_bytes)
      return false;
    else if (!this->core->put_into_buffer(value_))
      return false;
    this->outcome = detail::waiter::state::done;
    return true;
  }

  /// @throws std::logic_error if an element that went as a whole is to be sent again.
  void prepare() noexcept(!in_box) {
    if constexpr (in_box)
      if (!value_) throw std::logic_error("sluice: send: its value has been sent");
    this->slot = std::addressof(value_);
  }
  [[nodiscard]] std::tuple<error_code> take_arguments() const {
    return {detail::outcome_error(this->outcome)};
  }

 private:
  static constexpr bool copies_bytes = detail::is_copied_as_bytes<element>;
  static constexpr bool in_box = detail::travels_in_box<element>;

  template <class... Args>
  [[nodiscard]] static detail::carried<element> carry(Args&&... args) {
    if constexpr (in_box)
      return detail::make_box<element>(std::forward<Args>(args)...);
    else
      return element(std::forward<Args>(args)...);
  }

  detail::carried<element> value_;
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
class receive_operation
    : public detail::channel_operation<receive_operation<T>, detail::receiving_waiter<T>> {
  using base = detail::channel_operation<receive_operation<T>, detail::receiving_waiter<T>>;

 public:
  using element = detail::element_of<T>;
  /// What a receive gives.
  using value_type = typename detail::what_is_received<T>::type;
  /// What it gives a token.
  using argument_type = std::conditional_t<std::is_void_v<T>, bool, std::optional<element>>;
  using signature = void(error_code, argument_type);
  static constexpr const detail::waiter_functions& functions = detail::receive_functions;

  /// Used by the channel's own functions.
  receive_operation(detail::channel_core* c, bool owns) noexcept : base(c, owns) {}
  receive_operation(receive_operation&& other) noexcept : base(std::move(other)) {}
  ~receive_operation() {
    this->forget();
    if (this->outcome == detail::waiter::state::done) landing_.destroy();
  }

  bool start(detail::goroutine& g) {
    prepare();
    return this->core ? this->core->receive_for(g, *this)
                      : detail::await_waiter(g, *this, functions);
  }
  value_type take() {
    if (this->outcome != detail::waiter::state::closed) this->throw_unless_done("sluice: receive");
    return take_value();
  }

  // For select.
  [[nodiscard]] detail::readiness look() const noexcept {
    return this->core ? this->core->look_to_receive(copies_bytes) : detail::readiness::not_ready;
  }
  [[nodiscard]] bool looks_plain() const noexcept {
    return copies_bytes && this->core->has_plain_value();
  }
  [[nodiscard]] bool do_at_once() noexcept {
    if constexpr (!copies_bytes)
      return false;
    else if (!this->core->template take_from_buffer<element>(landing_.slot()))
      return false;
    this->outcome = detail::waiter::state::done;
    return true;
  }

  // An element that cannot leave its box goes back to the channel, which must still be there.
  void prepare() noexcept {
    if constexpr (in_box) this->own_state();
    this->slot = landing_.slot();
  }
  /// Whether a value was there that could not be moved.
  [[nodiscard]] bool move_failed() const noexcept {
    return this->outcome == detail::waiter::state::failed;
  }
  [[nodiscard]] std::tuple<error_code, argument_type> take_arguments() {
    std::tuple<error_code, argument_type> all{};
    if (this->outcome == detail::waiter::state::done)
      take_into(all);
    else if (this->outcome != detail::waiter::state::closed)
      std::get<0>(all) = detail::outcome_error(this->outcome);
    return all;
  }

 private:
  static constexpr bool copies_bytes = detail::is_copied_as_bytes<element>;
  static constexpr bool in_box = detail::travels_in_box<element>;

  value_type take_value() {
    if (this->outcome != detail::waiter::state::done) return value_type();
    this->outcome = detail::waiter::state::idle;
    if constexpr (std::is_void_v<T>) {
      return true;
    } else if constexpr (in_box) {
      detail::boxed_ptr b = landing_.take();
      try {
        return value_type(std::in_place, std::move(detail::unboxed<element>(b)));
      } catch (...) {
        give_back(std::move(b));
        throw;
      }
    } else {
      return value_type(std::in_place, landing_.take());
    }
  }

  void take_into(std::tuple<error_code, argument_type>& all) noexcept {
    this->outcome = detail::waiter::state::idle;
    if constexpr (in_box) {
      detail::boxed_ptr b = landing_.take();
      try {
        std::get<1>(all).emplace(std::move(detail::unboxed<element>(b)));
      } catch (...) {
        give_back(std::move(b));
        std::get<0>(all) = error::move_failed;
      }
    } else {
      landing_.take_into(std::get<1>(all));
    }
  }

  void give_back(detail::boxed_ptr b) noexcept {
    this->core->give_back(std::move(b));
    this->failure = std::current_exception();
    this->outcome = detail::waiter::state::failed;
  }

  detail::landing<detail::carried<element>> landing_;
};

}  // namespace sluice
