// SPDX-License-Identifier: BSL-1.0
// Asio operations inside a goroutine: what their completion arguments become, how the goroutine
// waits, and the handler that resumes it, once.
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/error_code_of.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/executor/make_dispatcher.hpp>
#include <sluice/detail/goroutine/emission.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/goroutine/limited_emission.hpp>
#include <sluice/detail/operation/started_once.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What an operation tells its failure by, if that is its first completion argument.
template <class T>
concept failure = std::same_as<T, error_code> || std::same_as<T, std::exception_ptr>;

inline error_code code_of(const error_code& e) noexcept {
  return e;
}
inline error_code code_of(const std::exception_ptr& e) noexcept {
  return e ? error_code_of(e) : error_code();
}

inline void throw_failure(const error_code& e) {
  if (e) detail::throw_exception(system_error(e));
}
inline void throw_failure(const std::exception_ptr& e) {
  if (e) std::rethrow_exception(e);
}

/// One value as itself, several as a tuple, none as void.
template <class... Args>
struct plain_value {
  using type = std::tuple<Args...>;
  static type get(std::tuple<Args...>&& all) { return std::move(all); }
};
template <>
struct plain_value<> {
  using type = void;
  static void get(std::tuple<>&&) {}
};
template <class T>
struct plain_value<T> {
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

/// What `co_await` makes of an Asio operation's completion arguments.
/** A leading `error_code` or `exception_ptr` is thrown if it holds one; the rest is the value. */
template <class... Args>
struct completion_value : plain_value<Args...> {
  /// Whether `get` throws the failure that is told, and not what a move throws.
  static bool throws_failure(const std::tuple<Args...>&) noexcept { return false; }
};
template <failure Failure, class... Rest>
struct completion_value<Failure, Rest...> {
  using type = typename plain_value<Rest...>::type;
  static bool throws_failure(const std::tuple<Failure, Rest...>& all) noexcept {
    return static_cast<bool>(std::get<0>(all));
  }
  static type get(std::tuple<Failure, Rest...>&& all) {
    detail::throw_failure(std::get<0>(all));
    return plain_value<Rest...>::get(detail::without_first(std::move(all)));
  }
};

/// The failure among completion arguments: an `error_code` or an `exception_ptr` that is the first
/// of them, or the first of a tuple that is the first, as `as_tuple` makes it.
template <class Arguments>
struct failure_argument {
  static constexpr bool can_be_made = false;
  /// Calls `f` with it, if there is one.
  template <class F>
  static void visit(Arguments&, F) noexcept {}
};
template <failure Failure, class... Rest>
struct failure_argument<std::tuple<Failure, Rest...>> {
  static constexpr bool can_be_made = (std::is_default_constructible_v<Rest> && ...);
  template <class F>
  static void visit(std::tuple<Failure, Rest...>& a, F f) {
    f(std::get<0>(a));
  }
};
template <class... Elements, class... Rest>
struct failure_argument<std::tuple<std::tuple<Elements...>, Rest...>> {
  using inner = failure_argument<std::tuple<Elements...>>;
  static constexpr bool can_be_made =
      inner::can_be_made && (std::is_default_constructible_v<Rest> && ...);
  template <class F>
  static void visit(std::tuple<std::tuple<Elements...>, Rest...>& a, F f) {
    inner::visit(std::get<0>(a), f);
  }
};

inline void set_failure(error_code& failure, const error_code& e) noexcept {
  failure = e;
}
inline void set_failure(std::exception_ptr& failure, const error_code& e) {
  failure = std::make_exception_ptr(system_error(e, "sluice"));
}

inline void explain_abort(error_code& failure, const error_code& why) noexcept {
  if (failure == asio::error::operation_aborted) failure = why;
}
inline void explain_abort(std::exception_ptr& failure, const error_code& why) {
  if (!failure) return;
  const bool aborted = detail::visit_exception<system_error>(
      failure, [](const system_error& x) { return x.code() == asio::error::operation_aborted; },
      [] { return false; });
  if (aborted) set_failure(failure, why);
}

/// Replaces `operation_aborted` among completion arguments by `why`.
template <class Arguments>
void explain_abort(Arguments& all, const error_code& why) {
  failure_argument<Arguments>::visit(all, [&](auto& f) { detail::explain_abort(f, why); });
}
/// Whether completion arguments say that the operation has failed.
template <class Arguments>
[[nodiscard]] bool says_failure(Arguments& all) noexcept {
  bool failed = false;
  failure_argument<Arguments>::visit(all, [&](auto& f) { failed = static_cast<bool>(f); });
  return failed;
}
/// Makes completion arguments that say `e`.
template <class Arguments>
  requires failure_argument<Arguments>::can_be_made
void make_failure(std::optional<Arguments>& to, const error_code& e) {
  failure_argument<Arguments>::visit(to.emplace(), [&](auto& f) { detail::set_failure(f, e); });
}

/// Whether the first completion argument is a `First`.
template <class First, class... Args>
inline constexpr bool begins_with = false;
template <class First, class... Rest>
inline constexpr bool begins_with<First, First, Rest...> = true;

/// The executor that an initiation names as that of its operation; none if it names none.
template <class Initiation>
[[nodiscard]] pinned_dispatcher dispatcher_of_initiation(const Initiation& initiation) {
  if constexpr (requires { initiation.handler_dispatcher(); }) {
    return initiation.handler_dispatcher();
  } else if constexpr (requires { initiation.get_executor(); }) {
    if constexpr (has_execution_context<std::remove_cvref_t<decltype(initiation.get_executor())>>)
      return detail::dispatcher_of(initiation.get_executor());
    else
      return {};
  } else {
    return {};
  }
}

/// How long an operation may take before it is cancelled.
struct time_limit {
  using duration = std::chrono::steady_clock::duration;

