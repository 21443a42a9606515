// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/detail/channel/element.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
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

// What sending and receiving are to the library.

namespace sluice::detail {

template <class T>
using receiving_waiter =
    std::conditional_t<travels_in_box<element_of<T>>, failing_channel_waiter, channel_waiter>;

/// What sending and receiving have in common.
template <class Derived, class Waiter>
class channel_operation : public operation<Derived, Waiter> {
 public:
  /// With a handler it is tried before there is an object for its wait.
  static constexpr bool often_ready = true;
  static constexpr bool forgets_first = true;

  channel_operation(channel_core* c, bool owns) noexcept {
    this->core = c;
    this->owns_state = owns;
  }
  channel_operation(channel_operation&& other) noexcept {
    this->core = other.core;
    this->owns_state = std::exchange(other.owns_state, false);
  }

  /// The executor of the channel, for handlers without one of their own.
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return this->core ? this->core->where() : pinned_dispatcher();
  }

  /// A token is given to it: whoever made it may let go of the handle from now on.
  void keep() noexcept { own_state(); }

  /// Does it for a goroutine if that needs no wait. `take_now` gives its result then.
  [[nodiscard, gnu::always_inline]] bool try_now(goroutine& g) noexcept {
    if constexpr (is_copied_as_bytes<typename Derived::element>)
      return this->core && derived().can_now() && try_now_for(g);
    else
      return false;
  }

 protected:
  // In line where it is destroyed, which a call would outweigh: few are destroyed while they wait.
  [[gnu::always_inline]] ~channel_operation() = default;
  /// Called first by the destructor of what derives from it: a partner may be about to take or to
  /// bring its value.
  [[gnu::always_inline]] void end() noexcept {
    if (this->who || this->owns_state) [[unlikely]]
      end_now();
  }

  void own_state() noexcept {
    if (this->core && !std::exchange(this->owns_state, true)) this->core->retain_state();
  }

  [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }

  void rethrow_failure() {
    if constexpr (std::is_base_of_v<failing_channel_waiter, Waiter>)
      if (this->outcome == waiter::state::failed) std::rethrow_exception(this->failure);
  }

 private:
  // Once, not in every coroutine that sends or receives: their bodies run faster so.
  [[nodiscard, gnu::noinline]] bool try_now_for(goroutine& g) noexcept {
    return !g.cancel && g.try_now([this] { return derived().try_now(); });
  }
  [[gnu::noinline]] void end_now() noexcept {
    this->forget();
    if (this->owns_state && this->core) this->core->release_state();
  }
};

/// Sending one value.
template <class T>
class send_wait : public channel_operation<send_wait<T>, channel_waiter> {
  using base = channel_operation<send_wait<T>, channel_waiter>;

 public:
  using element = element_of<T>;
  using signature = void(error_code);
  static constexpr const waiter_functions& functions = send_functions;
  static constexpr bool copies_bytes = is_copied_as_bytes<element>;
  /// Whether there is nothing left to send once it has been sent.
  static constexpr bool is_used_up =
      travels_in_box<element> || !std::is_trivially_copyable_v<element>;

  template <class... Args>
  send_wait(channel_core* c, bool owns, std::in_place_t, Args&&... args)
      : base(c, owns), value_(carry(std::forward<Args>(args)...)) {}

  send_wait(send_wait&& other) noexcept : base(std::move(other)), value_(std::move(other.value_)) {
    if constexpr (is_used_up) {
      if (other.outcome == waiter::state::done) this->outcome = waiter::state::done;
      other.outcome = waiter::state::done;
    }
  }

  [[gnu::always_inline]] ~send_wait() { this->end(); }

  /// What is to be sent; after an error, what was not.
  /** Not to be asked for after a success if moving an element may throw: it has gone as a whole. */
  [[nodiscard]] element& value() noexcept {
    if constexpr (in_box)
      return unboxed<element>(value_);
    else
      return value_;
  }

  bool start(goroutine& g) {
    prepare();
    return this->core ? this->core->send_for(g, *this) : await_waiter(g, *this, functions);
  }

  static void take_now() noexcept
    requires copies_bytes
  {}

  // For select.
  [[nodiscard]] readiness look() const noexcept {
    return this->core ? this->core->look_to_send(copies_bytes) : readiness::not_ready;
  }
  [[nodiscard]] bool can_now() const noexcept { return this->core->has_plain_room(); }
  using base::try_now;
  [[nodiscard]] bool try_now() noexcept {
    if constexpr (!copies_bytes)
      return false;  // NOLINT(bugprone-branch-clone): the type decides
    else if (!this->core->put_into_buffer(value_))
      return false;
    this->outcome = waiter::state::done;
    return true;
  }

  /// @throws std::logic_error if an element that has been moved on is to be sent again.
  void prepare() noexcept(!is_used_up) {
    if constexpr (is_used_up)
      if (this->outcome == waiter::state::done) [[unlikely]]
        detail::throw_exception(std::logic_error("sluice: send: its value has been sent"));
    this->element_address = std::addressof(value_);
  }
  /// Gives the value back instead of sending it: as if it had been sent.
  [[nodiscard]] element&& give_up_value() noexcept {
    if constexpr (is_used_up) this->outcome = waiter::state::done;
    return std::move(value());
  }
  [[nodiscard]] std::tuple<error_code> take_arguments() const {
    return {outcome_error(this->outcome)};
  }

