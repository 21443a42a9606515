#pragma once

#include <sluice/detail/goroutine.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/async_result.hpp>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What `co_await` makes of an Asio operation's completion arguments.
/** A leading `error_code` or `exception_ptr` is thrown if it holds one; one value is given as
 * itself, several as a tuple, none as void. */
template <class... Args>
struct completion_value {
  using type = std::tuple<Args...>;
  static type get(std::tuple<Args...>&& all) { return std::move(all); }
};
template <>
struct completion_value<> {
  using type = void;
  static void get(std::tuple<>&&) {}
};
template <class T>
struct completion_value<T> {
  using type = T;
  static T get(std::tuple<T>&& all) { return std::get<0>(std::move(all)); }
};

template <class First, class... Rest>
[[nodiscard]] auto without_first(std::tuple<First, Rest...>&& all) {
  return std::apply(
      [](auto&&, auto&&... rest) {
        return std::tuple<Rest...>(std::forward<decltype(rest)>(rest)...);
      },
      std::move(all));
}

template <class... Rest>
struct completion_value<error_code, Rest...> {
  using type = typename completion_value<Rest...>::type;
  static type get(std::tuple<error_code, Rest...>&& all) {
    if (const auto& e = std::get<0>(all)) throw system_error(e);
    return completion_value<Rest...>::get(detail::without_first(std::move(all)));
  }
};
template <>
struct completion_value<error_code> {
  using type = void;
  static void get(std::tuple<error_code>&& all) {
    if (const auto& e = std::get<0>(all)) throw system_error(e);
  }
};

template <class... Rest>
struct completion_value<std::exception_ptr, Rest...> {
  using type = typename completion_value<Rest...>::type;
  static type get(std::tuple<std::exception_ptr, Rest...>&& all) {
    if (const auto& e = std::get<0>(all)) std::rethrow_exception(e);
    return completion_value<Rest...>::get(detail::without_first(std::move(all)));
  }
};
template <>
struct completion_value<std::exception_ptr> {
  using type = void;
  static void get(std::tuple<std::exception_ptr>&& all) {
    if (const auto& e = std::get<0>(all)) std::rethrow_exception(e);
  }
};

/// The wait of a goroutine for an operation that completes through a handler.
/** The initiation and the completion meet; whichever is second resumes the goroutine. */
class handler_wait {
 public:
  void start(goroutine& g) noexcept { g_ = &g; }

  /// The initiation has returned.
  /** @return True if the goroutine stays suspended. */
  [[nodiscard]] bool initiated() noexcept {
    if (!met_.exchange(true, std::memory_order_acq_rel)) return true;
    if (abandoned_) {
      g_->abandon();
      return true;
    }
    return g_->must_yield();
  }

  /// The handler was called, on the goroutine's executor.
  void completed() noexcept {
    if (met_.exchange(true, std::memory_order_acq_rel)) g_->make_ready();
  }

  /// The handler was destroyed without being called.
  void abandoned() noexcept {
    abandoned_ = true;
    if (met_.exchange(true, std::memory_order_acq_rel)) g_->abandon();
  }

 private:
  goroutine* g_ = nullptr;
  std::atomic<bool> met_{false};
  bool abandoned_ = false;
};

/// The handler that resumes a goroutine.
template <class Operation>
class resume_handler {
 public:
  using executor_type = executor;

  resume_handler(goroutine& g, Operation& op) noexcept : ticket_(g), operation_(&op) {}
  resume_handler(resume_handler&&) noexcept = default;
  resume_handler& operator=(resume_handler&&) = delete;
  ~resume_handler() {
    if (ticket_ && !ticket_->ended() && !ticket_->home_shutting_down()) operation_->abandoned();
  }

  [[nodiscard]] executor_type get_executor() const noexcept { return executor(ticket_->where); }

  template <class... Args>
  void operator()(Args&&... args) {
    const ticket t = std::move(ticket_);
    if (!t->ended()) operation_->complete(std::forward<Args>(args)...);
  }

 private:
  ticket ticket_;
  Operation* operation_;
};

template <class Signature, class Initiation, class... InitArgs>
class asio_operation;

/// An Asio operation that has not been launched: what the token `use_task` returns.
/**
 * It can be awaited once in a task, and called with any completion token. It is moved out of the
 * coroutine's frame before it is launched.
 */
template <class... Args, class Initiation, class... InitArgs>
class
    [[nodiscard("an operation does nothing until it is awaited or given a token")]] asio_operation<
        void(Args...), Initiation, InitArgs...> {
 public:
  using value = completion_value<std::decay_t<Args>...>;

  template <class I, class... A>
  explicit asio_operation(std::in_place_t, I && initiation, A && ... args)
      : stored_(std::in_place, std::forward<I>(initiation), std::forward<A>(args)...) {}

  asio_operation(asio_operation && other) noexcept(
      std::is_nothrow_move_constructible_v<std::tuple<Initiation, InitArgs...>>)
      : stored_(std::move(other.stored_)) {}
  asio_operation& operator=(asio_operation&&) = delete;

  template <class Token>
  auto operator()(Token&& token)&& {
    return launch_with<Token>(std::move(*stored_), token);
  }

  [[nodiscard]] bool await_ready() const noexcept {
    return false;
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    goroutine& g = *h.promise().g;
    g.waiting_on = "an Asio operation";
    wait_.start(g);
    auto moved_out = std::move(*stored_);
    stored_.reset();
    std::apply(
        [&](auto&& initiation, auto&&... args) {
          std::move(initiation)(resume_handler<asio_operation>(g, *this), std::move(args)...);
        },
        std::move(moved_out));
    return wait_.initiated();
  }

  typename value::type await_resume() {
    return value::get(std::move(*result_));
  }

 private:
  friend class resume_handler<asio_operation>;

  template <class Token, class Stored>
  static auto launch_with(Stored && stored, Token & token) {
    return std::apply(
        [&token](auto&& initiation, auto&&... args) {
          return asio::async_initiate<Token, void(Args...)>(std::move(initiation), token,
                                                            std::move(args)...);
        },
        std::move(stored));
  }

  template <class... A>
  void complete(A && ... args) {
    result_.emplace(std::forward<A>(args)...);
    wait_.completed();
  }
  void abandoned() noexcept {
    wait_.abandoned();
  }

  std::optional<std::tuple<Initiation, InitArgs...>> stored_;
  std::optional<std::tuple<std::decay_t<Args>...>> result_;
  handler_wait wait_;
};

}  // namespace sluice::detail