  static constexpr duration none = duration::max();

  time_limit() noexcept = default;
  time_limit(const time_limit&) = delete;
  time_limit& operator=(const time_limit&) = delete;
  ~time_limit() {
    if (emission) emission->end();
  }

  duration longest = none;
  /// That of the wait, while this limits it.
  limited_emission* emission = nullptr;
  /// Whether it has taken too long, or was given no time.
  bool too_late = false;
};

/// The wait of a goroutine for an operation that completes through a handler.
/** The initiation and the completion meet; whichever is second resumes the goroutine. */
class handler_wait : private cancellable {
 public:
  handler_wait() noexcept : cancellable{&emit} {}

  /// Begins the wait and calls `launch(arg)` on the goroutine's explicit strand: what it launches
  /// may post to its handler's executor and rely on it.
  /** @param limit Lives as long as the wait, which `finish(limit)` ends then. @return True if the
   * goroutine stays suspended. */
  [[nodiscard]] SLUICE_DECL bool start(goroutine& g, void (*launch)(void*), void* arg,
                                       time_limit* limit = nullptr);

  /// Begins a wait for an operation that may move the goroutine: launched once it is suspended,
  /// from outside, because it may go on inside the launch.
  /** @return True if the goroutine stays suspended. */
  [[nodiscard]] SLUICE_DECL bool start_moving(goroutine& g, void (*launch)(void*), void* arg);

  /// The slot that cancels the operation.
  [[nodiscard]] asio::cancellation_slot slot() const noexcept {
    return emission_ ? emission_->slot() : asio::cancellation_slot();
  }

  /// The handler was called, on the goroutine's executor. The goroutine may go on inside the call.
  /** @throws What leaves the goroutine. */
  SLUICE_DECL void completed();
  /// The same, but what it was called with could not be kept: `finish` throws the exception that is
  /// being handled.
  SLUICE_DECL void failed() noexcept;
  /// The scheduler of the goroutine, as those know it who may outlive it.
  [[nodiscard]] SLUICE_DECL const std::shared_ptr<scheduler_link>& home_link() const noexcept;

  /// The handler of one that may move the goroutine was called. On an executor of its own, of
  /// whatever context, that is where the goroutine wants to be: it goes on inside this call.
  /** @throws What leaves the goroutine. */
  SLUICE_DECL void completed_moving(bool on_its_own);
  /// The handler was destroyed without being called.
  SLUICE_DECL void abandoned() noexcept;

  /// The goroutine goes on.
  void finish() {
    if (g_->cancel) g_->cancel->end();
    if (failure_) std::rethrow_exception(failure_);
  }

  /// The same for one with a limit.
  SLUICE_DECL void finish(time_limit& limit);

  /// Whether it was cancelled before it was launched.
  [[nodiscard]] bool not_launched() const noexcept { return not_launched_; }
  /// Whether its goroutine has cancelled it.
  [[nodiscard]] bool cancelled() const noexcept { return outcome_ != waiter::state::waiting; }
  /// Whether the deadline of its goroutine's context has cancelled it.
  [[nodiscard]] bool timed_out() const noexcept { return outcome_ == waiter::state::timed_out; }
  /// The error that it ends with if it was not launched.
  [[nodiscard]] SLUICE_DECL error_code cancelled_error() const noexcept;

