#pragma once

#include <sluice/detail/goroutine.hpp>
#include <sluice/detail/handler_operation.hpp>
#include <sluice/detail/initiation.hpp>
#include <sluice/detail/waiter.hpp>
#include <sluice/error.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_future.hpp>

#include <coroutine>
#include <exception>
#include <utility>

namespace sluice::detail {

/// Futures are set wherever the operation completes, so they need no executor.
template <class Token>
inline constexpr bool completes_on_the_spot = false;
template <class Allocator>
inline constexpr bool completes_on_the_spot<asio::use_future_t<Allocator>> = true;
template <class Token>
inline constexpr bool completes_on_the_spot<asio::redirect_error_t<Token>> =
    completes_on_the_spot<Token>;
template <class Token>
inline constexpr bool completes_on_the_spot<asio::as_tuple_t<Token>> = completes_on_the_spot<Token>;

/// The executor of an operation: that of what it waits for, otherwise the running goroutine's.
template <class Operation>
[[nodiscard]] target_ptr executor_of(const Operation& op) {
  target_ptr own = op.handler_target();
  return own ? own : current_target_or_none();
}

/// The error of a wait that has ended; none if it is done.
[[nodiscard]] error_code outcome_error(waiter::state outcome) noexcept;

/// What every operation of this library has in common: its waiter, and how a task awaits it.
/**
 * `Derived` has `functions`, `take()` which gives the result or throws, and for token calls
 * `signature`, `take_arguments()` and `handler_target()`. `prepare()` is called before every wait.
 */
template <class Derived, class Waiter = waiter>
class operation : public Waiter {
 public:
  using sluice_operation = void;

  operation() noexcept = default;
  operation(operation&&) noexcept {}
  operation& operator=(operation&&) = delete;
  ~operation() { forget(); }

  /// Called before every wait, when the operation is where it stays.
  void prepare() noexcept {}
  /// Called when a token is given to it: from then on it owns what it needs.
  void keep() noexcept {}

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    goroutine& g = *h.promise().g;
    try {
      return derived().start(g);
    } catch (...) {
      end_wait(g);
      throw;
    }
  }

  /// Starts it with a completion token.
  /** The handler's executor is by default that of what the operation waits for, otherwise that of
   * the goroutine that makes this call. If there is none it completes with `error::no_executor`. */
  template <asio::completion_token_for<typename Derived::signature> Token>
  auto operator()(Token&& token) && {
    derived().keep();
    target_ptr where = detail::executor_of(derived());
    const auto start = [where](auto handler, Derived&& op) {
      handler_operation<Derived, decltype(handler),
                        completes_on_the_spot<std::decay_t<Token>>>::start(where, std::move(op),
                                                                           std::move(handler));
    };
    return asio::async_initiate<Token, typename Derived::signature>(
        initiation(std::move(where), start), token, std::move(derived()));
  }

  decltype(auto) await_resume() {
    if (this->who) end_wait(static_cast<goroutine&>(*this->who));
    return derived().take();
  }

 protected:
  /// Ends a wait that was not resumed. Called first by a destructor whose operation has members
  /// that the wait uses.
  void forget() noexcept {
    if (!this->who) return;
    forget_waiter(*this, Derived::functions);
    this->who = nullptr;
  }

  /// Waits for a goroutine. Hidden by operations with a shorter way.
  bool start(goroutine& g) { return await_waiter(g, *this, Derived::functions); }

 private:
  void end_wait(goroutine& g) noexcept {
    if (g.cancel) [[unlikely]]
      g.cancel->end();
    this->who = nullptr;
  }

  [[nodiscard]] Derived& derived() noexcept { return static_cast<Derived&>(*this); }
};

}  // namespace sluice::detail