 private:
  static constexpr bool in_box = travels_in_box<element>;

  template <class... Args>
  [[nodiscard]] static carried<element> carry(Args&&... args) {
    if constexpr (in_box)
      return make_box<element>(std::forward<Args>(args)...);
    else
      return element(std::forward<Args>(args)...);
  }

  carried<element> value_;
};

/// Receiving one value.
template <class T>
class receive_wait : public channel_operation<receive_wait<T>, receiving_waiter<T>> {
  using base = channel_operation<receive_wait<T>, receiving_waiter<T>>;

 public:
  using element = element_of<T>;
  /// What a receive gives.
  using value_type = typename what_is_received<T>::type;
  /// What it gives a token.
  using argument_type = std::conditional_t<std::is_void_v<T>, bool, std::optional<element>>;
  using signature = void(error_code, argument_type);
  static constexpr const waiter_functions& functions = receive_functions;
  static constexpr bool copies_bytes = is_copied_as_bytes<element>;

  receive_wait(channel_core* c, bool owns) noexcept : base(c, owns) {}
  receive_wait(receive_wait&& other) noexcept : base(std::move(other)) {}
  [[gnu::always_inline]] ~receive_wait() {
    this->end();
    if constexpr (!std::is_trivially_destructible_v<carried<element>>)
      if (this->outcome == waiter::state::done) element_.destroy();
  }

  bool start(goroutine& g) {
    prepare();
    return this->core ? this->core->receive_for(g, *this) : await_waiter(g, *this, functions);
  }
  [[nodiscard]] error_code failure_code() const noexcept {
    return this->outcome == waiter::state::closed ? error_code() : outcome_error(this->outcome);
  }
  value_type take() {
    if (this->outcome != waiter::state::done) [[unlikely]]
      return take_nothing();
    return take_element();
  }

  [[nodiscard]] value_type take_now() noexcept
    requires copies_bytes
  {
    return value_type(std::in_place, element_.take());
  }

  // For select.
  [[nodiscard]] readiness look() const noexcept {
    return this->core ? this->core->look_to_receive(copies_bytes) : readiness::not_ready;
  }
  [[nodiscard]] bool can_now() const noexcept { return this->core->has_plain_value(); }
  using base::try_now;
  [[nodiscard]] bool try_now() noexcept {
    if constexpr (!copies_bytes)
      return false;  // NOLINT(bugprone-branch-clone): the type decides
    else if (!this->core->template take_from_buffer<element>(element_.address()))
      return false;
    this->outcome = waiter::state::done;
    return true;
  }

  // An element that cannot leave its box goes back to the channel, which must still be there.
  void prepare() noexcept {
    if constexpr (in_box) this->own_state();
    this->element_address = element_.address();
  }
  /// Whether a value was there that could not be moved.
  [[nodiscard]] bool move_failed() const noexcept { return this->outcome == waiter::state::failed; }
  [[nodiscard]] std::tuple<error_code, argument_type> take_arguments() {
    std::tuple<error_code, argument_type> all{};
    if (this->outcome == waiter::state::done)
      take_into(all);
    else if (this->outcome != waiter::state::closed)
      std::get<0>(all) = outcome_error(this->outcome);
    return all;
  }

 private:
  static constexpr bool in_box = travels_in_box<element>;

  [[gnu::noinline]] value_type take_nothing() {
    if (this->outcome != waiter::state::closed) {
      this->rethrow_failure();
      this->throw_unless_done();
    }
    return value_type();
  }

  value_type take_element() {
    forget_element();
    if constexpr (std::is_void_v<T>) {
      return true;
    } else if constexpr (in_box) {
      boxed_ptr b = element_.take();
      SLUICE_TRY {
        return value_type(std::in_place, std::move(unboxed<element>(b)));
      }
      SLUICE_CATCH_ALL {
        give_back(std::move(b));
        detail::rethrow();
      }
    } else {
      return value_type(std::in_place, element_.take());
    }
  }

  /// What is received is taken now.
  void forget_element() noexcept {
    if constexpr (!std::is_trivially_destructible_v<carried<element>>)
      this->outcome = waiter::state::idle;
  }

  void take_into(std::tuple<error_code, argument_type>& all) noexcept {
    forget_element();
    if constexpr (in_box) {
      boxed_ptr b = element_.take();
      SLUICE_TRY {
        std::get<1>(all).emplace(std::move(unboxed<element>(b)));
      }
      SLUICE_CATCH_ALL {
        give_back(std::move(b));
        std::get<0>(all) = error::move_failed;
      }
    } else {
      element_.take_into(std::get<1>(all));
    }
  }

  void give_back(boxed_ptr b) noexcept {
    this->core->give_back(std::move(b));
    this->failure = std::current_exception();
    this->outcome = waiter::state::failed;
  }

  element_memory<carried<element>> element_;
};

}  // namespace sluice::detail