 private:
  void begin_anew(goroutine& g) noexcept;
  /// @param in_step It is called by the goroutine, and not for it.
  [[nodiscard]] SLUICE_DECL bool begin(bool in_step);
  [[nodiscard]] bool begin_limit(bool in_step);
  [[nodiscard]] SLUICE_DECL bool may_launch(waiter::state asked) noexcept;
  [[nodiscard]] bool meets_launch() noexcept;
  SLUICE_DECL static bool emit(cancellable& wait, asio::cancellation_type type,
                               waiter::state outcome, ready_list& steps) noexcept;

  goroutine* g_ = nullptr;
  std::shared_ptr<emission> emission_;
  time_limit* limit_ = nullptr;
  std::exception_ptr failure_;
  std::atomic<bool> met_{false};
  bool abandoned_ = false;
  bool moving_ = false;
  bool not_launched_ = false;
  waiter::state outcome_ = waiter::state::waiting;
};

/// Whether the completion of what this thread launches now for a goroutine may wait until its drain
/// ends: that has suspended then.
[[nodiscard]] SLUICE_DECL bool completion_may_stay(const goroutine& g) noexcept;

/// A handler that tells an operation in a goroutine's frame.
template <class Operation>
class resume_handler {
 public:
  using executor_type = executor;
  using cancellation_slot_type = asio::cancellation_slot;

  resume_handler(goroutine& g, Operation& op, asio::cancellation_slot slot) noexcept
      : goroutine_(g), operation_(&op), slot_(slot) {}
  resume_handler(resume_handler&&) noexcept = default;
  resume_handler& operator=(resume_handler&&) = delete;
  ~resume_handler() {
    if (goroutine_ && !goroutine_->ended() && !goroutine_->home_shutting_down())
      operation_->abandoned();
  }

  [[nodiscard]] executor_type get_executor() const noexcept {
    if constexpr (requires { operation_->executor_wanted(); })
      if (!goroutine_->ended()) operation_->executor_wanted();
    return detail::executor_on(goroutine_->where);
  }
  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return slot_; }

  /// The goroutine that it resumes.
  [[nodiscard]] goroutine* waiting_goroutine() const noexcept { return goroutine_.get(); }

  template <class... Args>
  void operator()(Args&&... args) {
    const goroutine_ref t = std::move(goroutine_);
    if (!t->ended()) operation_->complete(std::forward<Args>(args)...);
  }

  /// What a goroutine launches continues what it was resumed for: with nothing else to do on this
  /// thread, the completion stays with it and wakes no other. Source: Asio's handler hooks.
  friend bool asio_handler_is_continuation(resume_handler* handler) noexcept {
    return handler->goroutine_ && completion_may_stay(*handler->goroutine_.get());
  }

 protected:
  /// Its goroutine has ended with its context.
  void forget() noexcept { goroutine_ = goroutine_ref(); }

 private:
  goroutine_ref goroutine_;
  Operation* operation_;
  asio::cancellation_slot slot_;
};

/// The same for an operation that may move its goroutine: a thread of another context may call it,
/// or destroy it, when the goroutine's own has ended.
template <class Operation>
class moving_handler : public resume_handler<Operation> {
 public:
  moving_handler(goroutine& g, Operation& op, std::shared_ptr<scheduler_link> home) noexcept
      : resume_handler<Operation>(g, op, {}), home_(std::move(home)) {}
  moving_handler(moving_handler&&) noexcept = default;
  moving_handler& operator=(moving_handler&&) = delete;
  ~moving_handler() {
    if (!home_) return;
    const pinned_scheduler home(*home_);
    if (home)
      const resume_handler<Operation> told(static_cast<resume_handler<Operation>&&>(*this));
    else
      this->forget();
  }

  // The pin ends before the goroutine goes on inside the call: it may wait for the end of others.
  void operator()() {
    if (!pinned_scheduler(*std::exchange(home_, nullptr))) return this->forget();
    resume_handler<Operation>::operator()();
  }

 private:
  std::shared_ptr<scheduler_link> home_;
};

/// What can be kept until an operation is launched.
template <class... Ts>
concept decay_copyable = (std::constructible_from<std::decay_t<Ts>, Ts> && ...);

template <class Signature, class Initiation, class... InitArgs>
class asio_operation;

template <class... Args>
class erased_initiation;

/// An Asio operation that has not been launched: what the token `use_task` returns.
/**
 * It can be launched once: awaited in a task, or called with any completion token. It is moved out
 * of the coroutine's frame before it is launched.
 */
template <class... Args, class Initiation, class... InitArgs>
class asio_operation<void(Args...), Initiation, InitArgs...> {
 public:
  using value = completion_value<std::decay_t<Args>...>;
  using arguments = std::tuple<std::decay_t<Args>...>;
  static constexpr bool has_error_code = begins_with<error_code, std::decay_t<Args>...>;
  static constexpr bool has_exception_ptr = begins_with<std::exception_ptr, std::decay_t<Args>...>;

  template <class I, class... A>
  explicit asio_operation(std::in_place_t, I&& initiation, A&&... args)
      : stored_(std::in_place, std::forward<I>(initiation), std::forward<A>(args)...) {}

  asio_operation(asio_operation&& other) noexcept(
      std::is_nothrow_move_constructible_v<std::tuple<Initiation, InitArgs...>>)
      : stored_(std::move(other.stored_)) {
    other.stored_.reset();
  }
  asio_operation& operator=(asio_operation&&) = delete;

  /// The same operation where its type is not to be named.
  operator asio_operation<void(Args...), erased_initiation<Args...>>() &&
      requires(!std::same_as<Initiation, erased_initiation<Args...>>) {
        return asio_operation<void(Args...), erased_initiation<Args...>>(std::in_place,
                                                                         take_stored());
      }

      /// Whether it has been launched.
      [[nodiscard]] bool was_started() const noexcept {
    return !stored_;
  }

  /// The executor of its I/O object, if it has one; before the launch.
  [[nodiscard]] pinned_dispatcher handler_dispatcher() const {
    return stored_ ? detail::dispatcher_of_initiation(std::get<0>(*stored_)) : pinned_dispatcher();
  }

  /// Launches it with a completion token. @throws std::logic_error if it has been launched.
  template <asio::completion_token_for<void(Args...)> Token>
  auto operator()(Token&& token) && {
    auto moved_out = take_stored();
    return std::apply(
        [&token](auto&& initiation, auto&&... args) {
          return asio::async_initiate<Token, void(Args...)>(std::move(initiation), token,
                                                            std::move(args)...);
        },
        std::move(moved_out));
  }

  /// Launches it with a handler. @throws std::logic_error if it has been launched.
  template <class Handler>
  void launch(Handler&& handler) {
    auto moved_out = take_stored();
    std::apply(
        [&handler](auto&& initiation, auto&&... args) {
          std::move(initiation)(std::forward<Handler>(handler), std::move(args)...);
        },
        std::move(moved_out));
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    if (was_started()) throw_started_before();
    g_ = &h.promise().g->with_own_block();
    g_->waiting_on = wait_reason::asio_operation;
    const auto launch = [](void* p) {
      auto& self = *static_cast<asio_operation*>(p);
      if constexpr (may_move)
        self.launch(moving_handler<asio_operation>(*self.g_, self, self.wait_.home_link()));
      else
        self.launch(resume_handler<asio_operation>(*self.g_, self, self.wait_.slot()));
    };
    if constexpr (may_move)
      return wait_.start_moving(*g_, launch, this);
    else
      return wait_.start(*g_, launch, this);
  }

  typename value::type await_resume() {
    wait_.finish();
    if (wait_.not_launched()) {
      const error_code reason = wait_.cancelled_error();
      if constexpr (failure_argument<arguments>::can_be_made)
        detail::make_failure(result_, reason);
      else
        detail::throw_exception(system_error(reason, "sluice: co_await"));
    }
    if (wait_.timed_out()) detail::explain_abort(*result_, error::deadline_exceeded);
    return value::get(std::move(*result_));
  }

 private:
  friend class resume_handler<asio_operation>;

  // `dispatch(bind_executor(strand, deferred))` gives no result and belongs to no I/O object. If it
  // does not ask for the goroutine's executor either, it has been given one of its own, and all
  // that awaiting it can mean is to go on there.
  static constexpr bool may_move =
      sizeof...(Args) == 0 && !requires(const Initiation& i) { i.get_executor(); };
  void executor_wanted() noexcept
    requires may_move
  {
    on_its_own_ = false;
  }

  void complete()
    requires may_move
  {
    result_.emplace();
    wait_.completed_moving(on_its_own_);
  }
  template <class... A>
  void complete(A&&... args)
    requires(!may_move)
  {
    SLUICE_TRY {
      result_.emplace(std::forward<A>(args)...);
    }
    SLUICE_CATCH_ALL {
      return wait_.failed();
    }
    wait_.completed();
  }
  void abandoned() noexcept { wait_.abandoned(); }

  [[nodiscard]] std::tuple<Initiation, InitArgs...> take_stored() {
    if (was_started()) throw_started_before();
    auto all = std::move(*stored_);
    stored_.reset();
    return all;
  }

  std::optional<std::tuple<Initiation, InitArgs...>> stored_;
  std::optional<arguments> result_;
  goroutine* g_ = nullptr;
  bool on_its_own_ = true;
  handler_wait wait_;
};

}  // namespace sluice::detail
